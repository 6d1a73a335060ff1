//! Moves the open ends of histories into columns, a slice with every commit.
//!
//! When the log holds [`LOG_READINGS`], a pass begins: it seals every device's open stretch into
//! one window, device after device; then a start needs the batches the pass began with no more.
//! Each slice is as large as what the batch brought, twice, so that a pass ends before the log has
//! doubled. For each device windows follow each other in time.

use enrich::registry::{Known, Registry};
use enrich::{DeviceState, World};
use ingest::Reading;
use rusqlite::{Connection, OptionalExtension, Result};

use crate::chunk;
use crate::history::{Histories, History, Open, Sealed, Touched, run};
use crate::log::{Following, Log, Size};
use crate::rows;

/// How many readings the log may hold before a pass begins. It bounds the memory of open
/// stretches and the time a start takes (about 50 bytes and a fifth of a microsecond each); larger
/// makes longer, smaller chunks of devices that report seldom.
pub const LOG_READINGS: u64 = 300_000;

/// A device that reports often is sealed by itself when it has this many readings open: late ones
/// make the core run again over what is open.
const LONGEST_OPEN: usize = 2 * chunk::MOST;

/// The least a slice seals, so that a pass ends even when hardly anything comes in.
const SLICE_READINGS: usize = 2_000;

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pass {
    Idle,
    /// Sealing devices from `next` on, and with them batches up to `mark`, which hold `size`.
    Sealing {
        mark: i64,
        size: Size,
        next: u32,
    },
}

/// What sealing needs of the writer.
pub(crate) struct Sealer<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) registry: &'a Registry,
    pub(crate) world: &'a World,
    pub(crate) histories: &'a Histories,
    pub(crate) log_most: u64,
    pub(crate) following: &'a Following,
    /// Open ends are being deleted, of devices that may not be known any more: no pass goes on.
    pub(crate) hold: bool,
    pub(crate) window: i64,
}

/// What a slice did, applied once it is committed.
pub(crate) struct Slice {
    pub(crate) pass: Pass,
    pub(crate) sealed: Vec<Sealed>,
    /// The window that sealed stretches go into now.
    pub(crate) window: i64,
    pub(crate) log: Log,
    /// Readings that left the log before a follower had them.
    pub(crate) passed_over: u64,
}

impl Sealer<'_> {
    /// One slice. `touched` is what the batch does to histories, by device number; `log` has the
    /// batch in it.
    pub(crate) fn slice(
        &self,
        pass: Pass,
        touched: &[Touched],
        log: Log,
        batch_readings: usize,
    ) -> Result<Slice> {
        let (sealed, window) = (Vec::new(), self.window);
        let mut slice = Slice { pass, sealed, window, log, passed_over: 0 };
        match pass {
            _ if self.hold => {}
            Pass::Idle if slice.log.open.readings < self.log_most => {}
            Pass::Idle => {
                let (mark, size) = (slice.log.last, slice.log.open);
                slice.pass = Pass::Sealing { mark, size, next: 0 };
            }
            Pass::Sealing { mark, size, next } => {
                let budget = (2 * batch_readings).max(SLICE_READINGS);
                slice.pass = match self.seal(next, budget, touched, &mut slice)? {
                    Some(next) => Pass::Sealing { mark, size, next },
                    None => {
                        slice.window = new_window(self.connection)?;
                        slice.log.seal(self.connection, mark, size)?;
                        Pass::Idle
                    }
                };
            }
        }
        slice.passed_over = slice.log.trim(self.connection, self.following)?;
        for touched_device in touched {
            let number = touched_device.device;
            if self.open_after(touched_device) >= LONGEST_OPEN
                && !slice.sealed.iter().any(|sealed| sealed.device == number)
            {
                self.seal_device(number, touched, &mut slice)?;
            }
        }
        Ok(slice)
    }

    /// Seals one device outside a pass; returns where its open stretch starts now.
    pub(crate) fn seal_alone(&self, number: u32) -> Result<Option<i64>> {
        let mut slice = Slice {
            pass: Pass::Idle,
            sealed: Vec::new(),
            window: self.window,
            log: Log::default(),
            passed_over: 0,
        };
        self.seal_device(number, &[], &mut slice)?;
        Ok(slice.sealed.first().map(|sealed| sealed.start_ms))
    }

    /// Seals devices from `next` on; returns where to go on.
    fn seal(
        &self,
        mut next: u32,
        mut budget: usize,
        touched: &[Touched],
        slice: &mut Slice,
    ) -> Result<Option<u32>> {
        let devices = self.histories.len().max(touched.last().map_or(0, |last| last.device + 1));
        while next < devices && budget > 0 {
            let readings = self.seal_device(next, touched, slice)?;
            budget = budget.saturating_sub(readings.max(1));
            next += 1;
        }
        Ok((next < devices).then_some(next))
    }

    /// How many readings a device has open after the batch.
    fn open_after(&self, touched: &Touched) -> usize {
        let before =
            || self.histories.get(touched.device).map_or(0, |history| history.open.count());
        match &touched.open {
            Open::Kept => before(),
            Open::Appended(rows) => before() + rows.count(),
            Open::Replaced(rows) => rows.count(),
        }
    }

    /// Seals one device as it will be after the batch, so that nothing of it is in the log alone.
    fn seal_device(&self, number: u32, touched: &[Touched], slice: &mut Slice) -> Result<usize> {
        let mut history = self.histories.get(number).cloned().unwrap_or_default();
        if let Ok(at) = touched.binary_search_by_key(&number, |touched| touched.device) {
            touched[at].open.apply(&mut history.open);
            history.keep(&touched[at].state);
            history.logged = true;
        }
        let Some(device) = self.registry.device_by_number(number) else {
            return Ok(0);
        };
        if !history.logged {
            return Ok(0);
        }
        let readings = history.open.readings();
        let start_ms = match readings.last() {
            Some(last) => self.seal_readings(device, &history, &readings, last, slice.window)?,
            None => {
                self.connection
                    .prepare_cached("UPDATE device SET state = ?2 WHERE device = ?1")?
                    .execute((number, history.state_bytes()))?;
                history.start_ms
            }
        };
        slice.sealed.push(Sealed { device: number, start_ms });
        Ok(readings.len())
    }

    /// Returns where the open stretch starts now.
    fn seal_readings(
        &self,
        device: &Known,
        history: &History,
        readings: &[Reading],
        last: &Reading,
        window: i64,
    ) -> Result<i64> {
        let known = base(self.connection, device.number)?;
        let stretch = (window, history.start_ms);
        write_stretch(self.connection, stretch, device, &known, readings, self.world)?;
        // A timer that ran after the last reading belongs to the sealed stretch too.
        let start_ms = history.seen_until_ms().max(Some(last.time_ms)).unwrap_or_default() + 1;
        self.connection
            .prepare_cached(
                "INSERT INTO device (device, start_ms, base, state, last) VALUES (?1, ?2, ?3, ?3, x'')
                 ON CONFLICT (device) DO UPDATE SET start_ms = ?2, base = ?3, state = ?3",
            )?
            .execute((device.number, start_ms, history.state_bytes()))?;
        set_last(self.connection, device.number, last)?;
        Ok(start_ms)
    }
}

