//! Queries beside the writer, on a connection of their own and in short transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use enrich::Event;
use enrich::privacy::Content;
use enrich::trigger::CloudEvent;
use ingest::Reading;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::chunk;
use crate::follow::{self, LogBatch};
use crate::live::{Live, read};
use crate::outbox::json;
use crate::purge::Receipt;
use crate::quarantine::{self, QuarantineFilter, QuarantineRow};
use crate::report::{self, ReportRow};
use crate::store::open_reader;
use crate::weather;

/// A query could not be answered.
#[derive(Debug, thiserror::Error)]
#[error("the journal could not be read: {0}")]
pub struct ReadError(#[from] rusqlite::Error);

impl ReadError {
    /// A query that was cut short, as when the runtime it ran on ended.
    #[must_use]
    pub fn interrupted(why: &str) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
        Self(rusqlite::Error::SqliteFailure(code, Some(why.to_owned())))
    }
}

/// Opens read connections; cheap to clone and to share.
#[derive(Clone, Debug)]
pub struct Reader {
    dir: PathBuf,
    live: Arc<Live>,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerRow {
    /// Its place in the outbox.
    pub position: i64,
    pub insurer: String,
    pub product: String,
    /// `fired`, `revised` or `withdrawn`; `erased` where only its place is kept, `notice` where the
    /// insurer is asked to delete, and `test`.
    pub status: String,
    /// `released` for sending; `expired`: its moment had passed; `withheld`: the consent ended
    /// before it was sent; `waiting` for quiet hours to end, or `suppressed`.
    pub outcome: String,
    /// Why it was not, or not yet, released: `cooldown`, `cap`, `quiet_hours` or `withdrawn`.
    pub reason: Option<String>,
    pub expires_ms: i64,
    /// The message as it goes out.
    pub body: CloudEvent<Content>,
}

/// An event of a device, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub event: Event,
    pub revision: u32,
    pub withdrawn: bool,
}

const TRIGGER: &str =
    "SELECT position, insurer, product, status, outcome, expires_ms, body, reason FROM trigger_out";

impl Reader {
    pub(crate) fn new(dir: &Path, live: Arc<Live>) -> Self {
        Self { dir: dir.to_owned(), live }
    }

