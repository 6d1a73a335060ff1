//! What devices and insurers sent and we could not use: put away, looked at again, let go.
//!
//! Another attempt at a row is an [`Arrival`] like any other that names the row. The transaction
//! that decides what becomes of it takes the row away, or writes it anew with the reason why it
//! still cannot be used. Letting a row go is an attempt with nothing in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ingest::report::FromInsurer;
use ingest::{Arrival, Decoded, DeviceKind, Message, Reason, Rejected, Sender};
use rusqlite::{Connection, Row, params};
use tokio::sync::{mpsc, oneshot};

use crate::SharedRegistry;
use crate::handle::PutAway;
use crate::sort::{QUARANTINED_BYTES, Quarantined, kept_payload};

/// How many rows are swept at once: when there are more, the next batch goes on.
pub(crate) const SWEPT: usize = 1_000;

/// Something that could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantineRow {
    pub number: i64,
    /// Whose it is: a device's, or an insurer's.
    pub device: Option<u32>,
    pub insurer: Option<String>,
    pub received_ms: i64,
    pub reason: Option<Reason>,
    pub detail: String,
    /// The broker it came through, as in [`Arrival::broker`]. `None`: it is what an output could not
    /// bring home, and counted nowhere.
    pub broker: Option<String>,
    pub topic: String,
    /// How much was sent; less may have been kept.
    pub sent_bytes: u64,
    pub payload: Vec<u8>,
}

/// Which rows of the quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    pub reason: Option<Reason>,
    pub device: Option<u32>,
    /// Rows with smaller numbers only: older ones.
    pub before: Option<i64>,
}

/// Why another attempt at a row is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotRetry {
    #[error("only the first {kept} of {sent} bytes were kept; let the device send it again")]
    Cut { kept: usize, sent: u64 },
    #[error("it came through {0}, which is no broker here; configure that collector, or drop it")]
    NoBroker(String),
    #[error(
        "it is a point that an output could not bring home: the reading itself is stored; drop it"
    )]
    Point,
    #[error("its device is in the registry no more; drop it")]
    NoDevice,
}

/// Nothing happened to the rows that are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot commit now")]
pub struct NotCommitted;

/// How to decode what came through a broker: its name, the topic, the payload, when it came.
/// `None` when there is no such broker.
pub type Decode = dyn Fn(&str, &str, &Bytes, i64) -> Option<Message> + Send + Sync;

/// Sends rows of the quarantine through the journal again; cheap to clone and to share.
///
/// It does not keep the journal running.
#[derive(Clone)]
pub struct Quarantine {
    pub(crate) arrivals: mpsc::WeakSender<Arrival>,
    pub(crate) registry: SharedRegistry,
    decode: Arc<Decode>,
}

impl std::fmt::Debug for Quarantine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Quarantine").finish_non_exhaustive()
    }
}

impl Quarantine {
    /// `arrivals` is where the brokers' messages go.
    #[must_use]
    pub fn new(
        arrivals: &mpsc::Sender<Arrival>,
        registry: SharedRegistry,
        decode: impl Fn(&str, &str, &Bytes, i64) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        Self { arrivals: arrivals.downgrade(), registry, decode: Arc::new(decode) }
    }

    /// Tries each row again, with today's sources, formats, registry and consents, as if it had
    /// just come; its times are judged by when it came. Returns when that is committed: a row
    /// that is not there afterwards was stored, known already or refused.
    ///
    /// # Errors
    /// When the journal cannot commit.
    pub async fn retry(
        &self,
        rows: &[QuarantineRow],
    ) -> Result<Vec<Result<(), CannotRetry>>, NotCommitted> {
        let arrivals: Vec<_> = rows.iter().map(|row| self.attempt(row)).collect();
        let outcomes =
            arrivals.iter().map(|arrival| arrival.as_ref().map(|_| ()).map_err(Clone::clone));
        let outcomes = outcomes.collect();
        self.commit(arrivals.into_iter().flatten()).await?;
        Ok(outcomes)
    }

    /// Lets rows go. They stay counted as quarantined.
    ///
    /// # Errors
    /// As [`Self::retry`].
    pub async fn drop_rows(&self, rows: &[QuarantineRow]) -> Result<(), NotCommitted> {
        self.commit(rows.iter().map(let_go)).await
    }

