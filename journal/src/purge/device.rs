//! What the file and the memory hold of one device, and what of it may stay.

use enrich::DeviceState;
use enrich::registry::{Registry, Span};
use ingest::Reading;
use rusqlite::{Connection, OptionalExtension, Result};

use super::{CHUNKS, Emptied, Task};
use crate::chunk;
use crate::history::History;
use crate::live::read;
use crate::rows;
use crate::seal::{base, damaged, decode_state, encode_state};
use crate::waiting;
use crate::writer::Writer;

/// What the file holds of one device.
pub(super) struct About<'a> {
    pub(super) connection: &'a Connection,
    pub(super) registry: &'a Registry,
    pub(super) task: &'a Task,
    pub(super) device: u32,
    pub(super) owned: &'a [Span],
}

impl About<'_> {
    fn stays(&self, time_ms: i64) -> bool {
        self.task.stays(self.owned, self.registry, time_ms)
    }

    /// Returns the events that went, none of which waits for anything any more.
    pub(super) fn delete_events(&self) -> Result<Vec<i64>> {
        let select = "SELECT number, cause FROM event WHERE device = ?1 AND customer IN (?2, -1)";
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_map((self.device, self.task.customer), |row| {
            let cause: enrich::Cause = crate::outbox::json(row, 1)?;
            Ok((row.get(0)?, cause.time_ms))
        })?;
        let gone =
            self.delete("DELETE FROM event WHERE number = ?1", rows.collect::<Result<_>>()?)?;
        for event in &gone {
            waiting::end(self.connection, *event)?;
        }
        Ok(gone)
    }

    pub(super) fn delete_quarantined(&self) -> Result<u64> {
        let select = "SELECT number, received_ms FROM quarantine WHERE device = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_map([self.device], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let delete = "DELETE FROM quarantine WHERE number = ?1";
        Ok(self.delete(delete, rows.collect::<Result<_>>()?)?.len() as u64)
    }

    /// Returns the rows that went.
    fn delete(&self, statement: &str, rows: Vec<(i64, i64)>) -> Result<Vec<i64>> {
        let mut delete = self.connection.prepare_cached(statement)?;
        let mut gone = Vec::new();
        for (number, time_ms) in rows {
            if !self.stays(time_ms) {
                delete.execute([number])?;
                gone.push(number);
            }
        }
        Ok(gone)
    }
}

/// The open end of one device.
pub(super) struct OpenEnd<'a> {
    pub(super) writer: &'a Writer,
    pub(super) about: &'a About<'a>,
}

