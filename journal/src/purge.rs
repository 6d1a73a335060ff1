//! Deletes what nobody may keep any more, in slices between the batches.
//!
//! First the open ends of the customer's devices: what may stay is sealed, so that the log is not
//! needed for it, and the detectors forget. Then chunk by chunk through what was sealed before,
//! then batch by batch through the log, then the file's own log; where an output has brought
//! readings to another place, it waits until they are deleted there. Every slice is a transaction,
//! and doing one again changes nothing: after a crash a deletion starts over.

mod device;
mod elsewhere;
mod log;

use std::sync::Arc;
use std::time::Duration;

use enrich::DeviceState;
use enrich::registry::{Known, Registry, Span};
use ingest::Reading;
use rusqlite::{Connection, Result, Transaction};
use serde::{Deserialize, Serialize};

use crate::history::Sealed;
use crate::live::write;
use crate::log::Size;
use crate::outbox::to_json;
use crate::recover::conversion;
use crate::rows::put_blob;
use crate::seal::encode_state;
use crate::withhold::Cleared;
use crate::writer::Writer;
pub(crate) use device::put_chunk;
use device::{About, OpenEnd};
pub use elsewhere::{Due, Elsewhere};

/// Devices whose open end one slice deletes: each has at most a few hundred readings open.
const DEVICES: usize = 32;

/// Chunks one slice looks at: it writes at most as many pages, so that a batch never waits long.
const CHUNKS: usize = 64;

/// Why something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Withdrawn,
    Erased,
}

/// What was deleted: numbers, and nothing that leads to anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub why: Why,
    pub asked_ms: i64,
    /// When nothing was left.
    pub done_ms: Option<i64>,
    pub readings: u64,
    pub events: u64,
    pub quarantined: u64,
    /// What insurers had reported.
    #[serde(default)]
    pub reports: u64,
    /// Messages to insurers whose content was deleted, and of these, messages that had not been
    /// sent and never will be.
    pub triggers: u64,
    pub withheld: u64,
    /// Messages that a webhook's endpoint had not taken and that were kept to be sent again.
    #[serde(default)]
    pub dead_letters: u64,
    /// `None`: no readings go to an InfluxDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub influx: Option<Elsewhere>,
}

/// A deletion under way.
#[derive(Debug)]
pub(crate) struct Purge {
    pub(crate) number: i64,
    task: Task,
    receipt: Receipt,
    step: Step,
    /// For each device the batch that says anew what detectors know of it: what the log says before
    /// is not needed.
    anew: Vec<i64>,
}

/// Whose, and since when. The registry may have forgotten them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    customer: u32,
    at_ms: i64,
    /// The devices, and when they were the customer's.
    devices: Vec<(u32, Vec<Span>)>,
    /// The same by their ids, until what was written of them elsewhere is deleted there.
    #[serde(default)]
    elsewhere: Vec<(Arc<str>, Vec<Span>)>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The open end of devices from this place in the task on.
    Open(usize),
    /// The chunks of a device from this window on.
    Sealed { device: usize, window: i64 },
    /// The log after this batch.
    Log { done: i64 },
    /// Until the file's own log is empty.
    File,
    /// Until it is deleted elsewhere; then the file's log once more, which had the ids.
    Elsewhere,
}

impl Task {
    /// Whether a reading, an event or a message of that time stays.
    fn stays(&self, owned: &[Span], registry: &Registry, time_ms: i64) -> bool {
        !owned.iter().any(|span| span.holds(time_ms))
            || registry.stays(self.customer, time_ms, self.at_ms)
    }

    /// What detectors remember of it is forgotten with what they remember.
    fn forgets(&self, registry: &Registry, state: &DeviceState) -> bool {
        let seen_stays = |time_ms| registry.stays(self.customer, time_ms, self.at_ms);
        state.owner() == Some(self.customer) && !state.seen_until_ms.is_some_and(seen_stays)
    }
}

