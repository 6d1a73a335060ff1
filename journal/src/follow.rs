//! The log as its followers read it: batch after batch, each as it was committed.

use ingest::Reading;
use rusqlite::Connection;

use crate::ReadError;
use crate::chunk::Damaged;
use crate::rows::take_log_row;
use crate::seal::damaged;

/// A transaction's readings, decoded one by one: a batch may be large.
#[derive(Clone, Debug)]
pub struct LogBatch {
    /// Its place in the log: what a cursor advances to once all of it has been dealt with.
    pub id: i64,
    /// When it was committed, by the pipeline's clock.
    pub now_ms: i64,
    /// How many readings are left in it.
    pub readings: usize,
    rows: Vec<u8>,
    read: usize,
}

impl Iterator for LogBatch {
    /// The number of a device, and a reading of it.
    type Item = Result<(u32, Reading), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = self.rows.get(self.read..).unwrap_or_default();
        if self.readings == 0 && rows.is_empty() {
            return None;
        }
        let Some(row) = take_log_row(&mut rows) else {
            (self.readings, self.read) = (0, self.rows.len());
            return Some(Err(damaged(Damaged).into()));
        };
        self.read = self.rows.len() - rows.len();
        self.readings = self.readings.saturating_sub(1);
        Some(Ok(row))
    }
}

/// The batches after `batch` that have readings, in order: as many as hold `limit` of them, and at
/// least one where there is one. With them the last batch looked at.
pub(crate) fn log_after(
    connection: &Connection,
    batch: i64,
    limit: usize,
) -> rusqlite::Result<(Vec<LogBatch>, i64)> {
    let mut statement = connection
        .prepare("SELECT id, now_ms, readings, rows FROM batch WHERE id > ?1 ORDER BY id")?;
    let mut rows = statement.query([batch])?;
    let (mut batches, mut readings, mut last) = (Vec::new(), 0, batch);
    while readings < limit
        && let Some(row) = rows.next()?
    {
        last = row.get(0)?;
        let batch = LogBatch {
            id: last,
            now_ms: row.get(1)?,
            readings: row.get::<_, i64>(2)? as usize,
            rows: row.get(3)?,
            read: 0,
        };
        readings += batch.readings;
        if batch.readings > 0 {
            batches.push(batch);
        }
    }
    Ok((batches, last))
}
