//! Brings a fleet's messages to a broker.
//!
//! Open loop: what is due is due, whatever the broker does. A slow broker delays the sending, not
//! the schedule, and the delay shows in the latency. Nothing queues up for that: a message is
//! made, for the time at which it was due, when there is room for it in its connection's window.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, Message};
use crate::link::Link;
use crate::options::{Login, Options, Qos};
use crate::outbox::Entry;
use crate::report::{Report, Stats};
use crate::session::{self, Event, Receiver, Sender, SessionError};

/// When the schedule began, on both clocks.
#[derive(Clone, Copy, Debug)]
struct Start {
    instant: Instant,
    ms: i64,
}

/// What all connections share.
struct Shared {
    options: Options,
    stats: Stats,
    start: watch::Sender<Option<Start>>,
    /// So many connections are being made at once: a thousand at the same instant overrun the
    /// accept queue of most brokers.
    connecting: Semaphore,
}

const CONNECTING_AT_ONCE: usize = 64;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Without an end, a fleet forgets what it could not send for so long, as devices with little
/// memory do.
const KEPT_US: i64 = 600_000_000;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);
/// The runtime's timer ticks in milliseconds. Waking up so much late is its doing and not the
/// broker's, so it does not count as latency; more than that does.
const TIMER_US: i64 = 1_500;
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Publishes the messages of `fleet` until `options.duration` is over or `shutdown` completes.
///
/// Never fails: a broker that is away is tried again and again, and the report says so. Only a
/// run with a duration gives up, if it finds no broker within `options.settle`.
pub async fn run(fleet: Fleet, mut options: Options, shutdown: impl Future<Output = ()>) -> Report {
    let devices = fleet.len();
    let stats = Stats::new(options.acked.take());
    let shards = if fleet.is_empty() { Vec::new() } else { fleet.split(options.connections) };
    let connections = shards.len();
    let shared = Arc::new(Shared {
        options,
        stats,
        start: watch::Sender::new(None),
        connecting: Semaphore::new(CONNECTING_AT_ONCE),
    });
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (index, shard) in shards.into_iter().enumerate() {
        tasks.spawn(connection(index, shard, Arc::clone(&shared), stopped.clone()));
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
    let start = Start { instant: Instant::now(), ms: now_ms() };
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

/// One connection and the devices on it.
async fn connection(
    index: usize,
    fleet: Fleet,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let options = &shared.options;
    let link = Link::new(options.qos, usize::from(options.window.clamp(1, 100)));
    let own = if fleet.len() == 1 { fleet.ids().next().map(str::to_owned) } else { None };
    let mut receiver = None;
    tokio::select! {
        () = keep_connected(index, own.as_deref(), &link, &shared, &mut receiver) => {}
        () = feed(fleet, &link, &shared) => {}
        _ = stopped.wait_for(|&stopped| stopped) => {}
    }
    let sender = link.take_sender();
    if let (Some(sender), Some(mut receiver)) = (sender, receiver)
        && sender.disconnect()
    {
        let closed = async {
            while let Ok(event) = receiver.poll().await
                && event != Event::Disconnected
            {
                link.on(event, &shared.stats);
            }
        };
        // An unfinished goodbye is no loss: everything is accounted for already.
        tokio::time::timeout(GOODBYE, closed).await.ok();
    }
}

/// Connects, works until the session ends, and again. Never returns. The session that is up is in
/// `current`.
async fn keep_connected(
    index: usize,
    own: Option<&str>,
    link: &Link,
    shared: &Shared,
    current: &mut Option<Receiver>,
) {
    let mut jitter = fastrand::Rng::with_seed(index as u64);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let settled_before = shared.stats.settled();
        match connect(index, own, shared).await {
            Ok((sender, receiver)) => {
                shared.stats.connects.fetch_add(1, Relaxed);
                let receiver = current.insert(receiver);
                link.replace(Some(sender));
                let error = work(receiver, link, shared).await;
                link.replace(None);
                *current = None;
                shared.stats.lost_connections.fetch_add(1, Relaxed);
                shared.stats.failed(&error);
            }
            Err(error) => {
                shared.stats.failed_connects.fetch_add(1, Relaxed);
                shared.stats.failed(&error);
            }
        }
        // A broker that lets in and throws out at once is not asked faster and faster.
        if shared.stats.settled() > settled_before {
            backoff = FIRST_BACKOFF;
        }
        tokio::time::sleep(backoff.mul_f64(0.5 + jitter.f64())).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

async fn connect(
    index: usize,
    own: Option<&str>,
    shared: &Shared,
) -> Result<(Sender, Receiver), SessionError> {
    // Closed only when all connections are gone.
    let _permit = shared.connecting.acquire().await.ok();
    let client_id = own.map_or_else(|| format!("device-sim-{index}"), str::to_owned);
    let login = match (&shared.options.login, own) {
        (Login::Device { password }, Some(device)) => {
            Some((device, password.as_deref().unwrap_or_default()))
        }
        (Login::User { name, password }, _) => Some((name.as_str(), password.as_str())),
        (Login::Device { .. }, None) | (Login::Anonymous, _) => None,
    };
    let (sender, mut receiver) = session::open(&shared.options, &client_id, login);
    while receiver.poll().await? != Event::Connected {}
    Ok((sender, receiver))
}

/// Drives a session until it ends, and says why.
async fn work(receiver: &mut Receiver, link: &Link, shared: &Shared) -> SessionError {
    loop {
        let event = match receiver.poll().await {
            Ok(event) => event,
            Err(error) => return error,
        };
        link.on(event, &shared.stats);
        // The library would keep the place in its window taken for ever.
        if matches!(event, Event::Refused(_)) && shared.options.qos == Qos::ExactlyOnce {
            return SessionError::Refused;
        }
    }
}

/// Adds messages to the outbox as they are due, until the end; then waits for what is owed.
async fn feed(mut fleet: Fleet, link: &Link, shared: &Shared) {
    let mut start = shared.start.subscribe();
    let Some(start) = start.wait_for(Option::is_some).await.ok().and_then(|start| *start) else {
        return;
    };
    fleet.start(start.ms);
    match shared.options.duration {
        None => feed_until(fleet, i64::MAX, start, link, shared).await,
        Some(duration) => {
            let end_us = duration.as_micros() as i64;
            if !fleet.is_unpaced() {
                shared.stats.offered.fetch_add(fleet.due_before(end_us), Relaxed);
            }
            let work = async {
                feed_until(fleet, end_us, start, link, shared).await;
                while link.owes() > 0 {
                    link.room().await;
                }
            };
            let deadline = start.instant + duration + shared.options.drain;
            // What is left then is counted as unsent or unacknowledged.
            tokio::time::timeout_at(deadline.into(), work).await.ok();
        }
    }
}

async fn feed_until(mut fleet: Fleet, end_us: i64, start: Start, link: &Link, shared: &Shared) {
    let open_ended = shared.options.duration.is_none();
    let mut awake_us = 0;
    while let Some(due_us) = fleet.due_us() {
        let now_us = start.instant.elapsed().as_micros() as i64;
        if due_us.max(if fleet.is_unpaced() { now_us } else { due_us }) >= end_us {
            return;
        }
        if due_us > now_us {
            if open_ended {
                follow_the_clock(&mut fleet, now_us);
            }
            tokio::time::sleep(Duration::from_micros((due_us - now_us) as u64)).await;
            awake_us = start.instant.elapsed().as_micros() as i64;
        } else if link.is_full() {
            link.room().await;
        } else if open_ended && now_us - due_us > KEPT_US {
            let dropped = fleet.skip_before(now_us - KEPT_US);
            shared.stats.dropped.fetch_add(dropped, Relaxed);
        } else if let Some(message) = fleet.next(now_us) {
            if open_ended || fleet.is_unpaced() {
                shared.stats.offered.fetch_add(1, Relaxed);
            }
            shared.stats.generated.fetch_add(1, Relaxed);
            let timer_us = (awake_us - message.due_us).clamp(0, TIMER_US);
            link.push(entry(message, start.instant, timer_us));
        }
    }
}

/// The schedule runs on the monotonic clock, which stands still while the computer sleeps; what
/// devices report is the time of day.
fn follow_the_clock(fleet: &mut Fleet, now_us: i64) {
    let ahead_ms = now_ms() - (fleet.start_ms() + now_us / 1_000);
    if ahead_ms.abs() > 1_000 {
        fleet.shift(ahead_ms);
    }
}

fn entry(message: Message, started: Instant, timer_us: i64) -> Entry {
    // What a device had kept from before the start was due at the start.
    let due_us = message.due_us.max(0) + timer_us;
    Entry {
        device: message.device,
        topic: message.topic,
        ts_ms: message.ts_ms,
        seq: message.seq,
        payload: message.payload.into(),
        due: started + Duration::from_micros(due_us as u64),
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
