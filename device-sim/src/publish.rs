//! Brings a fleet's messages to a broker.
//!
//! Open loop: what is due is due, whatever the broker does. A slow broker delays the sending, not
//! the schedule, and the delay shows in the latency. Nothing queues up for that: a message is
//! made, for the time at which it was due, when there is room for it in its connection's window.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::connection::{Connection, GOODBYE};
use crate::fleet::Fleet;
use crate::newcomers::Newcomers;
use crate::options::{Gate, Options};
use crate::progress::{Progress, Show};
use crate::report::{Report, Run, report};
use crate::said::{Said, say, sparse};
use crate::server::Seen;
use crate::shared::{Shared, Start, now_ms};
use crate::stats::{Stats, lock};
use crate::truth::Ledger;

const CONNECTING_AT_ONCE: usize = 64;
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Publishes the messages of `fleet` until `options.duration` is over or `shutdown` completes.
///
/// Never fails: a broker that is away is tried again and again, and the report says so. Only a
/// run with a duration gives up, if it finds no broker within `options.settle`.
pub async fn run(fleet: Fleet, options: Options, shutdown: impl Future<Output = ()>) -> Report {
    run_in_full(fleet, options, shutdown).await.report
}

/// As [`run`], and keeps more of it.
pub async fn run_in_full(
    mut fleet: Fleet,
    mut options: Options,
    shutdown: impl Future<Output = ()>,
) -> Run {
    let devices = fleet.len();
    fleet.afflict(&options.faults, options.clock_speed, options.seed);
    let stats = Stats::new(options.acked.take());
    let gate = options.gate.take();
    let mut ledger = Ledger::new(options.ledger.take(), options.keep_truths);
    options.planned.drain(..).for_each(|truth| ledger.note(truth));
    let ledger = Mutex::new(ledger);
    let shards = if fleet.is_empty() { Vec::new() } else { fleet.split(options.connections) };
    let connections = shards.len();
    let newcomers = Newcomers::at_rate(options.connect_rate);
    let shared = Arc::new(Shared {
        options,
        newcomers,
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
        () = give_the_start(&shared, connections as u64, gate) => {}
    }
    shared.options.progress.end();
    // Fails only if no connection is left to hear it.
    stop.send(true).ok();
    let goodbyes = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(2 * GOODBYE, goodbyes).await.is_err() {
        tasks.shutdown().await;
    }
    let start = *shared.start.borrow();
    let clock = start.map_or(Clock::WALL, Start::clock);
    let (truths, failed) = lock(&shared.ledger).end(clock);
    if let Some(error) = failed {
        tracing::error!(error, "the ledger is not whole, do not rely on it");
    }
    let started = start.map(|start| start.instant);
    let (_, last_us) = shared.stats.tick();
    Run {
        report: report(&shared.stats, devices, connections, started, shared.options.duration),
        seconds: shared.stats.seconds(),
        truths,
        clock,
        latency_us: lock(&shared.stats.latency_us).clone(),
        lag_us: lock(&shared.stats.lag_us).clone(),
        last_us,
        seen: Seen::default(),
    }
}

/// Starts the schedule when the connections are up, then watches over the run. Returns only if a
/// run of limited length finds no broker.
async fn give_the_start(shared: &Shared, connections: u64, gate: Option<Gate>) {
    let stats = &shared.stats;
    let began = Instant::now();
    let mut first_up: Option<Instant> = None;
    let mut warned: Option<Instant> = None;
    let all_up = shared.options.settle + shared.newcomers.all(connections);
    loop {
        let up = stats.connects.load(Relaxed);
        if up > 0 && first_up.is_none() {
            first_up = Some(Instant::now());
        }
        if up >= connections || first_up.is_some_and(|at| at.elapsed() >= all_up) {
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
    if let Some(Gate { ready, go }) = gate {
        // Who holds the gate and is gone holds nobody back.
        ready.send(()).ok();
        go.await.ok();
    }
    let (wall_ms, instant) = (now_ms(), Instant::now());
    let start = match &shared.options.clock_start {
        None => Start { instant, ms: wall_ms, wall_ms, speed: shared.options.clock_speed },
        Some(at) => {
            // What that clock shows now.
            let since_ms = at.instant.elapsed().as_secs_f64() * 1e3 * shared.options.clock_speed;
            let ms = at.ms + since_ms as i64;
            Start { instant, ms, wall_ms, speed: shared.options.clock_speed }
        }
    };
    shared.stats.count_from(instant + shared.options.warm_up);
    shared.start.send_replace(Some(start));
    tracing::info!(connections = stats.connects.load(Relaxed), "publishing");
    watch_over(shared, start.instant).await;
}

async fn watch_over(shared: &Shared, started: Instant) {
    let stats = &shared.stats;
    let show = shared.options.progress;
    let mut warned = 0;
    for second in 1.. {
        tokio::time::sleep_until((started + Duration::from_secs(second)).into()).await;
        let (now, latency_us) = stats.tick();
        let errors = stats.failures();
        let progress = Progress {
            second,
            of_s: shared.options.duration.map(|duration| duration.as_secs_f64()),
            sent: stats.generated.load(Relaxed),
            acknowledged: stats.acknowledged.load(Relaxed),
            per_s: now.acknowledged,
            in_flight: now.in_flight,
            p99_ms: now.latency.p99_ms,
            errors,
        };
        match show {
            // With a parent that is gone nobody wants to know.
            Show::Parent => {
                say(&Said::Progress(progress, sparse(&latency_us))).unwrap_or_default();
            }
            _ => show.tell(&progress),
        }
        if second % WATCH_EVERY.as_secs() == 0 && errors > warned {
            let error = stats.last_error().unwrap_or_default();
            let count = errors - warned;
            tracing::warn!(count, error, "connections lost or refused, trying again");
            warned = errors;
        }
    }
}