    /// What a weather feed had to remember, when it last answered.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn weather_ledger(&self, feed: &str) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(weather::ledger(&open_reader(&self.dir)?, feed)?)
    }

    /// The last answer of a feed whose answers are about the whole world.
    pub fn weather_answer(&self, feed: &str) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(weather::whole(&open_reader(&self.dir)?, feed)?)
    }

    pub(crate) fn open(&self) -> Result<Connection, ReadError> {
        Ok(open_reader(&self.dir)?)
    }

    /// What is to be sent after `position`, in order, at most `limit`.
    pub fn released_after(
        &self,
        position: i64,
        limit: usize,
    ) -> Result<Vec<TriggerRow>, ReadError> {
        self.triggers(
            "WHERE position > ?1 AND outcome IN ('released', 'withheld') ORDER BY position LIMIT ?2",
            (position, limit as i64),
        )
    }

    /// The newest messages, newest first.
    pub fn newest_triggers(&self, limit: usize) -> Result<Vec<TriggerRow>, ReadError> {
        self.triggers("ORDER BY position DESC LIMIT ?1", (limit as i64,))
    }

    /// What one insurer was told about a product after a sequence number, in order.
    pub fn triggers_after(
        &self,
        insurer: &str,
        product: &str,
        sequence: i64,
        limit: usize,
    ) -> Result<Vec<TriggerRow>, ReadError> {
        self.triggers(
            "WHERE insurer = ?1 AND product = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
            (insurer, product, sequence, limit as i64),
        )
    }

    /// The highest sequence number given to an insurer for a product; 0 before the first.
    pub fn newest_sequence(&self, insurer: &str, product: &str) -> Result<i64, ReadError> {
        let last = self
            .open()?
            .query_row(
                "SELECT last FROM sequence WHERE insurer = ?1 AND product = ?2",
                [insurer, product],
                |row| row.get(0),
            )
            .optional()?;
        Ok(last.unwrap_or(0))
    }

    pub(crate) fn triggers(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<TriggerRow>, ReadError> {
        let connection = self.open()?;
        let mut statement = connection.prepare(&format!("{TRIGGER} {condition}"))?;
        let rows = statement.query_map(parameters, trigger)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The position before the first message said at or after `said_ms`.
    pub fn position_before(&self, said_ms: i64) -> Result<i64, ReadError> {
        let connection = self.open()?;
        let first: Option<i64> = connection.query_row(
            "SELECT min(position) FROM trigger_out WHERE said_ms >= ?1",
            [said_ms],
            |row| row.get(0),
        )?;
        Ok(match first {
            Some(position) => position - 1,
            None => connection.query_row(
                "SELECT coalesce(max(position), 0) FROM trigger_out",
                [],
                |row| row.get(0),
            )?,
        })
    }

    /// How far an output has come.
    pub fn cursor(&self, output: &str) -> Result<i64, ReadError> {
        let position = self
            .open()?
            .query_row("SELECT position FROM cursor WHERE output = ?1", [output], |row| row.get(0))
            .optional()?;
        Ok(position.unwrap_or(0))
    }

    /// What was stored after a batch, in the order it was committed: batches with about `limit`
    /// readings, and the number of the last one looked at. What comes after it is for the next
    /// call; what an output has dealt with it says with [`Journal::advance`](crate::Journal::advance).
    pub fn log_after(&self, batch: i64, limit: usize) -> Result<(Vec<LogBatch>, i64), ReadError> {
        Ok(follow::log_after(&self.open()?, batch, limit)?)
    }

    /// A device's readings from one moment up to, not including, another, in history order; at
    /// most `limit`, and the rest after the last one's time.
    pub fn history(
        &self,
        device: u32,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Reading>, ReadError> {
        // The open end first: what is sealed in between is then seen twice, never not at all.
        let (mut readings, start_ms) = read(&self.live.histories)
            .get(device)
            .map_or((Vec::new(), i64::MAX), |history| (history.open.readings(), history.start_ms));
        if from_ms < start_ms {
            readings.extend(self.sealed(device, from_ms, to_ms)?);
        }
        readings.retain(|reading| (from_ms..to_ms).contains(&reading.time_ms));
        readings.sort_by(Reading::history_order);
        readings.dedup_by(|a, b| a.history_order(b).is_eq());
        readings.truncate(limit);
        Ok(readings)
    }

    /// Hands over all of a device's readings, in history order and one by one, for as long as
    /// `take` wants more.
    pub fn each_reading(
        &self,
        device: u32,
        mut take: impl FnMut(&Reading) -> bool,
    ) -> Result<(), ReadError> {
        // The open end first: what is sealed meanwhile is then left to it.
        let (open, start_ms) = read(&self.live.histories)
            .get(device)
            .map_or((Vec::new(), i64::MAX), |history| (history.open.readings(), history.start_ms));
        let connection = self.open()?;
        let mut windows = connection.prepare("SELECT number FROM window ORDER BY number")?;
        let mut chunks = connection.prepare(
            "SELECT columns FROM chunk WHERE window = ?1 AND device = ?2 ORDER BY start_ms",
        )?;
        let windows: Vec<i64> =
            windows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for window in windows {
            let mut rows = chunks.query((window, device))?;
            while let Some(row) = rows.next()? {
                let sealed = chunk::open(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)
                    .map_err(crate::seal::damaged)?;
                let mut before = sealed.iter().filter(|reading| reading.time_ms < start_ms);
                if !before.all(&mut take) {
                    return Ok(());
                }
            }
        }
        open.iter().all(take);
        Ok(())
    }

    /// All that was said of a customer, with the evidence, in the order it was said.
    pub fn told_of(&self, customer: u32) -> Result<Vec<(TriggerRow, String)>, ReadError> {
        let connection = self.open()?;
        let columns = TRIGGER.replace(" FROM", ", evidence FROM");
        let mut statement =
            connection.prepare(&format!("{columns} WHERE customer = ?1 ORDER BY position"))?;
        let rows =
            statement.query_map([customer], |row| Ok((trigger(row)?, row.get("evidence")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All that insurers reported of a customer, in the order it came.
    pub fn reports_of(&self, customer: u32) -> Result<Vec<ReportRow>, ReadError> {
        Ok(report::of_customer(&self.open()?, customer)?)
    }

    fn sealed(&self, device: u32, from_ms: i64, to_ms: i64) -> Result<Vec<Reading>, ReadError> {
        let connection = self.open()?;
        let mut windows = connection.prepare("SELECT number FROM window ORDER BY number DESC")?;
        let mut chunks = connection.prepare(
            "SELECT start_ms, columns FROM chunk
             WHERE window = ?1 AND device = ?2 AND start_ms < ?3 ORDER BY start_ms DESC",
        )?;
        let mut readings = Vec::new();
        for window in windows.query_map([], |row| row.get::<_, i64>(0))? {
            let mut rows = chunks.query((window?, device, to_ms))?;
            while let Some(row) = rows.next()? {
                let columns: Vec<u8> = row.get(1)?;
                readings.extend(chunk::open(&columns).map_err(crate::seal::damaged)?);
                if row.get::<_, i64>(0)? <= from_ms {
                    return Ok(readings);
                }
            }
        }
        Ok(readings)
    }

    /// A device's events in the order they became known, withdrawn ones too.
    pub fn events(&self, device: u32) -> Result<Vec<EventRow>, ReadError> {
        let connection = self.open()?;
        let mut statement = connection.prepare(
            "SELECT body, revision, withdrawn FROM event WHERE device = ?1 ORDER BY known_ms, number",
        )?;
        let rows = statement.query_map([device], |row| {
            Ok(EventRow { event: json(row, 0)?, revision: row.get(1)?, withdrawn: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What became of a deletion.
    pub fn receipt(&self, number: i64) -> Result<Option<Receipt>, ReadError> {
        let connection = self.open()?;
        let receipt = "SELECT receipt FROM deletion WHERE number = ?1";
        Ok(connection.query_row(receipt, [number], |row| json(row, 0)).optional()?)
    }

    /// What could not be used, newest first.
    pub fn quarantine(
        &self,
        filter: QuarantineFilter,
        limit: usize,
    ) -> Result<Vec<QuarantineRow>, ReadError> {
        Ok(quarantine::rows(&self.open()?, filter, limit)?)
    }

    /// Those of `numbers` that are still in quarantine, in their order.
    pub fn quarantined(&self, numbers: &[i64]) -> Result<Vec<QuarantineRow>, ReadError> {
        Ok(quarantine::numbered(&self.open()?, numbers)?)
    }
}

fn trigger(row: &Row<'_>) -> rusqlite::Result<TriggerRow> {
    Ok(TriggerRow {
        position: row.get(0)?,
        insurer: row.get(1)?,
        product: row.get(2)?,
        status: row.get(3)?,
        outcome: row.get(4)?,
        expires_ms: row.get(5)?,
        body: json(row, 6)?,
        reason: row.get(7)?,
    })
}
