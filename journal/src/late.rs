//! Readings that come behind later ones: put where they belong, and what came after looked at
//! again.
//!
//! History is a row of stretches, each with what the detectors knew at its start. From the stretch
//! a late reading falls into, the pure core runs again, stretch by stretch, until it knows the
//! same as before at the start of one: from there on nothing can have changed.

use enrich::registry::Known;
use enrich::{Change, DeviceState, Event, World, compare};
use ingest::Reading;
use rusqlite::{Connection, Result};

use crate::chunk;
use crate::history::{History, Open, Touched, run};
use crate::outbox::{StoredEvent, events_between};
use crate::rows::Rows;
use crate::seal::{base, damaged, decode_state, encode_state, write_stretch};

/// Where to insert late readings of one device.
pub(crate) struct Late<'b> {
    pub(crate) connection: &'b Connection,
    pub(crate) world: &'b World,
    pub(crate) windows: &'b [i64],
    /// Readings further behind their device's newest are stored, but change no events.
    pub(crate) horizon_ms: i64,
    /// Events that became known before may not be kept any more: they are not told anew.
    pub(crate) told_since_ms: i64,
    pub(crate) device: &'b Known,
    pub(crate) history: &'b History,
}

/// What the late readings did.
pub(crate) struct Inserted<'a> {
    pub(crate) touched: Touched,
    pub(crate) stored: Vec<&'a Reading>,
    pub(crate) duplicates: u64,
    pub(crate) beyond_horizon: u64,
    /// For each stretch looked at again: the events it had, and what changed.
    pub(crate) changes: Vec<(Vec<StoredEvent>, Vec<Change>)>,
}

/// A sealed stretch: its place in the file, and from when to when.
struct Sealed {
    window: i64,
    start_ms: i64,
    end_ms: i64,
}

/// The core on its second way through history.
struct Again {
    state: DeviceState,
    from_ms: i64,
    events: Vec<Event>,
}

