//! What goes from the log: readings, and what it says that detectors knew.

use ingest::Reading;
use rusqlite::Result;

use crate::chunk::Damaged;
use crate::log::Size;
use crate::rows::{log_row, put_blob, take_blob, take_log_row};
use crate::seal::{Pass, damaged};
use crate::writer::Writer;

/// Bytes of the log one slice looks at: it writes at most as many, so that a batch never waits long.
const LOG_BYTES: usize = 1 << 20;

impl Writer {
    /// Takes out of the batches after `done` up to `until`, a slice of them, the readings that do
    /// not stay and the states, by device and batch, that are not known any more. Returns the last
    /// one looked at, if there are more.
    pub(crate) fn thin_log(
        &mut self,
        (done, until): (i64, i64),
        stays: impl Fn(u32, &Reading) -> bool,
        knows: impl Fn(u32, i64) -> bool,
    ) -> Result<Option<i64>> {
        let transaction = self.store.connection.unchecked_transaction()?;
        let (mut log, mut pass) = (self.log.clone(), self.pass);
        let mut select = transaction.prepare_cached(
            "SELECT id, rows, states FROM batch WHERE id > ?1 AND id <= ?2 ORDER BY id",
        )?;
        let mut update = transaction.prepare_cached(
            "UPDATE batch SET readings = readings - ?2, rows = ?3, states = ?4 WHERE id = ?1",
        )?;
        let (mut next, mut seen) = (None, 0);
        let mut rows = select.query((done, until))?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let (was_rows, was_states) = (row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?);
            let (left, gone) = rows_that_stay(was_rows, &stays)?;
            let states = states_that_stay(was_states, |device| knows(device, id))?;
            let bytes = (was_rows.len() - left.len() + was_states.len() - states.len()) as u64;
            seen += was_rows.len() + was_states.len();
            if bytes > 0 {
                update.execute((id, gone as i64, left, states))?;
                let gone = Size { readings: gone, bytes };
                log.shrink(&transaction, id, gone)?;
                if let Pass::Sealing { mark, size, .. } = &mut pass
                    && id <= *mark
                {
                    *size -= gone;
                }
            }
            if seen >= LOG_BYTES {
                next = Some(id);
                break;
            }
        }
        drop((rows, update));
        drop(select);
        transaction.commit()?;
        (self.log, self.pass) = (log, pass);
        Ok(next)
    }
}

fn rows_that_stay(
    mut rows: &[u8],
    stays: impl Fn(u32, &Reading) -> bool,
) -> Result<(Vec<u8>, u64)> {
    let (mut left, mut gone) = (Vec::with_capacity(rows.len()), 0);
    while let Some((device, reading)) = take_log_row(&mut rows) {
        match stays(device, &reading) {
            true => log_row(&mut left, device, &reading),
            false => gone += 1,
        }
    }
    match rows.is_empty() {
        true => Ok((left, gone)),
        false => Err(damaged(Damaged)),
    }
}

fn states_that_stay(mut states: &[u8], knows: impl Fn(u32) -> bool) -> Result<Vec<u8>> {
    let mut left = Vec::with_capacity(states.len());
    while let Some((device, state)) = take_blob(&mut states) {
        if knows(device) {
            put_blob(&mut left, device, state);
        }
    }
    match states.is_empty() {
        true => Ok(left),
        false => Err(damaged(Damaged)),
    }
}
