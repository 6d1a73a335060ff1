//! What is in the outbox of somebody who withdrew or is erased: what waits is not sent, what was
//! sent is deleted here, and the insurer is told to delete it there. And what is there for longer
//! than it shall be kept.
//!
//! A message keeps its place and its sequence number, with nothing in it but why, so that no
//! subscriber looks for one that is missing.

use std::collections::BTreeSet;

use enrich::privacy::{PrivacyData, PrivacyKind, PrivacyReason};
use enrich::registry::{Consent, Registry};
use enrich::trigger::{CloudEvent, Key, Subject};
use rusqlite::{Connection, OptionalExtension, Result};

use crate::Counts;
use crate::message::{sequence_text, timestamp};
use crate::outbox::to_json;
use crate::said::next_sequence;
use crate::writer::Writer;

/// The output that sends triggers, by the name of its cursor.
const SENDER: &str = "mqtt";

/// How long the request to delete is shown as of use: as long as a subscriber may ask for it.
const NOTICE_MS: i64 = 365 * 86_400_000;

pub(crate) struct Withheld<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) key: &'a Key,
    /// Everything in the outbox up to here was sent.
    pub(crate) sent: i64,
    pub(crate) now_ms: i64,
    pub(crate) counts: &'a mut Counts,
}

/// How many messages were cleared, how many of these had not been sent, and how many were kept to be
/// sent to an endpoint again; what insurers had reported, and what of that could not be used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cleared {
    pub(crate) triggers: u64,
    pub(crate) withheld: u64,
    pub(crate) dead_letters: u64,
    pub(crate) reports: u64,
    pub(crate) quarantined: u64,
}

struct Row {
    position: i64,
    outcome: String,
    event: CloudEvent<serde_json::Value>,
}

impl Writer {
    /// Up to where the outbox was sent, as far as its sender has said.
    pub(crate) fn sent(&self, connection: &Connection) -> Result<i64> {
        if let Some(position) = self.cursors.get(SENDER) {
            return Ok(*position);
        }
        let position = connection
            .query_row("SELECT position FROM cursor WHERE output = ?1", [SENDER], |row| row.get(0))
            .optional()?;
        Ok(position.unwrap_or(0))
    }
}

