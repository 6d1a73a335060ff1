//! What the weather makes of a road, by the documented rule, at the places that a server keeps its
//! weather for and at the height of the road: so that what happens to cars and what a server can know
//! of it are the same.

use crate::geo::Position;
use crate::weather::{HOUR_MS, Weather, altitude_m, weather};

/// What a driver finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Surface {
    Dry,
    Wet,
    Snow,
    Ice,
}

/// How much has to have fallen, and how cold the road has to be.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Multiplies what has to have fallen.
    amounts: f64,
    /// Added to the temperatures up to which it lies or freezes.
    warmer_c: f64,
}

/// As documented; then nobody can doubt what holds by the second one, nor what does not hold by the
/// third.
const RULES: [Rule; 3] = [
    Rule { amounts: 1.0, warmer_c: 0.0 },
    Rule { amounts: 1.2, warmer_c: -0.2 },
    Rule { amounts: 0.8, warmer_c: 0.2 },
];
const RULE: usize = 0;
const STRICT: usize = 1;
const LENIENT: usize = 2;

/// With more than this in the hour the code says that something falls.
const FALLS_MM: f64 = 0.05;
const RAIN_MM: f64 = 0.1;
const STILL_WET_MM: f64 = 0.2;
const DRYING_H: usize = 3;
const LYING_CM: f64 = 1.0;
const LYING_H: usize = 12;
const LIES_UP_TO_C: f64 = 1.0;
/// How far ahead a driver is warned.
const AHEAD_H: usize = 3;
/// The standard atmosphere: who stands higher than where the weather was told for has it colder.
const LAPSE_C_A_M: f64 = 0.0065;
const DEW_POINT_LAPSE_C_A_M: f64 = 0.0018;

impl Surface {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dry => "dry",
            Self::Wet => "wet",
            Self::Snow => "snow",
            Self::Ice => "ice",
        }
    }

    pub(crate) fn wintry(self) -> bool {
        self >= Self::Snow
    }
}

/// The middle of the cell, a tenth of a degree each way, that weather is kept for.
#[must_use]
pub(crate) fn cell(at: Position) -> Position {
    let middle = |degrees: f64| ((degrees * 10.0).floor() + 0.5) / 10.0;
    Position::new(middle(at.lat), middle(at.lon))
}

/// A road with the weather of an hour, at any height.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Road {
    /// Where the weather is told for.
    told_at_m: f64,
    air_c: f64,
    ground_c: f64,
    dew_point_c: f64,
    /// By each of [`RULES`].
    wet: [Wet; RULES.len()],
}

/// What falls on a road or lies there by one rule, at any height.
#[derive(Clone, Copy, Debug)]
struct Wet {
    rains: bool,
    snows: bool,
    was_wet: bool,
    snow_lies: bool,
}

impl Road {
    /// At `at`, in the hour of `now_ms`.
    #[must_use]
    pub(crate) fn of(at: Position, now_ms: i64) -> Self {
        Told::of(at, now_ms).road(0)
    }

    /// So high above the sea.
    #[must_use]
    pub(crate) fn surface(&self, height_m: f64) -> Surface {
        self.by(RULE, height_m)
    }

    /// What else it may be taken for, where it is at a threshold.
    #[must_use]
    pub(crate) fn or(&self, height_m: f64) -> Option<Surface> {
        let found = self.surface(height_m);
        let others = [STRICT, LENIENT].map(|rule| self.by(rule, height_m));
        others.into_iter().find(|other| *other != found)
    }

    /// What falls where the weather is told for falls here as well.
    fn by(&self, rule: usize, height_m: f64) -> Surface {
        let Wet { rains, snows, was_wet, snow_lies } = self.wet[rule];
        let higher_m = height_m - self.told_at_m;
        let road_c = self.ground_c - higher_m * LAPSE_C_A_M - RULES[rule].warmer_c;
        // Air that rises cools faster than its dew point falls, until they are the same.
        let air_c = self.air_c - higher_m * LAPSE_C_A_M;
        let dew_point_c = (self.dew_point_c - higher_m * DEW_POINT_LAPSE_C_A_M).min(air_c);
        match () {
            () if (rains || was_wet || dew_point_c >= road_c) && road_c <= 0.0 => Surface::Ice,
            () if (snows || snow_lies) && road_c <= LIES_UP_TO_C => Surface::Snow,
            () if rains || snows || was_wet => Surface::Wet,
            () => Surface::Dry,
        }
    }
}

/// Roads rise by no more than so many metres in one.
const GRADE: f64 = 0.06;

/// Whether the road at `at`, so high above the sea, is or will be wintry within the hours that a
/// driver is warned of: surely, and perhaps. Surely is by the strict rule, in every cell and at
/// every height within `doubt_m`.
#[must_use]
pub(crate) fn wintry_ahead(at: Position, doubt_m: f64, height_m: f64, now_ms: i64) -> (bool, bool) {
    let corners = [(0.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)];
    let mut cells: Vec<Position> = Vec::with_capacity(4);
    for (east, north) in corners {
        let near = cell(at.moved(east * doubt_m, north * doubt_m));
        if !cells.contains(&near) {
            cells.push(near);
        }
    }
    let rise_m = doubt_m * GRADE;
    let (mut surely, mut perhaps) = (true, false);
    for told_at in cells {
        let told = Told::of(told_at, now_ms);
        let roads: [Road; AHEAD_H + 1] = std::array::from_fn(|hours| told.road(hours));
        let holds = |rule, height_m| roads.iter().any(|road| road.by(rule, height_m).wintry());
        for height_m in [height_m - rise_m, height_m, height_m + rise_m] {
            surely &= holds(STRICT, height_m);
            perhaps |= holds(LENIENT, height_m);
        }
    }
    (surely, perhaps)
}

