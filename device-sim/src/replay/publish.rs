//! Publishing in order, with an outbox that keeps every message until the broker has acknowledged
//! it, over as many connections as it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::args::{At, Speed};
use super::recording::Message;
use super::schedule::Schedule;
use crate::broker::Broker;
use crate::options::{Options, Protocol, Qos};
use crate::packet::{Hello, Incoming};
use crate::session::{Session, SessionError};
use crate::transport::Tls;

/// Enough to hide the round trip to a broker, little enough to send again after a lost connection.
const MAX_IN_FLIGHT: u16 = 100;
const KEEP_ALIVE_S: u16 = 5;
const GOODBYE: Duration = Duration::from_secs(5);
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// Where and how to publish.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) broker: Broker,
    pub(crate) tls: Option<Tls>,
    pub(crate) protocol: Protocol,
    pub(crate) login: Option<(String, String)>,
    pub(crate) qos: u8,
    pub(crate) at: At,
    pub(crate) speed: Speed,
    /// Give up when nothing was acknowledged for this long while something should have been.
    pub(crate) patience: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) published: usize,
    /// Sent once more, with the same content, after a connection was lost.
    pub(crate) resent: usize,
    /// By the broker; with QoS 0: written to the connection.
    pub(crate) acknowledged: usize,
    pub(crate) took: Duration,
    pub(crate) shift_ms: i64,
    /// Why it stopped before everything was acknowledged.
    pub(crate) gave_up: Option<anyhow::Error>,
}

/// Publishes all messages and waits for their acknowledgements.
pub(crate) async fn publish(messages: &[Message], target: &Target) -> Report {
    let mut publisher = Publisher {
        messages,
        target,
        next: 0,
        latest_ms: i64::MIN,
        outbox: BTreeMap::new(),
        running: None,
        progress: Instant::now(),
        report: Report::default(),
    };
    let outcome = publisher.over_all_connections().await;
    let mut report = publisher.report;
    report.took = publisher.running.map_or(Duration::ZERO, |(started, _)| started.elapsed());
    report.gave_up = outcome.err();
    report
}

struct Publisher<'a> {
    messages: &'a [Message],
    target: &'a Target,
    /// The first message that has not been sent yet.
    next: usize,
    /// The latest recorded time of those sent.
    latest_ms: i64,
    /// Sent and not acknowledged, by place in `messages`; at most [`MAX_IN_FLIGHT`].
    outbox: BTreeMap<usize, Bytes>,
    /// Since the first connection: the recording runs when somebody can hear it.
    running: Option<(Instant, Schedule)>,
    /// When something was acknowledged, or waiting for it began.
    progress: Instant,
    report: Report,
}

/// How a connection ended before everything was acknowledged.
enum End {
    /// Worth another connection.
    Lost(anyhow::Error),
    Final(anyhow::Error),
}