impl Withheld<'_> {
    /// After a consent was withdrawn: what was said for it.
    pub(crate) fn withdraw(mut self, customer: u32, consent: &Consent) -> Result<Cleared> {
        let (insurer, purpose) = (&*consent.insurer, consent.purpose.name());
        let reason = PrivacyReason::ConsentWithdrawn;
        let condition = "customer = ?1 AND insurer = ?2 AND purpose = ?3";
        let cleared = self.clear(condition, (customer, insurer, purpose), reason)?;
        self.tell((customer, &consent.customer), insurer, purpose, reason)?;
        Ok(cleared)
    }

    /// When a customer is erased: all that was ever said.
    pub(crate) fn erase(mut self, customer: u32, id: &str, registry: &Registry) -> Result<Cleared> {
        let reason = PrivacyReason::CustomerErased;
        let mut told: BTreeSet<(String, String)> = BTreeSet::new();
        let mut select = self
            .connection
            .prepare("SELECT DISTINCT insurer, product FROM trigger_out WHERE customer = ?1")?;
        for row in select.query_map([customer], |row| Ok((row.get(0)?, row.get(1)?)))? {
            told.insert(row?);
        }
        drop(select);
        let word = |insurer: &str, product: &str| (insurer.to_owned(), product.to_owned());
        let consents = registry.consents_of(customer).iter();
        told.extend(consents.map(|consent| word(&consent.insurer, consent.purpose.name())));
        let policies = registry.policies_of(customer).iter();
        told.extend(policies.map(|policy| word(&policy.insurer, policy.product.name())));
        let cleared = self.clear("customer = ?1", [customer], reason)?;
        for (insurer, product) in told {
            self.tell((customer, id), &insurer, &product, reason)?;
        }
        Ok(cleared)
    }

    /// When they have been kept for as long as they shall be, about `most` messages of before
    /// `since_ms`.
    pub(crate) fn outlive(mut self, since_ms: i64, most: usize) -> Result<Cleared> {
        let condition = "position IN (SELECT position FROM trigger_out
             WHERE said_ms < ?1 AND status NOT IN ('erased', 'notice') LIMIT ?2)";
        self.clear(condition, (since_ms, most as i64), PrivacyReason::NoLongerKept)
    }

    /// Leaves of the messages nothing but their place.
    fn clear(
        &mut self,
        condition: &str,
        parameters: impl rusqlite::Params,
        reason: PrivacyReason,
    ) -> Result<Cleared> {
        let mut select = self.connection.prepare(&format!(
            "SELECT position, outcome, body FROM trigger_out
             WHERE {condition} AND status NOT IN ('erased', 'notice')"
        ))?;
        let rows: Vec<Row> = select
            .query_map(parameters, |row| {
                let event = crate::outbox::json(row, 2)?;
                Ok(Row { position: row.get(0)?, outcome: row.get(1)?, event })
            })?
            .collect::<Result<_>>()?;
        let mut update = self.connection.prepare(
            "UPDATE trigger_out SET status = 'erased', outcome = ?2, body = ?3, evidence = '',
                 rule = '', counts = 0, happened_ms = 0
             WHERE position = ?1",
        )?;
        // What an endpoint has not taken in all the time it was given, it shall not get now.
        let mut forget = self
            .connection
            .prepare("DELETE FROM letter WHERE position = ?1 AND next_ms IS NULL")?;
        let mut cleared = Cleared::default();
        for Row { position, outcome, event } in rows {
            let waits = outcome == "released" && position > self.sent;
            let outcome = match outcome.as_str() {
                _ if waits => "withheld",
                // There is nothing left to be said in the morning.
                "waiting" => "suppressed",
                outcome => outcome,
            };
            let event = CloudEvent::in_place_of(event, timestamp(self.now_ms), reason);
            update.execute((position, outcome, to_json(&event)?))?;
            cleared.triggers += 1;
            cleared.dead_letters += forget.execute([position])? as u64;
            cleared.withheld += u64::from(waits);
        }
        self.counts.triggers_withheld += cleared.withheld;
        Ok(cleared)
    }

    /// Asks an insurer to delete what it holds of the customer, in sequence with all it was told:
    /// under every name that the customer may have had there.
    fn tell(
        &mut self,
        (number, customer): (u32, &str),
        insurer: &str,
        product: &str,
        reason: PrivacyReason,
    ) -> Result<()> {
        for subject in self.key.subjects(insurer, customer) {
            self.notify(number, subject, insurer, product, reason)?;
        }
        Ok(())
    }

    fn notify(
        &mut self,
        customer: u32,
        Subject { subject, key_version }: Subject,
        insurer: &str,
        product: &str,
        reason: PrivacyReason,
    ) -> Result<()> {
        let kind = PrivacyKind::notice(reason);
        let sequence = next_sequence(self.connection, insurer, product)?;
        let id = self.key.notice_id(kind.name(), insurer, product, sequence);
        let data = PrivacyData::new(kind, reason, Some(product));
        let sequence_text = sequence_text(sequence);
        let event = CloudEvent::privacy(id, subject, timestamp(self.now_ms), sequence_text, data);
        self.connection
            .prepare_cached(
                "INSERT INTO trigger_out (id, revision, status, outcome, event, insurer, product,
                     purpose, sequence, customer, subject, key_version, said_ms, expires_ms, body,
                     evidence)
                 VALUES (?1, 0, 'notice', 'released', -1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '')",
            )?
            .execute(rusqlite::params![
                event.id,
                insurer,
                product,
                sequence,
                customer,
                event.subject,
                key_version,
                self.now_ms,
                self.now_ms + NOTICE_MS,
                to_json(&event)?,
            ])?;
        self.counts.triggers_released += 1;
        Ok(())
    }
}
