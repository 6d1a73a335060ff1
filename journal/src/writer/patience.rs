//! A commit that fails is tried again for as long as that can help.

use std::time::{Duration, Instant};

use ingest::Arrival;
use rusqlite::ErrorCode;
use tokio::sync::mpsc;

use super::{RETRY, Writer};
use crate::live::Health;
use crate::store::set_meta;

/// How long a commit may fail before connections are dropped: while they wait they cannot even
/// answer a ping.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same when nobody can be waiting for it any more: what is not acknowledged is its sender's.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// What must fit on the disk before a journal that was full takes readings again.
const PROBE_BYTES: usize = 1 << 20;

impl Writer {
    /// Commits, and tries again for as long as that can help. Returns whether to go on.
    pub(super) fn persist(
        &mut self,
        arrivals: &mut Vec<Arrival>,
        arriving: &mut mpsc::Receiver<Arrival>,
        due: &[u32],
    ) -> bool {
        let since = Instant::now();
        loop {
            let patience = if arriving.is_closed() { LAST_PATIENCE } else { PATIENCE };
            match self.commit(arrivals, due) {
                Ok(done) => {
                    self.apply(done);
                    // The oldest last: a collector, which acknowledges in the order of receipt,
                    // is woken once for all of them.
                    for arrival in arrivals.drain(..).rev() {
                        if arrival.acknowledge.send(()).is_err() {
                            tracing::trace!("the connection was gone before its acknowledgement");
                        }
                    }
                    return true;
                }
                Err(error) if !passes(&error) => {
                    self.fail(&error.to_string());
                    return false;
                }
                Err(error) if since.elapsed() < patience => {
                    tracing::warn!(%error, "the journal cannot commit; trying again");
                }
                Err(error) => {
                    // Nothing here was acknowledged, so whoever sent it sends it again.
                    tracing::error!(%error, unacknowledged = arrivals.len(), "the journal cannot commit");
                    let reason = format!("{error}; free disk space or check the disk");
                    self.live.set_health(Health::Stalled { reason });
                    arrivals.clear();
                    let room = self.wait_for_room(arriving);
                    if room {
                        self.live.set_health(Health::Writable);
                    }
                    return room;
                }
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Until something can be committed again, or nobody is left to send anything. What comes
    /// meanwhile is let go, unacknowledged.
    fn wait_for_room(&self, arriving: &mut mpsc::Receiver<Arrival>) -> bool {
        while let Err(error) = self.probe() {
            tracing::debug!(%error, "the journal still cannot commit");
            if arriving.is_closed() {
                return false;
            }
            std::thread::sleep(RETRY);
            while let Ok(arrival) = arriving.try_recv() {
                drop(arrival);
            }
        }
        tracing::info!("the journal can commit again");
        true
    }

    /// Commits about as much as a batch takes, and takes it away again.
    fn probe(&self) -> rusqlite::Result<()> {
        let connection = &self.store.connection;
        set_meta(connection, "probe", &vec![0; PROBE_BYTES])?;
        connection.execute("DELETE FROM meta WHERE key = 'probe'", [])?;
        Ok(())
    }
}

/// Whether trying again can help.
fn passes(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
        )
    )
}
