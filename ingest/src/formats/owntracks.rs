//! OwnTracks: one JSON object a message, of which `_type` says what it is.
//!
//! Only what a measure stands for is read. The network's name, who is near, how the phone is
//! connected and why it reported stay unread: nobody needs them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Draft, Field, Problem};
use super::scalar::Scalar;
use super::{greenwich, time};
use crate::{Measure, Reason};

const KMH_TO_MPS: f64 = 1.0 / 3.6;
const KPA_TO_PA: f64 = 1e3;
const KM_TO_M: f64 = 1e3;

/// The reading in a message; `None` for the types that carry none.
pub(super) fn read(payload: &[u8]) -> Result<Option<Draft>, Problem> {
    let problem = |detail| Problem::new(Reason::NotDecodable, detail);
    let text =
        std::str::from_utf8(payload).map_err(|error| problem(format!("not UTF-8: {error}")))?;
    if !text.trim_ascii_start().starts_with('{') {
        return greenwich::read(text).map(Some);
    }
    let message: Message =
        serde_json::from_str(text).map_err(|error| problem(format!("not OwnTracks: {error}")))?;
    match &message.kind {
        Scalar::Text(kind) => message.draft(kind),
        _ => Err(problem("_type is missing".into())),
    }
}

/// The documented fields that we use, of all types together.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(rename = "_type", borrow)]
    kind: Scalar<'a>,
    #[serde(borrow)]
    tst: Scalar<'a>,
    #[serde(borrow)]
    lat: Scalar<'a>,
    #[serde(borrow)]
    lon: Scalar<'a>,
    #[serde(borrow)]
    acc: Scalar<'a>,
    #[serde(borrow)]
    alt: Scalar<'a>,
    #[serde(borrow)]
    vel: Scalar<'a>,
    #[serde(borrow)]
    cog: Scalar<'a>,
    #[serde(borrow)]
    batt: Scalar<'a>,
    #[serde(borrow)]
    p: Scalar<'a>,
    #[serde(borrow)]
    odometer: Scalar<'a>,
    #[serde(borrow)]
    ign: Scalar<'a>,
    #[serde(borrow)]
    flvl: Scalar<'a>,
    #[serde(borrow)]
    motionactivities: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Scalar<'a>,
    #[serde(borrow)]
    desc: Scalar<'a>,
    #[serde(borrow)]
    rid: Scalar<'a>,
    #[serde(borrow)]
    steps: Scalar<'a>,
    #[serde(borrow)]
    from: Scalar<'a>,
    #[serde(borrow)]
    to: Scalar<'a>,
}

