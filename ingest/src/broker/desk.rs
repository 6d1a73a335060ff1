//! What happens to a message between the socket and the pipeline: the broker's event handler.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use bytes::Bytes;
use mqtt5::QoS;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent,
    ClientSubscribeEvent, PublishAction, SubAckReasonCode,
};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::access::{Door, Peer, Proof, Way};
use super::attempts::Attempts;
use super::connections::{Connection, Connections, Will};
use super::{Decode, Subscribed};
use crate::report::FromInsurer;
use crate::{Arrival, Clock, Message, Reason, Rejected, Sender, access};

pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes every publish into the pipeline and lets nothing but Datanaut's own messages, and
/// questions to it, be routed or retained: without consent nothing is kept, not even in the broker.
pub(super) struct Desk {
    /// [`EMBEDDED`](crate::source::EMBEDDED)
    pub(super) name: Arc<str>,
    pub(super) door: Door,
    pub(super) decode: Decode,
    pub(super) clock: Clock,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) subscribed: broadcast::Sender<Subscribed>,
    /// Weak, because the router holds the desk.
    pub(super) router: OnceLock<Weak<MessageRouter>>,
    pub(super) connections: Connections,
    pub(super) attempts: Attempts,
    /// Connections that end from now on are not the devices' doing.
    pub(super) stopping: AtomicBool,
}

impl Desk {
    /// True once everything in the message has a durable outcome.
    async fn take_in(&self, peer: Option<Peer>, event: ClientPublishEvent) -> bool {
        let (acknowledge, done) = oneshot::channel();
        let acknowledged = event.qos != QoS::AtMostOnce;
        let mut arrival = self.arrival(peer, event.topic, event.payload, acknowledge);
        arrival.decoded = arrival.decoded.acknowledged(acknowledged, &arrival.payload);
        self.arrivals.send(arrival).await.is_ok() && done.await.is_ok()
    }

    fn arrival(
        &self,
        peer: Option<Peer>,
        topic: Arc<str>,
        payload: Bytes,
        acknowledge: oneshot::Sender<()>,
    ) -> Arrival {
        let (received, received_ms) = (Instant::now(), self.clock.now_ms());
        let decoded = match &peer {
            _ if is_ours(&topic) => {
                Message::Device(Err((None, not_own(&topic, "is datanaut's own", &payload))))
            }
            Some(Peer::Anonymous | Peer::Device(_) | Peer::Insurer(_)) => {
                (self.decode)(&topic, &payload, received_ms)
            }
            Some(Peer::Internal) | None => {
                Message::Device(Err((None, not_own(&topic, "is for devices", &payload))))
            }
        };
        let (sender, decoded) = match peer {
            Some(Peer::Device(id)) => {
                let decoded = only_for_itself(&id, decoded, &topic, &payload);
                (Sender::Device(id), decoded)
            }
            Some(Peer::Insurer(id)) => {
                let decoded = only_its_reports(&id, decoded, &topic, &payload);
                (Sender::Insurer(id), decoded)
            }
            Some(Peer::Anonymous | Peer::Internal) | None => (Sender::Anonymous, decoded),
        };
        Arrival {
            broker: Arc::clone(&self.name),
            topic,
            sender,
            payload,
            decoded,
            retry_of: None,
            received_ms,
            received,
            acknowledge,
        }
    }

    /// Decides about a CONNECT.
    pub(super) fn let_in(
        &self,
        connect: &ConnectPacket,
        from: SocketAddr,
        way: &Way,
    ) -> AuthResult {
        let (username, password) = (connect.username.as_deref(), connect.password.as_deref());
        // Without a password nothing is guessed.
        let guess = username.filter(|_| password.is_some());
        let now = Instant::now();
        if guess.is_some_and(|name| self.attempts.must_wait(from.ip(), name, now)) {
            return AuthResult::fail(ReasonCode::ConnectionRateExceeded);
        }
        let Some((peer, proof)) = self.door.identify(way, username, password) else {
            if let Some(name) = guess {
                self.attempts.was_wrong(from.ip(), name, now);
            }
            return AuthResult::fail(ReasonCode::BadUsernameOrPassword);
        };
        self.connections.let_in(proof);
        let user = peer.user_id();
        // Otherwise a device could put others off the line by taking over their sessions.
        if self.connections.is_anothers(&connect.client_id, &user) {
            return AuthResult::fail(ReasonCode::ClientIdentifierNotValid);
        }
        AuthResult::success_with_user(user)
    }

    /// Ends the connections of those who could not log in any more as they did.
    pub(super) async fn recheck(&self) {
        let holds = |user: &str, proof| {
            let peer = Peer::from_user_id(Some(user));
            peer.is_some_and(|peer| self.door.still_holds(&peer, proof))
        };
        for client_id in self.connections.no_more(holds) {
            self.disconnect(&client_id).await;
        }
    }

    /// The connection finds itself gone from the router when it next looks.
    async fn disconnect(&self, client_id: &str) {
        if let Some(router) = self.router.get().and_then(Weak::upgrade) {
            router.disconnect_client(client_id).await;
        }
    }

    /// Ends the connection without an acknowledgement. The broker knows no such answer, so the
    /// message becomes one that needs none and that nobody can have subscribed to.
    async fn hang_up(&self, client_id: &str) -> PublishAction {
        self.disconnect(client_id).await;
        PublishAction::Transform(PublishPacket::new(
            "$datanaut/void",
            Bytes::new(),
            QoS::AtMostOnce,
        ))
    }
}

