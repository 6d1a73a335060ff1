//! A reading with what was known around it.

use ingest::{Fix, Reading};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::Country;
use crate::law::{self, Duty};
use crate::places::{Atlas, Details, Whereabouts};
use crate::road::{Condition, Inputs, Road};
use crate::trigger::at;
use crate::weather::Feed;

/// What the core looks things up in. The same world gives the same answers for ever.
#[derive(Debug)]
pub struct World {
    pub atlas: Atlas,
    pub weather: Feed,
}

impl World {
    /// The state of the road at a place, at its height where that is known, and time, as it was
    /// known at `now_ms`.
    #[must_use]
    pub fn road(&self, fix: &Fix, altitude_m: Option<f64>, time_ms: i64, now_ms: i64) -> Road {
        let inputs = Inputs::as_of(&self.weather, fix, time_ms, now_ms);
        inputs.map_or(Road::UNKNOWN, |inputs| Road::assess(&inputs.at_altitude(altitude_m)))
    }

    /// What winter-tyre law asks for at a place in `country`, on the day it is there.
    #[must_use]
    pub fn tyre_duty(&self, fix: &Fix, country: Country, time_ms: i64, road: Condition) -> Duty {
        let here = self.atlas.details(fix);
        // On a border the nearest region may be the other country's.
        let region = here.region.and_then(|region| region.iso());
        let region = region.filter(|iso| iso.starts_with(country.code()));
        law::duty(country, region.as_deref(), day(&here, time_ms), road)
    }
}

/// The day it is at a place.
pub(crate) fn day(here: &Details, time_ms: i64) -> Date {
    let zone = here.time_zone.and_then(|zone| TimeZone::get(zone).ok());
    at(time_ms).to_zoned(zone.unwrap_or(TimeZone::UTC)).date()
}

/// A reading, whose it was, and where that is. Its weather is the row of that place and hour, looked
/// up as of now ([`Feed::as_of`]) where somebody needs it; the reading is never rewritten.
#[derive(Clone, Debug)]
pub struct EnrichedReading<'a> {
    pub reading: &'a Reading,
    /// The journal's number for the customer who owned the device at the reading's time.
    pub owner: u32,
    pub place: Option<(Fix, Whereabouts)>,
}

impl<'a> EnrichedReading<'a> {
    #[must_use]
    pub fn join(reading: &'a Reading, owner: u32, world: &World) -> Self {
        Self { reading, owner, place: reading.fix.map(|fix| (fix, world.atlas.locate(&fix))) }
    }
}
