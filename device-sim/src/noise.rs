//! Randomness with the right shape: normal numbers and the error of a GPS receiver.

use fastrand::Rng;

use crate::geo::Position;

/// A normally distributed number (mean 0, deviation 1), cut at ±4.
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    // Box–Muller; `1 - f64()` is never 0.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.f64()).cos()).clamp(-4.0, 4.0)
}

/// A number drawn evenly from `from..to`.
pub(crate) fn between(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + (to - from) * rng.f64()
}

/// How fast a receiver's error forgets its past.
const MEMORY_S: f64 = 40.0;

/// The error of a receiver drifts; it is drawn once a second and runs straight in between, so that
/// fixes a millisecond apart do not jump.
#[derive(Clone, Debug, Default)]
pub(crate) struct GpsError {
    from_m: (f64, f64),
    to_m: (f64, f64),
    drawn_ms: Option<i64>,
    sigma_m: f64,
}

const DRAW_MS: i64 = 1_000;

impl GpsError {
    /// What the receiver shows at `now_ms` when it is at `truth` and its error has the deviation
    /// `sigma_m` on each axis: the fix and its accuracy (68 % of fixes lie within it).
    pub(crate) fn fix(
        &mut self,
        truth: Position,
        now_ms: i64,
        sigma_m: f64,
        rng: &mut Rng,
    ) -> (Position, f64) {
        let drawn_ms = match self.drawn_ms {
            Some(drawn_ms) if now_ms < drawn_ms + DRAW_MS => drawn_ms,
            before => self.draw(before, now_ms, sigma_m, rng),
        };
        let share = (now_ms - drawn_ms).max(0) as f64 / DRAW_MS as f64;
        let mix = |from: f64, to: f64| from + (to - from) * share;
        let east_m = mix(self.from_m.0, self.to_m.0);
        let north_m = mix(self.from_m.1, self.to_m.1);
        // Of a two-dimensional normal error, 68 % lies within 1.51 deviations.
        (truth.moved(east_m, north_m), self.sigma_m * 1.51)
    }

    fn draw(&mut self, before: Option<i64>, now_ms: i64, sigma_m: f64, rng: &mut Rng) -> i64 {
        let gap_s = before.map_or(f64::INFINITY, |at| (now_ms - at) as f64 / 1e3);
        // The deviation itself changes slowly: a street canyon is walked into, not jumped into.
        self.sigma_m = match before {
            Some(_) => self.sigma_m + (sigma_m - self.sigma_m) * (gap_s / 20.0).min(1.0),
            None => sigma_m,
        };
        let kept = (-gap_s / MEMORY_S).exp();
        let fresh = self.sigma_m * (1.0 - kept * kept).sqrt();
        self.from_m = if before.is_some() && gap_s < 2.0 {
            self.to_m
        } else {
            (self.to_m.0 * kept + fresh * normal(rng), self.to_m.1 * kept + fresh * normal(rng))
        };
        let kept = (-(DRAW_MS as f64) / 1e3 / MEMORY_S).exp();
        let fresh = self.sigma_m * (1.0 - kept * kept).sqrt();
        self.to_m = (
            self.from_m.0 * kept + fresh * normal(rng),
            self.from_m.1 * kept + fresh * normal(rng),
        );
        self.drawn_ms = Some(now_ms);
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::GpsError;
    use crate::geo::Position;

    #[test]
    fn two_thirds_of_fixes_lie_within_the_accuracy_and_none_jumps() {
        let truth = Position::new(51.0, 6.0);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut error = GpsError::default();
        let (mut within, mut before) = (0u32, truth);
        let fixes = 200_000;
        for second in 0..fixes {
            let (fix, accuracy_m) = error.fix(truth, second * 1_000, 5.0, &mut rng);
            within += u32::from(truth.distance_m(fix) <= accuracy_m);
            if second > 0 {
                assert!(before.distance_m(fix) < 10.0);
            }
            before = fix;
        }
        let share = f64::from(within) / fixes as f64;
        assert!((0.63..0.73).contains(&share), "{share}");
    }

    #[test]
    fn fixes_a_millisecond_apart_move_by_centimetres() {
        let truth = Position::new(51.0, 6.0);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut error = GpsError::default();
        let mut before = error.fix(truth, 0, 5.0, &mut rng).0;
        for ms in 1..10_000 {
            let fix = error.fix(truth, ms, 5.0, &mut rng).0;
            assert!(before.distance_m(fix) < 0.03);
            before = fix;
        }
    }
}
