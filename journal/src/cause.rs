//! The reading behind an event: in the batch, in memory or sealed.

use enrich::Cause;
use ingest::Reading;
use rusqlite::{Connection, OptionalExtension, Result};

use crate::chunk;
use crate::history::History;
use crate::seal::damaged;

/// Where the readings of one device are to be found, newest first.
#[derive(Clone, Copy)]
pub(crate) struct Readings<'a> {
    /// Those of this batch, which are not in memory yet.
    pub(crate) new: &'a [&'a Reading],
    pub(crate) history: Option<&'a History>,
    pub(crate) windows: &'a [i64],
}

impl Readings<'_> {
    /// The reading behind an event. What an event was first found by may have been told apart from
    /// another's by its content, so that time and sequence number decide.
    pub(crate) fn find(
        self,
        connection: &Connection,
        device: u32,
        cause: &Cause,
    ) -> Result<Option<Reading>> {
        let same =
            |reading: &&Reading| (reading.time_ms, reading.seq) == (cause.time_ms, cause.seq);
        if let Some(reading) = self.new.iter().copied().find(same) {
            return Ok(Some(reading.clone()));
        }
        let open = self.history.map(|history| history.open.readings()).unwrap_or_default();
        if let Some(reading) = open.iter().find(same) {
            return Ok(Some(reading.clone()));
        }
        let mut chunks = connection.prepare_cached(
            "SELECT columns FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms <= ?3
             ORDER BY start_ms DESC LIMIT 1",
        )?;
        for window in self.windows.iter().rev() {
            let columns: Option<Vec<u8>> =
                chunks.query_row((window, device, cause.time_ms), |row| row.get(0)).optional()?;
            let Some(columns) = columns else { continue };
            let readings = chunk::open(&columns).map_err(damaged)?;
            if let Some(reading) = readings.iter().find(same) {
                return Ok(Some(reading.clone()));
            }
        }
        Ok(None)
    }
}