impl Task {
    fn owned(&self, device: u32) -> Option<&[Span]> {
        let mut devices = self.devices.iter();
        devices.find(|(number, _)| *number == device).map(|(_, owned)| owned.as_slice())
    }
}

impl Purge {
    pub(crate) fn begin(
        connection: &Connection,
        registry: &Registry,
        customer: u32,
        at_ms: i64,
        why: Why,
        (cleared, influx): (Cleared, Option<Elsewhere>),
    ) -> Result<Self> {
        let spans = |known: &Known| known.spans_of(customer).collect();
        let devices = registry.devices_of(customer);
        let devices = devices.map(|known| (known.number, spans(known))).collect();
        let elsewhere =
            registry.devices_of(customer).filter(|_| influx == Some(Elsewhere::Pending));
        let elsewhere = elsewhere.map(|known| (known.device.id.clone(), spans(known))).collect();
        let task = Task { customer, at_ms, devices, elsewhere };
        // Nothing of somebody without devices is anywhere else.
        let influx = influx.map(|influx| match influx {
            Elsewhere::Pending if task.elsewhere.is_empty() => Elsewhere::Done { done_ms: at_ms },
            influx => influx,
        });
        let receipt = Receipt {
            why,
            asked_ms: at_ms,
            done_ms: None,
            readings: 0,
            events: 0,
            quarantined: cleared.quarantined,
            reports: cleared.reports,
            triggers: cleared.triggers,
            withheld: cleared.withheld,
            dead_letters: cleared.dead_letters,
            influx,
        };
        connection.execute(
            "INSERT INTO deletion (task, receipt) VALUES (?1, ?2)",
            (to_json(&task)?, to_json(&receipt)?),
        )?;
        let number = connection.last_insert_rowid();
        Ok(Self { number, task, receipt, step: Step::Open(0), anew: Vec::new() })
    }

    /// What was under way when the process ended.
    pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<Self>> {
        let mut select = connection.prepare(
            "SELECT number, task, receipt FROM deletion WHERE task IS NOT NULL ORDER BY number",
        )?;
        let rows = select.query_map([], |row| {
            let (task, receipt) = (crate::outbox::json(row, 1)?, crate::outbox::json(row, 2)?);
            Ok(Self { number: row.get(0)?, task, receipt, step: Step::Open(0), anew: Vec::new() })
        })?;
        rows.collect()
    }

    /// Whether what a batch says that detectors knew was not said anew since.
    fn knows(&self, device: u32, batch: i64) -> bool {
        let at = self.task.devices.iter().position(|(number, _)| *number == device);
        at.and_then(|at| self.anew.get(at)).is_none_or(|anew| batch >= *anew)
    }

    fn is_open(&self) -> bool {
        matches!(self.step, Step::Open(_))
    }

    fn save(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("UPDATE deletion SET receipt = ?2 WHERE number = ?1")?
            .execute((self.number, to_json(&self.receipt)?))?;
        Ok(())
    }

    fn commit(&self, transaction: Transaction<'_>) -> Result<()> {
        self.save(&transaction)?;
        transaction.commit()
    }
}

/// What a slice did to one device in memory.
pub(crate) struct Emptied {
    pub(crate) device: u32,
    pub(crate) start_ms: i64,
    pub(crate) state: DeviceState,
    pub(crate) forgotten: bool,
    pub(crate) last: Option<Reading>,
}

impl Writer {
    /// Until open ends are deleted no pass goes on.
    pub(crate) fn deletes_open_ends(&self) -> bool {
        self.purges.iter().any(Purge::is_open)
    }

