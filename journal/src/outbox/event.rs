//! Events as they are kept.

use enrich::Event;
use enrich::registry::Known;
use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::Outbox;

/// An event as the journal keeps it. Its cause is the one it was first found with.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(super) number: i64,
    pub(crate) event: Event,
}

/// The events of a device that became known in a stretch of its history, in that order.
pub(crate) fn events_between(
    connection: &Connection,
    device: u32,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<StoredEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, body FROM event
         WHERE device = ?1 AND known_ms >= ?2 AND known_ms < ?3 AND NOT withdrawn
         ORDER BY known_ms, number",
    )?;
    let rows = statement.query_map((device, from_ms, to_ms), |row| {
        Ok(StoredEvent { number: row.get(0)?, event: json(row, 1)? })
    })?;
    rows.collect()
}

/// A column that holds JSON of ours.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// JSON of a value of ours, which always has one.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// An event that stands, by its number.
pub(super) fn event(connection: &Connection, number: i64) -> Result<Option<Event>> {
    connection
        .prepare_cached("SELECT body FROM event WHERE number = ?1 AND NOT withdrawn")?
        .query_row([number], |row| json(row, 0))
        .optional()
}

impl Outbox<'_> {
    pub(super) fn insert_event(&self, device: &Known, event: &Event) -> Result<i64> {
        let customer = device.owner_at(event.cause.time_ms);
        self.connection
            .prepare_cached(
                "INSERT INTO event (device, customer, known_ms, time_ms, revision, withdrawn, cause, body)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6)",
            )?
            .execute((
                device.number,
                customer.map_or(-1, i64::from),
                event.known_ms,
                event.time_ms,
                to_json(&event.cause)?,
                to_json(event)?,
            ))?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Another event that stands may have kept the identity of this one's cause, which it was
    /// first found by: then this one takes the next that is free.
    pub(super) fn tell_apart(&self, device: &Known, event: &mut Event) -> Result<()> {
        let mut taken = self.connection.prepare_cached(
            "SELECT 1 FROM event WHERE device = ?1 AND cause = ?2 AND NOT withdrawn",
        )?;
        while taken.exists((device.number, to_json(&event.cause)?))? {
            event.cause.content = event.cause.content.wrapping_add(1);
        }
        Ok(())
    }
}
