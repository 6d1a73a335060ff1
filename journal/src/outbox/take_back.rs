//! What was said and does not hold.

use enrich::trigger::{Status, Subject};
use rusqlite::Result;

use super::{Entry, Outbox, Outcome};
use crate::message::{Message, kind, sequence_text, timestamp};
use crate::said::{LastSaid, forget_held, last_said_of, next_sequence};

impl Outbox<'_> {
    /// Takes back what was said about an event, but for what was said under `kept`. An insurer
    /// that may not hear of the customer any more hears nothing.
    pub(crate) fn take_back(&mut self, number: i64, kept: &[String]) -> Result<()> {
        forget_held(self.connection, number, kept)?;
        for last in last_said_of(self.connection, number)? {
            if !kept.contains(&last.event.id) && self.may_hear(&last) {
                self.withdraw_said(last, number)?;
            }
        }
        Ok(())
    }

    /// Takes back what was said of an event.
    pub(crate) fn withdraw_said(&mut self, last: LastSaid, number: i64) -> Result<()> {
        let sequence = next_sequence(self.connection, &last.insurer, &last.product)?;
        let mut event = last.event;
        event.revision += 1;
        event.kind = kind(Status::Withdrawn);
        event.time = timestamp(self.now_ms);
        event.sequence = sequence_text(sequence);
        let message = Message {
            id: event.id.clone(),
            subject: Subject { subject: event.subject.clone(), key_version: last.key_version },
            customer: last.customer,
            event: number,
            data: event.data.clone(),
            evidence: last.evidence,
        };
        self.insert(Entry {
            message: &message,
            event: &event,
            status: Status::Withdrawn,
            outcome: Outcome::Released,
            reason: None,
            counts: false,
            insurer: &last.insurer,
            product: &last.product,
            purpose: &last.purpose,
            sequence: Some(sequence),
            expires_ms: last.expires_ms,
        })
    }

    fn may_hear(&self, last: &LastSaid) -> bool {
        let now_ms = self.now_ms;
        let rule = self.rules.rule(&last.event.data.rule.id);
        rule.is_none_or(|rule| {
            self.registry.may_tell(last.customer, &last.insurer, rule.purpose, now_ms, now_ms)
        })
    }
}
