//! Which borders a device really crosses, from where it is on its way.

use crate::geo::Position;
use crate::motion::Motion;
use crate::places::Country;
use crate::truth::{Expect, Found, What};

/// So far from a border no receiver can doubt on which side it is: several times the error of the
/// worst fixes, and the roads do not run along the border.
const SURE_M: f64 = 300.0;
/// The documented dwell of the rule `travel-offer`.
pub(crate) const DWELL_MS: i64 = 20_000;

/// Follows one device over borders, report by report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Borders {
    last: Option<(i64, Position, Country)>,
    /// The last country that it was surely in.
    sure_in: Option<Country>,
    pending: Option<Pending>,
    found: Vec<Found>,
}

#[derive(Clone, Debug)]
struct Pending {
    crossing: Found,
    sure_since_ms: Option<i64>,
    sure_reports: u32,
}

impl Borders {
    /// The device reports at `now_ms` from where it is on its way.
    pub(crate) fn report(&mut self, now_ms: i64, motion: &Motion) {
        let along_m = motion.along_m();
        let Some(country) = motion.path().country(along_m) else { return };
        let here = motion.at().0;
        let border = motion.path().border(along_m);
        if let Some((before_ms, there, from)) = self.last
            && from != country
        {
            self.give_up();
            let place = border.map_or(here, |(place, _)| place);
            let (behind_m, ahead_m) = (there.distance_m(place), place.distance_m(here));
            let share = behind_m / (behind_m + ahead_m).max(0.1);
            let at_ms = before_ms + ((now_ms - before_ms) as f64 * share) as i64;
            let surely = self.sure_in == Some(from);
            let expect = if surely { Expect::Trigger } else { Expect::Either };
            let (from, to) = (from.code().to_owned(), country.code().to_owned());
            let what = What::BorderCrossed { from, to };
            let unseen_ms = now_ms - before_ms;
            let crossing = Found { at_ms, place: Some(place), what, expect, unseen_ms };
            self.pending = Some(Pending { crossing, sure_since_ms: None, sure_reports: 0 });
        }
        self.last = Some((now_ms, here, country));
        if border.is_some_and(|(_, metres)| metres < SURE_M) {
            return;
        }
        let Some(pending) = &mut self.pending else {
            self.sure_in = Some(country);
            return;
        };
        pending.sure_reports += 1;
        let since_ms = *pending.sure_since_ms.get_or_insert(now_ms);
        if pending.sure_reports >= 2 && now_ms - since_ms >= DWELL_MS {
            self.sure_in = Some(country);
            self.found.extend(self.pending.take().map(|pending| pending.crossing));
        }
    }

    /// It did not stay, or nobody looks any longer: a server may have noticed or not.
    fn give_up(&mut self) {
        let pending = self.pending.take().map(|pending| pending.crossing);
        self.found.extend(pending.map(|crossing| Found { expect: Expect::Either, ..crossing }));
    }

    /// What has become certain since the last call.
    pub(crate) fn take(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<Found> {
        self.give_up();
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::Borders;
    use crate::geo::Path;
    use crate::motion::{Motion, Pace};
    use crate::roads::{Network, place};
    use crate::truth::{Expect, Found, What};

    const PACE: Pace = Pace { temper: 1.0, accelerate_mps2: 2.0, brake_mps2: 2.0 };

    /// Drives `path` to its end, reporting every `every_s`, then stays for `stay_s`.
    fn drive(path: Path, every_s: i64, stay_s: i64) -> (Vec<Found>, Borders) {
        let mut borders = Borders::default();
        let mut motion = Motion::new(path, 0.0, 0.0);
        let (mut now_s, mut stays_s) = (0, 0);
        while !motion.arrived() || stays_s < stay_s {
            borders.report(now_s * 1_000, &motion);
            motion.advance(every_s as f64, PACE, 1.0, 0.0);
            now_s += every_s;
            stays_s += if motion.arrived() { every_s } else { 0 };
        }
        (borders.take(), borders)
    }

    fn crossed(from: &str, to: &str) -> What {
        What::BorderCrossed { from: from.into(), to: to.into() }
    }

    fn across(before_m: f64, after_m: f64) -> Path {
        Network::new().across(place("Venlo border").unwrap(), before_m, after_m, true)
    }

    #[test]
    fn a_crossing_is_timed_where_the_road_meets_the_border() {
        for every_s in [1, 10, 60] {
            let (found, _) = drive(across(4_000.0, 4_000.0), every_s, 120);
            let [crossing] = &found[..] else { panic!("{every_s} s: {found:?}") };
            assert_eq!(crossing.what, crossed("NL", "DE"));
            assert_eq!(crossing.expect, Expect::Trigger);
            // 4 km from standing still to 36 m/s.
            assert!((115_000..130_000).contains(&crossing.at_ms), "{}", crossing.at_ms);
        }
    }

    #[test]
    fn who_starts_at_the_border_or_hardly_gets_across_is_not_sure() {
        let (found, _) = drive(across(200.0, 4_000.0), 1, 60);
        assert_eq!(found.iter().map(|c| c.expect).collect::<Vec<_>>(), [Expect::Either]);
        let (found, mut borders) = drive(across(4_000.0, 100.0), 1, 60);
        assert_eq!(found, []);
        assert_eq!(borders.finish().len(), 1);
    }

    #[test]
    fn a_way_back_is_a_crossing_of_its_own() {
        let there = across(2_000.0, 2_000.0);
        let mut borders = Borders::default();
        let mut now_ms = 0;
        for path in [there.clone(), there.reversed()] {
            let mut motion = Motion::new(path, 0.0, 0.0);
            while !motion.arrived() {
                borders.report(now_ms, &motion);
                motion.advance(1.0, PACE, 1.0, 0.0);
                now_ms += 1_000;
            }
        }
        let found = borders.finish();
        let ways: Vec<_> = found.iter().map(|crossing| crossing.what.clone()).collect();
        assert_eq!(ways, [crossed("NL", "DE"), crossed("DE", "NL")]);
        assert_eq!(found[1].expect, Expect::Trigger);
    }
}
