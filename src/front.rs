//! The side that faces devices and insurers: the embedded broker, the collectors on other brokers,
//! and the sender of triggers.
//!
//! While the journal cannot commit, connections that wait for it cannot even answer a ping. So the
//! broker and the collectors go when the journal stalls and come back when it can write, the broker
//! on the same address.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dashboards::BrokerState;
use deliver::Resend;
use deliver::requests::Refusals;
use ingest::broker::{Broker, BrokerError, BrokerOptions, Subscribed};
use ingest::collector::{CollectorOptions, CollectorState, Collectors};
use ingest::source::Sources;
use ingest::{Arrival, Clock};
use journal::{Health, Journal};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

/// A broker that starts anew has lost the sessions it held: triggers of this long before go out
/// again, to everybody who subscribes.
const RESENT_MS: i64 = 3_600_000;

/// Distinct subscriptions that get recent triggers again. More are not expected after a restart;
/// a subscriber beyond it catches up by sequence number.
const RESENT_TO: usize = 1_000;

/// How long the sender of triggers may take to see its last acknowledgements at the end.
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_millis(800);

const START_AGAIN: Duration = Duration::from_millis(500);

/// Where readings come from and triggers go.
pub(crate) struct Sides {
    pub(crate) home: Home,
    pub(crate) collectors: Vec<CollectorOptions>,
}

/// The broker on which triggers go out.
pub(crate) enum Home {
    Embedded(BrokerOptions, Sources),
    Elsewhere(deliver::Options),
}

/// Broker, collectors and the sender of triggers, kept up for as long as the journal can commit.
pub(crate) struct Front {
    /// Of the embedded broker.
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) state: watch::Receiver<BrokerState>,
    /// Requests for triggers that got none.
    pub(crate) refusals: Refusals,
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

struct Keeper {
    sides: Sides,
    clock: Clock,
    arrivals: mpsc::Sender<Arrival>,
    journal: Journal,
    state: watch::Sender<BrokerState>,
    refusals: Refusals,
    stop: watch::Receiver<bool>,
}

impl Front {
    pub(crate) fn start(
        mut sides: Sides,
        clock: Clock,
        arrivals: mpsc::Sender<Arrival>,
        journal: Journal,
    ) -> Result<Self, BrokerError> {
        let open = Open::start(&sides, &clock, &arrivals)?;
        let addr = open.broker.as_ref().map(Broker::local_addr);
        if let (Home::Embedded(options, _), Some(addr)) = (&mut sides.home, addr) {
            // Whoever found us here finds us here again.
            options.listen = addr;
            options.port_auto = false;
        }
        let state = watch::Sender::new(open.state());
        let watched = state.subscribe();
        let (stop, stopped) = watch::channel(false);
        let refusals = Refusals::default();
        let counted = refusals.clone();
        let keeper = Keeper { sides, clock, arrivals, journal, state, refusals, stop: stopped };
        let keeper = tokio::spawn(keeper.run(open));
        Ok(Self { addr, state: watched, refusals: counted, stop, keeper })
    }

    /// Sends what is to be sent, then lets the clients go. The journal must still be running.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if self.keeper.await.is_err() {
            tracing::error!("the broker's keeper panicked");
        }
    }
}

/// What takes readings in, while the journal can commit.
struct Open {
    broker: Option<Broker>,
    /// Where triggers go.
    destination: deliver::Options,
    collectors: Collectors,
    states: watch::Receiver<Vec<CollectorState>>,
}

impl Open {
    fn start(
        sides: &Sides,
        clock: &Clock,
        arrivals: &mpsc::Sender<Arrival>,
    ) -> Result<Self, BrokerError> {
        let (broker, destination) = match &sides.home {
            Home::Embedded(options, sources) => {
                let broker = start_broker(options, sources.clone(), clock, arrivals)?;
                let destination = inside(&broker);
                (Some(broker), destination)
            }
            Home::Elsewhere(destination) => (None, destination.clone()),
        };
        let collectors = Collectors::start(&sides.collectors, clock, arrivals);
        let states = collectors.states();
        Ok(Self { broker, destination, collectors, states })
    }

    /// Whether devices can publish: to the embedded broker; without one, through every collector.
    fn state(&self) -> BrokerState {
        if self.broker.is_some() {
            return BrokerState::Accepting;
        }
        let hindrance = |state: &CollectorState| match state {
            CollectorState::Collecting => None,
            CollectorState::Connecting => Some("connecting to the broker".to_owned()),
            CollectorState::Away { reason } => Some(reason.clone()),
        };
        match self.states.borrow().iter().find_map(hindrance) {
            None => BrokerState::Accepting,
            Some(reason) => BrokerState::Closed { reason },
        }
    }

    /// Drops who may not be here any more, as the registry is now.
    fn recheck(&self) {
        if let Some(broker) = &self.broker {
            broker.recheck();
        }
    }

    /// The next change of [`Self::state`]; none with an embedded broker.
    async fn changed(&mut self) {
        if self.broker.is_some() || self.states.changed().await.is_err() {
            std::future::pending().await
        }
    }

    async fn stop(self) {
        self.collectors.stop().await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }

    async fn drop_connections(self) {
        self.collectors.drop_connections().await;
        if let Some(broker) = self.broker {
            broker.drop_connections();
        }
    }
}

fn start_broker(
    options: &BrokerOptions,
    sources: Sources,
    clock: &Clock,
    arrivals: &mpsc::Sender<Arrival>,
) -> Result<Broker, BrokerError> {
    let decode = move |topic: &str, payload: &_, now| sources.read(topic, payload, now);
    Broker::start(options, decode, clock.clone(), arrivals.clone())
}

