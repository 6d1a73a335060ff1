//! The connections that are being served.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task;

use super::access::Proof;

/// A connection is known by the task that serves it: the broker's events name only the client
/// id, which a taken-over connection shares with the one that took it over.
#[derive(Default)]
pub(super) struct Connections(Mutex<Table>);

#[derive(Default)]
struct Table {
    serving: HashMap<task::Id, Connection>,
    by_client: HashMap<Arc<str>, task::Id>,
    /// What tasks have let clients in for, until these are connected.
    let_in: HashMap<task::Id, Proof>,
}

/// More than this have not been let in and then gone without connecting: those forgotten for it
/// have to connect again when a token changes.
const LET_IN: usize = 4_096;

pub(super) struct Connection {
    pub(super) client_id: Arc<str>,
    pub(super) user_id: Option<Arc<str>>,
    pub(super) proof: Proof,
    pub(super) will: Option<Will>,
    /// The client has left; what is still to come is its will.
    pub(super) ending: bool,
}

pub(super) struct Will {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
}

impl Connections {
    /// The current task has accepted a client.
    pub(super) fn let_in(&self, proof: Proof) {
        let Some(task) = task::try_id() else { return };
        let mut table = self.lock();
        if table.let_in.len() >= LET_IN {
            table.let_in.clear();
        }
        table.let_in.insert(task, proof);
    }

    /// The current task has answered a CONNECT. Returns what it let the client in for, if that is
    /// not forgotten.
    pub(super) fn begin(&self, mut connection: Connection) -> Option<Proof> {
        let task = task::try_id()?;
        let mut table = self.lock();
        let proof = table.let_in.remove(&task);
        connection.proof = proof.unwrap_or(Proof::Nothing);
        table.by_client.insert(Arc::clone(&connection.client_id), task);
        table.serving.insert(task, connection);
        proof
    }

    /// Whether the current task serves a client that has not left.
    pub(super) fn serving(&self) -> bool {
        let Some(task) = task::try_id() else {
            return false;
        };
        self.lock().serving.get(&task).is_some_and(|connection| !connection.ending)
    }

    /// The current task's client has left.
    pub(super) fn ending(&self) {
        let Some(task) = task::try_id() else { return };
        if let Some(connection) = self.lock().serving.get_mut(&task) {
            connection.ending = true;
        }
    }

    /// The current task is done with its connection.
    pub(super) fn end(&self) -> Option<Connection> {
        let task = task::try_id()?;
        let mut table = self.lock();
        let connection = table.serving.remove(&task)?;
        if table.by_client.get(&connection.client_id) == Some(&task) {
            table.by_client.remove(&connection.client_id);
        }
        Some(connection)
    }

    /// Whether somebody else is connected under this client id.
    pub(super) fn is_anothers(&self, client_id: &str, user_id: &str) -> bool {
        let table = self.lock();
        let task = table.by_client.get(client_id);
        let holder = task.and_then(|task| table.serving.get(task));
        holder.is_some_and(|holder| holder.user_id.as_deref() != Some(user_id))
    }

    /// The clients that are connected as somebody they could not connect as now.
    pub(super) fn no_more(&self, holds: impl Fn(&str, Proof) -> bool) -> Vec<Arc<str>> {
        let table = self.lock();
        let gone = table.serving.values().filter(|connection| {
            connection.user_id.as_deref().is_some_and(|user| !holds(user, connection.proof))
        });
        gone.map(|connection| Arc::clone(&connection.client_id)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().serving.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
