//! A row of the outbox.

use enrich::trigger::{CloudEvent, Status};
use rusqlite::Result;

use super::{Outbox, to_json};
use crate::message::Message;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Released,
    Expired,
    Waiting,
    Suppressed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Waiting => "waiting",
            Self::Suppressed => "suppressed",
        }
    }
}

pub(crate) struct Entry<'a> {
    pub(crate) message: &'a Message,
    pub(crate) event: &'a CloudEvent,
    pub(crate) status: Status,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<&'static str>,
    /// For the customer's cap.
    pub(crate) counts: bool,
    pub(crate) insurer: &'a str,
    pub(crate) product: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) sequence: Option<i64>,
    pub(crate) expires_ms: i64,
}

impl Outbox<'_> {
    pub(crate) fn insert(&mut self, row: Entry<'_>) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO trigger_out (id, revision, status, outcome, reason, event, rule, counts,
                     happened_ms, insurer, product, purpose, sequence, customer, subject,
                     key_version, said_ms, expires_ms, body, evidence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                     ?17, ?18, ?19, ?20)",
            )?
            .execute(rusqlite::params![
                row.event.id,
                row.event.revision,
                row.status.name(),
                row.outcome.name(),
                row.reason,
                row.message.event,
                row.event.data.rule.id,
                row.counts,
                row.event.data.happened_at.as_millisecond(),
                row.insurer,
                row.product,
                row.purpose,
                row.sequence,
                row.message.customer,
                row.event.subject,
                row.message.subject.key_version,
                self.now_ms,
                row.expires_ms,
                to_json(row.event)?,
                row.message.evidence,
            ])?;
        match row.outcome {
            Outcome::Released => self.counts.triggers_released += 1,
            Outcome::Expired => self.counts.triggers_expired += 1,
            Outcome::Waiting | Outcome::Suppressed => {}
        }
        Ok(())
    }
}
