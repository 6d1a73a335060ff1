//! The log's bounds: what of it is there, and who still needs it.
//!
//! A start needs what is not sealed. A follower needs what comes after its cursor, sealed or not;
//! for its sake batches stay, but never more than so many bytes of them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result};

use crate::purge::Elsewhere;
use crate::store::{meta, set_meta};

/// How many batches a commit deletes at most: dropping many at once would hold up the next.
const DELETED_BATCHES: i64 = 32;

const META: &str = "log";

/// Outputs that read the log, each from a cursor of its own.
#[derive(Clone, Debug, Default)]
pub struct Followers {
    /// The names of their cursors.
    pub outputs: Vec<&'static str>,
    /// Most that is kept for them once it is sealed. Beyond it the oldest goes, counted as
    /// [`Counts::passed_over`](crate::Counts::passed_over).
    pub most_bytes: u64,
    /// Whether they delete where they write what may not be kept any more.
    pub delete: bool,
}

/// A part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Size {
    pub(crate) readings: u64,
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.readings += other.readings;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.readings = self.readings.saturating_sub(other.readings);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Batches are numbered one after the other; a number is never used again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// Batches up to here have been deleted.
    pub(crate) gone: i64,
    /// Batches up to here are in sealed history too: a start does not read them.
    pub(crate) sealed: i64,
    pub(crate) last: i64,
    /// What is not sealed.
    pub(crate) open: Size,
    /// What is sealed and still there.
    pub(crate) kept_bytes: u64,
}

impl Log {
    /// As the file has it. `open` is for whoever reads the batches to fill in.
    pub(crate) fn load(connection: &Connection) -> Result<Self> {
        let [sealed, kept_bytes] =
            meta(connection, META)?.and_then(|bytes| unpack(&bytes)).unwrap_or_default();
        let end = |sql: &str| -> Result<Option<i64>> {
            connection.query_row(sql, [], |row| row.get(0)).optional()
        };
        let first = end("SELECT id FROM batch ORDER BY id LIMIT 1")?;
        let last = end("SELECT id FROM batch ORDER BY id DESC LIMIT 1")?.unwrap_or(0).max(sealed);
        Ok(Self {
            gone: first.map_or(last, |first| first - 1),
            sealed,
            last,
            open: Size::default(),
            kept_bytes: kept_bytes.max(0) as u64,
        })
    }

    /// Notes that batches up to `mark`, `size` of them, need not be read at a start any more.
    pub(crate) fn seal(&mut self, connection: &Connection, mark: i64, size: Size) -> Result<()> {
        self.sealed = mark;
        self.open -= size;
        self.kept_bytes += size.bytes;
        self.save(connection)
    }

    /// Notes that a batch has become smaller.
    pub(crate) fn shrink(&mut self, connection: &Connection, id: i64, by: Size) -> Result<()> {
        if id > self.sealed {
            self.open -= by;
            return Ok(());
        }
        self.kept_bytes = self.kept_bytes.saturating_sub(by.bytes);
        self.save(connection)
    }

    /// Deletes what nobody needs, a slice of it. Returns how many readings went before a follower
    /// had them.
    pub(crate) fn trim(&mut self, connection: &Connection, following: &Following) -> Result<u64> {
        let had = following.slowest().unwrap_or(i64::MAX);
        let until = self.sealed.min(self.gone + DELETED_BATCHES);
        let (before, mut passed_over) = (self.gone, 0);
        let mut size = connection.prepare_cached(
            "SELECT readings, length(rows) + length(states) FROM batch WHERE id = ?1",
        )?;
        let mut delete = connection.prepare_cached("DELETE FROM batch WHERE id = ?1")?;
        while self.gone < until {
            let id = self.gone + 1;
            if id > had && self.kept_bytes <= following.most_bytes {
                break;
            }
            let (readings, bytes) = size
                .query_row([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .optional()?
                .unwrap_or_default();
            delete.execute([id])?;
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes as u64);
            if id > had {
                passed_over += readings as u64;
            }
            self.gone = id;
        }
        if self.gone > before {
            self.save(connection)?;
        }
        Ok(passed_over)
    }

    fn save(&self, connection: &Connection) -> Result<()> {
        set_meta(connection, META, &pack([self.sealed, self.kept_bytes as i64]))
    }
}

fn pack(numbers: [i64; 2]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Option<[i64; 2]> {
    let (first, second) = bytes.split_first_chunk::<8>()?;
    Some([i64::from_le_bytes(*first), i64::from_le_bytes(second.try_into().ok()?)])
}

/// How far each follower has come.
#[derive(Debug)]
pub(crate) struct Following {
    positions: BTreeMap<&'static str, i64>,
    most_bytes: u64,
    delete: bool,
}

impl Following {
    pub(crate) fn load(connection: &Connection, followers: &Followers, log: &Log) -> Result<Self> {
        let mut cursor =
            connection.prepare_cached("SELECT position FROM cursor WHERE output = ?1")?;
        let mut positions = BTreeMap::new();
        for output in &followers.outputs {
            let position: Option<i64> = cursor.query_row([output], |row| row.get(0)).optional()?;
            if position.is_some_and(|position| position < log.gone) {
                tracing::warn!(
                    output,
                    "what came while it was not configured is not in the log any more: it goes on \
                     with the oldest that is; history has the rest"
                );
            }
            positions.insert(*output, position.unwrap_or(0).max(log.gone));
        }
        Ok(Self { positions, most_bytes: followers.most_bytes, delete: followers.delete })
    }

    pub(crate) fn advance(&mut self, output: &str, to: i64) {
        if let Some(position) = self.positions.get_mut(output) {
            *position = to.max(*position);
        }
    }

    /// What a deletion means to them; `None` where there are none.
    pub(crate) fn deletes(&self) -> Option<Elsewhere> {
        let means = if self.delete { Elsewhere::Pending } else { Elsewhere::NotAsked };
        (!self.positions.is_empty()).then_some(means)
    }

    #[cfg(test)]
    pub(crate) fn position(&self, output: &str) -> i64 {
        self.positions.get(output).copied().unwrap_or_default()
    }

    fn slowest(&self) -> Option<i64> {
        self.positions.values().copied().min()
    }
}
