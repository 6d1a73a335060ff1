//! How far each webhook has come, and what its endpoint has not taken.
//!
//! What an attempt came to commits before the next one begins: so nothing is forgotten, and after
//! a crash at most the last message goes out again, under the same id.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::handle::{Closed, Command, Journal};
use crate::outbox::{json, to_json};
use crate::reader::{ReadError, Reader, TriggerRow};

pub(crate) const TABLES: &str = "
    -- A message that an endpoint has not taken; without `next_ms` it is not tried again by itself.
    CREATE TABLE IF NOT EXISTS letter (
        endpoint TEXT NOT NULL, position INTEGER NOT NULL, attempts INTEGER NOT NULL,
        next_ms INTEGER, error TEXT NOT NULL, PRIMARY KEY (endpoint, position)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS endpoint (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
";

/// A message that an endpoint has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// In the outbox.
    pub position: i64,
    pub attempts: u32,
    /// When it is tried again; `None`: not by itself any more.
    pub next_ms: Option<i64>,
    /// What came of the last attempt.
    pub error: String,
}

/// How an endpoint is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// Another address is another endpoint: it starts with a clean record.
    pub url: String,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Until then nothing is sent.
    pub rest_until_ms: Option<i64>,
    /// It said that it is gone for good.
    pub gone_since_ms: Option<i64>,
    pub error: Option<String>,
}

/// Whether anything is sent to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    #[default]
    Taking,
    /// The last attempt failed, and the next message is tried all the same.
    Failing,
    /// It is left in peace for a while.
    Resting,
    /// Until somebody resumes it.
    Gone,
}

impl Circuit {
    pub const ALL: [Self; 4] = [Self::Taking, Self::Failing, Self::Resting, Self::Gone];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Taking => "taking",
            Self::Failing => "failing",
            Self::Resting => "resting",
            Self::Gone => "gone",
        }
    }
}

impl EndpointState {
    #[must_use]
    pub fn circuit(&self, now_ms: i64) -> Circuit {
        match self {
            Self { gone_since_ms: Some(_), .. } => Circuit::Gone,
            Self { rest_until_ms: Some(until_ms), .. } if *until_ms > now_ms => Circuit::Resting,
            Self { failures: 1.., .. } => Circuit::Failing,
            Self { .. } => Circuit::Taking,
        }
    }
}

/// What is recorded of an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// How far it has come in the outbox.
    pub cursor: Option<i64>,
    pub state: Option<EndpointState>,
    /// Messages to be tried again, or given up.
    pub letters: Vec<Letter>,
    /// Messages that were taken, or are not to be sent any more.
    pub settled: Vec<i64>,
}

/// How much an endpoint has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Not tried yet.
    pub unsent: i64,
    /// To be tried again.
    pub waiting: i64,
    /// Given up.
    pub dead: i64,
}

#[derive(Debug)]
pub(crate) struct Recorded {
    endpoint: Arc<str>,
    progress: Progress,
    done: oneshot::Sender<()>,
}

impl Journal {
    /// Records what became of an endpoint's messages; returns when it is committed.
    pub async fn record_webhook(
        &self,
        endpoint: Arc<str>,
        progress: Progress,
    ) -> Result<(), Closed> {
        let (done, committed) = oneshot::channel();
        let recorded = Recorded { endpoint, progress, done };
        self.command(Command::Webhook(recorded)).await?;
        committed.await.map_err(|_| Closed)
    }
}

impl Recorded {
    #[cfg(test)]
    pub(crate) fn of(endpoint: &str, progress: Progress) -> Self {
        Self { endpoint: endpoint.into(), progress, done: oneshot::channel().0 }
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (endpoint, progress) = (&*self.endpoint, &self.progress);
        if let Some(cursor) = progress.cursor {
            connection
                .prepare_cached("INSERT OR REPLACE INTO cursor (output, position) VALUES (?1, ?2)")?
                .execute((output(endpoint), cursor))?;
        }
        if let Some(state) = &progress.state {
            connection
                .prepare_cached("INSERT OR REPLACE INTO endpoint (name, state) VALUES (?1, ?2)")?
                .execute((endpoint, to_json(state)?))?;
        }
        let mut put = connection.prepare_cached(
            "INSERT OR REPLACE INTO letter (endpoint, position, attempts, next_ms, error)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for letter in &progress.letters {
            let Letter { position, attempts, next_ms, error } = letter;
            put.execute((endpoint, position, attempts, next_ms, error))?;
        }
        let mut remove = connection
            .prepare_cached("DELETE FROM letter WHERE endpoint = ?1 AND position = ?2")?;
        for position in &progress.settled {
            remove.execute((endpoint, position))?;
        }
        Ok(())
    }

