//! When each message of a recording goes out, and what time it bears.

use std::time::Duration;

use super::args::{At, Speed};

/// Pure arithmetic over the recorded times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    first_ms: i64,
    speed: f64,
    /// Added to every recorded time.
    pub(crate) shift_ms: i64,
    /// From the first message to the last, as published.
    pub(crate) takes: Duration,
}

impl Schedule {
    /// For a recording whose first message was recorded at `first_ms` and goes out at `start_ms`,
    /// and whose latest was recorded at `last_ms`.
    ///
    /// With [`At::Now`] the last message bears the moment at which it goes out and the recorded
    /// intervals stay, so at a higher speed the earlier ones lie in the past: none lies ahead.
    pub(crate) fn new(first_ms: i64, last_ms: i64, at: At, speed: Speed, start_ms: i64) -> Self {
        let takes_ms = (last_ms.saturating_sub(first_ms) as f64 / speed.0) as i64;
        let shift_ms = match at {
            At::Now => start_ms.saturating_add(takes_ms).saturating_sub(last_ms),
            At::Recorded => 0,
        };
        let takes = Duration::from_millis(takes_ms.unsigned_abs());
        Self { first_ms, speed: speed.0, shift_ms, takes }
    }

    /// How long after the first message the next one goes out; `latest_ms` is the latest recorded
    /// time up to and with it, since a late message goes out right after the one before it.
    pub(crate) fn due(&self, latest_ms: i64) -> Duration {
        let after_ms = latest_ms.saturating_sub(self.first_ms) as f64 / self.speed;
        Duration::from_millis(after_ms.ceil().max(0.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START_MS: i64 = 1_800_000_000_000;

    proptest! {
        #[test]
        fn no_message_bears_a_time_ahead_of_when_it_goes_out(
            times in prop::collection::vec(0i64..400_000_000_000, 1..60),
            speed in prop_oneof![1.0f64..5_000.0, Just(1.0), Just(f64::INFINITY)],
        ) {
            let (first, last) = (times[0], *times.iter().max().unwrap());
            let schedule = Schedule::new(first, last, At::Now, Speed(speed), START_MS);
            let mut latest = i64::MIN;
            let mut due_before = Duration::ZERO;
            for time in times {
                latest = latest.max(time);
                let due = schedule.due(latest);
                let goes_out_ms = START_MS + i64::try_from(due.as_millis()).unwrap();
                let stamp_ms = time + schedule.shift_ms;
                prop_assert!(stamp_ms <= goes_out_ms, "{stamp_ms} > {goes_out_ms}");
                prop_assert!(due >= due_before, "published in order");
                if time == last {
                    prop_assert!(goes_out_ms - stamp_ms <= 1, "the last one is now");
                }
                due_before = due;
            }
        }
    }

    #[test]
    fn at_twice_the_speed_an_hour_takes_half_and_begins_half_an_hour_ago() {
        let hour = 3_600_000;
        let schedule = Schedule::new(0, hour, At::Now, Speed(2.0), START_MS);
        assert_eq!(schedule.takes, Duration::from_mins(30));
        assert_eq!(schedule.shift_ms, START_MS - hour / 2);
        assert_eq!(schedule.due(hour), Duration::from_mins(30));
    }

    #[test]
    fn at_recorded_leaves_times_alone() {
        let schedule = Schedule::new(5_000, 15_000, At::Recorded, Speed(0.5), START_MS);
        assert_eq!(schedule.shift_ms, 0);
        assert_eq!(schedule.due(15_000), Duration::from_secs(20));
    }
}
