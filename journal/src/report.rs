//! What insurers report: claims, booked trips, and how triggers were received.
//!
//! A report rests on the contract of the customer it is about, not on a consent: it stays when a
//! consent is withdrawn, and goes when the customer is erased. What is about nobody who is insured
//! there is refused, for one reason whatever the cause: an insurer learns nothing of others'
//! customers. All that was ever reported is kept; of several with one id the last one stands.

use std::sync::Arc;

use enrich::registry::{Policy, Product, Registry};
use enrich::trigger::sha256_hex;
use ingest::report::{Claim, Report, Trip};
use ingest::{Arrival, Reason};
use rusqlite::{Connection, OptionalExtension, Result};

use crate::outbox::{json, to_json};

/// A report of an insurer that is known, on its way into the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported<'a> {
    pub(crate) arrival: &'a Arrival,
    pub(crate) insurer: &'a Arc<str>,
    pub(crate) report: &'a Report,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Under this number, of this customer.
    Stored {
        number: i64,
        customer: u32,
    },
    Duplicate,
    Refused(Reason),
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    pub number: i64,
    pub insurer: String,
    pub received_ms: i64,
    pub report: Report,
}

/// Keeps a report, unless it is known already or about nobody it may be about.
pub(crate) fn store(
    connection: &Connection,
    registry: &Registry,
    reported: Reported<'_>,
    now_ms: i64,
) -> Result<Outcome> {
    let Reported { arrival, insurer, report } = reported;
    let customer = match report {
        Report::Claim(claim) => claimant(registry, insurer, claim),
        Report::Trip(trip) => traveller(registry, insurer, trip, now_ms),
        Report::Feedback(feedback) => {
            let told = who_was_told(connection, insurer, &feedback.trigger)?;
            told.ok_or(Reason::UnknownTrigger)
        }
    };
    let customer = match customer {
        Ok(customer) => customer,
        Err(reason) => return Ok(Outcome::Refused(reason)),
    };
    let body = to_json(report)?;
    let stored = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO report
                 (insurer, kind, id, digest, customer, received_ms, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            &**insurer,
            report.kind().name(),
            report.id(),
            sha256_hex(body.as_bytes()),
            customer,
            arrival.received_ms,
            &body,
        ))?;
    Ok(match stored {
        0 => Outcome::Duplicate,
        _ => Outcome::Stored { number: connection.last_insert_rowid(), customer },
    })
}

/// Who was insured with this insurer when it happened.
fn claimant(registry: &Registry, insurer: &str, claim: &Claim) -> std::result::Result<u32, Reason> {
    let owner = match claim.device.as_deref().map(|id| registry.device(id)) {
        None => None,
        Some(known) => {
            let owner = known.and_then(|known| known.owner_at(claim.time_ms));
            Some(owner.ok_or(Reason::NotInsured)?)
        }
    };
    let covers = |policy: &Policy| {
        *policy.insurer == *insurer
            && policy.product == Product::WinterTyres
            && policy.span.holds(claim.time_ms)
    };
    let insured = match claim.policy.as_deref() {
        Some(id) => registry
            .policy(id)
            .filter(|(holder, policy)| covers(policy) && owner.is_none_or(|owner| owner == *holder))
            .map(|(holder, _)| holder),
        None => owner.filter(|owner| registry.policies_of(*owner).iter().any(covers)),
    };
    insured.ok_or(Reason::NotInsured)
}

/// Whoever has a contract with this insurer, now or when the journey begins.
fn traveller(
    registry: &Registry,
    insurer: &str,
    trip: &Trip,
    now_ms: i64,
) -> std::result::Result<u32, Reason> {
    let named = trip.customer.as_deref().map(|id| registry.customer_number(id));
    let holder = trip.policy.as_deref().map(|id| registry.policy(id).map(|(holder, _)| holder));
    let customer = match (named, holder) {
        (Some(named), Some(holder)) => named.filter(|_| named == holder),
        (Some(customer), None) | (None, Some(customer)) => customer,
        (None, None) => None,
    };
    let covers = |policy: &Policy| {
        *policy.insurer == *insurer
            && trip.policy.as_deref().is_none_or(|id| *policy.id == *id)
            && (policy.span.holds(trip.from_ms) || policy.span.holds(now_ms))
    };
    customer
        .filter(|customer| registry.policies_of(*customer).iter().any(covers))
        .ok_or(Reason::NotInsured)
}

/// The customer of a trigger that the insurer was sent and may still know of.
fn who_was_told(connection: &Connection, insurer: &str, trigger: &str) -> Result<Option<u32>> {
    connection
        .prepare_cached(
            "SELECT customer FROM trigger_out
             WHERE id = ?1 AND insurer = ?2 AND outcome = 'released'
               AND status IN ('fired', 'revised', 'withdrawn')
             LIMIT 1",
        )?
        .query_row([trigger, insurer], |row| row.get(0))
        .optional()
}

/// Forgets all that was reported of a customer who is erased; returns how many reports that were.
pub(crate) fn erase(connection: &Connection, customer: u32) -> Result<u64> {
    connection.execute(
        "DELETE FROM claim_foretold WHERE report IN (SELECT report FROM claim WHERE customer = ?1)",
        [customer],
    )?;
    connection.execute("DELETE FROM claim WHERE customer = ?1", [customer])?;
    connection.execute("DELETE FROM trip WHERE customer = ?1", [customer])?;
    let gone = connection.execute("DELETE FROM report WHERE customer = ?1", [customer])?;
    Ok(gone as u64)
}

/// All that was reported of a customer, in the order it came.
pub(crate) fn of_customer(connection: &Connection, customer: u32) -> Result<Vec<ReportRow>> {
    let mut select = connection.prepare(
        "SELECT number, insurer, received_ms, body FROM report WHERE customer = ?1 ORDER BY number",
    )?;
    let rows = select.query_map([customer], |row| {
        Ok(ReportRow {
            number: row.get(0)?,
            insurer: row.get(1)?,
            received_ms: row.get(2)?,
            report: json(row, 3)?,
        })
    })?;
    rows.collect()
}
