//! What the log has for InfluxDB and it has not had yet.

use std::collections::VecDeque;

use enrich::registry::Registry;
use journal::{LogBatch, ReadError, Reader};

use super::lines::Lines;

/// The log from a cursor on. Blocks while it reads.
#[derive(Debug)]
pub(crate) struct Backlog {
    reader: Reader,
    /// Batches up to here have been read from the log.
    read: i64,
    /// Read, and not yet in lines: no more than one request takes, and the rest of a batch.
    batches: VecDeque<LogBatch>,
    /// Batches up to here are in lines, with all their readings.
    done: i64,
}

impl Backlog {
    pub(crate) fn after(reader: Reader, cursor: i64) -> Self {
        Self { reader, read: cursor, batches: VecDeque::new(), done: cursor }
    }

    /// Adds to `lines` until there are `most` readings in it, or the log has no more.
    pub(crate) fn fill(
        &mut self,
        lines: &mut Lines,
        registry: &Registry,
        now_ms: i64,
        most: usize,
    ) -> Result<(), ReadError> {
        while !lines.is_full(most) {
            let Some(batch) = self.batches.front_mut() else {
                let (batches, read) = self.reader.log_after(self.read, most)?;
                if read == self.read {
                    break;
                }
                (self.read, self.batches) = (read, batches.into());
                continue;
            };
            match batch.next() {
                Some(row) => {
                    let (device, reading) = row?;
                    lines.oldest_ms.get_or_insert(batch.now_ms);
                    lines.push(registry, now_ms, (device, &reading));
                }
                None => self.let_go(),
            }
        }
        if self.batches.front().is_some_and(|batch| batch.readings == 0) {
            self.let_go();
        }
        lines.upto = self.done;
        Ok(())
    }

    /// The first batch is in lines.
    fn let_go(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.done = batch.id;
        }
    }
}
