//! One MQTT session over rumqttc, of either version of the protocol.
//!
//! A session is used for one network connection and then thrown away: what a client library
//! keeps across a reconnect (half-written publishes, stale packet ids, buffered events) is what
//! loses or doubles messages. What is owed lives in the [`Outbox`](crate::outbox::Outbox).

use std::time::Duration;

use rumqttc::v5;

use crate::options::{Options, Protocol, Qos};
use crate::outbox::Entry;

/// Also how long a dead connection goes unnoticed at most, twice over.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The library has no time-out of its own for some writes; pings make a live session yield an
/// event at least once in a keep-alive.
const SILENCE: Duration = Duration::from_secs(25);
/// The library's own limit of 10 KiB would drop the connection at the first larger packet.
const MAX_PACKET_BYTES: u32 = 256 * 1024;

/// What happened on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    /// The next message handed over was written, under this packet id (0 at QoS 0).
    Written(u16),
    Acknowledged(u16),
    /// Answered with a failure: the broker does not want it.
    Refused(u16),
    /// The goodbye was written.
    Disconnected,
    Other,
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("{0}")]
    V3(#[from] Box<rumqttc::ConnectionError>),
    #[error("{0}")]
    V5(#[from] Box<v5::ConnectionError>),
    #[error("nothing heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the broker refused a message of QoS 2")]
    Refused,
}

/// The half that takes messages; never waits.
pub(crate) enum Sender {
    V3(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// The half that does the network's work; must be polled all the time.
pub(crate) enum Receiver {
    V3(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// A new session as `client_id`, logging in with `login` (name, password). It connects when it is
/// polled.
pub(crate) fn open(
    options: &Options,
    client_id: &str,
    login: Option<(&str, &str)>,
) -> (Sender, Receiver) {
    let (host, port) = (options.broker.host.as_str(), options.broker.port);
    let window = options.window.clamp(1, 100);
    // Room for all that may be unacknowledged, and the goodbye.
    let capacity = usize::from(window) + 1;
    match options.protocol {
        Protocol::V3_1_1 => {
            let mut mqtt = rumqttc::MqttOptions::new(client_id, host, port);
            mqtt.set_keep_alive(KEEP_ALIVE)
                .set_clean_session(true)
                .set_inflight(window)
                .set_max_packet_size(MAX_PACKET_BYTES as usize, MAX_PACKET_BYTES as usize);
            if let Some((name, password)) = login {
                mqtt.set_credentials(name, password);
            }
            let (client, mut events) = rumqttc::AsyncClient::new(mqtt, capacity);
            events.network_options.set_tcp_nodelay(true);
            (Sender::V3(client), Receiver::V3(Box::new(events)))
        }
        Protocol::V5 => {
            let mut mqtt = v5::MqttOptions::new(client_id, host, port);
            mqtt.set_keep_alive(KEEP_ALIVE)
                .set_clean_start(true)
                // Without it every session takes 14 MB.
                .set_outgoing_inflight_upper_limit(window)
                .set_max_packet_size(Some(MAX_PACKET_BYTES));
            let mut network = mqtt.network_options();
            network.set_tcp_nodelay(true);
            mqtt.set_network_options(network);
            if let Some((name, password)) = login {
                mqtt.set_credentials(name, password);
            }
            let (client, events) = v5::AsyncClient::new(mqtt, capacity);
            (Sender::V5(client), Receiver::V5(Box::new(events)))
        }
    }
}

impl Sender {
    /// Hands a message over; false if there is no room for it now.
    pub(crate) fn publish(&self, entry: &Entry, qos: Qos) -> bool {
        let (topic, payload) = (&*entry.topic, entry.payload.clone());
        match self {
            Self::V3(client) => {
                let qos = match qos {
                    Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
                    Qos::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
                };
                client.try_publish(topic, qos, false, payload).is_ok()
            }
            Self::V5(client) => {
                let qos = match qos {
                    Qos::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
                    Qos::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
                    Qos::ExactlyOnce => v5::mqttbytes::QoS::ExactlyOnce,
                };
                client.try_publish(topic, qos, false, payload).is_ok()
            }
        }
    }

    /// Asks for a clean end; false if there is no room even for that.
    pub(crate) fn disconnect(&self) -> bool {
        match self {
            Self::V3(client) => client.try_disconnect().is_ok(),
            Self::V5(client) => client.try_disconnect().is_ok(),
        }
    }
}

impl Receiver {
    /// Works until something happens. After an error the session is over.
    pub(crate) async fn poll(&mut self) -> Result<Event, SessionError> {
        let next = async {
            match self {
                Self::V3(events) => match events.poll().await {
                    Ok(event) => Ok(v3_event(&event)),
                    Err(error) => Err(SessionError::V3(Box::new(error))),
                },
                Self::V5(events) => match events.poll().await {
                    Ok(event) => Ok(v5_event(&event)),
                    Err(error) => Err(SessionError::V5(Box::new(error))),
                },
            }
        };
        tokio::time::timeout(SILENCE, next).await.unwrap_or(Err(SessionError::Silent))
    }
}

fn v3_event(event: &rumqttc::Event) -> Event {
    use rumqttc::{Outgoing, Packet};
    match event {
        rumqttc::Event::Outgoing(Outgoing::Publish(packet_id)) => Event::Written(*packet_id),
        rumqttc::Event::Outgoing(Outgoing::Disconnect) => Event::Disconnected,
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Connected,
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => Event::Acknowledged(ack.pkid),
        rumqttc::Event::Incoming(Packet::PubComp(done)) => Event::Acknowledged(done.pkid),
        _ => Event::Other,
    }
}

fn v5_event(event: &v5::Event) -> Event {
    use v5::mqttbytes::v5::{Packet, PubAckReason, PubCompReason, PubRecReason};
    match event {
        v5::Event::Outgoing(rumqttc::Outgoing::Publish(packet_id)) => Event::Written(*packet_id),
        v5::Event::Outgoing(rumqttc::Outgoing::Disconnect) => Event::Disconnected,
        v5::Event::Incoming(Packet::ConnAck(_)) => Event::Connected,
        v5::Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                Event::Acknowledged(ack.pkid)
            }
            _ => Event::Refused(ack.pkid),
        },
        v5::Event::Incoming(Packet::PubRec(ack)) => match ack.reason {
            PubRecReason::Success | PubRecReason::NoMatchingSubscribers => Event::Other,
            _ => Event::Refused(ack.pkid),
        },
        v5::Event::Incoming(Packet::PubComp(done)) => match done.reason {
            PubCompReason::Success => Event::Acknowledged(done.pkid),
            PubCompReason::PacketIdentifierNotFound => Event::Refused(done.pkid),
        },
        _ => Event::Other,
    }
}