/// Writes a stretch of history that starts at `start_ms`, where the detectors knew `state`, in as
/// many chunks as it takes. Replaces what was there.
pub(crate) fn write_stretch(
    connection: &Connection,
    (window, mut start_ms): (i64, i64),
    device: &Known,
    state: &DeviceState,
    mut readings: &[Reading],
    world: &World,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO chunk (window, device, start_ms, readings, state, columns)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut state = state.clone();
    loop {
        let (part, rest) = readings.split_at(part(readings));
        let columns = chunk::seal(part);
        let key =
            (window, device.number, start_ms, part.len() as i64, encode_state(&state), columns);
        statement.execute(key)?;
        let (Some(last), false) = (part.last(), rest.is_empty()) else {
            return Ok(());
        };
        run(&mut state, part, device, world, &mut Vec::new());
        start_ms = last.time_ms + 1;
        readings = rest;
    }
}

/// How many readings go into the next chunk: all are about as long, so that what late data adds
/// finds room. One millisecond is never split, since chunks are told apart by time.
fn part(readings: &[Reading]) -> usize {
    let chunks = readings.len().div_ceil(chunk::MOST).max(1);
    let about = readings.len().div_ceil(chunks);
    let Some(next) = readings.get(about) else {
        return readings.len();
    };
    match readings.partition_point(|reading| reading.time_ms < next.time_ms) {
        0 => readings.partition_point(|reading| reading.time_ms <= next.time_ms),
        end => end,
    }
}

/// Keeps the last reading of a sealed device.
pub(crate) fn set_last(connection: &Connection, device: u32, last: &Reading) -> Result<()> {
    let mut row = Vec::new();
    rows::encode(last, &mut row);
    connection
        .prepare_cached("UPDATE device SET last = ?2 WHERE device = ?1")?
        .execute((device, row))?;
    Ok(())
}

/// Begins a window, newer than all before.
pub(crate) fn new_window(connection: &Connection) -> Result<i64> {
    connection.execute("INSERT INTO window DEFAULT VALUES", [])?;
    Ok(connection.last_insert_rowid())
}

/// What the detectors knew at the start of a device's open stretch.
pub(crate) fn base(connection: &Connection, device: u32) -> Result<DeviceState> {
    let state: Option<Vec<u8>> = connection
        .prepare_cached("SELECT base FROM device WHERE device = ?1")?
        .query_row([device], |row| row.get(0))
        .optional()?;
    state.map_or_else(|| Ok(DeviceState::default()), |bytes| decode_state(&bytes))
}

pub(crate) fn encode_state(state: &DeviceState) -> Vec<u8> {
    // Writing into memory cannot fail.
    postcard::to_allocvec(state).unwrap_or_default()
}

pub(crate) fn decode_state(bytes: &[u8]) -> Result<DeviceState> {
    postcard::from_bytes(bytes).map_err(|_| damaged(chunk::Damaged))
}

/// A damaged blob, as the database would say it of its own pages.
pub(crate) fn damaged(error: chunk::Damaged) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(error.to_string()),
    )
}
