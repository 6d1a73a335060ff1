//! What detectors notice, and how late data changes it.

use std::collections::BTreeMap;

use ingest::{Fix, Reading};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Country;
use crate::detect::Happening;
use crate::fact::{Fact, Field, Type};

/// The reading that made an event happen: what a trigger's id is derived from, since unlike an
/// interpolated time it does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub time_ms: i64,
    pub seq: Option<u64>,
    /// The first eight bytes of the SHA-256 of the reading's content.
    pub content: u64,
}

impl Cause {
    #[must_use]
    pub fn of(reading: &Reading) -> Self {
        // JSON of a reading is canonical: fields in order, measures sorted, numbers finite.
        let content = serde_json::to_vec(&(reading.fix, &reading.measures)).unwrap_or_default();
        let digest = Sha256::digest(&content);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self { time_ms: reading.time_ms, seq: reading.seq, content: u64::from_be_bytes(first) }
    }
}

/// Something a detector noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, as well as the readings tell.
    pub time_ms: i64,
    /// When, in event time, it could be known: places the event in the device's history.
    pub known_ms: i64,
    pub cause: Cause,
    pub happening: Happening,
}

/// What a kind of event says about itself. The list of kinds is with the detectors.
pub trait Happened {
    /// What rules may ask of it, as `event.…`.
    const FIELDS: &'static [Field];

    fn fact(&self, name: &str) -> Option<Fact<'_>>;

    /// Where it happened, as well as the readings tell.
    fn place(&self) -> Option<Fix>;

    /// The country it is about, where it knows better than its place, which may lie on a border.
    fn country(&self) -> Option<Country> {
        None
    }

    /// What an insurer may be told of it: the countries, never the track.
    fn told(&self) -> BTreeMap<String, serde_json::Value>;

    /// Whether two findings are about the same thing, seen with more or less data.
    fn same_thing(&self, other: &Self) -> bool;
}

/// A device left one country for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BorderCrossed {
    pub from: Country,
    pub to: Country,
    /// The last moment it was certainly still in `from`, and the first certainly in `to`.
    pub after_ms: i64,
    pub before_ms: i64,
    /// Where it crossed, as well as the readings tell, in degrees; where it was first seen in `to`
    /// when it `arrived`.
    pub lat: f64,
    pub lon: f64,
    /// How far it has gone since the border of `from`, along its fixes, by the time the crossing was
    /// certain. `None` where the way is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_border_m: Option<f64>,
    /// A pause, a flight or a jump lies between the two moments: it crossed somewhere, some time
    /// between them.
    #[serde(default)]
    pub arrived: bool,
    /// How likely it was in both countries, at least: 0 to 1, by the accuracy and the distance from
    /// the border of the best fix in each.
    #[serde(default = "certain")]
    pub certainty: f64,
}

/// Of a crossing that somebody makes up to try a rule with.
fn certain() -> f64 {
    1.0
}

impl Happened for BorderCrossed {
    const FIELDS: &'static [Field] = &[
        ("from", Type::Text),
        ("to", Type::Text),
        ("arrived", Type::Flag),
        ("past_border_m", Type::Number),
        ("certainty", Type::Number),
    ];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "from" => Some(Fact::Country(self.from)),
            "to" => Some(Fact::Country(self.to)),
            "arrived" => Some(Fact::Flag(self.arrived)),
            "past_border_m" => self.past_border_m.map(Fact::Number),
            "certainty" => Some(Fact::Number(self.certainty)),
            _ => None,
        }
    }

    fn place(&self) -> Option<Fix> {
        Fix::new(self.lat, self.lon, None)
    }

    fn country(&self) -> Option<Country> {
        Some(self.to)
    }

    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        let named =
            |country: Country| json!({ "country": country.code(), "name": country.name("en") });
        let place = json!({ "from": named(self.from), "to": named(self.to) });
        let mut told = told(place, [self.after_ms, self.before_ms]);
        told.insert("arrived".to_owned(), self.arrived.into());
        told.insert("certainty".to_owned(), self.certainty.into());
        if let Some(metres) = self.past_border_m {
            // To 100 m: how far the journey has got, and no more of where.
            told.insert("past_border_m".to_owned(), ((metres / 100.0).round() * 100.0).into());
        }
        told
    }

    fn same_thing(&self, other: &Self) -> bool {
        (self.from, self.to) == (other.from, other.to)
    }
}

