//! Brings a fleet's messages to a broker.
//!
//! Open loop: what is due is due, whatever the broker does. A slow broker delays the sending, not
//! the schedule, and the delay shows in the latency. Nothing queues up for that: a message is
//! made, for the time at which it was due, when there is room for it in its connection's window.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection::{Connection, GOODBYE};
use crate::fleet::Fleet;
use crate::options::Options;
use crate::report::{Report, Stats};
use crate::truth::{Ledger, Line, Truth};

/// When the schedule began, on both clocks, and how fast the fleet's clock runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) instant: Instant,
    pub(crate) ms: i64,
    pub(crate) speed: f64,
}

impl Start {
    /// Microseconds of the fleet's time since the start.
    pub(crate) fn now_us(self) -> i64 {
        (self.instant.elapsed().as_micros() as f64 * self.speed) as i64
    }

    /// When it is `us` microseconds of the fleet's time since the start.
    pub(crate) fn at(self, us: i64) -> Instant {
        self.instant + self.real(us)
    }

    /// How long so many microseconds of the fleet's time are.
    pub(crate) fn real(self, us: i64) -> Duration {
        Duration::from_micros((us.max(0) as f64 / self.speed) as u64)
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) stats: Stats,
    pub(crate) start: watch::Sender<Option<Start>>,
    /// So many connections are being made at once: a thousand at the same instant overrun the
    /// accept queue of most brokers.
    pub(crate) connecting: Semaphore,
    ledger: Option<Mutex<Ledger>>,
}

impl Shared {
    /// The end of the schedule, in microseconds of the fleet's time.
    pub(crate) fn end_us(&self) -> Option<i64> {
        let duration = self.options.duration?;
        Some((duration.as_micros() as f64 * self.options.clock_speed) as i64)
    }

    /// Writes down what happened.
    pub(crate) fn note(&self, truths: Vec<Truth>) {
        let Some(ledger) = &self.ledger else { return };
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for truth in truths {
            ledger.write(&Line::Truth(truth));
        }
    }

    fn end_ledger(&self) {
        let Some(ledger) = &self.ledger else { return };
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.write(&Line::End(jiff::Timestamp::now()));
        if let Some(error) = ledger.failure() {
            tracing::error!(error, "the ledger is not whole, do not rely on it");
        }
    }
}

const CONNECTING_AT_ONCE: usize = 64;
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Publishes the messages of `fleet` until `options.duration` is over or `shutdown` completes.
///
/// Never fails: a broker that is away is tried again and again, and the report says so. Only a
/// run with a duration gives up, if it finds no broker within `options.settle`.
pub async fn run(fleet: Fleet, mut options: Options, shutdown: impl Future<Output = ()>) -> Report {
    let devices = fleet.len();
    let stats = Stats::new(options.acked.take());
    let ledger = options.ledger.take().map(|file| Mutex::new(Ledger::new(file)));
    let shards = if fleet.is_empty() { Vec::new() } else { fleet.split(options.connections) };
    let connections = shards.len();
    let shared = Arc::new(Shared {
        options,
        stats,
        start: watch::Sender::new(None),
        connecting: Semaphore::new(CONNECTING_AT_ONCE),
        ledger,
    });
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (index, shard) in shards.into_iter().enumerate() {
        let connection = Connection::new(index, shard, Arc::clone(&shared));
        tasks.spawn(connection.run(stopped.clone()));
    }
    let all_done = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = all_done => {}
        () = shutdown => {}
        () = give_the_start(&shared, connections as u64) => {}
    }
    // Fails only if no connection is left to hear it.
    stop.send(true).ok();
    let goodbyes = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(2 * GOODBYE, goodbyes).await.is_err() {
        tasks.shutdown().await;
    }
    shared.end_ledger();
    let started = shared.start.borrow().map(|start| start.instant);
    shared.stats.report(devices, connections, started, shared.options.duration)
}

/// Starts the schedule when the connections are up, then watches over the run. Returns only if a
/// run of limited length finds no broker.
async fn give_the_start(shared: &Shared, connections: u64) {
    let stats = &shared.stats;
    let began = Instant::now();
    let mut first_up: Option<Instant> = None;
    let mut warned: Option<Instant> = None;
    loop {
        let up = stats.connects.load(Relaxed);
        if up > 0 && first_up.is_none() {
            first_up = Some(Instant::now());
        }
        if up >= connections || first_up.is_some_and(|at| at.elapsed() >= shared.options.settle) {
            break;
        }
        let limited = shared.options.duration.is_some();
        if up == 0 && limited && began.elapsed() >= shared.options.settle {
            return;
        }
        if up == 0
            && warned.is_none_or(|at| at.elapsed() >= WATCH_EVERY)
            && let Some(error) = stats.last_error()
        {
            tracing::warn!(error, "cannot connect to the broker, trying again");
            warned = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ms = shared.options.clock_start_ms.unwrap_or_else(now_ms);
    let start = Start { instant: Instant::now(), ms, speed: shared.options.clock_speed };
    shared.start.send_replace(Some(start));
    tracing::info!(connections = stats.connects.load(Relaxed), "publishing");
    watch_over(shared, start.instant).await;
}

async fn watch_over(shared: &Shared, started: Instant) {
    let stats = &shared.stats;
    let every = shared.options.progress.unwrap_or(WATCH_EVERY);
    let mut failures_before = 0;
    loop {
        tokio::time::sleep(every).await;
        let generated = stats.generated.load(Relaxed);
        let acknowledged = stats.acknowledged.load(Relaxed);
        if shared.options.progress.is_some() {
            let in_flight = generated.saturating_sub(acknowledged + stats.refused.load(Relaxed));
            let seconds = started.elapsed().as_secs();
            tracing::info!(seconds, sent = generated, acknowledged, in_flight, "progress");
        }
        let failures = stats.failed_connects.load(Relaxed) + stats.lost_connections.load(Relaxed);
        if failures > failures_before {
            let error = stats.last_error().unwrap_or_default();
            let count = failures - failures_before;
            tracing::warn!(count, error, "connections lost or refused, trying again");
        }
        failures_before = failures;
    }
}

pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
