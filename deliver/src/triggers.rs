//! Sends the outbox, in order, over MQTT 5 at QoS 1, and explanations beside it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use journal::{Journal, Notice, ReadError, Reader, TriggerRow};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, PublishProperties};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::notices::{Limiter, message};

/// The name of this output's cursor.
const OUTPUT: &str = "mqtt";

/// Messages on their way at once. It is also what the client reserves memory for, and less than
/// any broker's receive maximum.
const IN_FLIGHT: u16 = 100;

/// Requests between here and the client: what is in flight, and as many explanations.
const REQUESTS: usize = 2 * IN_FLIGHT as usize;

/// A broker that owes acknowledgements and gives none for this long is as good as gone.
const STUCK: Duration = Duration::from_secs(10);

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Where triggers go, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
}

/// The broker has lost what it had: everything after this position in the outbox goes out again,
/// under the same ids, once somebody listens.
pub type Resend = i64;

/// Sends triggers until `shutdown` changes; then waits for what is on its way, but not long.
pub async fn run(
    options: Options,
    journal: Journal,
    resend: watch::Receiver<Option<Resend>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut retry = FIRST_RETRY;
    let mut limiter = Limiter::default();
    let mut resend = resend;
    loop {
        let connected = match Sending::start(&options, &journal, &mut resend, &mut limiter).await {
            Ok((mut sending, eventloop)) => sending.run(eventloop, &mut shutdown).await,
            Err(error) => Err(Broken::Journal(error)),
        };
        match connected {
            Ok(()) => return,
            Err(Broken::Broker { error, sent }) => {
                tracing::warn!(%error, retry_ms = retry.as_millis(), "triggers wait for the broker");
                retry = if sent { FIRST_RETRY } else { (retry * 2).min(LAST_RETRY) };
            }
            Err(Broken::Journal(error)) => {
                tracing::error!(%error, "triggers wait for the journal");
                retry = (retry * 2).min(LAST_RETRY);
            }
            Err(Broken::Closed) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = told_to_stop(&mut shutdown) => return,
        }
    }
}

/// Also when nobody is left to say it.
pub(crate) async fn told_to_stop(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("stopping: nobody is left to say so");
    }
}

enum Broken {
    Broker { error: String, sent: bool },
    Journal(ReadError),
    Closed,
}

/// One connection's worth of sending. A new connection starts from the cursor: what was not
/// acknowledged goes out again under the same id, and no stale packet id survives.
struct Sending<'a> {
    journal: &'a Journal,
    reader: Reader,
    client: AsyncClient,
    released: watch::Receiver<i64>,
    /// Changes when something that was read may not be sent any more.
    withheld: watch::Receiver<u64>,
    resend: &'a mut watch::Receiver<Option<Resend>>,
    notices: broadcast::Receiver<Notice>,
    limiter: &'a mut Limiter,
    /// Up to where rows have been read, and the rows not yet handed to the client.
    read: i64,
    rows: VecDeque<TriggerRow>,
    /// What [`Self::withheld`] was when they were read.
    as_of: u64,
    /// Handed over, in order; `None` is an explanation.
    handed: VecDeque<Option<i64>>,
    on_the_way: HashMap<u16, i64>,
    unacknowledged: BTreeSet<i64>,
    /// Since when the broker owes an acknowledgement.
    owed_since: Instant,
    recorded: i64,
    sent: bool,
}