/// Where it happened in words, and between which moments.
pub(crate) fn told(
    place: serde_json::Value,
    between_ms: [i64; 2],
) -> BTreeMap<String, serde_json::Value> {
    let between = between_ms.map(|time_ms| {
        Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
    });
    BTreeMap::from([("place".to_owned(), place), ("between".to_owned(), json!(between))])
}

/// What late data did to the events of a stretch of history.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    New(Event),
    /// The place in the old list, and what it is now.
    Revised(usize, Event),
    Withdrawn(usize),
}

/// Compares the events known before with those the same stretch of history gives now. Both are in
/// the order they became known. An event is known by its cause; one that is found by another
/// reading now keeps its identity, and takes that of the nearest one about the same thing whose
/// own cause no longer causes anything.
#[must_use]
pub fn compare(before: &[Event], now: Vec<Event>) -> Vec<Change> {
    let mut places = vec![None; now.len()];
    let mut taken = vec![false; before.len()];
    let ways: [fn(&Event, &Event) -> bool; 3] = [
        |old, new| old.cause == new.cause,
        |old, new| *old == Event { cause: old.cause, ..new.clone() },
        |old, new| old.happening.same_thing(&new.happening),
    ];
    for same in ways {
        for (event, place) in now.iter().zip(&mut places).filter(|(_, place)| place.is_none()) {
            *place = before
                .iter()
                .enumerate()
                .filter(|(at, old)| !taken[*at] && same(old, event))
                .min_by_key(|(_, old)| old.time_ms.abs_diff(event.time_ms))
                .map(|(at, _)| at);
            if let Some(at) = *place {
                taken[at] = true;
            }
        }
    }
    let found = now.into_iter().zip(places).filter_map(|(event, place)| match place {
        None => Some(Change::New(event)),
        Some(at) if before[at] == event => None,
        Some(at) => Some(Change::Revised(at, event)),
    });
    let gone = taken.iter().enumerate().filter(|(_, taken)| !**taken);
    // First what is taken back: whoever is told of both hears it in the order it makes sense.
    gone.map(|(at, _)| Change::Withdrawn(at)).chain(found).collect()
}

#[cfg(test)]
mod tests {
    use super::{BorderCrossed, Cause, Change, Event, Happening, compare};
    use crate::Country;

    fn crossing(time_ms: i64, from: &str, to: &str) -> Event {
        let code = |name| Country::new(name).unwrap();
        Event {
            time_ms,
            known_ms: time_ms + 20_000,
            cause: Cause { time_ms, seq: None, content: 7 },
            happening: Happening::BorderCrossed(BorderCrossed {
                from: code(from),
                to: code(to),
                after_ms: time_ms - 1_000,
                before_ms: time_ms,
                lat: 50.0,
                lon: 6.0,
                past_border_m: Some(500.0),
                arrived: false,
                certainty: 0.98,
            }),
        }
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let events = vec![crossing(1, "NL", "DE"), crossing(9, "DE", "NL")];
        assert_eq!(compare(&events, events.clone()), []);
    }

    #[test]
    fn a_better_known_crossing_is_a_revision_of_the_nearest_same_one() {
        let before = [crossing(10_000, "NL", "DE"), crossing(90_000, "NL", "DE")];
        let better = crossing(9_000, "NL", "DE");
        let now = vec![better.clone(), before[1].clone()];
        assert_eq!(compare(&before, now), [Change::Revised(0, better)]);
    }

    #[test]
    fn a_crossing_that_never_was_is_withdrawn_and_another_is_new() {
        let before = [crossing(10, "NL", "BE")];
        let real = crossing(20, "NL", "DE");
        assert_eq!(compare(&before, vec![real.clone()]), [Change::Withdrawn(0), Change::New(real)]);
    }

    #[test]
    fn an_earlier_crossing_found_later_does_not_take_the_identity_of_one_that_stands() {
        let before = [crossing(90_000, "NL", "DE")];
        let earlier = crossing(10_000, "NL", "DE");
        let mut stands = before[0].clone();
        stands.time_ms += 1;
        let changes = compare(&before, vec![earlier.clone(), stands.clone()]);
        assert_eq!(changes, [Change::New(earlier), Change::Revised(0, stands)]);
    }

    #[test]
    fn an_event_keeps_the_identity_it_took() {
        let taken = crossing(10_000, "NL", "DE");
        let found = Event { cause: Cause { seq: Some(2), ..taken.cause }, ..taken.clone() };
        let earlier = crossing(9_000, "NL", "DE");
        let changes = compare(&[taken], vec![earlier.clone(), found.clone()]);
        assert_eq!(changes, [Change::New(earlier), Change::Revised(0, found)]);
    }
}
