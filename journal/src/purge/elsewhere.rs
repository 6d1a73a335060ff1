//! What an output has brought to another place must go there, too. Whoever runs the output asks
//! for what is due, deletes it, and says so; until then the deletion is not done.

use std::sync::Arc;

use enrich::registry::{Registry, Span};
use rusqlite::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Purge, Task};
use crate::handle::{Closed, Command, Journal};
use crate::outbox::{json, to_json};
use crate::reader::{ReadError, Reader};
use crate::writer::Writer;

/// Whether what is deleted here was deleted in InfluxDB, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Elsewhere {
    /// It is asked again and again.
    Pending,
    Done {
        done_ms: i64,
    },
    /// It is configured so: somebody has to do it there.
    NotAsked,
}

/// A deletion that an output still has to do where it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Of its receipt.
    pub number: i64,
    customer: u32,
    at_ms: i64,
    devices: Vec<(Arc<str>, Vec<Span>)>,
}

impl Due {
    /// The devices, and from when to when their readings go, by the consents that there are now.
    #[must_use]
    pub fn goes(&self, registry: &Registry) -> Vec<(Arc<str>, Span)> {
        let goes = |owned: &Span| registry.goes(self.customer, *owned, self.at_ms);
        let of = |(device, owned): &(Arc<str>, Vec<Span>)| {
            let device = device.clone();
            owned.iter().flat_map(goes).map(move |span| (device.clone(), span)).collect::<Vec<_>>()
        };
        self.devices.iter().flat_map(of).collect()
    }
}

impl Purge {
    /// Nothing can be done before it is done elsewhere.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.step, super::Step::Elsewhere) && !self.task.elsewhere.is_empty()
    }
}

impl Reader {
    /// What is to be deleted where outputs write, the oldest first.
    pub fn deletions_due(&self) -> Result<Vec<Due>, ReadError> {
        let connection = self.open()?;
        let mut select = connection
            .prepare("SELECT number, task FROM deletion WHERE task IS NOT NULL ORDER BY number")?;
        let rows = select.query_map([], |row| {
            let Task { customer, at_ms, elsewhere, .. } = json(row, 1)?;
            Ok(Due { number: row.get(0)?, customer, at_ms, devices: elsewhere })
        })?;
        let mut due = rows.collect::<Result<Vec<_>>>()?;
        due.retain(|due| !due.devices.is_empty());
        Ok(due)
    }
}

impl Journal {
    /// Records that a deletion was done where an output writes; returns whether that is committed.
    pub async fn deleted_elsewhere(&self, number: i64) -> Result<bool, Closed> {
        let (done, recorded) = oneshot::channel();
        self.command(Command::DeletedElsewhere(number, done)).await?;
        recorded.await.map_err(|_| Closed)
    }
}

impl Writer {
    /// From here on the file need not know any more which devices these were.
    pub(crate) fn deleted_elsewhere(&mut self, number: i64) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let Some(purge) = self.purges.iter_mut().find(|purge| purge.number == number) else {
            return Ok(());
        };
        let mut task = purge.task.clone();
        task.elsewhere.clear();
        let mut receipt = purge.receipt.clone();
        receipt.influx = Some(Elsewhere::Done { done_ms: now_ms });
        self.store.connection.execute(
            "UPDATE deletion SET task = ?2, receipt = ?3 WHERE number = ?1",
            (number, to_json(&task)?, to_json(&receipt)?),
        )?;
        (purge.task, purge.receipt) = (task, receipt);
        Ok(())
    }
}