impl Message<'_> {
    fn draft(&self, kind: &str) -> Result<Option<Draft>, Problem> {
        match kind {
            "location" => self.location().map(Some),
            "transition" => self.transition().map(Some),
            "steps" => Ok(self.steps()),
            "encrypted" => Err(Problem::new(Reason::Encrypted, "_type is encrypted")),
            // lwt, card, waypoint, cmd and whatever later versions add.
            _ => Ok(None),
        }
    }

    fn location(&self) -> Result<Draft, Problem> {
        if self.lat == Scalar::Null || self.lon == Scalar::Null {
            return Err(Problem::new(Reason::NoValidFix, "a location without lat and lon"));
        }
        let mut draft = self.fix();
        draft.put_as("alt", Field::Measure(Measure::AltitudeM), &number(&self.alt));
        put_known(&mut draft, "vel", Measure::SpeedMps, &self.vel, KMH_TO_MPS);
        put_known(&mut draft, "cog", Measure::CourseDeg, &self.cog, 1.0);
        put_known(&mut draft, "batt", Measure::BatteryPct, &self.batt, 1.0);
        put_known(&mut draft, "p", Measure::PressurePa, &self.p, KPA_TO_PA);
        put_known(&mut draft, "odometer", Measure::OdometerM, &self.odometer, KM_TO_M);
        put_known(&mut draft, "flvl", Measure::FuelPct, &self.flvl, 1.0);
        draft.put_as("ign", Field::Measure(Measure::Ignition), &self.ign);
        if let Some(activity) = self.motionactivities.and_then(activity) {
            let word = Scalar::Text(activity.into());
            draft.put_as("motionactivities", Field::Measure(Measure::Activity), &word);
        }
        Ok(draft)
    }

    /// A region entered or left. Beacons have no place of their own, so it may come without a fix.
    fn transition(&self) -> Result<Draft, Problem> {
        let mut draft = self.fix();
        if self.event == Scalar::Null {
            return Err(Problem::new(Reason::NothingMeasured, "a transition without event"));
        }
        draft.put_as("event", Field::Measure(Measure::RegionEvent), &self.event);
        let (name, region) = match &self.desc {
            Scalar::Null => ("rid", &self.rid),
            named => ("desc", named),
        };
        draft.put_as(name, Field::Measure(Measure::Region), region);
        Ok(draft)
    }

    /// `None` from phones that cannot count (-1).
    ///
    /// The count covers `from` to `to`. An end that lies after the report (the end of today) has
    /// not happened yet, so such a count ends with the report.
    fn steps(&self) -> Option<Draft> {
        if number(&self.steps).number().is_some_and(|steps| steps < 0.0) {
            return None;
        }
        let at = |value| time::parse("", value).ok();
        let (name, until) = match (at(&self.to), at(&self.tst)) {
            (Some(to), Some(tst)) if to < tst => ("to", &self.to),
            _ => ("tst", &self.tst),
        };
        let mut draft = Draft::default();
        draft.put_as(name, Field::Time, until);
        draft.put_as("steps", Field::Measure(Measure::Steps), &number(&self.steps));
        if let (Some(from), Some(until)) = (at(&self.from), at(until)) {
            let seconds = Scalar::Number(until.saturating_sub(from) as f64 / 1e3);
            draft.put_as("from", Field::Measure(Measure::StepsPeriodS), &seconds);
        }
        Some(draft)
    }

    /// Time and place, as far as sent.
    fn fix(&self) -> Draft {
        let mut draft = Draft::default();
        draft.put_as("tst", Field::Time, &self.tst);
        draft.put(Field::Lat, &number(&self.lat));
        draft.put(Field::Lon, &number(&self.lon));
        draft.put_as("acc", Field::Accuracy, &number(&self.acc));
        draft
    }
}

/// Puts a number that is never negative: a negative one means "unknown".
pub(super) fn put_known(
    draft: &mut Draft,
    name: &str,
    measure: Measure,
    value: &Scalar,
    factor: f64,
) {
    let value = match number(value) {
        value if value.number().is_some_and(|number| number < 0.0) => return,
        Scalar::Whole(whole) if factor != 1.0 => converted(whole as f64, factor),
        Scalar::Number(number) if factor != 1.0 => converted(number, factor),
        value => value,
    };
    draft.put_as(name, Field::Measure(measure), &value);
}

/// To a thousandth of the unit, which is finer than any of these devices measures and keeps
/// 35 km/h from being stored as 9.722222222222221 m/s.
fn converted(number: f64, factor: f64) -> Scalar<'static> {
    Scalar::Number((number * factor * 1e3).round() / 1e3)
}

/// Older devices write numbers as texts.
fn number<'a>(value: &Scalar<'a>) -> Scalar<'a> {
    match value {
        Scalar::Text(text) => text.parse().map_or_else(|_| value.clone(), Scalar::Number),
        other => other.clone(),
    }
}

/// The word for the fastest of the activities that iOS thinks possible: a car that waits at a
/// light is both "stationary" and "automotive". `None` for "unknown", and for what is no list of
/// words.
fn activity(activities: &RawValue) -> Option<&'static str> {
    let words: Vec<Cow<str>> = serde_json::from_str(activities.get()).ok()?;
    [
        ("automotive", "driving"),
        ("cycling", "cycling"),
        ("running", "running"),
        ("walking", "walking"),
        ("stationary", "still"),
    ]
    .into_iter()
    .find_map(|(theirs, ours)| words.iter().any(|word| word == theirs).then_some(ours))
}