impl OpenEnd<'_> {
    /// Seals what stays. Returns what to change in memory, and how many readings went.
    pub(super) fn delete_readings(&self) -> Result<(Emptied, u64)> {
        let histories = read(&self.writer.live.histories);
        let history = histories.get(self.about.device).cloned().unwrap_or_default();
        drop(histories);
        let forgotten = self.about.task.forgets(self.about.registry, &history.state());
        let state = match forgotten {
            true => DeviceState::default(),
            false => history.state(),
        };
        let open = history.open.readings();
        let kept: Vec<Reading> =
            open.iter().filter(|reading| self.about.stays(reading.time_ms)).cloned().collect();
        let last = kept.last().cloned().or_else(|| self.last_before(&history));
        // Nothing the log holds of the device lies at or after it.
        let seen_ms = open.last().map(|last| last.time_ms).max(history.seen_until_ms());
        let start_ms =
            seen_ms.map_or(history.start_ms, |seen_ms| history.start_ms.max(seen_ms + 1));
        if start_ms > history.start_ms {
            self.seal(&history, &kept)?;
        }
        if forgotten {
            let delete = "DELETE FROM timer WHERE device = ?1";
            self.about.connection.prepare_cached(delete)?.execute([self.about.device])?;
        }
        let mut row = Vec::new();
        last.iter().for_each(|last| rows::encode(last, &mut row));
        self.about.connection
            .prepare_cached(
                "INSERT INTO device (device, start_ms, base, state, last) VALUES (?1, ?2, ?3, ?3, ?4)
                 ON CONFLICT (device) DO UPDATE SET start_ms = ?2, base = ?3, state = ?3, last = ?4",
            )?
            .execute((self.about.device, start_ms, encode_state(&state), row))?;
        let gone = (open.len() - kept.len()) as u64;
        Ok((Emptied { device: self.about.device, start_ms, state, forgotten, last }, gone))
    }

    /// The last reading that is known of the device, if it is sealed and stays.
    fn last_before(&self, history: &History) -> Option<Reading> {
        let fleet = read(&self.writer.live.fleet);
        let last = fleet.last(self.about.device)?;
        (last.time_ms < history.start_ms && self.about.stays(last.time_ms)).then_some(last)
    }

    fn seal(&self, history: &History, kept: &[Reading]) -> Result<()> {
        if kept.is_empty() && history.start_ms != i64::MIN {
            // The stretch before reaches up to here.
            return Ok(());
        }
        let known = base(self.about.connection, self.about.device)?;
        let known = match self.about.task.forgets(self.about.registry, &known) {
            true => DeviceState::default(),
            false => known,
        };
        let window = self.writer.windows.last().copied().unwrap_or_default();
        // All of it was open, so it may be longer than a chunk; late data will cut it.
        put_chunk(
            self.about.connection,
            (window, self.about.device, history.start_ms),
            &known,
            kept,
        )
    }
}

/// Sealed stretches.
impl About<'_> {
    /// Goes through windows for about a slice; returns how many readings went, and the window to
    /// go on with.
    pub(super) fn delete_sealed(
        &self,
        windows: impl Iterator<Item = i64>,
    ) -> Result<(u64, Option<i64>)> {
        let (mut gone, mut seen) = (0, 0);
        for window in windows {
            if seen >= CHUNKS {
                return Ok((gone, Some(window)));
            }
            for start_ms in self.starts(window)? {
                gone += self.stretch(window, start_ms)?;
                seen += 1;
            }
        }
        Ok((gone, None))
    }

    fn starts(&self, window: i64) -> Result<Vec<i64>> {
        self.connection
            .prepare_cached("SELECT start_ms FROM chunk WHERE window = ?1 AND device = ?2")?
            .query_map((window, self.device), |row| row.get(0))?
            .collect()
    }

    fn stretch(&self, window: i64, start_ms: i64) -> Result<u64> {
        let place = (window, self.device, start_ms);
        let row: Option<(Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT state, columns FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
            )?
            .query_row(place, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((state, columns)) = row else { return Ok(0) };
        let (state, readings) = (decode_state(&state)?, chunk::open(&columns).map_err(damaged)?);
        let before = readings.len();
        let stays = |reading: &Reading| self.task.stays(self.owned, self.registry, reading.time_ms);
        let kept: Vec<Reading> = readings.into_iter().filter(stays).collect();
        let forgotten = self.task.forgets(self.registry, &state);
        if kept.len() == before && !forgotten {
            return Ok(0);
        }
        // The first stretch holds whatever comes from before; it stays, if empty.
        if kept.is_empty() && start_ms != i64::MIN {
            self.connection
                .prepare_cached(
                    "DELETE FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
                )?
                .execute(place)?;
        } else {
            let state = if forgotten { DeviceState::default() } else { state };
            put_chunk(self.connection, place, &state, &kept)?;
        }
        Ok((before - kept.len()) as u64)
    }
}

pub(crate) fn put_chunk(
    connection: &Connection,
    (window, device, start_ms): (i64, u32, i64),
    state: &DeviceState,
    readings: &[Reading],
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO chunk (window, device, start_ms, readings, state, columns)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            window,
            device,
            start_ms,
            readings.len() as i64,
            encode_state(state),
            chunk::seal(readings),
        ))?;
    Ok(())
}