impl<'a> Sending<'a> {
    async fn start(
        options: &Options,
        journal: &'a Journal,
        resend: &'a mut watch::Receiver<Option<Resend>>,
        limiter: &'a mut Limiter,
    ) -> Result<(Self, EventLoop), ReadError> {
        let mut mqtt = MqttOptions::new("datanaut-deliver", &options.host, options.port);
        mqtt.set_credentials(&options.user, &options.password);
        mqtt.set_keep_alive(Duration::from_secs(15));
        mqtt.set_clean_start(true);
        mqtt.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        let (client, eventloop) = AsyncClient::new(mqtt, REQUESTS);
        let reader = journal.reader();
        let cursor = blocking(&reader, |reader| reader.cursor(OUTPUT)).await?;
        let live = journal.live();
        let sending = Self {
            journal,
            reader,
            client,
            released: live.released(),
            withheld: live.withheld(),
            resend,
            notices: live.notices(),
            limiter,
            read: cursor,
            rows: VecDeque::new(),
            as_of: 0,
            handed: VecDeque::new(),
            on_the_way: HashMap::new(),
            unacknowledged: BTreeSet::new(),
            owed_since: Instant::now(),
            recorded: cursor,
            sent: false,
        };
        Ok((sending, eventloop))
    }

    async fn run(
        &mut self,
        eventloop: EventLoop,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), Broken> {
        // The outbox may have grown before anybody watched it.
        self.released.mark_changed();
        // Cut short, the client would connect all over again, or lose what it was about to write.
        let polling = poll(eventloop);
        tokio::pin!(polling);
        loop {
            let stopping = *shutdown.borrow() || shutdown.has_changed().is_err();
            if stopping && self.unacknowledged.is_empty() {
                return Ok(());
            }
            self.hand_over();
            tokio::select! {
                (eventloop, event) = &mut polling => {
                    polling.set(poll(eventloop));
                    self.take(event).await?;
                }
                () = tokio::time::sleep_until(self.owed_since + STUCK),
                    if !self.unacknowledged.is_empty() =>
                {
                    return Err(self.broken("the broker acknowledges nothing"));
                }
                changed = self.released.changed(), if self.rows.is_empty() => {
                    changed.map_err(|_| Broken::Closed)?;
                    self.read_on().await?;
                }
                Ok(()) = self.resend.changed() => self.start_again(),
                Ok(()) = self.withheld.changed() => {}
                notice = self.notices.recv() => match notice {
                    Ok(notice) => self.explain(&notice),
                    Err(RecvError::Lagged(lost)) => tracing::debug!(lost, "explanations were lost"),
                    Err(RecvError::Closed) => return Err(Broken::Closed),
                },
                () = told_to_stop(shutdown), if !stopping => {}
            }
        }
    }

    /// Reads the next rows of the outbox.
    async fn read_on(&mut self) -> Result<(), Broken> {
        let (read, released) = (self.read, *self.released.borrow_and_update());
        let rows = blocking(&self.reader, move |reader| reader.released_after(read, REQUESTS))
            .await
            .map_err(Broken::Journal)?;
        let last = rows.last().map_or(read, |row| row.position);
        // What had expired is in the outbox too, and is not sent.
        self.read = if rows.len() < REQUESTS { last.max(released) } else { last };
        self.rows.extend(rows);
        self.record().await
    }

    /// Gives the client what it can take without waiting: the poll loop must never wait for it.
    fn hand_over(&mut self) {
        self.read_anew();
        while self.unacknowledged.len() < usize::from(IN_FLIGHT)
            && let Some(row) = self.rows.front()
        {
            let body = &row.body;
            let topic = format!("triggers/{}/{}/{}", row.insurer, row.product, body.subject);
            let Ok(payload) = serde_json::to_vec(body) else { return };
            let properties = properties(row);
            let publish = self.client.try_publish_with_properties(
                topic,
                QoS::AtLeastOnce,
                false,
                payload,
                properties,
            );
            if publish.is_err() {
                return;
            }
            if self.unacknowledged.is_empty() {
                self.owed_since = Instant::now();
            }
            self.handed.push_back(Some(row.position));
            self.unacknowledged.insert(row.position);
            self.rows.pop_front();
        }
        if self.rows.is_empty() && self.read < *self.released.borrow() {
            self.released.mark_changed();
        }
    }

