//! How something gets along a path: acceleration, braking, arriving.

use crate::geo::{Path, Position};

/// What a body (car, train, walker) can do and likes to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Speed in multiples of what the path says.
    pub(crate) temper: f64,
    pub accelerate_mps2: f64,
    pub brake_mps2: f64,
}

/// Something under way on a path.
#[derive(Clone, Debug)]
pub(crate) struct Motion {
    path: Path,
    along_m: f64,
    speed_mps: f64,
    /// Over the last step.
    acceleration_mps2: f64,
}

/// Long steps are cut to this, so that braking ends where the path does.
const STEP_S: f64 = 0.25;

impl Motion {
    /// At `along_m` metres of `path`, moving at `speed_mps`.
    #[must_use]
    pub(crate) fn new(path: Path, along_m: f64, speed_mps: f64) -> Self {
        Self { path, along_m, speed_mps, acceleration_mps2: 0.0 }
    }

    /// Moves on by `seconds` and returns the metres covered.
    ///
    /// `hurry` scales the speed for the moment (traffic below 1), `brake_mps2` overrides how hard
    /// is braked for it.
    pub(crate) fn advance(&mut self, seconds: f64, pace: Pace, hurry: f64, brake_mps2: f64) -> f64 {
        let (from_m, from_mps) = (self.along_m, self.speed_mps);
        let mut left_s = seconds;
        while left_s > 0.0 && !self.arrived() {
            let step_s = left_s.min(STEP_S);
            self.step(step_s, pace, hurry, brake_mps2);
            left_s -= step_s;
        }
        if self.arrived() {
            self.speed_mps = 0.0;
        }
        self.acceleration_mps2 =
            if seconds > 0.0 { (self.speed_mps - from_mps) / seconds } else { 0.0 };
        self.along_m - from_m
    }

    fn step(&mut self, step_s: f64, pace: Pace, hurry: f64, brake_mps2: f64) {
        // Planned with something in hand, or a step late would never be made good.
        let planned_mps2 = pace.brake_mps2 * 0.75;
        let road_mps = self.path.speed_mps(self.along_m, pace.temper * hurry, planned_mps2);
        // Near its end the path wants a crawl; without a floor the last metre would never be done.
        let wanted_mps = road_mps.max(0.5);
        let change = wanted_mps - self.speed_mps;
        let hardest = brake_mps2.max(pace.brake_mps2);
        let change = change.clamp(-hardest * step_s, pace.accelerate_mps2 * step_s);
        let mean_mps = self.speed_mps + change / 2.0;
        self.speed_mps += change;
        self.along_m = (self.along_m + mean_mps * step_s).min(self.path.length_m());
    }

    /// Whether the end of the path is reached.
    #[must_use]
    pub(crate) fn arrived(&self) -> bool {
        self.along_m >= self.path.length_m() - 0.5
    }

    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub(crate) fn speed_mps(&self) -> f64 {
        self.speed_mps
    }

    #[must_use]
    pub(crate) fn acceleration_mps2(&self) -> f64 {
        self.acceleration_mps2
    }

    /// Metres from the start of the path.
    #[must_use]
    pub(crate) fn along_m(&self) -> f64 {
        self.along_m
    }

    /// Position, altitude and course.
    #[must_use]
    pub(crate) fn at(&self) -> (Position, f64, f64) {
        self.path.at(self.along_m)
    }
}

#[cfg(test)]
mod tests {
    use super::{Motion, Pace};
    use crate::geo::{Path, Position};

    #[test]
    fn a_car_accelerates_keeps_its_speed_and_stops_at_the_end() {
        let start = Position::new(51.0, 6.0);
        let path = Path::new(&[(start, 0.0), (start.moved(0.0, 2_000.0), 0.0)], &[30.0]);
        let pace = Pace { temper: 1.0, accelerate_mps2: 2.0, brake_mps2: 2.0 };
        let mut car = Motion::new(path, 0.0, 0.0);
        let mut fastest = 0.0f64;
        let mut seconds = 0;
        while !car.arrived() {
            car.advance(1.0, pace, 1.0, 0.0);
            fastest = fastest.max(car.speed_mps());
            assert!(car.acceleration_mps2().abs() < 3.5, "{}", car.acceleration_mps2());
            seconds += 1;
            assert!(seconds < 120, "never arrived");
        }
        assert!((fastest - 30.0).abs() < 0.1);
        assert_eq!(car.speed_mps(), 0.0);
    }
}
