//! What all connections of a run share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::newcomers::Newcomers;
use crate::options::Options;
use crate::stats::{Stats, lock};
use crate::truth::{Ledger, Truth};

/// When the schedule began, on both clocks, and how fast the fleet's clock runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) instant: Instant,
    pub(crate) ms: i64,
    /// What the clock on the wall showed.
    pub(crate) wall_ms: i64,
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

    pub(crate) fn clock(self) -> Clock {
        Clock { start_ms: self.ms, wall_start_ms: self.wall_ms, speed: self.speed }
    }

    /// How long so many microseconds of the fleet's time are.
    pub(crate) fn real(self, us: i64) -> Duration {
        Duration::from_micros((us.max(0) as f64 / self.speed) as u64)
    }
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) stats: Stats,
    pub(crate) start: watch::Sender<Option<Start>>,
    /// So many connections are being made at once: a thousand at the same instant overrun the
    /// accept queue of most brokers.
    pub(crate) connecting: Semaphore,
    /// When the next may come who was never up.
    pub(crate) newcomers: Newcomers,
    pub(crate) ledger: Mutex<Ledger>,
}

impl Shared {
    /// The end of the schedule, in microseconds of the fleet's time.
    pub(crate) fn end_us(&self) -> Option<i64> {
        let duration = self.options.duration?;
        Some((duration.as_micros() as f64 * self.options.clock_speed) as i64)
    }

    /// Writes down what happened.
    pub(crate) fn note(&self, truths: Vec<Truth>) {
        if !truths.is_empty() {
            let mut ledger = lock(&self.ledger);
            truths.into_iter().for_each(|truth| ledger.note(truth));
        }
    }
}

pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