impl Publisher<'_> {
    async fn over_all_connections(&mut self) -> Result<()> {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let acknowledged_before = self.report.acknowledged;
            let lost = match self.over_one_connection().await {
                Ok(()) => return Ok(()),
                Err(End::Final(error)) => return Err(error),
                Err(End::Lost(error)) => error,
            };
            if self.progress.elapsed() >= self.target.patience {
                return Err(lost.context(self.no_progress()));
            }
            tracing::warn!(
                error = format!("{lost:#}"),
                "no connection to the broker, trying again"
            );
            if self.report.acknowledged > acknowledged_before {
                back_off = FIRST_BACK_OFF;
            }
            sleep(back_off).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    }

    async fn over_one_connection(&mut self) -> Result<(), End> {
        let opening = Connection::open(self.target);
        let mut connection = match timeout_at(self.progress + self.target.patience, opening).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.end_of(error)),
            Err(_) => return Err(End::Final(anyhow!(self.no_progress()))),
        };
        self.start();
        self.send_again(&mut connection);
        loop {
            if self.next == self.messages.len() && self.outbox.is_empty() {
                connection.close().await;
                return Ok(());
            }
            let most = usize::from(connection.session.receive_maximum.min(MAX_IN_FLIGHT));
            let due = if connection.session.clogged() { None } else { self.next_due(most) };
            let wake = connection.session.wake();
            tokio::select! {
                incoming = connection.session.next() => {
                    let incoming = incoming.map_err(|error| self.lost(error))?;
                    self.handle(incoming, &mut connection);
                }
                () = sleep_until(due.unwrap_or(self.progress)), if due.is_some() => {
                    self.send_next(&mut connection);
                }
                () = sleep_until(self.progress + self.target.patience), if !self.outbox.is_empty() => {
                    return Err(End::Final(anyhow!(self.no_progress())));
                }
                () = sleep_until(wake) => {
                    connection.session.keep_alive().map_err(|error| self.lost(error))?;
                }
            }
        }
    }

    fn no_progress(&self) -> String {
        format!("{} acknowledged nothing for {:?}", self.target.broker, self.target.patience)
    }

    /// With at most so many unacknowledged.
    fn next_due(&self, most: usize) -> Option<Instant> {
        let (started, schedule) = self.running.as_ref()?;
        let message = self.messages.get(self.next)?;
        let has_room = self.outbox.len() < most;
        has_room.then(|| *started + schedule.due(self.latest_ms.max(message.at_ms)))
    }

    fn send_next(&mut self, connection: &mut Connection) {
        let message = &self.messages[self.next];
        let payload = Bytes::from(message.payload(self.report.shift_ms));
        connection.send(self.next, &message.topic, &payload);
        if self.outbox.is_empty() {
            self.progress = Instant::now();
        }
        self.outbox.insert(self.next, payload);
        self.latest_ms = self.latest_ms.max(message.at_ms);
        self.next += 1;
        self.report.published += 1;
    }

    fn handle(&mut self, incoming: Incoming, connection: &mut Connection) {
        for place in connection.acknowledged_by(&incoming) {
            if self.outbox.remove(&place).is_some() {
                self.report.acknowledged += 1;
                self.progress = Instant::now();
            }
        }
    }

    fn lost(&mut self, error: SessionError) -> End {
        if self.outbox.is_empty() {
            self.progress = Instant::now();
        }
        self.end_of(error)
    }

    fn start(&mut self) {
        let Self { messages: [first, ..], target, running: None, .. } = self else {
            return;
        };
        let last_ms = self.messages.iter().map(|message| message.at_ms).max();
        let last_ms = last_ms.unwrap_or(first.at_ms);
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let schedule = Schedule::new(first.at_ms, last_ms, target.at, target.speed, now_ms);
        self.report.shift_ms = schedule.shift_ms;
        tracing::info!(seconds = schedule.takes.as_secs(), "connected, publishing");
        self.running = Some((Instant::now(), schedule));
    }

    /// A new connection knows nothing of what the last one had under way.
    fn send_again(&mut self, connection: &mut Connection) {
        for (place, payload) in &self.outbox {
            connection.send(*place, &self.messages[*place].topic, payload);
            self.report.resent += 1;
        }
    }

    fn end_of(&self, error: SessionError) -> End {
        let broker = &self.target.broker;
        match error {
            SessionError::Unwelcome(reason) => End::Final(anyhow!(
                "{broker} does not let us in ({reason}): check --user and --password"
            )),
            other => End::Lost(anyhow!("no connection to {broker}: {other}")),
        }
    }
}

/// One connection with the packet ids that mean something on it, and nowhere else: a lost one is
/// thrown away whole.
struct Connection {
    session: Session,
    qos: Qos,
    last_id: u16,
    /// By packet id; of QoS 0, by a number that is never sent.
    in_flight: BTreeMap<u16, usize>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self, SessionError> {
        let mut options = Options::new(target.broker.clone());
        options.tls = target.tls.clone();
        let hello = Hello {
            client_id: format!("replay-{:x}", std::process::id()),
            login: target.login.clone(),
            keep_alive_s: KEEP_ALIVE_S,
            will: None,
            session_s: 0,
        };
        let session = Session::open(&options, target.protocol, None, &hello).await?;
        let qos = match target.qos {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        };
        Ok(Self { session, qos, last_id: 0, in_flight: BTreeMap::new() })
    }

    fn send(&mut self, place: usize, topic: &str, payload: &Bytes) {
        // So few are in flight that one is free soon.
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_id) {
                break;
            }
        }
        self.in_flight.insert(self.last_id, place);
        self.session.publish(topic, payload, self.qos, self.last_id);
    }

    /// The messages that this completes.
    fn acknowledged_by(&mut self, incoming: &Incoming) -> Vec<usize> {
        match incoming {
            Incoming::Acked(ack) => self.in_flight.remove(&ack.id).into_iter().collect(),
            Incoming::Received(ack) if ack.refused => {
                self.in_flight.remove(&ack.id).into_iter().collect()
            }
            Incoming::Received(ack) => {
                self.session.release(ack.id);
                Vec::new()
            }
            // All that was handed over is written.
            Incoming::Flushed if self.qos == Qos::AtMostOnce => {
                std::mem::take(&mut self.in_flight).into_values().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Writes what is left and says goodbye.
    async fn close(self) {
        if timeout(GOODBYE, self.session.close()).await.is_err() {
            tracing::debug!("the broker did not close the connection in time");
        }
    }
}

/// Refuses what would stamp messages ahead of their time.
///
/// # Errors
/// When the recording is to end now and is slowed down.
pub(crate) fn check_speed(at: At, speed: Speed) -> Result<()> {
    if at == At::Now && speed.0 < 1.0 {
        bail!(
            "slower than recorded, the first fixes would lie in the future: give --speed 1 or more, or --at recorded"
        );
    }
    Ok(())
}
