//! What the weather makes of a road, by the documented rule, at the places that a server keeps its
//! weather for: so that what happens to cars and what a server can know of it are the same.

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

/// As documented.
const RULE: Rule = Rule { amounts: 1.0, warmer_c: 0.0 };
/// Nobody can doubt what holds by this one, nor what does not hold by the other.
const STRICT: Rule = Rule { amounts: 1.2, warmer_c: -0.2 };
const LENIENT: Rule = Rule { amounts: 0.8, warmer_c: 0.2 };

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

/// The road at `at`, in the hour of `now_ms`.
#[must_use]
pub(crate) fn surface(at: Position, now_ms: i64) -> Surface {
    Told::of(at, now_ms).assessed(0, RULE, 0.0)
}

/// Whether the road at `at`, so high above the sea, is or will be wintry within the hours that a
/// driver is warned of: surely, and perhaps. Surely is by the strict rule, in every cell within
/// `doubt_m`, and whether the temperature is corrected for the height or not.
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
    let (mut surely, mut perhaps) = (true, false);
    for told_at in cells {
        let told = Told::of(told_at, now_ms);
        let higher_c = (told.height_m - height_m) * LAPSE_C_A_M;
        let holds = |rule, corrected_c| {
            (0..=AHEAD_H).any(|hours| told.assessed(hours, rule, corrected_c).wintry())
        };
        surely &= holds(STRICT, 0.0) && holds(STRICT, higher_c);
        perhaps |= holds(LENIENT, 0.0) || holds(LENIENT, higher_c);
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
    fn assessed(&self, ahead: usize, rule: Rule, corrected_c: f64) -> Surface {
        let index = LYING_H + ahead;
        let now = &self.hours[index];
        let before = |hours: usize, amount: fn(&Weather) -> f64| {
            self.hours[index.saturating_sub(hours)..index].iter().map(amount).sum::<f64>()
        };
        let road_c = now.ground_c + corrected_c - rule.warmer_c;
        let dew_point_c = dew_point_at(now, corrected_c);
        let falls = now.precipitation_mm > FALLS_MM * rule.amounts;
        let (rains, snows) = (falls && now.snowfall_cm == 0.0, falls && now.snowfall_cm > 0.0);
        let was_wet = before(DRYING_H, rain_mm) >= STILL_WET_MM * rule.amounts;
        let snow_lies = before(LYING_H, |sky| sky.snowfall_cm) >= LYING_CM * rule.amounts;
        match () {
            () if (rains || was_wet || dew_point_c >= road_c) && road_c <= 0.0 => Surface::Ice,
            () if (snows || snow_lies) && road_c <= LIES_UP_TO_C => Surface::Snow,
            () if rains || snows || was_wet => Surface::Wet,
            () => Surface::Dry,
        }
    }
}

/// Of air that is so much warmer or colder for its height: moist air that rises cools faster than its
/// dew point falls, until they are the same.
fn dew_point_at(sky: &Weather, corrected_c: f64) -> f64 {
    let dew_point_c = sky.dew_point_c + corrected_c * DEW_POINT_LAPSE_C_A_M / LAPSE_C_A_M;
    dew_point_c.min(sky.air_c + corrected_c)
}

fn rain_mm(sky: &Weather) -> f64 {
    let rain_mm = if sky.snowfall_cm > 0.0 { 0.0 } else { sky.precipitation_mm };
    if rain_mm < RAIN_MM { 0.0 } else { rain_mm }
}

#[cfg(test)]
mod tests {
    use super::{Surface, cell, surface, wintry_ahead};
    use crate::geo::Position;

    const KEHL: Position = Position::new(48.57, 7.8);
    const BRENNER: Position = Position::new(47.01, 11.48);
    const JANUARY_MS: i64 = 1_768_867_200_000;
    const JULY_MS: i64 = 1_784_505_600_000;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn roads_are_dry_mostly_wet_often_and_wintry_in_winter_only() {
        let count = |at: Position, from_ms: i64, wanted: Surface| {
            let hours = (0..24 * 28).map(|hour| surface(at, from_ms + hour * HOUR_MS));
            hours.filter(|&found| found == wanted).count()
        };
        let month = 24 * 28;
        assert!(count(KEHL, JULY_MS, Surface::Dry) > month / 2);
        assert!(count(KEHL, JULY_MS, Surface::Wet) > month / 10);
        assert_eq!(count(KEHL, JULY_MS, Surface::Snow) + count(KEHL, JULY_MS, Surface::Ice), 0);
        assert!(count(BRENNER, JANUARY_MS, Surface::Snow) > month / 10);
        assert!(count(KEHL, JANUARY_MS, Surface::Ice) > 0);
    }

    #[test]
    fn what_is_sure_is_possible_and_what_is_found_lies_between() {
        for hour in 0..24 * 28 {
            let now_ms = JANUARY_MS + hour * HOUR_MS;
            for (at, height_m) in [(KEHL, 140.0), (BRENNER, 1_374.0), (BRENNER, 900.0)] {
                let (surely, perhaps) = wintry_ahead(at, 60.0, height_m, now_ms);
                assert!(perhaps || !surely);
                assert!(perhaps || !surface(at, now_ms).wintry());
            }
        }
    }

    #[test]
    fn a_cell_is_a_tenth_of_a_degree_also_south_and_west_of_zero() {
        assert_eq!(cell(Position::new(52.09, 5.12)), Position::new(52.05, 5.15));
        assert_eq!(cell(Position::new(-0.01, -0.19)), Position::new(-0.05, -0.15));
    }
}
