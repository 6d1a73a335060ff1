//! Booked trips: what is to be known of one before it begins, and when it is time to say so.

use std::collections::BTreeMap;

use ingest::Fix;
use ingest::report::Trip;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::Happened;
use crate::fact::{Fact, Field, Type};
use crate::places::Named;
use crate::trigger::at;
use crate::{Cause, Event, Happening};

/// How long before a trip its customer is told: forecasts are worth something by then, and there is
/// time to pack and to add cover.
const DAYS_BEFORE: i64 = 2;

/// At what hour of their day.
const HOUR: i8 = 9;

/// Which cover fits what was booked, by how a word of it begins, in English or Dutch. The first line
/// that fits counts: water skis are no skis. Insurers leave these out of usual travel cover.
const COVERS: &[(&str, &[&str])] = &[
    ("water_sports", &["water", "jet", "sail", "zeil", "surf", "windsurf", "kite", "raft"]),
    ("diving", &["dive", "diving", "scuba", "duik"]),
    ("mountaineering", &["climb", "mountaineer", "alpin", "klim", "bergbek"]),
    ("winter_sports", &["ski", "snowboard", "langlauf", "wintersport", "sled", "slee"]),
];

/// A booked trip begins soon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TripAhead {
    /// The insurer's own.
    pub id: Box<str>,
    pub from_ms: i64,
    pub to_ms: i64,
    /// The day it begins, where the customer lives.
    pub begins: String,
    /// Where to, as the insurer wrote it.
    #[serde(default)]
    pub place: Option<Box<str>>,
    /// What stands behind these words, where there was nothing else: `one`, `several`, `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Box<str>>,
    /// The same in degrees; of a place in words the middle of the town.
    #[serde(default)]
    pub lat: Option<f64>,
    #[serde(default)]
    pub lon: Option<f64>,
    #[serde(default)]
    pub activities: Vec<Box<str>>,
}

impl TripAhead {
    /// The event that a trip is for somebody who lives by that time zone. It happens when the trip
    /// begins, and its weather is that of then.
    #[must_use]
    pub fn event(trip: &Trip, time_zone: &str) -> Event {
        let (fix, named) = match (trip.fix, trip.place.as_deref().map(Named::look_up)) {
            (Some(fix), _) => (Some(fix), None),
            (None, Some(named)) => (named.town().map(|town| town.fix), Some(named.name().into())),
            (None, None) => (None, None),
        };
        let begins = day_of(trip.from_ms, time_zone).to_string();
        let ahead = Self {
            id: trip.id.clone(),
            from_ms: trip.from_ms,
            to_ms: trip.to_ms,
            begins,
            place: trip.place.clone(),
            named,
            lat: fix.map(|fix| fix.lat()),
            lon: fix.map(|fix| fix.lon()),
            activities: trip.activities.clone(),
        };
        Event {
            time_ms: trip.from_ms,
            known_ms: trip.from_ms,
            cause: Cause { time_ms: trip.from_ms, seq: None, content: 0 },
            happening: Happening::TripAhead(ahead),
        }
    }

    /// When it is time to tell somebody who lives by that time zone: at nine in the morning, two days
    /// before the day it begins.
    #[must_use]
    pub fn due_ms(from_ms: i64, time_zone: &str) -> i64 {
        let zone = zone(time_zone);
        let day = at(from_ms).to_zoned(zone.clone()).date().checked_sub(DAYS_BEFORE.days());
        let due = day.and_then(|day| day.at(HOUR, 0, 0, 0).to_zoned(zone));
        due.map_or(from_ms, |due| due.timestamp().as_millisecond())
    }

    /// What was booked that needs a cover of its own, and which.
    fn cover(&self) -> Option<(&str, &'static str)> {
        self.activities.iter().find_map(|activity| {
            let lower = activity.to_lowercase();
            let fits = |beginning: &&str| {
                lower.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(beginning))
            };
            let cover = COVERS.iter().find(|(_, words)| words.iter().any(fits));
            cover.map(|(cover, _)| (&**activity, *cover))
        })
    }
}

/// A journey that a customer has booked, as far as it says how long one they are on will last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Booked {
    /// Who reported it: nobody else learns of it.
    pub insurer: Box<str>,
    pub from_ms: i64,
    pub to_ms: i64,
}

/// Somebody may set out so long before what they booked begins. Our own choice.
const SET_OUT_MS: i64 = 24 * 3_600_000;