/// The weather of the hours about a moment, as a server is told it.
struct Told {
    height_m: f64,
    /// From [`LYING_H`] back to [`AHEAD_H`] ahead.
    hours: [Weather; LYING_H + 1 + AHEAD_H],
}

impl Told {
    fn of(at: Position, now_ms: i64) -> Self {
        let told_at = cell(at);
        let height_m = altitude_m(told_at);
        let hours = std::array::from_fn(|index| {
            weather(told_at, height_m, now_ms + (index as i64 - LYING_H as i64) * HOUR_MS)
        });
        Self { height_m, hours }
    }

    /// The road so many hours ahead.
    fn road(&self, ahead: usize) -> Road {
        let index = LYING_H + ahead;
        let now = &self.hours[index];
        let before = |hours: usize, amount: fn(&Weather) -> f64| {
            self.hours[index.saturating_sub(hours)..index].iter().map(amount).sum::<f64>()
        };
        let (rain_mm, snow_cm) =
            (before(DRYING_H, rain_mm), before(LYING_H, |sky| sky.snowfall_cm));
        let wet = RULES.map(|rule| {
            let falls = now.precipitation_mm > FALLS_MM * rule.amounts;
            Wet {
                rains: falls && now.snowfall_cm == 0.0,
                snows: falls && now.snowfall_cm > 0.0,
                was_wet: rain_mm >= STILL_WET_MM * rule.amounts,
                snow_lies: snow_cm >= LYING_CM * rule.amounts,
            }
        });
        let Weather { air_c, ground_c, dew_point_c, .. } = *now;
        Road { told_at_m: self.height_m, air_c, ground_c, dew_point_c, wet }
    }
}

fn rain_mm(sky: &Weather) -> f64 {
    let rain_mm = if sky.snowfall_cm > 0.0 { 0.0 } else { sky.precipitation_mm };
    if rain_mm < RAIN_MM { 0.0 } else { rain_mm }
}

#[cfg(test)]
mod tests {
    use super::{Road, Surface, cell, wintry_ahead};
    use crate::geo::Position;

    const KEHL: Position = Position::new(48.57, 7.8);
    const BRENNER: Position = Position::new(47.01, 11.48);
    const JANUARY_MS: i64 = 1_768_867_200_000;
    const JULY_MS: i64 = 1_784_505_600_000;
    const HOUR_MS: i64 = 3_600_000;

    const PASS_M: f64 = 1_374.0;

    fn surface(at: Position, height_m: f64, now_ms: i64) -> Surface {
        Road::of(at, now_ms).surface(height_m)
    }

    #[test]
    fn roads_are_dry_mostly_wet_often_and_wintry_in_winter_only() {
        let count = |at: Position, height_m: f64, from_ms: i64, wanted: Surface| {
            let hours = (0..24 * 28).map(|hour| surface(at, height_m, from_ms + hour * HOUR_MS));
            hours.filter(|&found| found == wanted).count()
        };
        let month = 24 * 28;
        let kehl = |from_ms, wanted| count(KEHL, 140.0, from_ms, wanted);
        assert!(kehl(JULY_MS, Surface::Dry) > month / 2);
        assert!(kehl(JULY_MS, Surface::Wet) > month / 10);
        assert_eq!(kehl(JULY_MS, Surface::Snow) + kehl(JULY_MS, Surface::Ice), 0);
        assert!(count(BRENNER, PASS_M, JANUARY_MS, Surface::Snow) > month / 10);
        assert!(kehl(JANUARY_MS, Surface::Ice) > 0);
    }

    #[test]
    fn a_road_far_above_its_weather_is_icy_where_that_is_rain() {
        let hours = (0..24 * 28).map(|hour| JANUARY_MS + hour * HOUR_MS);
        let rainy = hours.filter(|&now_ms| surface(KEHL, 140.0, now_ms) == Surface::Wet);
        let roads: Vec<Road> = rainy.map(|now_ms| Road::of(KEHL, now_ms)).collect();
        assert!(!roads.is_empty());
        assert!(roads.iter().any(|road| road.surface(1_340.0) == Surface::Ice));
        let colder =
            |road: &Road| (140..2_000).map(|m| road.surface(f64::from(m)).wintry()).is_sorted();
        assert!(roads.iter().all(colder), "the higher, the more wintry");
    }

    #[test]
    fn what_is_sure_is_possible_and_what_is_found_lies_between() {
        let mut doubtful = 0;
        for hour in 0..24 * 28 {
            let now_ms = JANUARY_MS + hour * HOUR_MS;
            for (at, height_m) in [(KEHL, 140.0), (BRENNER, PASS_M), (BRENNER, 900.0)] {
                let (surely, perhaps) = wintry_ahead(at, 60.0, height_m, now_ms);
                assert!(perhaps || !surely);
                let road = Road::of(at, now_ms);
                assert!(perhaps || !road.surface(height_m).wintry());
                assert_ne!(road.or(height_m), Some(road.surface(height_m)));
                doubtful += usize::from(road.or(height_m).is_some());
            }
        }
        assert!(doubtful < 3 * 24 * 28 / 8, "{doubtful}");
    }

    #[test]
    fn a_cell_is_a_tenth_of_a_degree_also_south_and_west_of_zero() {
        assert_eq!(cell(Position::new(52.09, 5.12)), Position::new(52.05, 5.15));
        assert_eq!(cell(Position::new(-0.01, -0.19)), Position::new(-0.05, -0.15));
    }
}
