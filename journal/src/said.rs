//! What was said before: the last message under an id or about an event, and sequence numbers.

use enrich::privacy::Content;
use enrich::relevance::Told;
use enrich::trigger::{CloudEvent, Subject, TriggerData};
use rusqlite::{Connection, OptionalExtension, Result, Row};

use crate::outbox::json;

/// The last thing said under an id.
pub(crate) struct Said {
    pub(crate) position: i64,
    pub(crate) revision: u32,
    pub(crate) released: bool,
    pub(crate) withdrawn: bool,
    /// Waiting or suppressed.
    pub(crate) held: bool,
    pub(crate) subject: Subject,
    /// `None`: the content was deleted.
    pub(crate) data: Option<TriggerData>,
}

pub(crate) struct LastSaid {
    pub(crate) insurer: String,
    pub(crate) product: String,
    pub(crate) purpose: String,
    pub(crate) customer: u32,
    pub(crate) expires_ms: i64,
    pub(crate) key_version: u32,
    pub(crate) event: CloudEvent,
    pub(crate) evidence: String,
}

pub(crate) fn said(connection: &Connection, id: &str) -> Result<Option<Said>> {
    connection
        .prepare_cached(
            "SELECT position, revision, outcome = 'released', status = 'withdrawn', body,
                 outcome IN ('waiting', 'suppressed'), subject, key_version
             FROM trigger_out
             WHERE id = ?1 ORDER BY revision DESC LIMIT 1",
        )?
        .query_row([id], |row| {
            let event: CloudEvent<Content> = json(row, 4)?;
            let data = match event.data {
                Content::Trigger(data) => Some(*data),
                Content::Privacy(_) | Content::Test(_) => None,
            };
            Ok(Said {
                position: row.get(0)?,
                revision: row.get(1)?,
                released: row.get(2)?,
                withdrawn: row.get(3)?,
                held: row.get(5)?,
                subject: Subject { subject: row.get(6)?, key_version: row.get(7)? },
                data,
            })
        })
        .optional()
}

/// Whether a reader would learn nothing: all is equal but the proof of the evidence.
pub(crate) fn says_the_same(before: Option<&TriggerData>, now: &TriggerData) -> bool {
    let Some(before) = before else { return false };
    let mut now = now.clone();
    now.evidence.hash.clone_from(&before.evidence.hash);
    *before == now
}

/// What stands of what was said about an event.
pub(crate) fn last_said_of(connection: &Connection, event: i64) -> Result<Vec<LastSaid>> {
    let mut statement = connection.prepare_cached(
        "SELECT insurer, product, purpose, customer, expires_ms, body, evidence, key_version
         FROM trigger_out AS last
         WHERE event = ?1 AND outcome = 'released' AND status NOT IN ('withdrawn', 'erased')
           AND revision = (SELECT max(revision) FROM trigger_out WHERE id = last.id)",
    )?;
    statement.query_map([event], last_said)?.collect()
}

/// The same, said under an id.
pub(crate) fn last_said_under(connection: &Connection, id: &str) -> Result<Option<LastSaid>> {
    connection
        .prepare_cached(
            "SELECT insurer, product, purpose, customer, expires_ms, body, evidence, key_version
             FROM trigger_out AS last
             WHERE id = ?1 AND outcome = 'released' AND status NOT IN ('withdrawn', 'erased')
               AND revision = (SELECT max(revision) FROM trigger_out WHERE id = last.id)",
        )?
        .query_row([id], last_said)
        .optional()
}

fn last_said(row: &Row<'_>) -> Result<LastSaid> {
    Ok(LastSaid {
        insurer: row.get(0)?,
        product: row.get(1)?,
        purpose: row.get(2)?,
        customer: row.get(3)?,
        expires_ms: row.get(4)?,
        event: json(row, 5)?,
        evidence: row.get(6)?,
        key_version: row.get(7)?,
    })
}

pub(crate) fn next_sequence(connection: &Connection, insurer: &str, product: &str) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO sequence (insurer, product, last) VALUES (?1, ?2, 1)
             ON CONFLICT (insurer, product) DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row((insurer, product), |row| row.get(0))
}

/// What else a customer was told of what happened within `reach_ms` of `event_ms`.
pub(crate) fn told_around(
    connection: &Connection,
    customer: u32,
    (id, event): (&str, i64),
    event_ms: i64,
    reach_ms: i64,
) -> Result<Vec<Told>> {
    let mut statement = connection.prepare_cached(
        "SELECT rule, happened_ms, counts, event = ?5 FROM trigger_out
         WHERE customer = ?1 AND happened_ms > ?2 AND happened_ms < ?3 AND id != ?4
           AND outcome = 'released' AND status = 'fired'",
    )?;
    let (from_ms, to_ms) = (event_ms.saturating_sub(reach_ms), event_ms.saturating_add(reach_ms));
    let rows = statement.query_map((customer, from_ms, to_ms, id, event), |row| {
        Ok(Told {
            rule: row.get(0)?,
            event_ms: row.get(1)?,
            counts: row.get(2)?,
            same_event: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// What was waiting to be said of an event is not said, but for what is under `kept`.
pub(crate) fn forget_held(connection: &Connection, event: i64, kept: &[String]) -> Result<()> {
    let mut held = connection
        .prepare_cached("SELECT id FROM trigger_out WHERE event = ?1 AND outcome = 'waiting'")?;
    let mut forget = connection.prepare_cached(
        "UPDATE trigger_out SET outcome = 'suppressed', reason = 'withdrawn'
         WHERE id = ?1 AND outcome = 'waiting'",
    )?;
    for id in held.query_map([event], |row| row.get::<_, String>(0))? {
        let id = id?;
        if !kept.contains(&id) {
            forget.execute([id])?;
        }
    }
    Ok(())
}
