//! How fast it goes: rates a second, and what they were in the last two minutes.

use std::collections::VecDeque;
use std::time::Instant;

use journal::Counts;
use serde::Serialize;

/// Seconds of the past that are remembered, for the curve on the page.
const REMEMBERED: usize = 120;

/// What changed per second, since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    pub(crate) messages: f64,
    pub(crate) received: f64,
    pub(crate) stored: f64,
    pub(crate) duplicate: f64,
    pub(crate) quarantined: f64,
    pub(crate) refused: f64,
    pub(crate) triggers: f64,
}

pub(crate) struct Pace {
    last: Counts,
    at: Instant,
    rates: Rates,
    received: VecDeque<f64>,
}

impl Pace {
    pub(crate) fn new(counts: Counts, at: Instant) -> Self {
        Self { last: counts, at, rates: Rates::default(), received: VecDeque::new() }
    }

    /// Takes the totals of a moment, about a second after the last.
    pub(crate) fn look(&mut self, counts: Counts, at: Instant) {
        let seconds = at.duration_since(self.at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        self.rates = Rates::between(&self.last, &counts, seconds);
        if self.received.len() == REMEMBERED {
            self.received.pop_front();
        }
        self.received.push_back(self.rates.received);
        (self.last, self.at) = (counts, at);
    }

    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    /// Readings received a second, oldest first, a value a second.
    pub(crate) fn recent(&self) -> Vec<f64> {
        self.received.iter().copied().collect()
    }
}

impl Rates {
    fn between(before: &Counts, now: &Counts, seconds: f64) -> Self {
        // To a tenth: more digits would pretend.
        let rate = |before: u64, now: u64| {
            (now.saturating_sub(before) as f64 / seconds * 10.0).round() / 10.0
        };
        Self {
            messages: rate(before.messages, now.messages),
            received: rate(before.received, now.received),
            stored: rate(before.stored, now.stored),
            duplicate: rate(before.duplicate, now.duplicate),
            quarantined: rate(quarantined(before), quarantined(now)),
            refused: rate(refused(before), refused(now)),
            triggers: rate(before.triggers_released, now.triggers_released),
        }
    }
}

fn quarantined(counts: &Counts) -> u64 {
    counts.quarantined.values().sum()
}

fn refused(counts: &Counts) -> u64 {
    counts.refused.values().sum()
}

#[cfg(test)]
mod tests {
    use super::{Counts, Pace, REMEMBERED};
    use std::time::{Duration, Instant};

    fn counts(received: u64, stored: u64) -> Counts {
        Counts { received, stored, ..Counts::default() }
    }

    #[test]
    fn a_late_look_is_no_faster_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(counts(100, 90), start);
        pace.look(counts(300, 290), start + Duration::from_secs(2));
        assert_eq!(pace.rates().received, 100.0);
        pace.look(counts(300, 290), start + Duration::from_secs(3));
        assert_eq!(pace.rates().stored, 0.0);
        assert_eq!(pace.recent(), [100.0, 0.0]);
    }

    #[test]
    fn only_two_minutes_are_remembered() {
        let start = Instant::now();
        let mut pace = Pace::new(Counts::default(), start);
        for second in 1..=300 {
            pace.look(counts(second * second, 0), start + Duration::from_secs(second));
        }
        assert_eq!(pace.recent().len(), REMEMBERED);
        assert_eq!(pace.recent().last(), Some(&599.0));
    }
}