impl Booked {
    /// Whether somebody may be on it at that time.
    #[must_use]
    pub fn holds(&self, time_ms: i64) -> bool {
        self.from_ms - SET_OUT_MS <= time_ms && time_ms < self.to_ms
    }
}

/// The day it is then for somebody who lives by that time zone.
pub(crate) fn day_of(time_ms: i64, time_zone: &str) -> Date {
    at(time_ms).to_zoned(zone(time_zone)).date()
}

/// A time zone that nobody knows is UTC.
fn zone(time_zone: &str) -> TimeZone {
    TimeZone::get(time_zone).unwrap_or(TimeZone::UTC)
}

impl Happened for TripAhead {
    const FIELDS: &'static [Field] = &[
        ("begins", Type::Text),
        ("days", Type::Number),
        ("place", Type::Text),
        ("activity", Type::Text),
        ("cover", Type::Text),
    ];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "begins" => Some(Fact::Text(self.begins.as_str().into())),
            "days" => {
                let days = (self.to_ms - self.from_ms) as f64 / 86_400_000.0;
                Some(Fact::Number(days.ceil().max(1.0)))
            }
            "place" => self.place.as_deref().map(|place| Fact::Text(place.into())),
            "activity" => self.cover().map(|(activity, _)| Fact::Text(activity.into())),
            "cover" => self.cover().map(|(_, cover)| Fact::Text(cover.into())),
            _ => None,
        }
    }

    fn place(&self) -> Option<Fix> {
        Fix::new(self.lat?, self.lon?, None)
    }

    /// Nothing but what the insurer said itself.
    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        let (from, to): (Timestamp, Timestamp) = (at(self.from_ms), at(self.to_ms));
        let mut trip = json!({ "id": self.id, "from": from, "to": to, "begins": self.begins });
        if let (Some((activity, cover)), Some(trip)) = (self.cover(), trip.as_object_mut()) {
            trip.insert("activity".to_owned(), activity.into());
            trip.insert("cover".to_owned(), cover.into());
        }
        if let (Some(named), Some(trip)) = (&self.named, trip.as_object_mut()) {
            trip.insert("place_named".to_owned(), named.as_ref().into());
        }
        BTreeMap::from([("trip".to_owned(), trip)])
    }

    fn same_thing(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TripAhead;

    fn ms(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn it_is_told_in_the_morning_two_days_before() {
        let due = |from, zone| TripAhead::due_ms(ms(from), zone);
        let amsterdam = "Europe/Amsterdam";
        assert_eq!(due("2026-01-15T05:00:00Z", amsterdam), ms("2026-01-13T08:00:00Z"));
        // Already the 16th there.
        assert_eq!(due("2026-01-15T23:30:00Z", amsterdam), ms("2026-01-14T08:00:00Z"));
        // The clocks go forward in between.
        assert_eq!(due("2026-03-30T10:00:00Z", amsterdam), ms("2026-03-28T08:00:00Z"));
        assert_eq!(due("2026-01-15T05:00:00Z", "Mars/Olympus"), ms("2026-01-13T09:00:00Z"));
    }

    #[test]
    fn what_was_booked_says_which_cover_fits() {
        let cover = |activities: &[&str]| {
            let ahead = TripAhead {
                id: "T-1".into(),
                from_ms: 0,
                to_ms: 0,
                begins: String::new(),
                place: None,
                named: None,
                lat: None,
                lon: None,
                activities: activities.iter().map(|word| (*word).into()).collect(),
            };
            ahead.cover().map(|(activity, cover)| (activity.to_owned(), cover))
        };
        let fits = |activity: &str, cover| Some((activity.to_owned(), cover));
        assert_eq!(cover(&["museum", "Skiing"]), fits("Skiing", "winter_sports"));
        assert_eq!(cover(&["water-ski"]), fits("water-ski", "water_sports"));
        assert_eq!(cover(&["cross-country skiing"]), fits("cross-country skiing", "winter_sports"));
        assert_eq!(cover(&["whisky tasting", "beach"]), None);
    }

    proptest! {
        #[test]
        fn it_is_never_told_later_than_it_begins(from_ms in 0..4_000_000_000_000_i64, zone in 0..3_usize) {
            let zone = ["Pacific/Kiritimati", "America/Los_Angeles", "Europe/Amsterdam"][zone];
            let ahead_ms = from_ms - TripAhead::due_ms(from_ms, zone);
            prop_assert!((37 * 3_600_000..64 * 3_600_000).contains(&ahead_ms));
        }
    }
}
