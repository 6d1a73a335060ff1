//! The secrets that pseudonyms are made with: the journal's own, then one more for each rotation.
//!
//! What was said before keeps the name it was said under, and so does what is said of it later.

use std::sync::Arc;

use enrich::registry::{Entry, Policy, Product};
use enrich::trigger::{Key, Subject};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::change::ChangeError;
use crate::handle::{Command, Journal};
use crate::outbox::json;
use crate::reader::{ReadError, Reader};
use crate::store::{meta, set_meta};
use crate::writer::Writer;

/// The secrets since the first, 32 bytes each, the newest last.
const RENEWED: &str = "pseudonym_secrets";

/// The names by which the insurer of a policy knows its customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subjects {
    pub policy: Arc<str>,
    pub insurer: Arc<str>,
    pub product: Product,
    /// The one in use last.
    pub subjects: Vec<Subject>,
}

/// The secrets that are there; `None` before there are any.
pub(crate) fn key(connection: &Connection) -> rusqlite::Result<Option<Key>> {
    let Some(secret) = meta(connection, "secret")?.and_then(|bytes| bytes.try_into().ok()) else {
        return Ok(None);
    };
    let renewed = meta(connection, RENEWED)?.unwrap_or_default();
    let (renewed, _) = renewed.as_chunks();
    Ok(Some(Key::new(secret).renewed(renewed.iter().copied())))
}

impl Journal {
    /// Makes a new secret of pseudonyms, and returns its version: every trigger that fires from now
    /// on has another subject.
    pub async fn rotate_pseudonyms(&self) -> Result<u32, ChangeError> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Rotate(answer)).await.map_err(|_| ChangeError::Closed)?;
        answered.await.map_err(|_| ChangeError::Closed)?
    }
}

impl Writer {
    pub(crate) fn rotate_pseudonyms(&mut self) -> Result<u32, ChangeError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(ChangeError::Random)?;
        let connection = &self.store.connection;
        let mut renewed = meta(connection, RENEWED)?.unwrap_or_default();
        renewed.extend(secret);
        set_meta(connection, RENEWED, &renewed)?;
        self.core.key = self.core.key.clone().renewed([secret]);
        let version = self.core.key.version();
        tracing::info!(version, "made a new secret of pseudonyms");
        Ok(version)
    }
}

impl Reader {
    /// The names of the customer behind a policy; `None` when there is no such policy.
    pub fn subjects(&self, policy: &str) -> Result<Option<Subjects>, ReadError> {
        let connection = self.open()?;
        let entry: Option<Entry> = connection
            .query_row(
                "SELECT entry FROM registry WHERE key = ?1",
                [format!("policy/{policy}")],
                |row| json(row, 0),
            )
            .optional()?;
        let (Some(Entry::Policy(policy)), Some(key)) = (entry, key(&connection)?) else {
            return Ok(None);
        };
        let Policy { id, insurer, customer, product, .. } = policy;
        let subjects = key.subjects(&insurer, &customer);
        Ok(Some(Subjects { policy: id, insurer, product, subjects }))
    }
}