fn inside(broker: &Broker) -> deliver::Options {
    let (addr, login) = (broker.local_addr(), broker.internal_login());
    deliver::Options {
        host: addr.ip().to_string(),
        port: addr.port(),
        user: login.username.clone(),
        password: login.password.clone(),
    }
}

impl Keeper {
    async fn run(mut self, mut open: Open) {
        let mut health = self.journal.live().health();
        let mut registry = self.journal.live().registry_version();
        loop {
            let sender = self.start_sender(&open);
            let went = loop {
                self.state.send_replace(open.state());
                tokio::select! {
                    _ = self.stop.wait_for(|stop| *stop) => break Went::Stopped,
                    stalled = health.wait_for(|health| *health != Health::Writable) => match stalled {
                        Ok(_) => break Went::Stalled,
                        Err(_) => break Went::Stopped,
                    },
                    Ok(()) = registry.changed() => open.recheck(),
                    () = open.changed() => {}
                }
            };
            match went {
                Went::Stopped => {
                    sender.finish().await;
                    open.stop().await;
                    return;
                }
                Went::Stalled => {
                    tracing::error!("dropping all connections until the journal can commit again");
                    self.close("the journal cannot commit");
                    sender.finish().await;
                    open.drop_connections().await;
                }
            }
            let Some(next) = self.open_again(&mut health).await else { return };
            open = next;
        }
    }

    /// Waits until the journal can commit, then starts a broker where the old one was.
    async fn open_again(&mut self, health: &mut watch::Receiver<Health>) -> Option<Open> {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => return None,
            writable = health.wait_for(|health| *health == Health::Writable) => { writable.ok()?; }
        }
        loop {
            match Open::start(&self.sides, &self.clock, &self.arrivals) {
                Ok(open) => {
                    tracing::info!("the journal commits again; the broker is back");
                    return Some(open);
                }
                Err(error) => {
                    tracing::error!(%error, "the broker cannot start again; trying on");
                    self.close(&error.to_string());
                }
            }
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return None,
                () = tokio::time::sleep(START_AGAIN) => {}
            }
        }
    }

    fn close(&self, reason: &str) {
        self.state.send_replace(BrokerState::Closed { reason: reason.to_owned() });
    }

    fn start_sender(&self, open: &Open) -> Sender {
        let (stop, stopped) = watch::channel(false);
        let (resend, resent) = watch::channel(None);
        // Other brokers keep their sessions: nothing needs to go out again.
        let again = open.broker.as_ref().map(|broker| {
            let (journal, subscribed) = (self.journal.clone(), broker.subscribed());
            tokio::spawn(send_again(journal, self.clock.now_ms(), subscribed, resend))
        });
        let (options, journal) = (open.destination.clone(), self.journal.clone());
        let requests = deliver::requests::run(
            options.clone(),
            journal.clone(),
            self.refusals.clone(),
            stopped.clone(),
        );
        let requests = tokio::spawn(requests);
        let task = tokio::spawn(deliver::run(options, journal, resent, stopped));
        Sender { stop, task, requests, again }
    }
}

enum Went {
    Stopped,
    Stalled,
}

struct Sender {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    requests: JoinHandle<()>,
    again: Option<JoinHandle<()>>,
}

impl Sender {
    async fn finish(mut self) {
        if let Some(again) = self.again {
            again.abort();
        }
        // Whoever still waits for an answer asks the next one.
        self.requests.abort();
        self.stop.send_replace(true);
        if tokio::time::timeout(LAST_ACKNOWLEDGEMENTS, &mut self.task).await.is_err() {
            // They go out again, under the same ids, after the next start.
            tracing::warn!("left triggers unacknowledged by the broker");
            self.task.abort();
        }
    }
}

/// Says from where to send again whenever somebody new listens for triggers, if any were sent
/// before this broker started.
async fn send_again(
    journal: Journal,
    started_ms: i64,
    mut subscribed: broadcast::Receiver<Subscribed>,
    resend: watch::Sender<Option<Resend>>,
) {
    let reader = journal.reader();
    let recent = tokio::task::spawn_blocking(move || {
        let from = reader.position_before(started_ms - RESENT_MS)?;
        let until = reader.position_before(started_ms)?;
        Ok::<_, journal::ReadError>((from < until).then_some(from))
    });
    let from = match recent.await {
        Ok(Ok(Some(from))) => from,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::error!(%error, "recent triggers are not sent again"),
        Err(_) => return,
    };
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    loop {
        let new = match subscribed.recv().await {
            Ok(Subscribed { filters }) => {
                filters.into_iter().any(|filter| sees_triggers(&filter) && seen.insert(filter))
            }
            Err(broadcast::error::RecvError::Lagged(_)) => true,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if seen.len() > RESENT_TO {
            return;
        }
        if new {
            resend.send_replace(Some(from));
        }
    }
}

fn sees_triggers(filter: &str) -> bool {
    let filter = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').map_or("", |(_, filter)| filter),
        None => filter,
    };
    matches!(filter.split('/').next(), Some("triggers" | "+" | "#"))
}

#[cfg(test)]
mod tests {
    use super::sees_triggers;

    #[test]
    fn who_listens_for_triggers_is_told_from_the_filter() {
        for filter in ["triggers/#", "#", "+/alpina/#", "$share/g/triggers/alpina/#"] {
            assert!(sees_triggers(filter), "{filter}");
        }
        for filter in ["errors/car-1", "$SYS/#", "$share/g/errors/#", "telemetry/triggers"] {
            assert!(!sees_triggers(filter), "{filter}");
        }
    }
}