impl Late<'_> {
    /// Inserts `readings`, which are in history order and not empty.
    pub(crate) fn insert<'a>(&self, readings: &[&'a Reading]) -> Result<Inserted<'a>> {
        let mut inserted = Inserted {
            touched: Touched::new(self.device.number, Open::Kept, self.history.state()),
            stored: Vec::new(),
            duplicates: 0,
            beyond_horizon: 0,
            changes: Vec::new(),
        };
        let mut left = readings;
        let mut again = None;
        for stretch in
            self.sealed_since(readings.first().map_or(i64::MAX, |first| first.time_ms))?
        {
            let here = left.partition_point(|reading| reading.time_ms < stretch.end_ms);
            let (here, rest) = left.split_at(here);
            left = rest;
            if again.is_some() || !here.is_empty() {
                again = self.sealed(&stretch, here, again, &mut inserted)?;
            }
        }
        if again.is_some() || !left.is_empty() {
            self.open(left, again, &mut inserted)?;
        }
        Ok(inserted)
    }

    /// Goes through one sealed stretch; returns the core if it has to go on.
    fn sealed<'a>(
        &self,
        stretch: &Sealed,
        new: &[&'a Reading],
        again: Option<Again>,
        inserted: &mut Inserted<'a>,
    ) -> Result<Option<Again>> {
        let (known, stored) = self.read(stretch)?;
        if new.is_empty() && again.as_ref().is_some_and(|again| again.state == known) {
            self.compare(again, stretch.start_ms, inserted)?;
            return Ok(None);
        }
        let (merged, added) = merge(stored, new, inserted);
        if again.is_none() && self.beyond_horizon(new) {
            inserted.beyond_horizon += added;
            if added > 0 {
                self.write(stretch, &known, &merged)?;
            }
            return Ok(None);
        }
        if again.is_none() && added == 0 {
            return Ok(None);
        }
        // The first stretch may have been cut: it begins with what is known of before. Where all of
        // that was forgotten, nothing of before its first reading is found again.
        let begins_ms = match (known.seen_until_ms, merged.first()) {
            (Some(seen_ms), _) => seen_ms.saturating_add(1),
            (None, Some(first)) if stretch.start_ms == i64::MIN => first.time_ms,
            (None, _) => stretch.start_ms,
        };
        let mut again = again.unwrap_or_else(|| Again {
            from_ms: stretch.start_ms.max(begins_ms),
            state: known.clone(),
            events: Vec::new(),
        });
        if added > 0 || again.state != known {
            self.write(stretch, &again.state, &merged)?;
        }
        run(&mut again.state, &merged, self.device, self.world, &mut again.events);
        again.state.wait_until(stretch.end_ms - 1, self.world, &mut again.events);
        Ok(Some(again))
    }

    /// Goes through the open stretch, which ends the way.
    fn open<'a>(
        &self,
        new: &[&'a Reading],
        again: Option<Again>,
        inserted: &mut Inserted<'a>,
    ) -> Result<()> {
        let start_ms = self.history.start_ms;
        let known = base(self.connection, self.device.number)?;
        if new.is_empty() && again.as_ref().is_some_and(|again| again.state == known) {
            return self.compare(again, start_ms, inserted);
        }
        let (merged, added) = merge(self.history.open.readings(), new, inserted);
        if again.is_none() && added == 0 {
            return Ok(());
        }
        if again.is_none() && self.beyond_horizon(new) {
            inserted.beyond_horizon += added;
            inserted.touched.open = Open::Replaced(Rows::of(&merged));
            return Ok(());
        }
        if let Some(again) = &again {
            self.connection
                .prepare_cached("UPDATE device SET base = ?2 WHERE device = ?1")?
                .execute((self.device.number, encode_state(&again.state)))?;
        }
        let mut again =
            again.unwrap_or_else(|| Again { state: known, from_ms: start_ms, events: Vec::new() });
        run(&mut again.state, &merged, self.device, self.world, &mut again.events);
        // Timers that had run by the clock run again.
        if let Some(seen_until_ms) = self.history.seen_until_ms() {
            again.state.wait_until(seen_until_ms, self.world, &mut again.events);
        }
        inserted.touched.state = again.state.clone();
        inserted.touched.open = Open::Replaced(Rows::of(&merged));
        self.compare(Some(again), i64::MAX, inserted)
    }

    fn beyond_horizon(&self, new: &[&Reading]) -> bool {
        let newest_ms = self.history.seen_until_ms().unwrap_or(i64::MIN);
        let horizon_ms = newest_ms.saturating_sub(self.horizon_ms);
        new.iter().all(|reading| reading.time_ms < horizon_ms)
    }

    /// Ends a second way through history at `to_ms`.
    fn compare(&self, again: Option<Again>, to_ms: i64, inserted: &mut Inserted<'_>) -> Result<()> {
        if let Some(mut again) = again {
            let from_ms = again.from_ms.max(self.told_since_ms);
            again.events.retain(|event| event.known_ms >= self.told_since_ms);
            let before = events_between(self.connection, self.device.number, from_ms, to_ms)?;
            let events: Vec<Event> = before.iter().map(|stored| stored.event.clone()).collect();
            let changes = compare(&events, again.events);
            inserted.changes.push((before, changes));
        }
        Ok(())
    }

    /// The sealed stretches from the one that holds `time_ms` on, oldest first.
    fn sealed_since(&self, time_ms: i64) -> Result<Vec<Sealed>> {
        let mut end_ms = self.history.start_ms;
        let mut stretches = Vec::new();
        let mut statement = self.connection.prepare_cached(
            "SELECT start_ms FROM chunk WHERE window = ?1 AND device = ?2 ORDER BY start_ms DESC",
        )?;
        for window in self.windows.iter().rev() {
            if time_ms >= end_ms {
                break;
            }
            for start_ms in statement.query_map((window, self.device.number), |row| row.get(0))? {
                let start_ms = start_ms?;
                if time_ms < end_ms {
                    stretches.push(Sealed { window: *window, start_ms, end_ms });
                }
                end_ms = start_ms;
            }
        }
        stretches.reverse();
        Ok(stretches)
    }

    fn read(&self, stretch: &Sealed) -> Result<(DeviceState, Vec<Reading>)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT state, columns FROM chunk WHERE window = ?1 AND device = ?2 AND start_ms = ?3",
        )?;
        let key = (stretch.window, self.device.number, stretch.start_ms);
        let (state, columns): (Vec<u8>, Vec<u8>) =
            statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((decode_state(&state)?, chunk::open(&columns).map_err(damaged)?))
    }

    fn write(&self, stretch: &Sealed, state: &DeviceState, readings: &[Reading]) -> Result<()> {
        let place = (stretch.window, stretch.start_ms);
        write_stretch(self.connection, place, self.device, state, readings, self.world)
    }
}

/// Puts new readings among stored ones; returns all, and how many were not there yet.
fn merge<'a>(
    mut stored: Vec<Reading>,
    new: &[&'a Reading],
    inserted: &mut Inserted<'a>,
) -> (Vec<Reading>, u64) {
    let before = stored.len();
    let mut added = Vec::new();
    for reading in new {
        // Equal ones within the batch lie next to each other.
        let again = added.last().is_some_and(|last: &&Reading| last.history_order(reading).is_eq());
        match stored.binary_search_by(|old| old.history_order(reading)) {
            Err(_) if !again => added.push(*reading),
            _ => inserted.duplicates += 1,
        }
    }
    stored.extend(added.iter().map(|reading| (*reading).clone()));
    stored.sort_by(Reading::history_order);
    inserted.stored.extend(added);
    let count = (stored.len() - before) as u64;
    (stored, count)
}
