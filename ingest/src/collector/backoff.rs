//! When to try again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// A broker that comes back after hours is noticed within this.
const LAST: Duration = Duration::from_secs(60);

/// Doubles from try to try, up to a minute; each wait is drawn from its upper half, so that
/// collectors that lost the same broker do not all come back in the same instant.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        // Without random numbers it is a back-off without jitter.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let wait = self.0.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        self.0 = (self.0 * 2).min(LAST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LAST};

    #[test]
    fn waits_grow_to_a_minute_and_differ_between_collectors() {
        let waits = || {
            let mut backoff = Backoff::default();
            (0..1_000).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        let (one, other) = (waits(), waits());
        assert!(one[0] <= FIRST && one[0] >= FIRST / 2);
        assert!(one[20..].iter().all(|wait| (LAST / 2..=LAST).contains(wait)));
        assert_ne!(one, other);
    }
}