    /// Tells whoever waits that it is committed.
    pub(crate) fn done(self) {
        // Whoever has gone does not need to know.
        self.done.send(()).ok();
    }
}

/// The name of a webhook's cursor.
fn output(endpoint: &str) -> String {
    format!("webhook/{endpoint}")
}

impl Reader {
    /// How far an endpoint has come; `None` when it has not begun.
    pub fn webhook_cursor(&self, endpoint: &str) -> Result<Option<i64>, ReadError> {
        let position = "SELECT position FROM cursor WHERE output = ?1";
        Ok(self.open()?.query_row(position, [output(endpoint)], |row| row.get(0)).optional()?)
    }

    pub fn endpoint(&self, endpoint: &str) -> Result<Option<EndpointState>, ReadError> {
        let state = "SELECT state FROM endpoint WHERE name = ?1";
        Ok(self.open()?.query_row(state, [endpoint], |row| json(row, 0)).optional()?)
    }

    /// The letter that is to be tried next, and how many are.
    pub fn next_letter(&self, endpoint: &str) -> Result<(Option<Letter>, i64), ReadError> {
        let waiting =
            self.letters(endpoint, "next_ms IS NOT NULL ORDER BY next_ms, position LIMIT 1")?;
        Ok((waiting.into_iter().next(), self.count(endpoint, "next_ms IS NOT NULL")?))
    }

    /// What was given up, oldest first, after a position.
    pub fn dead_letters(
        &self,
        endpoint: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Letter>, ReadError> {
        let which =
            format!("next_ms IS NULL AND position > {after} ORDER BY position LIMIT {limit}");
        self.letters(endpoint, &which)
    }

    fn letters(&self, endpoint: &str, which: &str) -> Result<Vec<Letter>, ReadError> {
        let connection = self.open()?;
        let mut statement = connection.prepare(&format!(
            "SELECT position, attempts, next_ms, error FROM letter WHERE endpoint = ?1 AND {which}"
        ))?;
        let rows = statement.query_map([endpoint], |row| {
            Ok(Letter {
                position: row.get(0)?,
                attempts: row.get(1)?,
                next_ms: row.get(2)?,
                error: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count(&self, endpoint: &str, which: &str) -> Result<i64, ReadError> {
        let count = format!("SELECT count(*) FROM letter WHERE endpoint = ?1 AND {which}");
        Ok(self.open()?.query_row(&count, [endpoint], |row| row.get(0))?)
    }

    /// How much an endpoint of that insurer has before it.
    pub fn backlog(
        &self,
        endpoint: &str,
        insurer: &str,
        products: &[String],
    ) -> Result<Backlog, ReadError> {
        let cursor = self.webhook_cursor(endpoint)?.unwrap_or(i64::MAX);
        let unsent = self.open()?.query_row(
            "SELECT count(*) FROM trigger_out
             WHERE position > ?1 AND insurer = ?2 AND sequence IS NOT NULL
               AND (?3 = '[]' OR product IN (SELECT value FROM json_each(?3)))",
            (cursor, insurer, to_json(&products)?),
            |row| row.get(0),
        )?;
        let waiting = self.count(endpoint, "next_ms IS NOT NULL")?;
        Ok(Backlog { unsent, waiting, dead: self.count(endpoint, "next_ms IS NULL")? })
    }

    /// The next message for an insurer after a position; of these products only, if any are named.
    pub fn next_for(
        &self,
        insurer: &str,
        products: &[String],
        position: i64,
    ) -> Result<Option<TriggerRow>, ReadError> {
        let rows = self.triggers(
            "WHERE position > ?1 AND insurer = ?2 AND sequence IS NOT NULL
               AND (?3 = '[]' OR product IN (SELECT value FROM json_each(?3)))
             ORDER BY position LIMIT 1",
            (position, insurer, to_json(&products)?),
        )?;
        Ok(rows.into_iter().next())
    }

    /// The message at a position, if it is still to be sent.
    pub fn to_send(&self, position: i64) -> Result<Option<TriggerRow>, ReadError> {
        let rows = self.triggers("WHERE position = ?1 AND sequence IS NOT NULL", [position])?;
        Ok(rows.into_iter().next())
    }

    /// The last position in the outbox.
    pub fn last_position(&self) -> Result<i64, ReadError> {
        let last = "SELECT coalesce(max(position), 0) FROM trigger_out";
        Ok(self.open()?.query_row(last, [], |row| row.get(0))?)
    }
}
