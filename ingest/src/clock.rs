//! The one clock (everything that needs the time is given `now` by whoever holds it).

use std::time::Instant;

/// Milliseconds since the Unix epoch, either the system's or a scaled time that starts at a given
/// instant, so that recorded tracks, simulations and tests of long waits can run "now".
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Scaled { start_ms: i64, speed: f64, since: Instant },
}

impl Clock {
    /// The system's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start_ms` now and runs `speed` times as fast as real time.
    #[must_use]
    pub fn scaled(start_ms: i64, speed: f64) -> Self {
        Self(Kind::Scaled { start_ms, speed, since: Instant::now() })
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Kind::System => jiff::Timestamp::now().as_millisecond(),
            Kind::Scaled { start_ms, speed, since } => {
                start_ms + (since.elapsed().as_secs_f64() * speed * 1e3) as i64
            }
        }
    }

    /// How long to really wait until this clock has advanced by `ms`.
    #[must_use]
    pub fn real(&self, ms: i64) -> std::time::Duration {
        let speed = match self.0 {
            Kind::System => 1.0,
            Kind::Scaled { speed, .. } => speed,
        };
        std::time::Duration::from_secs_f64((ms.max(0) as f64 / 1e3 / speed).min(86_400.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_scaled_clock_starts_where_it_is_told_and_runs_faster() {
        let clock = Clock::scaled(1_000_000, 1_000.0);
        let first = clock.now_ms();
        assert!(first >= 1_000_000);
        while clock.now_ms() < 1_000_100 {
            std::hint::spin_loop();
        }
        assert_eq!(clock.real(60_000), std::time::Duration::from_millis(60));
    }
}
