//! Whose turn it is to connect for the first time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::stats::lock;

/// Deals out moments to connect at, evenly: who asks again after a refusal waits for another one.
#[derive(Debug)]
pub(crate) struct Newcomers {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Newcomers {
    /// So many a second.
    pub(crate) fn at_rate(per_s: f64) -> Self {
        Self {
            gap: Duration::from_secs_f64(1.0 / per_s.max(0.1)),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for one's turn.
    pub(crate) async fn turn(&self) {
        let at = self.moment(Instant::now());
        sleep_until(at.into()).await;
    }

    fn moment(&self, now: Instant) -> Instant {
        let mut next = lock(&self.next);
        let at = now.max(*next);
        *next = at + self.gap;
        at
    }

    /// How long it takes until so many have had their turn.
    pub(crate) fn all(&self, count: u64) -> Duration {
        self.gap.mul_f64(count as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Newcomers;

    #[test]
    fn a_crowd_comes_one_after_the_other_and_who_comes_later_does_not_wait() {
        let newcomers = Newcomers::at_rate(400.0);
        let now = Instant::now();
        let crowd: Vec<_> = (0..4_000).map(|_| newcomers.moment(now)).collect();
        assert!(crowd.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_micros(2_500)));
        assert!(crowd[3_999] - now < Duration::from_secs(10));
        let later = now + Duration::from_secs(60);
        assert_eq!(newcomers.moment(later), later);
        assert_eq!(newcomers.all(15_000), Duration::from_millis(37_500));
    }
}
