//! When a home's insurer ought to hear that its pipes may freeze.
//!
//! Follows the documented rule, by what the thermostat reports and the weather that a server is told.
//! How long a house takes to cool, a server has to reckon: so that a warning ahead comes at all is not
//! expected, only that none comes to a house that is kept warm.

use crate::geo::Position;
use crate::surface::cell;
use crate::truth::{Expect, Found, What};
use crate::weather::{HOUR_MS, altitude_m, weather};

/// As documented: at or below this indoors, in frost outdoors, for so long; over above the other.
const NEAR_C: f64 = 6.0;
const OVER_C: f64 = 8.0;
pub(crate) const DWELL_MS: i64 = 10 * 60_000;
/// A house that is colder is not kept warm if it is set to no more than [`OVER_C`], or is so much colder
/// than that.
const KEEP_C: f64 = 12.8;
const SHORT_C: f64 = 2.0;
/// Frost is looked for in these hours ahead.
const AHEAD_H: [i64; 5] = [0, 6, 12, 18, 24];
/// Weather is told to so many degrees.
const TOLD_TO_C: f64 = 0.06;
/// A warning ahead may come so long before and after the moments that are noted for it, which are no
/// further apart.
const WINDOW_MS: i64 = 12 * HOUR_MS;

/// What a thermostat reports of its house.
#[derive(Clone, Copy, Debug)]
pub(crate) struct House {
    pub(crate) home: Position,
    pub(crate) indoor_c: f64,
    /// Not set, or off, below [`OVER_C`].
    pub(crate) setpoint_c: f64,
    pub(crate) boiler_failed: bool,
}

/// Follows one house, report by report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frost {
    pending: Option<Found>,
    told: bool,
    warned_ms: Option<i64>,
}

impl Frost {
    /// What the report at `now_ms` makes certain.
    pub(crate) fn report(&mut self, now_ms: i64, house: House) -> Vec<Found> {
        let mut found = Vec::new();
        if house.indoor_c > OVER_C {
            (self.pending, self.told) = (None, false);
        }
        if house.indoor_c > KEEP_C {
            self.warned_ms = None;
            return found;
        }
        let outdoor_c = told_outdoor_c(house.home, now_ms);
        found.extend(self.near(now_ms, house, outdoor_c));
        let due = self.warned_ms.is_none_or(|at_ms| now_ms >= at_ms + WINDOW_MS);
        if due && may_cool_into_danger(now_ms, house) {
            self.warned_ms = Some(now_ms);
            let warning = risk("ahead", now_ms, house, outdoor_c);
            found.push(Found { expect: Expect::Either, unseen_ms: WINDOW_MS, ..warning });
        }
        found
    }

    fn near(&mut self, now_ms: i64, house: House, outdoor_c: f64) -> Option<Found> {
        if outdoor_c > TOLD_TO_C {
            self.pending = None;
            return None;
        }
        if house.indoor_c > NEAR_C || self.told {
            return None;
        }
        let pending = self.pending.get_or_insert_with(|| risk("near", now_ms, house, outdoor_c));
        if outdoor_c > -TOLD_TO_C {
            pending.expect = Expect::Either;
        }
        if now_ms - pending.at_ms < DWELL_MS {
            return None;
        }
        self.told = true;
        self.pending.take()
    }

    /// What is left when nobody looks any longer.
    pub(crate) fn finish(&mut self) -> Option<Found> {
        self.pending.take().map(|found| Found { expect: Expect::Either, ..found })
    }
}

fn risk(stage: &str, at_ms: i64, house: House, outdoor_c: f64) -> Found {
    let tenth = |degrees: f64| (degrees * 10.0).round() / 10.0;
    let what = What::FrostRisk {
        stage: stage.to_owned(),
        indoor_c: tenth(house.indoor_c),
        outdoor_c: tenth(outdoor_c),
        boiler_failed: house.boiler_failed,
    };
    Found { at_ms, place: Some(house.home), what, expect: Expect::Trigger, unseen_ms: 0 }
}

fn may_cool_into_danger(now_ms: i64, house: House) -> bool {
    let heats = house.setpoint_c > OVER_C && house.indoor_c > house.setpoint_c - SHORT_C;
    let frost = |hours| told_outdoor_c(house.home, now_ms + hours * HOUR_MS) <= TOLD_TO_C;
    !heats && AHEAD_H.into_iter().any(frost)
}

/// As it is told for the neighbourhood that a thermostat reports.
fn told_outdoor_c(home: Position, now_ms: i64) -> f64 {
    let hundredth = |degrees: f64| (degrees * 100.0).round() / 100.0;
    let told_at = cell(Position::new(hundredth(home.lat), hundredth(home.lon)));
    weather(told_at, altitude_m(told_at), now_ms).air_c
}

#[cfg(test)]
mod tests {
    use super::{Frost, House, told_outdoor_c};
    use crate::geo::Position;
    use crate::truth::{Expect, What};

    /// In the Alps, in the coldest week.
    const HOME: Position = Position::new(47.04, 11.49);
    const JANUARY_MS: i64 = 1_768_867_200_000;

    /// What is found in a house that is so warm minute by minute, and set so.
    fn found(indoor_c: &[f64], setpoint_c: f64) -> Vec<(String, Expect)> {
        let mut frost = Frost::default();
        let mut all = Vec::new();
        for (minute, &indoor_c) in indoor_c.iter().enumerate() {
            let now_ms = JANUARY_MS + minute as i64 * 60_000;
            assert!(told_outdoor_c(HOME, now_ms) < -1.0, "no frost in the test");
            let house = House { home: HOME, indoor_c, setpoint_c, boiler_failed: false };
            all.extend(frost.report(now_ms, house));
        }
        all.extend(frost.finish());
        let stage = |what| match what {
            What::FrostRisk { stage, .. } => stage,
            other => panic!("{other:?}"),
        };
        all.into_iter().map(|found| (stage(found.what), found.expect)).collect()
    }

    #[test]
    fn a_house_that_cools_may_be_warned_and_is_told_when_it_has_been_near_for_ten_minutes() {
        let near = ("near".to_owned(), Expect::Trigger);
        let ahead = ("ahead".to_owned(), Expect::Either);
        let cools: Vec<_> = (0..60).map(|minute| 9.0 - f64::from(minute) * 0.1).collect();
        assert_eq!(found(&cools, 20.0), [ahead.clone(), near.clone()]);
        let brief = [vec![7.0; 5], vec![5.9; 8], vec![9.0; 5]].concat();
        assert_eq!(
            found(&brief, 20.0),
            std::slice::from_ref(&ahead),
            "eight minutes are no danger"
        );
        let twice = [vec![5.0; 15], vec![7.5; 5], vec![5.0; 15], vec![8.5; 2], vec![5.0; 15]];
        assert_eq!(found(&twice.concat(), 20.0), [ahead.clone(), near.clone(), near.clone()]);
        let at_the_end = [vec![7.0; 5], vec![5.9; 8]].concat();
        assert_eq!(found(&at_the_end, 20.0)[1], ("near".to_owned(), Expect::Either));
    }

    #[test]
    fn who_is_kept_warm_is_not_warned() {
        assert_eq!(found(&[12.0; 60], 13.0), []);
        assert_eq!(found(&[15.0; 60], 20.0), []);
        assert_eq!(found(&[12.0; 60], 5.0).len(), 1, "set so low, it is not kept warm");
    }
}
