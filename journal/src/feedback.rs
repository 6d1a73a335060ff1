//! What customers made of what they were told: kept as their insurer reported it, asked each time
//! something is about to be said, and answered where a mark asks for it.
//!
//! There is no state beside the reports themselves, so that it survives a restart, comes out the same
//! in any order, and goes with them when a customer is erased.

use std::sync::Arc;

use enrich::feedback::{Answer, Given, REMEMBERED, Reception};
use enrich::registry::{Product, Registry};
use enrich::rules::Sort;
use enrich::trigger::Status;
use ingest::report::{Feedback, Report};
use rusqlite::{Connection, OptionalExtension, Result};
use serde::Serialize;

use crate::message::Message;
use crate::outbox::{Entry, Outbox, Outcome, json, to_json};
use crate::said::{next_sequence, said};

pub(crate) const TABLES: &str = "
    -- The newest feedback first, without reading all that a customer ever gave.
    CREATE INDEX IF NOT EXISTS feedback_by_time
        ON report (customer, insurer, json_extract(body, '$.time_ms'), digest)
        WHERE kind = 'feedback';
";

/// What a customer makes of what an insurer tells them by a rule.
pub(crate) fn reception(
    connection: &Connection,
    customer: u32,
    insurer: &str,
    rule: &str,
) -> Result<Reception> {
    let mut select = connection.prepare_cached(
        "SELECT coalesce((SELECT rule FROM trigger_out WHERE id = report.id LIMIT 1), ''), body
         FROM report WHERE kind = 'feedback' AND customer = ?1 AND insurer = ?2
         ORDER BY json_extract(body, '$.time_ms') DESC, digest DESC LIMIT ?3",
    )?;
    let mut rows = select.query((customer, insurer, REMEMBERED as i64))?;
    let mut given = Vec::new();
    while let Some(row) = rows.next()? {
        if let Report::Feedback(feedback) = json(row, 1)? {
            given.push(Given { rule: row.get(0)?, feedback });
        }
    }
    Ok(Reception::of(rule, &given))
}

/// The insurers that a customer gave a low mark: they make them no offers.
pub(crate) fn marked_low(
    connection: &Connection,
    registry: &Registry,
    customer: u32,
) -> Result<Vec<Arc<str>>> {
    let mut insurers: Vec<&Arc<str>> =
        registry.policies_of(customer).iter().map(|policy| &policy.insurer).collect();
    insurers.sort_unstable();
    insurers.dedup();
    let mut low = Vec::new();
    for insurer in insurers {
        if reception(connection, customer, insurer, "")?.refuses(Sort::Offer) {
            low.push(Arc::clone(insurer));
        }
    }
    Ok(low)
}

/// All that an answer to a mark was computed from.
#[derive(Serialize)]
struct Evidence<'a> {
    insurer: &'a str,
    customer: &'a str,
    feedback: &'a Feedback,
    registry_version: u64,
    now_ms: i64,
}

impl Outbox<'_> {
    /// Answers feedback that was just reported, where its mark asks for it and a newer one does not
    /// say otherwise. It takes the consent that the trigger took which was marked.
    pub(crate) fn hear(&mut self, insurer: &str, customer: u32, feedback: &Feedback) -> Result<()> {
        let Some((mark, answer)) = feedback.mark.and_then(|mark| Some((mark, Answer::to(mark)?)))
        else {
            return Ok(());
        };
        let newest = reception(self.connection, customer, insurer, "")?.mark;
        if newest.and_then(Answer::to) != Some(answer) {
            return Ok(());
        }
        let Some((product, purpose)) = self.marked(&feedback.trigger)? else { return Ok(()) };
        let (now_ms, registry) = (self.now_ms, self.registry);
        let Some(who) = registry.customer(customer) else { return Ok(()) };
        if !registry.may_tell(customer, insurer, purpose, now_ms, now_ms) {
            return Ok(());
        }
        let about = match answer {
            Answer::Task => &*feedback.trigger,
            Answer::Membership => &who.id,
        };
        let id = self.key.feedback_id(answer.kind(), insurer, about);
        if said(self.connection, &id)?.is_some() {
            return Ok(());
        }
        let evidence = to_json(&Evidence {
            insurer,
            customer: &who.id,
            feedback,
            registry_version: registry.version,
            now_ms,
        })?;
        let expires_ms = Answer::expires_ms(feedback);
        let expired = expires_ms < now_ms;
        let data = answer.data(feedback, mark, &product, &evidence);
        let subject = self.key.subject(insurer, &who.id);
        let message = Message { id, subject, customer, event: -1, data, evidence };
        let sequence = match expired {
            true => None,
            false => Some(next_sequence(self.connection, insurer, &product)?),
        };
        let event = message.event(now_ms, Status::Fired, 0, sequence);
        self.insert(Entry {
            message: &message,
            event: &event,
            status: Status::Fired,
            outcome: if expired { Outcome::Expired } else { Outcome::Released },
            reason: None,
            // A task is for the insurer's people; an offer is one whoever asked for it.
            counts: answer == Answer::Membership,
            insurer,
            product: &product,
            purpose: purpose.name(),
            sequence,
            expires_ms,
        })
    }

    /// The product and the purpose of a trigger; `None` where it rested on no consent.
    fn marked(&self, trigger: &str) -> Result<Option<(String, Product)>> {
        let told: Option<(String, String)> = self
            .connection
            .prepare_cached("SELECT product, purpose FROM trigger_out WHERE id = ?1 LIMIT 1")?
            .query_row([trigger], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let purpose = |name: String| serde_json::from_value(name.into()).ok();
        Ok(told.and_then(|(product, name)| Some((product, purpose(name)?))))
    }
}
