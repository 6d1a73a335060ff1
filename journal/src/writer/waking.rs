//! When the writer has something to do though nothing comes.

use std::time::{Duration, Instant};

use super::{RETRY, Writer};

/// A cursor that moved is written with the next batch, or alone after this time. If it is lost, a
/// message goes out once more under the same id.
const CURSOR_DELAY: Duration = Duration::from_millis(250);

impl Writer {
    /// Goes on with what is to be deleted, if it is time.
    pub(super) fn go_on_deleting(&mut self) {
        let purges = self.has_to_delete();
        if !purges && self.sweeps_in_ms() != Some(0) || self.deletes_in() > Duration::ZERO {
            return;
        }
        // What somebody asked for comes first.
        let again = match if purges { self.purge() } else { self.sweep() } {
            Ok(at_once) => at_once,
            Err(error) => {
                tracing::warn!(%error, "what is not to be kept cannot be deleted yet; trying again");
                false
            }
        };
        self.purge_later = (!again).then(|| Instant::now() + RETRY);
    }

    pub(super) fn has_to_delete(&self) -> bool {
        self.purges.iter().any(|purge| !purge.waits())
    }

    pub(super) fn deletes_in(&self) -> Duration {
        self.purge_later.map_or(Duration::ZERO, |later| later.duration_since(Instant::now()))
    }

    pub(super) fn next_wake(&self) -> Duration {
        if self.look_again {
            return Duration::ZERO;
        }
        let timers = self.timers.next_ms().into_iter().chain(self.waiting.next_ms());
        let timer = timers.chain(self.reports_due_ms()).min();
        let timer = timer.map(|wake_ms| {
            self.clock.real(wake_ms - self.clock.now_ms()) + Duration::from_millis(1)
        });
        let cursor = self.cursors_since.map(|since| CURSOR_DELAY.saturating_sub(since.elapsed()));
        let idle = Duration::from_secs(60);
        let purge = self.has_to_delete().then(|| self.deletes_in());
        let sweep = self.sweeps_in_ms().map(|ms| match ms {
            // Also by a clock that stands still.
            0 => self.deletes_in(),
            ms => self.clock.real(ms),
        });
        timer.into_iter().chain(cursor).chain(purge).chain(sweep).min().unwrap_or(idle).min(idle)
    }

    /// When the first claim or trip is to be looked at.
    pub(super) fn reports_due_ms(&self) -> Option<i64> {
        self.claims.next_ms().into_iter().chain(self.next_trip_ms).min()
    }

    pub(super) fn cursors_waited(&self) -> bool {
        self.cursors_since.is_some_and(|since| since.elapsed() >= CURSOR_DELAY)
    }
}
