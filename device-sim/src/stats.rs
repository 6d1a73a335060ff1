//! What is counted while a run goes on.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::options::Qos;
use crate::outbox::{Entry, Matter};

/// Above this, latencies are counted as this.
const LONGEST: Duration = Duration::from_secs(3_600);
/// More seconds than a day has are not drawn.
pub(crate) const MOST_SECONDS: usize = 100_000;

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Messages that were due.
    pub offered: u64,
    pub acknowledged: u64,
    /// Sent and unanswered at its end.
    pub in_flight: u64,
    /// Connections lost and not made.
    pub errors: u64,
    #[serde(flatten)]
    pub latency: Quantiles,
}

/// Latencies of a second in milliseconds; 0 without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Quantiles {
    pub(crate) fn of(us: &Histogram<u64>) -> Self {
        let at = |quantile| us.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: us.max() as f64 / 1e3 }
    }
}

/// Counted by all connections while they run.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) offered: AtomicU64,
    pub(crate) generated: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    /// Usable readings acknowledged at QoS 1 or 2.
    pub(crate) readings: AtomicU64,
    /// Added by faults.
    pub(crate) extra: AtomicU64,
    pub(crate) extra_answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) connects: AtomicU64,
    /// The broker was there and turned them away.
    pub(crate) refused_connects: AtomicU64,
    pub(crate) failed_connects: AtomicU64,
    pub(crate) lost_connections: AtomicU64,
    /// On purpose.
    pub(crate) cut_connections: AtomicU64,
    pub(crate) unwritten: AtomicU64,
    last_error: Mutex<Option<String>>,
    pub(crate) latency_us: Mutex<Histogram<u64>>,
    pub(crate) lag_us: Mutex<Histogram<u64>>,
    this_second_us: Mutex<Histogram<u64>>,
    due_in_second: Mutex<Vec<u64>>,
    seconds: Mutex<Vec<Second>>,
    pub(crate) last_ack: Mutex<Option<Instant>>,
    acked: Option<Mutex<File>>,
    /// What was due before this counts in no latency.
    counts_from: Mutex<Option<Instant>>,
}

impl Stats {
    pub(crate) fn new(acked: Option<File>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            offered: zero(),
            generated: zero(),
            acknowledged: zero(),
            readings: zero(),
            extra: zero(),
            extra_answered: zero(),
            refused: zero(),
            dropped: zero(),
            connects: zero(),
            refused_connects: zero(),
            failed_connects: zero(),
            lost_connections: zero(),
            cut_connections: zero(),
            unwritten: zero(),
            last_error: Mutex::new(None),
            latency_us: Mutex::new(histogram()),
            lag_us: Mutex::new(histogram()),
            this_second_us: Mutex::new(histogram()),
            due_in_second: Mutex::default(),
            seconds: Mutex::default(),
            last_ack: Mutex::new(None),
            acked: acked.map(Mutex::new),
            counts_from: Mutex::new(None),
        }
    }

    /// Latencies of what is due from then on count.
    pub(crate) fn count_from(&self, instant: Instant) {
        *lock(&self.counts_from) = Some(instant);
    }

    /// A message is made that was due so long after the start; `lag` is how much later than it
    /// could have been.
    pub(crate) fn made(&self, due: Duration, lag: Option<Duration>) {
        self.generated.fetch_add(1, Relaxed);
        let second = due.as_secs() as usize;
        if second < MOST_SECONDS {
            let mut offered = lock(&self.due_in_second);
            if offered.len() <= second {
                offered.resize(second + 1, 0);
            }
            offered[second] += 1;
        }
        if let Some(lag) = lag {
            let lag_us = lag.min(LONGEST).as_micros() as u64;
            lock(&self.lag_us).saturating_record(lag_us.max(1));
        }
    }

    /// The broker has answered `entry`.
    pub(crate) fn answered(&self, entry: &Entry, refused: bool) {
        let Matter::Readings(readings) = entry.what else {
            self.extra_answered.fetch_add(1, Relaxed);
            return;
        };
        if refused {
            self.refused.fetch_add(1, Relaxed);
            return;
        }
        let now = Instant::now();
        let late = now.saturating_duration_since(entry.due).min(LONGEST);
        let late_us = (late.as_micros() as u64).max(1);
        lock(&self.this_second_us).saturating_record(late_us);
        if lock(&self.counts_from).is_none_or(|from| entry.due >= from) {
            lock(&self.latency_us).saturating_record(late_us);
        }
        *lock(&self.last_ack) = Some(now);
        self.acknowledged.fetch_add(1, Relaxed);
        if entry.qos == Qos::AtMostOnce || readings == 0 {
            return;
        }
        self.readings.fetch_add(readings.into(), Relaxed);
        if let Some(file) = &self.acked {
            // One write a line, unbuffered: the line is there even if we are killed next.
            let line = format!("{} {} {}\n", entry.device, entry.ts_ms, entry.seq);
            if let Err(error) = lock(file).write_all(line.as_bytes()) {
                self.unwritten.fetch_add(1, Relaxed);
                self.failed(&format!("cannot write to the file of acknowledged ones: {error}"));
            }
        }
    }

    /// Messages that the broker has answered, either way.
    pub(crate) fn settled(&self) -> u64 {
        self.acknowledged.load(Relaxed) + self.refused.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.generated.load(Relaxed).saturating_sub(self.settled())
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed_connects.load(Relaxed) + self.lost_connections.load(Relaxed)
    }

    pub(crate) fn failed(&self, error: &dyn fmt::Display) {
        *lock(&self.last_error) = Some(error.to_string());
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    /// A second is over: what was counted in it, and all its latencies.
    pub(crate) fn tick(&self) -> (Second, Histogram<u64>) {
        let latency_us = std::mem::replace(&mut *lock(&self.this_second_us), histogram());
        let mut seconds = lock(&self.seconds);
        let before: Second = seconds.iter().fold(Second::default(), |sum, second| Second {
            acknowledged: sum.acknowledged + second.acknowledged,
            errors: sum.errors + second.errors,
            ..sum
        });
        let second = Second {
            offered: 0,
            acknowledged: self.acknowledged.load(Relaxed) - before.acknowledged,
            in_flight: self.in_flight(),
            errors: self.failures() - before.errors,
            latency: Quantiles::of(&latency_us),
        };
        if seconds.len() < MOST_SECONDS {
            seconds.push(second);
        }
        (second, latency_us)
    }

    /// The run, second by second.
    pub(crate) fn seconds(&self) -> Vec<Second> {
        let mut seconds = lock(&self.seconds).clone();
        for (second, &offered) in seconds.iter_mut().zip(lock(&self.due_in_second).iter()) {
            second.offered = offered;
        }
        seconds
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    let bounded = Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3);
    // The bounds are right; were they not, a histogram that grows would do.
    bounded.or_else(|_| Histogram::new(3)).unwrap_or_else(|_| unreachable!())
}

/// A lock whose holder panicked still guards plain numbers.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
