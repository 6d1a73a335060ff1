//! Publishing in order, with an outbox that keeps every message until the broker has acknowledged
//! it, over as many connections as it takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, QoS,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::recording::Message;
use super::schedule::Schedule;
use crate::cli::{At, BrokerUrl, Speed};

/// Enough to hide the round trip to a broker, little enough to send again after a lost connection.
const MAX_IN_FLIGHT: u16 = 100;
/// The poller waits when this many of its events are unread: at most three for a message in flight.
const EVENTS: usize = 4 * MAX_IN_FLIGHT as usize;
/// Above what servers take (64 KiB of payload), so that they can be seen to refuse it.
const MAX_PACKET_BYTES: usize = 4 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// Where and how to publish.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) broker: BrokerUrl,
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
    outbox: BTreeMap<usize, String>,
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
        let mut connection = Connection::open(self.target);
        loop {
            if self.next == self.messages.len() && self.outbox.is_empty() {
                connection.close().await;
                return Ok(());
            }
            let due = if connection.is_up { self.next_due() } else { None };
            let is_waiting = !connection.is_up || !self.outbox.is_empty();
            tokio::select! {
                event = connection.events.recv() => self.handle(event, &mut connection)?,
                () = sleep_until(due.unwrap_or(self.progress)), if due.is_some() => {
                    self.send_next(&mut connection);
                }
                () = sleep_until(self.progress + self.target.patience), if is_waiting => {
                    return Err(End::Final(anyhow!(self.no_progress())));
                }
            }
        }
    }

    fn no_progress(&self) -> String {
        format!("{} acknowledged nothing for {:?}", self.target.broker, self.target.patience)
    }

    fn next_due(&self) -> Option<Instant> {
        let (started, schedule) = self.running.as_ref()?;
        let message = self.messages.get(self.next)?;
        let has_room = self.outbox.len() < usize::from(MAX_IN_FLIGHT);
        has_room.then(|| *started + schedule.due(self.latest_ms.max(message.at_ms)))
    }

    fn send_next(&mut self, connection: &mut Connection) {
        let message = &self.messages[self.next];
        let payload = message.payload(self.report.shift_ms);
        connection.send(self.next, &message.topic, &payload);
        if self.outbox.is_empty() {
            self.progress = Instant::now();
        }
        self.outbox.insert(self.next, payload);
        self.latest_ms = self.latest_ms.max(message.at_ms);
        self.next += 1;
        self.report.published += 1;
    }

    fn handle(
        &mut self,
        event: Option<Result<Event, ConnectionError>>,
        connection: &mut Connection,
    ) -> Result<(), End> {
        match event.unwrap_or(Err(ConnectionError::RequestsDone)) {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                connection.is_up = true;
                self.start();
                self.send_again(connection);
                Ok(())
            }
            Ok(event) => {
                if let Some(place) = connection.acknowledged_by(&event)
                    && self.outbox.remove(&place).is_some()
                {
                    self.report.acknowledged += 1;
                    self.progress = Instant::now();
                }
                Ok(())
            }
            Err(error) => {
                if connection.is_up && self.outbox.is_empty() {
                    self.progress = Instant::now();
                }
                Err(self.end_of(error))
            }
        }
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

    fn end_of(&self, error: ConnectionError) -> End {
        use ConnectReturnCode::{
            BadClientId, BadUserNamePassword, NotAuthorized, RefusedProtocolVersion,
        };
        let broker = &self.target.broker;
        match error {
            ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => {
                End::Final(anyhow!("{broker} refused the login: check --user and --password"))
            }
            ConnectionError::ConnectionRefused(code @ (BadClientId | RefusedProtocolVersion)) => {
                End::Final(anyhow!("{broker} refused the connection: {code:?}"))
            }
            other => End::Lost(anyhow!("no connection to {broker}: {other}")),
        }
    }
}

/// One connection with the packet ids that mean something on it, and nowhere else: a lost one is
/// thrown away whole.
struct Connection {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    poller: JoinHandle<()>,
    is_up: bool,
    qos: QoS,
    /// Given to the client, which takes them in this order and gives each a packet id.
    handed_over: VecDeque<usize>,
    /// By packet id.
    in_flight: BTreeMap<u16, usize>,
}

impl Connection {
    fn open(target: &Target) -> Self {
        let id = format!("datanaut-replay-{:x}", std::process::id());
        let mut options = MqttOptions::new(id, &target.broker.host, target.broker.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_inflight(MAX_IN_FLIGHT)
            .set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
        if let Some((user, password)) = &target.login {
            options.set_credentials(user, password);
        }
        // Room for all that may be in flight, and a disconnect: `try_publish` never finds it full.
        let (client, event_loop) = AsyncClient::new(options, usize::from(MAX_IN_FLIGHT) + 1);
        let (sender, events) = mpsc::channel(EVENTS);
        let poller = tokio::spawn(poll(event_loop, sender));
        let qos = match target.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let (handed_over, in_flight) = (VecDeque::new(), BTreeMap::new());
        Self { client, events, poller, is_up: false, qos, handed_over, in_flight }
    }

    /// A message that does not get out stays in the outbox; the poller tells why the connection
    /// ended, after the acknowledgements that still came in.
    fn send(&mut self, place: usize, topic: &str, payload: &str) {
        match self.client.try_publish(topic, self.qos, false, payload) {
            Ok(()) => self.handed_over.push_back(place),
            Err(error) => {
                tracing::debug!(%error, "cannot hand over a message");
                self.is_up = false;
            }
        }
    }

    /// The message that this event completes.
    fn acknowledged_by(&mut self, event: &Event) -> Option<usize> {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                let place = self.handed_over.pop_front()?;
                if self.qos == QoS::AtMostOnce {
                    return Some(place);
                }
                self.in_flight.insert(*packet_id, place);
                None
            }
            Event::Incoming(Packet::PubAck(ack)) => self.in_flight.remove(&ack.pkid),
            Event::Incoming(Packet::PubComp(complete)) => self.in_flight.remove(&complete.pkid),
            _ => None,
        }
    }

    /// Writes what is left and says goodbye.
    async fn close(mut self) {
        let drained = async { while let Some(Ok(_)) = self.events.recv().await {} };
        if self.client.try_disconnect().is_err() || timeout(KEEP_ALIVE, drained).await.is_err() {
            tracing::debug!("the broker did not close the connection in time");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

/// Polls in a task of its own: a poll that is cancelled half-way may lose what it was writing.
async fn poll(mut event_loop: EventLoop, events: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = event_loop.poll().await;
        let is_over = event.is_err();
        if is_over {
            // What came in before the connection broke still counts.
            for earlier in event_loop.state.events.drain(..) {
                if events.send(Ok(earlier)).await.is_err() {
                    return;
                }
            }
        }
        if events.send(event).await.is_err() || is_over {
            return;
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