    /// One slice of the deletions under way. Returns whether another can follow at once.
    pub(crate) fn purge(&mut self) -> Result<bool> {
        // Open ends first: until they are gone, no pass goes on.
        let open = self.purges.iter().position(Purge::is_open);
        let at = open.or_else(|| self.purges.iter().position(|purge| !purge.waits()));
        let Some(mut purge) = at.and_then(|at| self.purges.remove(at)) else { return Ok(false) };
        let before = purge.receipt.clone();
        let done = self.slice(&mut purge);
        if done.is_err() {
            // Nothing of the slice was committed.
            purge.receipt = before;
        }
        if !matches!(done, Ok(Sliced::Finished)) {
            self.purges.push_front(purge);
        }
        Ok(!matches!(done?, Sliced::Waits))
    }

    fn slice(&mut self, purge: &mut Purge) -> Result<Sliced> {
        match purge.step {
            Step::Open(from) => self.purge_open(purge, from)?,
            Step::Sealed { device, window } => self.purge_sealed(purge, device, window)?,
            Step::Log { done } => self.purge_log(purge, done)?,
            Step::File | Step::Elsewhere => return self.purge_file(purge),
        }
        Ok(Sliced::GoesOn)
    }

    /// Deletes the open ends of some devices, their events and what is in quarantine of them.
    fn purge_open(&mut self, purge: &mut Purge, from: usize) -> Result<()> {
        let to = purge.task.devices.len().min(from + DEVICES);
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let transaction = self.store.connection.unchecked_transaction()?;
        let before = purge.receipt.readings;
        let mut counts = self.counts.clone();
        let (mut emptied, mut states, mut gone_events) = (Vec::new(), Vec::new(), Vec::new());
        for (device, owned) in &purge.task.devices[from..to] {
            let about = About {
                connection: &transaction,
                registry: &registry,
                task: &purge.task,
                device: *device,
                owned,
            };
            let events = about.delete_events()?;
            purge.receipt.events += events.len() as u64;
            purge.receipt.quarantined += about.delete_quarantined()?;
            gone_events.extend(events);
            let (one, gone) = OpenEnd { writer: self, about: &about }.delete_readings()?;
            put_blob(&mut states, *device, &encode_state(&one.state));
            purge.receipt.readings += gone;
            emptied.push(one);
        }
        let mut log = self.log.clone();
        log.last += 1;
        log.open += Size { readings: 0, bytes: states.len() as u64 };
        self.log_states(&transaction, log.last, &states)?;
        counts.deleted += purge.receipt.readings - before;
        self.write_counts(&transaction, &counts)?;
        purge.commit(transaction)?;
        drop(registry);
        purge.anew.resize(to, log.last);
        self.log = log;
        self.forget(emptied);
        self.deleted(counts, &gone_events);
        purge.step = match to < purge.task.devices.len() {
            true => Step::Open(to),
            false => Step::Sealed { device: 0, window: 0 },
        };
        Ok(())
    }

