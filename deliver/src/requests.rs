//! Answers what insurers ask for over MQTT: what they were told after a sequence number.
//!
//! A request on `requests/{insurer}/triggers` is answered on its response topic, with its
//! correlation data. It has a connection of its own: a long answer delays no trigger.

mod answer;
mod question;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::{Journal, Reader};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::triggers::{Options, blocking, told_to_stop};
use answer::{Asked, answer, refusal};

pub use question::Refused;

const FILTER: &str = "requests/+/triggers";

/// Requests that wait for their answer, of all insurers; what finds no room is let go, and whoever
/// asked asks again.
const WAITING: usize = 64;

/// Of one insurer, so that it cannot take all the room.
const WAITING_OF_ONE: usize = 8;

/// Answers on their way at once: each is up to half a megabyte.
const IN_FLIGHT: u16 = 10;
const REQUESTS: usize = IN_FLIGHT as usize;

/// A request is a few words; the library ends a connection that brings more.
const LARGEST_REQUEST: u32 = 64 << 10;

const RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// How many requests for triggers got none, by [`Refused::name`], since the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Refusals {
    pub fn count(&self, refused: &Refused) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(refused.name())
            .or_default() += 1;
    }

    /// How many of this name.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(name).copied().unwrap_or_default()
    }
}

/// Answers requests until `shutdown` changes.
pub async fn run(
    options: Options,
    journal: Journal,
    refusals: Refusals,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut retry = RETRY;
    loop {
        let (error, worked) = tokio::select! {
            ended = Desk::serve(&options, &journal, &refusals) => ended,
            () = told_to_stop(&mut shutdown) => return,
        };
        retry = if worked { RETRY } else { (retry * 2).min(LAST_RETRY) };
        tracing::warn!(%error, retry_ms = retry.as_millis(), "requests for triggers wait for the broker");
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = told_to_stop(&mut shutdown) => return,
        }
    }
}

/// One connection's worth of answering.
struct Desk {
    waiting: mpsc::Sender<Asked>,
    answered: mpsc::Receiver<String>,
    /// How many wait, of whom.
    of_whom: HashMap<String, usize>,
    refusals: Refusals,
    /// Ends with the connection.
    clerk: JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clerk.abort();
    }
}

impl Desk {
    /// Until the connection is lost: why, and whether it had worked.
    async fn serve(options: &Options, journal: &Journal, refusals: &Refusals) -> (String, bool) {
        let mut mqtt = MqttOptions::new("datanaut-requests", &options.host, options.port);
        mqtt.set_credentials(&options.user, &options.password);
        mqtt.set_keep_alive(Duration::from_secs(15));
        mqtt.set_clean_start(true);
        mqtt.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        mqtt.set_max_packet_size(Some(LARGEST_REQUEST));
        let (client, eventloop) = AsyncClient::new(mqtt, REQUESTS);
        let (waiting, asked) = mpsc::channel(WAITING);
        let (done, answered) = mpsc::channel(WAITING);
        let (reader, refusals) = (journal.reader(), refusals.clone());
        let clerk =
            Clerk { client: client.clone(), reader, asked, done, refusals: refusals.clone() };
        let clerk = tokio::spawn(clerk.work());
        let mut desk = Self { waiting, answered, of_whom: HashMap::new(), refusals, clerk };
        desk.take(client, eventloop).await
    }

    async fn take(&mut self, client: AsyncClient, mut eventloop: EventLoop) -> (String, bool) {
        let mut worked = false;
        loop {
            let event = match eventloop.poll().await {
                Ok(event) => event,
                Err(error) => return (error.to_string(), worked),
            };
            match event {
                Event::Incoming(Packet::ConnAck(_)) => {
                    if let Err(error) = client.try_subscribe(FILTER, QoS::AtLeastOnce) {
                        return (error.to_string(), worked);
                    }
                }
                Event::Incoming(Packet::SubAck(granted)) => {
                    let refused = |code: &_| !matches!(code, SubscribeReasonCode::Success(_));
                    if granted.return_codes.iter().any(refused) {
                        let advice = "let Datanaut's login subscribe to requests/+/triggers";
                        return (format!("the broker refuses the subscription: {advice}"), worked);
                    }
                    worked = true;
                }
                Event::Incoming(Packet::Publish(publish)) => self.queue(&publish),
                _ => {}
            }
        }
    }

    fn queue(&mut self, publish: &Publish) {
        while let Ok(insurer) = self.answered.try_recv() {
            if let Some(waiting) = self.of_whom.get_mut(&insurer) {
                *waiting -= 1;
            }
            self.of_whom.retain(|_, waiting| *waiting > 0);
        }
        // A retained request was not made now, and nobody waits for its answer.
        let Some(asked) = Asked::read(publish).filter(|_| !publish.retain) else {
            tracing::debug!("a request that names no place for its answer was let go");
            return self.refusals.count(&Refused::NoReplyTopic);
        };
        let waiting = self.of_whom.entry(asked.insurer.clone()).or_default();
        if *waiting >= WAITING_OF_ONE {
            tracing::debug!("an insurer asks faster than it can be answered");
            return self.refusals.count(&Refused::TooMany);
        }
        *waiting += 1;
        let insurer = asked.insurer.clone();
        if self.waiting.try_send(asked).is_err() {
            self.refusals.count(&Refused::TooMany);
            if let Some(waiting) = self.of_whom.get_mut(&insurer) {
                *waiting -= 1;
            }
        }
    }
}

/// Answers one request after the other, beside the connection: that must never wait for it.
struct Clerk {
    client: AsyncClient,
    reader: Reader,
    asked: mpsc::Receiver<Asked>,
    done: mpsc::Sender<String>,
    refusals: Refusals,
}

impl Clerk {
    async fn work(mut self) {
        while let Some(asked) = self.asked.recv().await {
            let Asked { insurer, reply_to, correlation, question } = asked;
            let of = insurer.clone();
            let answer =
                blocking(&self.reader, move |reader| Ok(answer(reader, &insurer, &question)));
            let Ok(answer) = answer.await else { continue };
            let payload = answer.unwrap_or_else(|refused| {
                self.refusals.count(&refused);
                refusal(&refused)
            });
            let properties = PublishProperties {
                payload_format_indicator: Some(1),
                content_type: Some(CONTENT_TYPE.to_owned()),
                correlation_data: correlation,
                ..PublishProperties::default()
            };
            let sent = self.client.publish_with_properties(
                reply_to,
                QoS::AtLeastOnce,
                false,
                payload,
                properties,
            );
            if sent.await.is_err() || self.done.send(of).await.is_err() {
                return;
            }
        }
    }
}
