//! What there is to say of entering and leaving an area.

use std::collections::BTreeMap;

use ingest::Fix;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::{Happened, told};
use crate::fact::{Fact, Field, Type};
use crate::places::Meaning;

/// A device went into an area, or out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The area's.
    pub name: String,
    #[serde(flatten)]
    pub meaning: Meaning,
    /// The last moment it was seen before that, and the first it was certainly on the other side.
    pub after_ms: i64,
    pub before_ms: i64,
    /// Where it was then, in degrees.
    pub lat: f64,
    pub lon: f64,
}

impl Passage {
    const FIELDS: &'static [Field] = &[
        ("name", Type::Text),
        ("kind", Type::Text),
        ("premium_factor", Type::Number),
        ("premium_percent", Type::Number),
    ];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match (name, self.meaning) {
            ("name", _) => Some(Fact::Text(self.name.as_str().into())),
            ("kind", meaning) => Some(Fact::Text(meaning.name().into())),
            ("premium_factor", Meaning::Risk { premium_factor }) => {
                Some(Fact::Number(premium_factor))
            }
            // How much more or less, for texts.
            ("premium_percent", Meaning::Risk { premium_factor }) => {
                Some(Fact::Number((premium_factor - 1.0).abs() * 100.0))
            }
            _ => None,
        }
    }

    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        let mut place = json!({ "area": self.name, "kind": self.meaning.name() });
        if let Meaning::Risk { premium_factor } = self.meaning {
            place["premium_factor"] = json!(premium_factor);
        }
        told(place, [self.after_ms, self.before_ms])
    }

    fn same_thing(&self, other: &Self) -> bool {
        (&self.name, self.meaning.name()) == (&other.name, other.meaning.name())
    }
}

/// The four ways a passage can be meant.
macro_rules! passages {
    ($($(#[$doc:meta])* $event:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct $event(pub Passage);

        impl Happened for $event {
            const FIELDS: &'static [Field] = Passage::FIELDS;

            fn fact(&self, name: &str) -> Option<Fact<'_>> {
                self.0.fact(name)
            }

            fn place(&self) -> Option<Fix> {
                Fix::new(self.0.lat, self.0.lon, None)
            }

            fn told(&self) -> BTreeMap<String, serde_json::Value> {
                self.0.told()
            }

            fn same_thing(&self, other: &Self) -> bool {
                self.0.same_thing(&other.0)
            }
        }
    )*};
}

passages! {
    /// Into a geofence of the customer, or of everybody.
    GeofenceEntered
    GeofenceLeft
    /// Into an area where a premium is another one.
    RiskAreaEntered
    RiskAreaLeft
}