    /// A batch with no readings that says what detectors know now: it comes after those that said
    /// more.
    pub(crate) fn log_states(
        &self,
        connection: &Connection,
        batch: i64,
        states: &[u8],
    ) -> Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO batch (id, now_ms, registry_version, rules, weather, readings, rows, states)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, x'', ?6)",
            )?
            .execute((
                batch,
                self.clock.now_ms(),
                self.core.registry.read().version as i64,
                self.core.rules.name(),
                self.weather_used(),
                states,
            ))?;
        Ok(())
    }

    /// Takes over what a slice committed.
    fn deleted(&mut self, counts: crate::Counts, events: &[i64]) {
        self.counts = counts;
        self.wait_no_more(events);
        self.live.counted(self.counts.clone());
    }

    pub(crate) fn wait_no_more(&mut self, events: &[i64]) {
        if !events.is_empty() {
            events.iter().for_each(|event| self.waiting.set(*event, None));
            self.show_wanted();
        }
    }

    pub(crate) fn forget(&mut self, emptied: Vec<Emptied>) {
        let mut histories = write(&self.live.histories);
        let mut fleet = write(&self.live.fleet);
        for Emptied { device, start_ms, state, forgotten, last } in emptied {
            histories.seal(Sealed { device, start_ms });
            let history = histories.entry(device);
            history.keep(&state);
            history.logged = true;
            if forgotten {
                self.timers.set(device, None);
            }
            fleet.show_again(device, last);
        }
    }

    fn purge_sealed(&mut self, purge: &mut Purge, device: usize, window: i64) -> Result<()> {
        let Some((number, owned)) = purge.task.devices.get(device) else {
            purge.step = Step::Log { done: self.log.gone };
            return Ok(());
        };
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let transaction = self.store.connection.unchecked_transaction()?;
        let about = About {
            connection: &transaction,
            registry: &registry,
            task: &purge.task,
            device: *number,
            owned,
        };
        let windows = self.windows.iter().copied().filter(|number| *number >= window);
        let (gone, next) = about.delete_sealed(windows)?;
        let mut gone_events = Vec::new();
        if next.is_none() {
            // Late readings of others may have led through what was still there.
            gone_events = about.delete_events()?;
        }
        let mut counts = self.counts.clone();
        counts.deleted += gone;
        self.write_counts(&transaction, &counts)?;
        purge.receipt.readings += gone;
        purge.receipt.events += gone_events.len() as u64;
        purge.commit(transaction)?;
        drop(registry);
        self.deleted(counts, &gone_events);
        purge.step = match next {
            Some(window) => Step::Sealed { device, window },
            None => Step::Sealed { device: device + 1, window: 0 },
        };
        Ok(())
    }

    /// Takes out of the log what it holds of the devices.
    fn purge_log(&mut self, purge: &mut Purge, done: i64) -> Result<()> {
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let task = &purge.task;
        let stays = |device, reading: &Reading| {
            task.owned(device).is_none_or(|owned| task.stays(owned, &registry, reading.time_ms))
        };
        let until = purge.anew.last().copied().unwrap_or_default();
        let next =
            self.thin_log((done, until), stays, |device, batch| purge.knows(device, batch))?;
        purge.step = next.map_or(Step::File, |done| Step::Log { done });
        Ok(())
    }

    /// Empties the file's own log, which still holds the pages as they were; returns whether nobody
    /// read it. It does not wait for who does: acknowledgements would wait as well.
    pub(crate) fn empty_log_of_file(&self) -> Result<bool> {
        let connection = &self.store.connection;
        let patience_ms: u32 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
        connection.busy_timeout(Duration::ZERO)?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = connection.query_row(checkpoint, [], |row| row.get::<_, i64>(0));
        connection.busy_timeout(Duration::from_millis(patience_ms.into()))?;
        Ok(busy? == 0)
    }

    fn purge_file(&mut self, purge: &mut Purge) -> Result<Sliced> {
        if !self.empty_log_of_file()? {
            return Ok(Sliced::Waits);
        }
        let connection = &self.store.connection;
        if !purge.task.elsewhere.is_empty() {
            purge.step = Step::Elsewhere;
            return Ok(Sliced::GoesOn);
        }
        purge.receipt.done_ms = Some(self.clock.now_ms());
        connection.execute(
            "UPDATE deletion SET task = NULL, receipt = ?2 WHERE number = ?1",
            (purge.number, to_json(&purge.receipt)?),
        )?;
        let (readings, triggers) = (purge.receipt.readings, purge.receipt.triggers);
        tracing::info!(receipt = purge.number, readings, triggers, "deleted what may not be kept");
        Ok(Sliced::Finished)
    }

    pub(crate) fn write_counts(
        &self,
        connection: &Connection,
        counts: &crate::Counts,
    ) -> Result<()> {
        let bytes = serde_json::to_vec(counts).map_err(conversion)?;
        crate::store::set_meta(connection, "counts", &bytes)
    }
}

/// How a slice ended.
pub(crate) enum Sliced {
    GoesOn,
    /// Somebody reads the file: try again in a moment.
    Waits,
    Finished,
}