/// What a device that logged in says about another is held against itself.
fn only_for_itself(own: &Arc<str>, decoded: Message, topic: &str, payload: &Bytes) -> Message {
    let anothers = match &decoded {
        Message::Device(Ok(decoded)) => decoded.device != *own,
        Message::Device(Err((device, _))) => device.as_ref().is_some_and(|device| device != own),
        Message::Insurer(_) => true,
    };
    match decoded {
        Message::Device(outcome) if !anothers => {
            Message::Device(outcome.map_err(|(_, rejected)| (Some(Arc::clone(own)), rejected)))
        }
        _ => {
            let rejected = not_own(topic, &format!("is not for {own}"), payload);
            Message::Device(Err((Some(Arc::clone(own)), rejected)))
        }
    }
}

/// An insurer reports in its own name, and nothing else.
fn only_its_reports(own: &Arc<str>, decoded: Message, topic: &str, payload: &Bytes) -> Message {
    match decoded {
        Message::Insurer(message) if message.insurer == *own => Message::Insurer(message),
        _ => {
            let rejected = not_own(topic, &format!("is not for {own}"), payload);
            let insurer = Arc::clone(own);
            Message::Insurer(FromInsurer { insurer, report: Err(rejected), unknown_names: 0 })
        }
    }
}

fn not_own(topic: &str, why: &str, payload: &Bytes) -> Rejected {
    let detail = format!("the topic {topic} {why}");
    Rejected { reason: Reason::NotOwnTopic, detail, raw: payload.clone() }
}

/// Topics that only Datanaut's own sender publishes on.
fn is_ours(topic: &str) -> bool {
    access::allows(access::Role::Datanaut, access::Action::Publish, "", topic)
}

impl BrokerEventHandler for Desk {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Later<'a, ()> {
        Box::pin(async move {
            let payload = event.will_payload.unwrap_or_default();
            let peer = Peer::from_user_id(event.user_id.as_deref());
            let client_id = Arc::clone(&event.client_id);
            let proof = self.connections.begin(Connection {
                client_id: event.client_id,
                user_id: event.user_id,
                proof: Proof::Nothing,
                will: event.will_topic.map(|topic| Will { topic, payload }),
                ending: false,
            });
            // Whoever looked for logins that hold no more could not see this one until now.
            if let (Some(peer), Some(proof)) = (peer, proof)
                && !self.door.still_holds(&peer, proof)
            {
                self.disconnect(&client_id).await;
            }
        })
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Later<'a, PublishAction> {
        Box::pin(async move {
            let peer = Peer::from_user_id(event.user_id.as_deref());
            if peer == Some(Peer::Internal) {
                return PublishAction::Continue;
            }
            // What is retained would be answered again at every start.
            if !event.retain && peer.as_ref().is_some_and(|peer| peer.may_ask(&event.topic)) {
                return PublishAction::Continue;
            }
            let client_id = Arc::clone(&event.client_id);
            if self.take_in(peer, event).await {
                PublishAction::Handled
            } else {
                self.hang_up(&client_id).await
            }
        })
    }

    fn on_client_subscribe<'a>(&'a self, event: ClientSubscribeEvent) -> Later<'a, ()> {
        use SubAckReasonCode::{GrantedQoS0, GrantedQoS1, GrantedQoS2};
        Box::pin(async move {
            let granted = event.subscriptions.into_iter().filter(|subscription| {
                matches!(subscription.result, GrantedQoS0 | GrantedQoS1 | GrantedQoS2)
            });
            let filters: Vec<_> = granted.map(|subscription| subscription.topic_filter).collect();
            if !filters.is_empty() {
                // An error only says that nobody listens.
                self.subscribed.send(Subscribed { filters }).ok();
            }
        })
    }

    /// A will says what a device wanted said: it goes the way of everything else it says. There
    /// is nobody to acknowledge it to.
    fn on_client_disconnect<'a>(&'a self, event: ClientDisconnectEvent) -> Later<'a, ()> {
        Box::pin(async move {
            let Some(will) = self.connections.end().and_then(|connection| connection.will) else {
                return;
            };
            if event.unexpected && !self.stopping.load(Ordering::Relaxed) {
                let peer = Peer::from_user_id(event.user_id.as_deref());
                let (acknowledge, _) = oneshot::channel();
                let mut arrival = self.arrival(peer, will.topic, will.payload, acknowledge);
                arrival.decoded = arrival.decoded.acknowledged(false, &arrival.payload);
                if self.arrivals.send(arrival).await.is_err() {
                    tracing::debug!("a will came after the pipeline had closed");
                }
            }
        })
    }
}

impl AuthProvider for Desk {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Later<'a, mqtt5::Result<AuthResult>> {
        let result = self.let_in(connect, from, &Way::Plain);
        Box::pin(async move { Ok(result) })
    }

    /// Admits whatever a client publishes, because a refusal here is acknowledged like a success
    /// to a 3.1.1 client and counted nowhere; [`Desk::arrival`] decides. Refuses the broker
    /// itself, which publishes wills past the handler: a will comes when its connection is
    /// ending, or, delayed, from another task.
    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _topic: &'a str,
    ) -> Later<'a, bool> {
        let from_a_client = self.connections.serving();
        Box::pin(async move { from_a_client })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Later<'a, bool> {
        let allowed = Peer::from_user_id(user_id).is_some_and(|peer| peer.may_subscribe(filter));
        Box::pin(async move { allowed })
    }

    /// The broker calls this when a connection has ended, before it publishes the will.
    fn cleanup_session<'a>(&'a self, _user_id: &'a str) -> Later<'a, ()> {
        self.connections.ending();
        Box::pin(async {})
    }
}