    /// Lets go of what was read before somebody withdrew: it is read again as it is now.
    fn read_anew(&mut self) {
        let withheld = *self.withheld.borrow_and_update();
        if withheld != self.as_of {
            self.as_of = withheld;
            if let Some(row) = self.rows.front() {
                self.read = row.position - 1;
                self.rows.clear();
            }
        }
    }

    /// Takes what the connection did.
    async fn take(&mut self, event: Result<Event, ConnectionError>) -> Result<(), Broken> {
        match event {
            Err(error) => Err(self.broken(&error.to_string())),
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => {
                if let Some(Some(position)) = self.handed.pop_front() {
                    self.on_the_way.insert(packet, position);
                }
                Ok(())
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                let accepted = matches!(
                    ack.reason,
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                );
                if !accepted {
                    return Err(
                        self.broken(&format!("the broker refused a trigger: {:?}", ack.reason))
                    );
                }
                self.acknowledged(ack.pkid).await
            }
            Ok(_) => Ok(()),
        }
    }

    async fn acknowledged(&mut self, packet: u16) -> Result<(), Broken> {
        let Some(position) = self.on_the_way.remove(&packet) else { return Ok(()) };
        self.sent = true;
        self.owed_since = Instant::now();
        self.unacknowledged.remove(&position);
        self.record().await
    }

    /// Moves the cursor up to the first message that is still to be sent or on its way.
    async fn record(&mut self) -> Result<(), Broken> {
        let next = self.rows.front().map_or(self.read + 1, |row| row.position);
        let cursor = self.unacknowledged.first().map_or(next, |first| *first) - 1;
        if cursor > self.recorded {
            self.recorded = cursor;
            self.journal.advance(OUTPUT, cursor).await.map_err(|_| Broken::Closed)?;
        }
        Ok(())
    }

    fn start_again(&mut self) {
        let Some(position) = *self.resend.borrow_and_update() else { return };
        tracing::info!("sending recent triggers again, for those who lost them with the broker");
        self.rows.clear();
        self.read = position.min(self.read);
        self.released.mark_changed();
    }

    fn explain(&mut self, notice: &Notice) {
        if !self.limiter.may_say(notice) {
            return;
        }
        if let Some((topic, payload)) = message(notice) {
            // An explanation that finds no room is lost: the device gets it with the next message.
            if self.client.try_publish(topic, QoS::AtMostOnce, false, payload).is_ok() {
                self.handed.push_back(None);
            }
        }
    }

    fn broken(&self, error: &str) -> Broken {
        Broken::Broker { error: error.to_owned(), sent: self.sent }
    }
}

/// One step of the connection, which can be waited for beside other things.
async fn poll(mut eventloop: EventLoop) -> (EventLoop, Result<Event, ConnectionError>) {
    let event = eventloop.poll().await;
    (eventloop, event)
}

/// What MQTT 5 has room for beside the message: its type, how long it is of use, and the
/// attributes a subscriber may want to see without parsing it.
fn properties(row: &TriggerRow) -> PublishProperties {
    let body = &row.body;
    let useful_ms = row.expires_ms - body.time.as_millisecond();
    let user_properties = [
        ("id", body.id.clone()),
        ("type", body.kind.clone()),
        ("sequence", body.sequence.clone()),
        ("revision", body.revision.to_string()),
    ];
    PublishProperties {
        content_type: Some(CONTENT_TYPE.to_owned()),
        payload_format_indicator: Some(1),
        // A correction is of use as long as somebody remembers what it corrects.
        message_expiry_interval: (row.status == "fired")
            .then(|| u32::try_from(useful_ms / 1_000).unwrap_or(0).max(1)),
        user_properties: user_properties
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        ..PublishProperties::default()
    }
}

/// Queries run where they may block.
pub(crate) async fn blocking<T: Send + 'static>(
    reader: &Reader,
    query: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let reader = reader.clone();
    match tokio::task::spawn_blocking(move || query(&reader)).await {
        Ok(answer) => answer,
        Err(error) => Err(ReadError::interrupted(&error.to_string())),
    }
}
