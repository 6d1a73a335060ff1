//! The sealed history of a device, cut off at a moment.

use std::cell::Cell;

use enrich::registry::Registry;
use enrich::{DeviceState, World};
use ingest::Reading;
use rusqlite::{Connection, OptionalExtension, Result};

use crate::chunk;
use crate::history::run;
use crate::purge::put_chunk;
use crate::seal::{damaged, decode_state};

/// What goes through sealed history.
pub(super) struct Cut<'a> {
    pub(super) connection: &'a Connection,
    pub(super) registry: &'a Registry,
    pub(super) world: &'a World,
    pub(super) windows: &'a [i64],
    pub(super) since_ms: i64,
    /// How many windows were looked into for what follows.
    pub(super) looked_into: Cell<usize>,
}

/// What was done to a device.
pub(super) struct Did {
    pub(super) readings: u64,
    pub(super) stretches: usize,
    /// Nothing is left to be done from this window on.
    pub(super) done: bool,
}

/// Where a stretch is: in the window at a place, from a moment on.
type Place = (usize, i64);

impl Cut<'_> {
    /// The first device from one on that has a stretch in the window at a place.
    pub(super) fn next_device(&self, (window, device): (usize, u32)) -> Result<Option<u32>> {
        let Some(window) = self.windows.get(window) else { return Ok(None) };
        self.connection
            .prepare_cached(
                "SELECT device FROM chunk WHERE window = ?1 AND device >= ?2
                 ORDER BY device LIMIT 1",
            )?
            .query_row((window, device), |row| row.get(0))
            .optional()
    }

    /// Drops the window at a place if nothing is in it any more, but not the one that is sealed into:
    /// whoever looks for a reading looks into all that there are. Returns whether it went.
    pub(super) fn drop_empty(&self, window: usize) -> Result<bool> {
        if window + 1 >= self.windows.len() || self.next_device((window, 0))?.is_some() {
            return Ok(false);
        }
        let number = self.windows.get(window);
        self.connection
            .prepare_cached("DELETE FROM window WHERE number = ?1")?
            .execute([number])?;
        Ok(true)
    }

    /// Takes what is too old from the front of a device's history, as far as it is in this window
    /// or begins in it; about `most` stretches of it at once.
    ///
    /// What comes first always holds whatever comes from before, and knows what detectors knew
    /// there: where nothing else is sealed, a stretch without readings. Of a silent device nothing
    /// is known.
    pub(super) fn device(
        &self,
        window: usize,
        device: u32,
        silent: bool,
        most: usize,
    ) -> Result<Did> {
        let mut did = Did { readings: 0, stretches: 0, done: true };
        let Some(mut at) = self.first(window, device)? else { return Ok(did) };
        loop {
            let columns = self.columns(device, at)?;
            let first_ms = chunk::first_ms(&columns).map_err(damaged)?;
            if first_ms.is_some_and(|first_ms| first_ms >= self.since_ms) {
                if did.stretches > 0 {
                    self.begin_with(device, at)?;
                }
                return Ok(did);
            }
            did.stretches += 1;
            let readings = chunk::open(&columns).map_err(damaged)?;
            let old = readings.partition_point(|reading| reading.time_ms < self.since_ms);
            let (old, kept) = readings.split_at(old);
            did.readings += old.len() as u64;
            let next = match kept {
                [] if silent && old.is_empty() => None,
                [] => self.following(device, at)?,
                _ => None,
            };
            let Some(next) = next else {
                let known = self.state(device, at)?;
                let state = match silent && kept.is_empty() {
                    true => DeviceState::default(),
                    false => self.state_after(known.clone(), device, old),
                };
                if !old.is_empty() || at.1 != i64::MIN || state != known {
                    self.delete(device, at)?;
                    put_chunk(self.connection, self.key(device, (at.0, i64::MIN)), &state, kept)?;
                }
                return Ok(did);
            };
            self.delete(device, at)?;
            at = next;
            if did.stretches >= most.max(1) {
                did.done = at.0 != window;
                self.begin_with(device, at)?;
                return Ok(did);
            }
        }
    }

    fn key(&self, device: u32, (window, start_ms): Place) -> (i64, u32, i64) {
        (self.windows.get(window).copied().unwrap_or_default(), device, start_ms)
    }

    fn first(&self, window: usize, device: u32) -> Result<Option<Place>> {
        let (number, device, _) = self.key(device, (window, 0));
        let start_ms = self
            .connection
            .prepare_cached(
                "SELECT start_ms FROM chunk WHERE window = ?1 AND device = ?2
                 ORDER BY start_ms LIMIT 1",
            )?
            .query_row((number, device), |row| row.get(0))
            .optional()?;
        Ok(start_ms.map(|start_ms| (window, start_ms)))
    }

    /// The stretch after one.
    fn following(&self, device: u32, at: Place) -> Result<Option<Place>> {
        let key = self.key(device, at);
        let here: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT start_ms FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms > ?3
                 ORDER BY start_ms LIMIT 1",
            )?
            .query_row(key, |row| row.get(0))
            .optional()?;
        if let Some(start_ms) = here {
            return Ok(Some((at.0, start_ms)));
        }
        for window in at.0 + 1..self.windows.len() {
            self.looked_into.update(|looked_into| looked_into + 1);
            if let Some(next) = self.first(window, device)? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    fn columns(&self, device: u32, at: Place) -> Result<Vec<u8>> {
        self.connection
            .prepare_cached(
                "SELECT columns FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
            )?
            .query_row(self.key(device, at), |row| row.get(0))
    }

    /// What detectors knew at the start of a stretch.
    fn state(&self, device: u32, at: Place) -> Result<DeviceState> {
        let bytes: Vec<u8> = self
            .connection
            .prepare_cached(
                "SELECT state FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
            )?
            .query_row(self.key(device, at), |row| row.get(0))?;
        decode_state(&bytes)
    }

    /// What they knew after its first readings.
    fn state_after(
        &self,
        mut state: DeviceState,
        device: u32,
        readings: &[Reading],
    ) -> DeviceState {
        if let Some(known) = self.registry.device_by_number(device) {
            run(&mut state, readings, known, self.world, &mut Vec::new());
            let last_ms = readings.last().map(|last| last.time_ms);
            state.seen_until_ms = state.seen_until_ms.max(last_ms);
        }
        state
    }

    fn delete(&self, device: u32, at: Place) -> Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
            )?
            .execute(self.key(device, at))?;
        Ok(())
    }

    /// Lets a device's history begin with a stretch.
    fn begin_with(&self, device: u32, at: Place) -> Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE chunk SET start_ms = -9223372036854775808
                 WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
            )?
            .execute(self.key(device, at))?;
        Ok(())
    }
}
