//! The detectors, in the order they see a reading.
//!
//! A detector is a file with a `Memory` (small, bounded, comparable; a [`Detector`]) and the events
//! it notices ([`Happened`]). To add one, write that file and name it in the list below.

pub mod area;
pub mod border;
pub mod frost;
pub mod tyres;

use std::collections::BTreeMap;

use ingest::Fix;
use serde::{Deserialize, Serialize};

use self::area::{GeofenceEntered, GeofenceLeft, RiskAreaEntered, RiskAreaLeft};
use self::frost::FrostRisk;
use self::tyres::{OdometerDoubted, TyresUnfit};
use crate::event::{BorderCrossed, Happened};
use crate::fact::{Fact, Field};
use crate::{Country, EnrichedReading, Event, TripAhead, World};

/// From the list of detectors and their events, and of the events that no detector notices: the memories
/// of a device, and the events there are.
macro_rules! detectors {
    ([$($reported:ident $called:literal),*] $($detector:ident: $($event:ident $name:literal),+;)*) => {
        /// The detectors' memories of one device.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub(crate) struct Memories {
            $($detector: $detector::Memory,)*
        }

        impl Detector for Memories {
            fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
                $(self.$detector.read(seen, world, events);)*
            }

            fn due_ms(&self) -> Option<i64> {
                [$(self.$detector.due_ms()),*].into_iter().flatten().min()
            }

            fn wait(&mut self, now_ms: i64, world: &World, events: &mut Vec<Event>) {
                $(self.$detector.wait(now_ms, world, events);)*
            }
        }

        /// The events there are.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "event")]
        pub enum Happening {
            $($(#[serde(rename = $name)] $event($event),)+)*
            $(#[serde(rename = $called)] $reported($reported),)*
        }

        impl Happening {
            /// The names that rules refer to in `on`.
            pub const NAMES: &[&str] = &[$($($name,)+)* $($called),*];

            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $($(Self::$event(_) => $name,)+)*
                    $(Self::$reported(_) => $called,)*
                }
            }

            /// What rules may ask of events of that name; `None` when there are none.
            #[must_use]
            pub fn fields(name: &str) -> Option<&'static [Field]> {
                match name {
                    $($($name => Some($event::FIELDS),)+)*
                    $($called => Some($reported::FIELDS),)*
                    _ => None,
                }
            }

            #[must_use]
            pub fn fact(&self, name: &str) -> Option<Fact<'_>> {
                match self {
                    $($(Self::$event(event) => event.fact(name),)+)*
                    $(Self::$reported(event) => event.fact(name),)*
                }
            }

            /// All that rules may ask of it and that is known.
            pub fn facts(&self) -> impl Iterator<Item = (&'static str, Fact<'_>)> {
                let fields = Self::fields(self.name()).unwrap_or_default();
                fields.iter().filter_map(|(name, _)| Some((*name, self.fact(name)?)))
            }

            /// Where it happened, as well as the readings tell.
            #[must_use]
            pub fn place(&self) -> Option<Fix> {
                match self {
                    $($(Self::$event(event) => event.place(),)+)*
                    $(Self::$reported(event) => event.place(),)*
                }
            }

            /// The country it is about, where it knows better than its place.
            pub(crate) fn country(&self) -> Option<Country> {
                match self {
                    $($(Self::$event(event) => event.country(),)+)*
                    $(Self::$reported(event) => event.country(),)*
                }
            }

            /// What an insurer may be told of it.
            #[must_use]
            pub fn told(&self) -> BTreeMap<String, serde_json::Value> {
                match self {
                    $($(Self::$event(event) => event.told(),)+)*
                    $(Self::$reported(event) => event.told(),)*
                }
            }

            /// Whether two findings are about the same thing, seen with more or less data.
            pub(crate) fn same_thing(&self, other: &Self) -> bool {
                match (self, other) {
                    $($((Self::$event(a), Self::$event(b)) => a.same_thing(b),)+)*
                    $((Self::$reported(a), Self::$reported(b)) => a.same_thing(b),)*
                    _ => false,
                }
            }
        }
    };
}

detectors! {
    // What insurers report: no detector notices it.
    [TripAhead "trip_ahead"]
    border: BorderCrossed "border_crossed";
    area:
        GeofenceEntered "geofence_entered", GeofenceLeft "geofence_left",
        RiskAreaEntered "risk_area_entered", RiskAreaLeft "risk_area_left";
    tyres: TyresUnfit "tyres_unfit", OdometerDoubted "odometer_doubted";
    frost: FrostRisk "frost_risk";
}

impl Memories {
    /// The tyres and tread that a car has said it has.
    pub(crate) fn fitted(&self) -> (Option<tyres::Tyre>, Option<f64>) {
        self.tyres.fitted()
    }
}

/// What a detector remembers of a device, and how it learns.
pub(crate) trait Detector {
    /// Takes the next reading of the device's history.
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>);

    /// When something happens next if no reading comes.
    fn due_ms(&self) -> Option<i64> {
        None
    }

    /// Lets time pass up to `now_ms`, also when nothing of its own is due.
    fn wait(&mut self, _now_ms: i64, _world: &World, _events: &mut Vec<Event>) {}
}
