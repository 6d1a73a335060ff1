//! A reading with what was known around it.

use ingest::{Fix, Reading};

use crate::places::{Atlas, Whereabouts};
use crate::weather::Feed;

/// What the core looks things up in. The same world gives the same answers for ever.
#[derive(Debug)]
pub struct World {
    pub atlas: Atlas,
    pub weather: Feed,
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
