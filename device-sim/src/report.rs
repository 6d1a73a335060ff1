//! What came of it: counts, rates and latencies.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::outbox::Entry;

/// From when a message was due until its acknowledgement (at QoS 0: until it was written).
///
/// Counting from the schedule and not from the actual send shows what a device would feel: a
/// server that stalls makes all that was due meanwhile late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.2} ms, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
            self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms
        )
    }
}

/// The sum of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub devices: u64,
    pub connections: u64,
    /// From the start of the schedule to the last acknowledgement.
    pub seconds: f64,
    /// Messages the schedule asked for.
    pub offered: u64,
    pub offered_per_s: f64,
    /// Messages acknowledged (QoS 0: written).
    pub acknowledged: u64,
    pub acknowledged_per_s: f64,
    /// Answered by the broker with a failure (MQTT 5 only; 3.1.1 has no way to say so).
    pub refused: u64,
    /// Sent, but not acknowledged when time was up.
    pub unacknowledged: u64,
    /// Due, but never sent: the broker was too slow or away.
    pub unsent: u64,
    /// Given up because they were too old when the broker was back; only without an end.
    pub dropped: u64,
    pub connects: u64,
    pub failed_connects: u64,
    pub lost_connections: u64,
    pub last_error: Option<String>,
    /// Acknowledged messages whose line could not be written to the file of acknowledged ones.
    pub unwritten: u64,
    /// `None` when nothing was acknowledged.
    pub latency: Option<Latency>,
    /// How late messages were made although there was room for them: the simulator's own doing.
    pub lag: Option<Latency>,
}

/// Counted by all connections while they run.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) offered: AtomicU64,
    pub(crate) generated: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) failed_connects: AtomicU64,
    pub(crate) lost_connections: AtomicU64,
    unwritten: AtomicU64,
    last_error: Mutex<Option<String>>,
    latency_us: Mutex<Histogram<u64>>,
    lag_us: Mutex<Histogram<u64>>,
    last_ack: Mutex<Option<Instant>>,
    acked: Option<Mutex<File>>,
}

/// Above this, latencies are counted as this.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Stats {
    pub(crate) fn new(acked: Option<File>) -> Self {
        Self {
            offered: AtomicU64::new(0),
            generated: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            failed_connects: AtomicU64::new(0),
            lost_connections: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            last_error: Mutex::new(None),
            latency_us: Mutex::new(histogram()),
            lag_us: Mutex::new(histogram()),
            last_ack: Mutex::new(None),
            acked: acked.map(Mutex::new),
        }
    }

    /// The broker has acknowledged `entry`.
    pub(crate) fn acknowledged(&self, entry: &Entry) {
        let now = Instant::now();
        let late = now.saturating_duration_since(entry.due).min(LONGEST);
        lock(&self.latency_us).saturating_record((late.as_micros() as u64).max(1));
        *lock(&self.last_ack) = Some(now);
        self.acknowledged.fetch_add(1, Relaxed);
        if let Some(file) = &self.acked {
            // One write a line, unbuffered: the line is there even if we are killed next.
            let line = format!("{} {} {}\n", entry.device, entry.ts_ms, entry.seq);
            if let Err(error) = lock(file).write_all(line.as_bytes()) {
                self.unwritten.fetch_add(1, Relaxed);
                self.failed(&format!("cannot write to the file of acknowledged ones: {error}"));
            }
        }
    }

    /// A message was made so long after it could have been.
    pub(crate) fn lagged(&self, lag: Duration) {
        let lag_us = lag.min(LONGEST).as_micros() as u64;
        lock(&self.lag_us).saturating_record(lag_us.max(1));
    }

    /// Messages that the broker has answered, either way.
    pub(crate) fn settled(&self) -> u64 {
        self.acknowledged.load(Relaxed) + self.refused.load(Relaxed)
    }

    pub(crate) fn failed(&self, error: &dyn fmt::Display) {
        *lock(&self.last_error) = Some(error.to_string());
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    /// The sum, for a run of so many `devices` that was to last until `planned` after `started`.
    pub(crate) fn report(
        &self,
        devices: usize,
        connections: usize,
        started: Option<Instant>,
        planned: Option<Duration>,
    ) -> Report {
        let [offered, generated, acknowledged, refused] =
            [&self.offered, &self.generated, &self.acknowledged, &self.refused]
                .map(|counter| counter.load(Relaxed));
        let last_ack = *lock(&self.last_ack);
        let since = |until: Instant| {
            started.map_or(0.0, |started| until.saturating_duration_since(started).as_secs_f64())
        };
        let seconds = last_ack.map_or(0.0, since);
        let asked_s = planned.map_or_else(|| since(Instant::now()), |d| d.as_secs_f64());
        let rate =
            |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Report {
            devices: devices as u64,
            connections: connections as u64,
            seconds,
            offered,
            offered_per_s: rate(offered, asked_s),
            acknowledged,
            acknowledged_per_s: rate(acknowledged, seconds),
            refused,
            unacknowledged: generated.saturating_sub(acknowledged + refused),
            unsent: offered.saturating_sub(generated),
            dropped: self.dropped.load(Relaxed),
            connects: self.connects.load(Relaxed),
            failed_connects: self.failed_connects.load(Relaxed),
            lost_connections: self.lost_connections.load(Relaxed),
            last_error: self.last_error(),
            unwritten: self.unwritten.load(Relaxed),
            latency: latency(&lock(&self.latency_us)),
            lag: latency(&lock(&self.lag_us)),
        }
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    let bounded = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3);
    // The bounds are right; were they not, a histogram that grows would do.
    bounded.or_else(|_| Histogram::new(3)).unwrap_or_else(|_| unreachable!())
}

pub(crate) fn latency(us: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile: f64| us.value_at_quantile(quantile) as f64 / 1e3;
    (!us.is_empty()).then(|| Latency {
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: us.max() as f64 / 1e3,
    })
}

/// A lock whose holder panicked still guards plain numbers.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "devices         {} on {} connections", self.devices, self.connections)?;
        writeln!(f, "offered         {} ({:.0}/s)", self.offered, self.offered_per_s)?;
        writeln!(
            f,
            "acknowledged    {} ({:.0}/s over {:.1} s)",
            self.acknowledged, self.acknowledged_per_s, self.seconds
        )?;
        for (name, count) in [
            ("refused", self.refused),
            ("unacknowledged", self.unacknowledged),
            ("unsent", self.unsent),
            ("dropped", self.dropped),
            ("failed connects", self.failed_connects),
            ("lost connects", self.lost_connections),
            ("unwritten", self.unwritten),
        ] {
            if count > 0 {
                writeln!(f, "{name:<16}{count}")?;
            }
        }
        if let Some(latency) = &self.latency {
            writeln!(f, "latency         {latency}")?;
        }
        if let Some(error) = &self.last_error {
            writeln!(f, "last error      {error}")?;
        }
        Ok(())
    }
}