    async fn commit(&self, arrivals: impl Iterator<Item = Arrival>) -> Result<(), NotCommitted> {
        let sender = self.arrivals.upgrade().ok_or(NotCommitted)?;
        let mut acknowledged = Vec::new();
        for mut arrival in arrivals {
            let (acknowledge, outcome) = oneshot::channel();
            arrival.acknowledge = acknowledge;
            sender.send(arrival).await.map_err(|_| NotCommitted)?;
            acknowledged.push(outcome);
        }
        drop(sender);
        for outcome in acknowledged {
            outcome.await.map_err(|_| NotCommitted)?;
        }
        Ok(())
    }

    pub(crate) fn attempt(&self, row: &QuarantineRow) -> Result<Arrival, CannotRetry> {
        let broker = row.broker.as_ref().ok_or(CannotRetry::Point)?;
        if row.sent_bytes > row.payload.len() as u64 {
            let (kept, sent) = (row.payload.len(), row.sent_bytes);
            return Err(CannotRetry::Cut { kept, sent });
        }
        let payload = Bytes::copy_from_slice(&row.payload);
        let decoded = (self.decode)(broker, &row.topic, &payload, row.received_ms);
        let decoded = decoded.ok_or_else(|| CannotRetry::NoBroker(broker.clone()))?;
        if let Some(insurer) = row.insurer.as_deref().map(Arc::from) {
            let decoded = only_of_insurer(&insurer, decoded, &payload);
            return Ok(arrival(row, Sender::Insurer(insurer), decoded));
        }
        let registry = self.registry.read();
        let known = row.device.and_then(|device| registry.device_by_number(device));
        let device = &known.ok_or(CannotRetry::NoDevice)?.device.id;
        let decoded = only_of(device, decoded, &payload);
        Ok(arrival(row, Sender::Device(device.clone()), decoded))
    }
}

/// Whoever sent it was taken for that device then: it cannot speak for another one now.
fn only_of(device: &Arc<str>, decoded: Message, payload: &Bytes) -> Message {
    let anothers = |name: &str| {
        let detail = format!("it is of {device}, and names {name}");
        let rejected = Rejected { reason: Reason::NotOwnTopic, detail, raw: payload.clone() };
        Message::Device(Err((Some(device.clone()), rejected)))
    };
    match decoded {
        Message::Insurer(message) => anothers(&message.insurer),
        Message::Device(Ok(decoded)) if decoded.device != *device => anothers(&decoded.device),
        Message::Device(Ok(decoded)) => Message::Device(Ok(decoded)),
        Message::Device(Err((_, rejected))) => {
            Message::Device(Err((Some(device.clone()), rejected)))
        }
    }
}

/// The same for an insurer.
fn only_of_insurer(insurer: &Arc<str>, decoded: Message, payload: &Bytes) -> Message {
    let report = match decoded {
        Message::Insurer(message) if message.insurer == *insurer => {
            return Message::Insurer(message);
        }
        Message::Insurer(FromInsurer { report: Err(rejected), .. })
        | Message::Device(Err((_, rejected))) => Err(rejected),
        Message::Insurer(_) | Message::Device(Ok(_)) => {
            let detail = format!("it is of {insurer}, and speaks for another");
            Err(Rejected { reason: Reason::NotOwnTopic, detail, raw: payload.clone() })
        }
    };
    Message::Insurer(FromInsurer { insurer: insurer.clone(), report, unknown_names: 0 })
}

pub(crate) fn let_go(row: &QuarantineRow) -> Arrival {
    let (kind, readings) = (DeviceKind::Product, Vec::new());
    let nothing = Decoded { device: "".into(), kind, readings, unknown_names: 0 };
    arrival(row, Sender::Anonymous, Message::Device(Ok(nothing)))
}

fn arrival(row: &QuarantineRow, sender: Sender, decoded: Message) -> Arrival {
    Arrival {
        broker: row.broker.as_deref().unwrap_or_default().into(),
        topic: row.topic.as_str().into(),
        sender,
        payload: Bytes::new(),
        decoded,
        retry_of: Some(row.number),
        received_ms: row.received_ms,
        received: Instant::now(),
        acknowledge: oneshot::channel().0,
    }
}

/// Takes out the rows that `arrivals` are about: by number, the reason that each is counted under,
/// if it is.
pub(crate) fn take_out(
    connection: &Connection,
    arrivals: &[Arrival],
) -> rusqlite::Result<HashMap<i64, Option<Reason>>> {
    let mut taken = HashMap::new();
    for number in arrivals.iter().filter_map(|arrival| arrival.retry_of) {
        let mut delete = connection.prepare_cached(
            "DELETE FROM quarantine WHERE number = ?1 RETURNING reason, broker IS NOT NULL",
        )?;
        let mut deleted = delete.query([number])?;
        while let Some(row) = deleted.next()? {
            let counted: bool = row.get(1)?;
            let reason = Reason::from_name(row.get_ref(0)?.as_str()?);
            taken.insert(number, reason.filter(|_| counted));
        }
    }
    Ok(taken)
}

