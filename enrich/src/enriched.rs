//! A reading with what was known around it.

use ingest::{Fix, Reading};

use crate::places::{Atlas, Whereabouts};
use crate::weather::{Cell, Feed};

/// What the core looks things up in. The same world gives the same answers for ever.
#[derive(Debug)]
pub struct World {
    pub atlas: Atlas,
    pub weather: Feed,
}

/// A reading, whose it was, and where that is. Weather is joined by reference (cell and hour): the
/// row is looked up where somebody needs it, and the reading is never rewritten.
#[derive(Clone, Debug)]
pub struct EnrichedReading<'a> {
    pub reading: &'a Reading,
    /// The journal's number for the customer who owned the device at the reading's time.
    pub owner: u32,
    pub place: Option<(Fix, Whereabouts)>,
    pub cell: Option<Cell>,
}

impl<'a> EnrichedReading<'a> {
    #[must_use]
    pub fn join(reading: &'a Reading, owner: u32, world: &World) -> Self {
        Self {
            reading,
            owner,
            place: reading.fix.map(|fix| (fix, world.atlas.locate(&fix))),
            cell: reading.fix.map(|fix| Cell::of(fix.lat(), fix.lon())),
        }
    }
}
