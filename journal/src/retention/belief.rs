//! How far the clock is believed where something would be deleted because of its age.
//!
//! A machine that starts with its clock years ahead would find everything old enough to go, and
//! every reading that comes too old to be taken. So the clock is believed only if it has gone on by
//! no more than a jump since it was last believed, or if some reading comes from its time. Until
//! then things age by the moment that was believed last.

use rusqlite::{Connection, Result};

use super::DAY_MS;
use crate::recover::conversion;
use crate::store::{meta, set_meta};

const KEY: &str = "believed_ms";

#[derive(Debug)]
pub(crate) struct Belief {
    jump_ms: i64,
    /// The clock when it was believed last; and of that, what the file has.
    at_ms: i64,
    written_ms: Option<i64>,
    /// The time of the newest reading of all.
    newest_ms: Option<i64>,
    doubts: bool,
}

impl Belief {
    /// As the process before left it. A journal that knows of none goes by its newest reading, and
    /// one without readings has nothing to lose.
    pub(crate) fn load(
        connection: &Connection,
        (now_ms, jump_ms): (i64, i64),
        newest_ms: Option<i64>,
    ) -> Result<Self> {
        let written = meta(connection, KEY)?;
        let written = written.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let written_ms: Option<i64> = written.map_err(conversion)?;
        let at_ms = written_ms.or(newest_ms).unwrap_or(now_ms);
        let mut belief = Self { jump_ms, at_ms, written_ms, newest_ms, doubts: false };
        belief.look(now_ms);
        Ok(belief)
    }

    /// A reading of this time was stored.
    pub(crate) fn heard(&mut self, time_ms: i64) {
        self.newest_ms = self.newest_ms.max(Some(time_ms));
    }

    /// Looks at the clock. Returns whether it is believed again after a doubt.
    pub(crate) fn look(&mut self, now_ms: i64) -> bool {
        let doubted = self.doubts;
        let confirmed = self.newest_ms.is_some_and(|newest_ms| self.goes_on(newest_ms, now_ms));
        self.doubts = !self.goes_on(self.at_ms, now_ms) && !confirmed;
        if !self.doubts {
            self.at_ms = now_ms;
        } else if !doubted {
            tracing::error!(
                days = (now_ms - self.at_ms) / DAY_MS,
                "the clock has jumped ahead: nothing is deleted because of its age until it is set \
                 right, or a reading comes from its time"
            );
        }
        if doubted && !self.doubts {
            tracing::info!("the clock is believed again");
        }
        doubted && !self.doubts
    }

    pub(crate) fn doubts(&self) -> bool {
        self.doubts
    }

    /// The moment by which things age when the clock says `now_ms`.
    pub(crate) fn aged_ms(&self, now_ms: i64) -> i64 {
        if self.goes_on(self.at_ms, now_ms) { now_ms } else { self.at_ms }
    }

    /// Writes it down once a day of the clock: less than any jump.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<()> {
        let far = |written_ms: i64| written_ms.abs_diff(self.at_ms) >= DAY_MS.unsigned_abs();
        if self.written_ms.is_none_or(far) {
            set_meta(connection, KEY, self.at_ms.to_string().as_bytes())?;
            self.written_ms = Some(self.at_ms);
        }
        Ok(())
    }

    fn goes_on(&self, from_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(from_ms) <= self.jump_ms
    }
}
