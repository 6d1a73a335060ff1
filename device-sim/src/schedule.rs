//! When devices report: each at an interval of its own, or all together at a load that changes.

use std::sync::Arc;

/// A part of a load: for so long, from so many messages a second to so many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) seconds: f64,
    pub(crate) from_per_s: f64,
    pub(crate) to_per_s: f64,
}

/// Messages a second over time. After the last phase it stays as it was at its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load(Vec<Phase>);

impl Load {
    pub(crate) fn new(phases: Vec<Phase>) -> Self {
        Self(phases)
    }

    pub(crate) fn steady(per_s: f64) -> Self {
        Self(vec![Phase { seconds: 0.0, from_per_s: per_s, to_per_s: per_s }])
    }

    /// When the message of this number is due, in microseconds since the start.
    fn due_us(&self, number: u64) -> i64 {
        let (mut left, mut since_s) = (number as f64, 0.0);
        for phase in &self.0 {
            let in_phase = phase.seconds * (phase.from_per_s + phase.to_per_s) / 2.0;
            if left < in_phase {
                return to_us(since_s + phase.seconds_to(left));
            }
            left -= in_phase;
            since_s += phase.seconds;
        }
        let last_per_s = self.0.last().map_or(0.0, |phase| phase.to_per_s);
        to_us(since_s + left / last_per_s)
    }
}

/// Beyond 30 years it is never.
fn to_us(seconds: f64) -> i64 {
    (seconds.min(1e9) * 1e6).round() as i64
}

impl Phase {
    /// Seconds into the phase until so many messages were due: the rate is a straight line, so
    /// their number is a parabola.
    fn seconds_to(&self, messages: f64) -> f64 {
        let slope = (self.to_per_s - self.from_per_s) / self.seconds;
        let root = (self.from_per_s * self.from_per_s + 2.0 * slope * messages).max(0.0).sqrt();
        // The form that does not cancel where the slope is near 0.
        2.0 * messages / (self.from_per_s + root).max(f64::MIN_POSITIVE)
    }
}

/// When one device reports.
#[derive(Clone, Debug)]
pub(crate) enum Schedule {
    /// In microseconds, so that odd rates do not drift.
    Every { interval_us: i64 },
    /// The next of the load's messages that is this device's turn, and how many take turns.
    Turn { load: Arc<Load>, number: u64, turns: u64 },
    /// As soon as it may.
    Unpaced,
}

impl Schedule {
    /// The report after the one that was due at `due_us`.
    pub(crate) fn next_us(&mut self, due_us: i64) -> i64 {
        match self {
            Self::Every { interval_us } => due_us + *interval_us,
            Self::Turn { load, number, turns } => {
                *number += *turns;
                load.due_us(*number)
            }
            Self::Unpaced => due_us + 1,
        }
    }

    /// The first of all.
    pub(crate) fn first_us(&self, offset_us: i64) -> i64 {
        match self {
            Self::Every { .. } | Self::Unpaced => offset_us,
            Self::Turn { load, number, .. } => load.due_us(*number),
        }
    }

    /// The distance of two reports about now.
    pub(crate) fn interval_us(&self) -> i64 {
        match self {
            Self::Every { interval_us } => *interval_us,
            Self::Turn { load, number, turns } => {
                load.due_us(number + turns) - load.due_us(*number)
            }
            Self::Unpaced => 1,
        }
    }

    /// How many reports are due from `due_us` on before `end_us`.
    pub(crate) fn due_before(&self, due_us: i64, end_us: i64) -> u64 {
        match self {
            Self::Every { interval_us } => {
                let left_us = (end_us - due_us).max(0) as u64;
                left_us.div_ceil((*interval_us).max(1) as u64)
            }
            Self::Turn { load, number, turns } => {
                let due = |nth: u64| load.due_us(number + nth * turns) < end_us;
                let mut above = 1;
                while due(above) {
                    above *= 2;
                }
                let (mut low, mut high) = (0, above);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if due(middle) {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                low
            }
            Self::Unpaced => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Load, Phase, Schedule};

    #[test]
    fn a_ramp_has_as_many_messages_as_its_area() {
        let load = Load::new(vec![
            Phase { seconds: 10.0, from_per_s: 0.0, to_per_s: 100.0 },
            Phase { seconds: 5.0, from_per_s: 100.0, to_per_s: 100.0 },
        ]);
        assert_eq!(load.due_us(500), 10_000_000);
        assert_eq!(load.due_us(1_000), 15_000_000);
        assert_eq!(load.due_us(1_100), 16_000_000);
        // A quarter of the ramp's messages in half of its time.
        assert_eq!(load.due_us(125), 5_000_000);
    }

    proptest! {
        /// Messages are due in order, and counting ahead agrees with going through them.
        #[test]
        fn a_load_is_in_order_and_can_be_counted_ahead(
            phases in prop::collection::vec((1.0..20.0, 0.0..50.0, 1.0..50.0), 1..4),
            turns in 1..7u64,
            end_s in 1..60i64,
        ) {
            let phases = phases.into_iter().map(|(seconds, from_per_s, to_per_s)| {
                Phase { seconds, from_per_s, to_per_s }
            });
            let load = Arc::new(Load::new(phases.collect()));
            let mut schedule = Schedule::Turn { load, number: 0, turns };
            let mut due_us = schedule.first_us(0);
            let ahead = schedule.due_before(due_us, end_s * 1_000_000);
            let mut counted = 0;
            while due_us < end_s * 1_000_000 {
                let next_us = schedule.next_us(due_us);
                prop_assert!(next_us >= due_us);
                due_us = next_us;
                counted += 1;
            }
            prop_assert_eq!(ahead, counted);
        }
    }
}
