//! What really happens to the simulated devices and ought to be noticed: the ground truth.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::geo::Position;
use crate::motion::Motion;
use crate::places::Country;

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Truth(Truth),
    /// The last line: nothing more happened up to then.
    End(Timestamp),
}

/// Something that happened, as precisely as the simulator knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub device: Arc<str>,
    pub at: Timestamp,
    pub lat: f64,
    pub lon: f64,
    #[serde(flatten)]
    pub what: What,
    pub expect: Expect,
    /// How often the device reports.
    pub reports_every_ms: i64,
    /// What it reported before this had been kept, and went out at this moment at the earliest.
    pub published_from: Timestamp,
    /// How far the device's clock is ahead; `at` is by that clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_off_ms: i64,
}

fn is_zero(ms: &i64) -> bool {
    *ms == 0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Countries by their ISO 3166-1 alpha-2 codes.
    BorderCrossed { from: String, to: String },
}

impl What {
    /// The product whose insurers are to be told.
    #[must_use]
    pub fn product(&self) -> &'static str {
        match self {
            Self::BorderCrossed { .. } => "travel",
        }
    }
}

/// What a server ought to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// A trigger, if somebody insured is to be told.
    Trigger,
    /// A trigger or none: too brief, or too much at the edge of the run, to be sure.
    Either,
}

/// A border crossed by one device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Crossing {
    from: Country,
    to: Country,
    at_ms: i64,
    place: Position,
    expect: Expect,
}

impl Crossing {
    pub(crate) fn truth(
        self,
        device: &Arc<str>,
        every_ms: i64,
        published_from_ms: i64,
        clock_off_ms: i64,
    ) -> Truth {
        let (from, to) = (self.from.code().to_owned(), self.to.code().to_owned());
        let moment = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
        Truth {
            device: Arc::clone(device),
            at: moment(self.at_ms + clock_off_ms),
            lat: self.place.lat,
            lon: self.place.lon,
            what: What::BorderCrossed { from, to },
            expect: self.expect,
            reports_every_ms: every_ms,
            published_from: moment(published_from_ms),
            clock_off_ms,
        }
    }
}

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
    found: Vec<Crossing>,
}

#[derive(Clone, Debug)]
struct Pending {
    crossing: Crossing,
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
            let crossing = Crossing { from, to: country, at_ms, place, expect };
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
        self.found.extend(pending.map(|crossing| Crossing { expect: Expect::Either, ..crossing }));
    }

    /// What has become certain since the last call.
    pub(crate) fn take(&mut self) -> Vec<Crossing> {
        std::mem::take(&mut self.found)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<Crossing> {
        self.give_up();
        self.take()
    }
}

/// The ledger: a file of [`Line`]s as JSON, one write a line; kept in memory as well for who asks.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    file: Option<File>,
    kept: Option<Vec<Truth>>,
    failed: Option<std::io::Error>,
}

impl Ledger {
    pub(crate) fn new(file: Option<File>, keep: bool) -> Self {
        Self { file, kept: keep.then(Vec::new), failed: None }
    }

    pub(crate) fn note(&mut self, truth: Truth) {
        if let Some(kept) = &mut self.kept {
            kept.push(truth.clone());
        }
        self.write(&Line::Truth(truth));
    }

    /// The first failure is kept: a ledger with holes is not to be relied on.
    pub(crate) fn end(&mut self) -> (Vec<Truth>, Option<String>) {
        self.write(&Line::End(Timestamp::now()));
        let failed = self.failed.as_ref().map(ToString::to_string);
        (self.kept.take().unwrap_or_default(), failed)
    }

    fn write(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(line).map_err(Into::into).and_then(|mut bytes| {
            bytes.push(b'\n');
            file.write_all(&bytes)
        });
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Borders, Crossing, Expect};
    use crate::geo::Path;
    use crate::motion::{Motion, Pace};
    use crate::roads::{Network, place};

    const PACE: Pace = Pace { temper: 1.0, accelerate_mps2: 2.0, brake_mps2: 2.0 };

    /// Drives `path` to its end, reporting every `every_s`, then stays for `stay_s`.
    fn drive(path: Path, every_s: i64, stay_s: i64) -> (Vec<Crossing>, Borders) {
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

    fn across(before_m: f64, after_m: f64) -> Path {
        Network::new().across(place("Venlo border").unwrap(), before_m, after_m, true)
    }

    #[test]
    fn a_crossing_is_timed_where_the_road_meets_the_border() {
        for every_s in [1, 10, 60] {
            let (found, _) = drive(across(4_000.0, 4_000.0), every_s, 120);
            let [crossing] = &found[..] else { panic!("{every_s} s: {found:?}") };
            assert_eq!((crossing.from.code(), crossing.to.code()), ("NL", "DE"));
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
        let ways: Vec<_> = found.iter().map(|c| (c.from.code(), c.to.code())).collect();
        assert_eq!(ways, [("NL", "DE"), ("DE", "NL")]);
        assert_eq!(found[1].expect, Expect::Trigger);
    }
}