/// Puts away what could not be used; what was there before keeps its number.
pub(crate) fn put_away(connection: &Connection, rows: &[Quarantined<'_>]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(INSERT)?;
    for row in rows {
        let rejected = row.rejected;
        insert.execute(params![
            row.number,
            row.whose.device(),
            row.whose.insurer(),
            row.received_ms,
            rejected.reason.name(),
            rejected.detail,
            row.broker,
            row.topic,
            rejected.raw.len() as i64,
            kept_payload(&rejected.raw),
        ])?;
    }
    Ok(())
}

/// Puts away what outputs could not bring home.
pub(crate) fn put_away_points(
    connection: &Connection,
    rows: &[PutAway],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(INSERT)?;
    for row in rows {
        let PutAway { device, reason, detail, topic, payload } = row;
        let (number, broker) = (None::<i64>, None::<String>);
        let kept = &payload[..payload.len().min(QUARANTINED_BYTES)];
        let sent = payload.len() as i64;
        insert.execute((
            number,
            device,
            None::<String>,
            now_ms,
            reason.name(),
            detail,
            broker,
            topic,
            sent,
            kept,
        ))?;
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO quarantine
        (number, device, insurer, received_ms, reason, detail, broker, topic, sent_bytes, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Lets go of what insurers sent that names one of `ids`; returns how many rows that were.
pub(crate) fn forget_reports_of(connection: &Connection, ids: &[&str]) -> rusqlite::Result<u64> {
    let mut delete = connection.prepare(
        "DELETE FROM quarantine WHERE insurer IS NOT NULL AND instr(payload, CAST(?1 AS BLOB)) > 0",
    )?;
    let mut gone = 0;
    for id in ids {
        gone += delete.execute([id])?;
    }
    Ok(gone as u64)
}

/// Lets go of some of what came before `before_ms`; returns whether that was all.
pub(crate) fn sweep(connection: &Connection, before_ms: i64) -> rusqlite::Result<bool> {
    let swept = connection
        .prepare_cached(
            "DELETE FROM quarantine WHERE number IN (
                 SELECT number FROM quarantine WHERE received_ms < ?1 LIMIT ?2)",
        )?
        .execute((before_ms, SWEPT as i64))?;
    Ok(swept < SWEPT)
}

/// Newest first.
pub(crate) fn rows(
    connection: &Connection,
    filter: QuarantineFilter,
    limit: usize,
) -> rusqlite::Result<Vec<QuarantineRow>> {
    let mut statement = connection.prepare(&format!(
        "{COLUMNS} WHERE number < ?1 AND (?2 IS NULL OR reason = ?2)
             AND (?3 IS NULL OR device = ?3)
         ORDER BY number DESC LIMIT ?4"
    ))?;
    let before = filter.before.unwrap_or(i64::MAX);
    let reason = filter.reason.map(Reason::name);
    let rows = statement.query_map((before, reason, filter.device, limit as i64), row)?;
    rows.collect()
}

/// Those of `numbers` that are there, in their order.
pub(crate) fn numbered(
    connection: &Connection,
    numbers: &[i64],
) -> rusqlite::Result<Vec<QuarantineRow>> {
    let mut statement = connection.prepare(&format!("{COLUMNS} WHERE number = ?1"))?;
    let mut found = Vec::new();
    for number in numbers {
        for row in statement.query_map([number], row)? {
            found.push(row?);
        }
    }
    Ok(found)
}

const COLUMNS: &str = "SELECT number, device, insurer, received_ms, reason, detail, broker, topic, \
                       sent_bytes, payload FROM quarantine";

fn row(row: &Row<'_>) -> rusqlite::Result<QuarantineRow> {
    Ok(QuarantineRow {
        number: row.get(0)?,
        device: row.get(1)?,
        insurer: row.get(2)?,
        received_ms: row.get(3)?,
        reason: Reason::from_name(row.get_ref(4)?.as_str()?),
        detail: row.get(5)?,
        broker: row.get(6)?,
        topic: row.get(7)?,
        sent_bytes: row.get::<_, i64>(8)? as u64,
        payload: row.get(9)?,
    })
}
