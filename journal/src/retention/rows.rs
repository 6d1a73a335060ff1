//! What is kept a row each: events, messages to insurers, what they reported; and a device's own row.

use enrich::DeviceState;
use rusqlite::{Connection, OptionalExtension, Result, Transaction};

use crate::Counts;
use crate::seal::encode_state;
use crate::waiting;
use crate::withhold::Withheld;
use crate::writer::Writer;

/// Rows that one slice deletes: each is a few hundred bytes, or a message to be read and written.
const ROWS: usize = 256;

pub(crate) const TABLES: &str = "
    -- What is to go because of its age is found without reading what stays.
    CREATE INDEX IF NOT EXISTS event_by_age ON event (known_ms);
    CREATE INDEX IF NOT EXISTS trigger_by_age ON trigger_out (said_ms)
        WHERE status NOT IN ('erased', 'notice');
    CREATE INDEX IF NOT EXISTS report_by_age ON report (received_ms);
";

/// What detectors know of a device, when they want to be woken, and its last reading.
pub(super) fn forget_device(connection: &Connection, device: u32) -> Result<()> {
    connection
        .prepare_cached("UPDATE device SET base = ?2, state = ?2, last = x'' WHERE device = ?1")?
        .execute((device, encode_state(&DeviceState::default())))?;
    connection.prepare_cached("DELETE FROM timer WHERE device = ?1")?.execute([device])?;
    Ok(())
}

impl Writer {
    /// Returns whether that was all.
    pub(super) fn sweep_events(&mut self, since_ms: i64) -> Result<bool> {
        let transaction = self.store.connection.unchecked_transaction()?;
        // The last number stays taken: messages refer to events by it, and it must not be given
        // again.
        let numbers = numbers(
            &transaction,
            "SELECT number FROM event WHERE known_ms < ?1
                 AND number < (SELECT max(number) FROM event) LIMIT ?2",
            since_ms,
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM event WHERE number = ?1")?;
        for number in &numbers {
            delete.execute([number])?;
            waiting::end(&transaction, *number)?;
        }
        drop(delete);
        let blank = transaction
            .prepare_cached(
                "UPDATE event SET device = -1, customer = -1, known_ms = 0, time_ms = 0,
                     withdrawn = 1, cause = '', body = ''
                 WHERE number = (SELECT max(number) FROM event) AND known_ms < ?1 AND body != ''
                 RETURNING number",
            )?
            .query_row([since_ms], |row| row.get::<_, i64>(0))
            .optional()?;
        if let Some(number) = blank {
            waiting::end(&transaction, number)?;
        }
        let mut counts = self.counts.clone();
        counts.aged.events += numbers.len() as u64;
        self.commit_counted(transaction, &counts)?;
        self.count(counts);
        self.wait_no_more(&numbers);
        self.wait_no_more(blank.as_slice());
        Ok(numbers.len() < ROWS)
    }

    pub(super) fn sweep_triggers(&mut self, since_ms: i64) -> Result<bool> {
        let transaction = self.store.connection.unchecked_transaction()?;
        let mut counts = self.counts.clone();
        let withheld = Withheld {
            connection: &transaction,
            key: &self.core.key,
            sent: self.sent(&transaction)?,
            now_ms: self.clock.now_ms(),
            counts: &mut counts,
        };
        let cleared = withheld.outlive(since_ms, ROWS)?;
        counts.aged.triggers += cleared.triggers;
        self.commit_counted(transaction, &counts)?;
        self.count(counts);
        if cleared.triggers > 0 {
            self.live.withhold();
        }
        Ok(cleared.triggers < ROWS as u64)
    }

    /// A report goes with all that corrected it, and not while a claim or a trip is still watched;
    /// one of a trip is as old as its end, up to which it says what is booked.
    pub(super) fn sweep_reports(&mut self, since_ms: i64) -> Result<bool> {
        let transaction = self.store.connection.unchecked_transaction()?;
        let numbers = numbers(
            &transaction,
            "SELECT number FROM report AS old WHERE received_ms < ?1 AND NOT EXISTS (
                 SELECT 1 FROM report AS other
                 WHERE other.insurer = old.insurer AND other.kind = old.kind
                   AND other.id = old.id
                   AND (other.received_ms >= ?1
                        OR (other.kind = 'trip' AND json_extract(other.body, '$.to_ms') >= ?1)
                        OR other.number IN (SELECT report FROM claim)
                        OR other.number IN (SELECT report FROM trip)))
             LIMIT ?2",
            since_ms,
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM report WHERE number = ?1")?;
        for number in &numbers {
            delete.execute([number])?;
        }
        drop(delete);
        let mut counts = self.counts.clone();
        counts.aged.reports += numbers.len() as u64;
        self.commit_counted(transaction, &counts)?;
        self.count(counts);
        Ok(numbers.len() < ROWS)
    }

    /// Commits, with the totals where they have changed.
    pub(super) fn commit_counted(
        &self,
        transaction: Transaction<'_>,
        counts: &Counts,
    ) -> Result<()> {
        if *counts != self.counts {
            self.write_counts(&transaction, counts)?;
        }
        transaction.commit()
    }

    pub(super) fn count(&mut self, counts: Counts) {
        self.counts = counts;
        self.live.counted(self.counts.clone());
    }
}

fn numbers(connection: &Connection, select: &str, since_ms: i64) -> Result<Vec<i64>> {
    connection
        .prepare_cached(select)?
        .query_map((since_ms, ROWS as i64), |row| row.get(0))?
        .collect()
}
