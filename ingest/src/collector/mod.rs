//! Collects from brokers that run elsewhere: Mosquitto, EMQX, HiveMQ, NATS, a cloud's.
//!
//! Each collector holds one connection, as a client with a persistent session. In the order a
//! message takes: [`link`] speaks MQTT 5 or 3.1.1, in the [`packet`]s of rumqttc's codec;
//! [`connection`] decodes what comes and hands it over as an [`Arrival`]; [`ledger`] keeps what waits for its acknowledgement, and the PUBACKs go
//! out in the order of receipt. A connection that ends takes its ledger along: what was not
//! acknowledged the broker sends again, and the journal knows it. [`backoff`] says when to connect
//! again.

mod backoff;
mod connection;
mod ledger;
mod link;
mod packet;
#[cfg(fuzzing)]
pub use packet::fuzz as fuzz_packets;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::source::Sources;
use crate::{Arrival, Clock};
use backoff::Backoff;
use connection::{Connection, Ended};

/// A packet larger than this is not for us. An MQTT 5 broker is told so and leaves it out; on 3.1.1
/// it ends the connection. Payloads that are smaller and still too large are quarantined by name.
pub const MAX_PACKET: usize = 1 << 20;

/// In flight by default: two batches of the size that commits fastest in a slow disk's 10 ms, at
/// 100,000 messages a second.
pub const RECEIVE_MAXIMUM: NonZeroU16 = NonZeroU16::new(2_000).unwrap();

/// How long commits under way may take in an orderly stop.
const ORDERLY: Duration = Duration::from_secs(2);

/// One connection to one broker.
#[derive(Clone)]
pub struct CollectorOptions {
    /// A name or address; an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    /// The name of the session at the broker, which only one connection can have.
    pub client_id: Arc<str>,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Subscribe as `$share/{group}/…`: the members of a group get each message once.
    pub share: Option<String>,
    pub protocol: Protocol,
    /// Messages that an MQTT 5 broker may send ahead of their acknowledgements.
    pub receive_maximum: NonZeroU16,
    pub sources: Sources,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// 5, or 3.1.1 where the broker refuses that.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V4,
}

/// How a collector is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectorState {
    Connecting,
    /// The broker has granted every subscription.
    Collecting,
    /// Tries again, sooner or later.
    Away {
        reason: String,
    },
}

/// Running collectors. Dropped, they go at once, without telling their brokers.
pub struct Collectors {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    states: watch::Receiver<Vec<CollectorState>>,
}

impl Collectors {
    /// Returns at once; the connections are made in the background, and again when they are lost.
    #[must_use]
    pub fn start(
        options: &[CollectorOptions],
        clock: &Clock,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let states = watch::Sender::new(vec![CollectorState::Connecting; options.len()]);
        let watched = states.subscribe();
        let mut tasks = JoinSet::new();
        for (place, options) in options.iter().enumerate() {
            let connection = Connection {
                options: options.clone(),
                clock: clock.clone(),
                arrivals: arrivals.clone(),
                stop: stopped.clone(),
                report: Report { states: states.clone(), place },
            };
            tasks.spawn(collect(connection));
        }
        Self { tasks, stop, states: watched }
    }

    /// In the order of the options.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Vec<CollectorState>> {
        self.states.clone()
    }

    /// Takes nothing more, acknowledges what is committed within a moment, and takes its leave.
    /// The pipeline must still be running.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let left = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(ORDERLY, left).await.is_err() {
            tracing::warn!(collectors = self.tasks.len(), "left while messages wait for a commit");
        }
        self.drop_connections().await;
    }

    /// Drops every connection at once. What was not acknowledged, the brokers send again.
    pub async fn drop_connections(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Where a collector says how it is doing.
#[derive(Clone)]
struct Report {
    states: watch::Sender<Vec<CollectorState>>,
    place: usize,
}

impl Report {
    fn set(&self, state: CollectorState) {
        self.states.send_if_modified(|states| match states.get_mut(self.place) {
            Some(old) if *old != state => {
                *old = state;
                true
            }
            _ => false,
        });
    }
}

/// Connects for as long as there is a pipeline, however long the broker is away.
async fn collect(connection: Connection) {
    let mut backoff = Backoff::default();
    let mut stop = connection.stop.clone();
    let mut last = String::new();
    loop {
        // In a task of its own: the library's parser may panic on a broken broker's bytes.
        let mut one = JoinSet::new();
        one.spawn(connection.clone().run());
        let (why, worked) = match one.join_next().await {
            Some(Ok(Ended::Done)) | None => return,
            Some(Ok(Ended::Lost { why, worked })) => (why, worked),
            Some(Err(_)) => ("it sent what cannot be read".to_owned(), false),
        };
        if worked {
            backoff = Backoff::default();
        }
        let retry = backoff.next();
        let broker = format!("{}:{}", connection.options.host, connection.options.port);
        let retry_ms = retry.as_millis();
        if worked || why != last {
            tracing::warn!(broker, retry_ms, "the broker is away: {why}");
        } else {
            tracing::debug!(broker, retry_ms, "the broker is still away: {why}");
        }
        last.clone_from(&why);
        let reason = format!("mqtt://{broker}: {why}");
        connection.report.set(CollectorState::Away { reason });
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = told_to_stop(&mut stop) => return,
        }
    }
}

/// Also when nobody is left to say it.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("stopping: nobody is left to say so");
    }
}
