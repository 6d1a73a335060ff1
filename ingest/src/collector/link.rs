//! One connection, in either version of MQTT. All that the client library wants to be told stands
//! here.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5 as packet5;
use rumqttc::v5::{self, mqttbytes as bytes5};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event as Event4, EventLoop, MqttOptions,
    NetworkOptions, Outgoing, Packet as Packet4, Publish, QoS, StateError, SubscribeFilter,
    SubscribeReasonCode,
};

use super::{CollectorOptions, MAX_PACKET, Protocol};

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Beyond the keep-alive, after which the library has something to say in any case. Its MQTT 5 side
/// waits for ever for a broker that does not read.
const STUCK: Duration = Duration::from_secs(5);

/// For the TCP connection and the CONNACK together.
const CONNECT_S: u64 = 10;

/// How long an MQTT 5 broker keeps the session of a collector that is away, with what is queued for
/// it: over a long weekend. A 3.1.1 broker decides itself.
const SESSION_KEPT: Duration = Duration::from_hours(7 * 24);

/// Acknowledgements between here and the socket. There are 65,535 packet ids, so a broker cannot
/// be owed more; the rest is for subscribing and leaving.
const REQUESTS: usize = 65_535 + 16;

/// We publish nothing; the library reserves memory for what may be published.
const OUTGOING: u16 = 10;

/// Says what is to be sent. Never waits.
pub(super) enum Client {
    V5(v5::AsyncClient),
    V4(AsyncClient),
}

/// What must be polled for anything to happen, and must not be let go of in the middle of a poll:
/// a packet on its way to the socket would be lost.
pub(super) enum Poller {
    V5(Box<v5::EventLoop>),
    V4(Box<EventLoop>),
}

#[derive(Debug)]
pub(super) enum Event {
    /// The answer to the subscriptions: which of them the broker does not grant.
    Subscribed {
        refused: Vec<usize>,
    },
    Message(Message),
    /// We have taken our leave.
    Left,
    /// Pings and the like.
    Other,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// `None`: QoS 0.
    pub(super) receipt: Option<Receipt>,
}

/// What acknowledges a message on the connection it came from, and on no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt {
    packet_id: u16,
    exactly_once: bool,
}

/// Why there is no connection (any more).
#[derive(Debug)]
pub(super) struct Lost(pub(super) String);

/// Connects; returns when the broker has accepted.
pub(super) async fn open(options: &CollectorOptions) -> Result<(Client, Poller, Protocol), Lost> {
    match options.protocol {
        Protocol::V4 => open4(options).await,
        Protocol::V5 => open5(options).await.map_err(|error| describe5(&error)),
        // Tried anew at each connection: a broker may have learnt it meanwhile.
        Protocol::Auto => match open5(options).await {
            Err(error) if does_not_speak5(&error) => open4(options).await,
            other => other.map_err(|error| describe5(&error)),
        },
    }
}

async fn open5(
    options: &CollectorOptions,
) -> Result<(Client, Poller, Protocol), v5::ConnectionError> {
    let mut mqtt = v5::MqttOptions::new(&*options.client_id, &options.host, options.port);
    if let Some((username, password)) = &options.login {
        mqtt.set_credentials(username, password);
    }
    mqtt.set_keep_alive(KEEP_ALIVE);
    mqtt.set_connection_timeout(CONNECT_S);
    mqtt.set_network_options(network());
    mqtt.set_clean_start(false);
    mqtt.set_session_expiry_interval(Some(SESSION_KEPT.as_secs() as u32));
    mqtt.set_receive_maximum(Some(options.receive_maximum.get()));
    mqtt.set_max_packet_size(Some(MAX_PACKET as u32));
    mqtt.set_outgoing_inflight_upper_limit(OUTGOING);
    mqtt.set_manual_acks(true);
    let (client, mut eventloop) = v5::AsyncClient::new(mqtt, REQUESTS);
    eventloop.poll().await?;
    // A broker may ask for other pings than ours. More often than it asks is always allowed, and
    // the library takes its "never" (0) for "all the time".
    let asked = eventloop.options.keep_alive();
    if asked.is_zero() || asked > KEEP_ALIVE {
        eventloop.options.set_keep_alive(KEEP_ALIVE);
    }
    Ok((Client::V5(client), Poller::V5(Box::new(eventloop)), Protocol::V5))
}

async fn open4(options: &CollectorOptions) -> Result<(Client, Poller, Protocol), Lost> {
    let mut mqtt = MqttOptions::new(&*options.client_id, &options.host, options.port);
    if let Some((username, password)) = &options.login {
        mqtt.set_credentials(username, password);
    }
    mqtt.set_keep_alive(KEEP_ALIVE);
    mqtt.set_clean_session(false);
    mqtt.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    mqtt.set_inflight(OUTGOING);
    mqtt.set_manual_acks(true);
    let (client, mut eventloop) = AsyncClient::new(mqtt, REQUESTS);
    eventloop.set_network_options(network());
    eventloop.poll().await.map_err(|error| describe4(&error))?;
    Ok((Client::V4(client), Poller::V4(Box::new(eventloop)), Protocol::V4))
}

fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    // An acknowledgement that waits for the next one may wait for 40 ms.
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_S);
    network
}

impl Client {
    pub(super) fn subscribe(&self, filters: &[String]) -> Result<(), Lost> {
        let sent = match self {
            Self::V5(client) => {
                let filters = filters.iter().map(|path| {
                    let mut filter = packet5::Filter::new(path, bytes5::QoS::AtLeastOnce);
                    // Else every reconnection would bring all retained messages again.
                    filter.retain_forward_rule = packet5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                client.try_subscribe_many(filters).is_ok()
            }
            Self::V4(client) => {
                let filter = |path: &String| SubscribeFilter::new(path.clone(), QoS::AtLeastOnce);
                client.try_subscribe_many(filters.iter().map(filter)).is_ok()
            }
        };
        if sent { Ok(()) } else { Err(full()) }
    }

    pub(super) fn acknowledge(&self, receipt: Receipt) -> Result<(), Lost> {
        let Receipt { packet_id, exactly_once } = receipt;
        let sent = match self {
            Self::V5(client) => {
                let qos = match exactly_once {
                    true => bytes5::QoS::ExactlyOnce,
                    false => bytes5::QoS::AtLeastOnce,
                };
                let publish = packet5::Publish { pkid: packet_id, qos, ..Default::default() };
                client.try_ack(&publish).is_ok()
            }
            Self::V4(client) => {
                let qos = if exactly_once { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
                let mut publish = Publish::new("", qos, Bytes::new());
                publish.pkid = packet_id;
                client.try_ack(&publish).is_ok()
            }
        };
        if sent { Ok(()) } else { Err(full()) }
    }

    pub(super) fn leave(&self) -> Result<(), Lost> {
        let sent = match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V4(client) => client.try_disconnect().is_ok(),
        };
        if sent { Ok(()) } else { Err(full()) }
    }
}

fn full() -> Lost {
    Lost("it takes no acknowledgements".to_owned())
}

impl Poller {
    pub(super) async fn poll(&mut self) -> Result<Event, Lost> {
        let patience = KEEP_ALIVE + STUCK;
        let polled = async {
            match self {
                Self::V5(eventloop) => {
                    eventloop.poll().await.map(event5).map_err(|e| describe5(&e))
                }
                Self::V4(eventloop) => {
                    eventloop.poll().await.map(event4).map_err(|e| describe4(&e))
                }
            }
        };
        let stuck = || Lost(format!("it has taken nothing for {} s", patience.as_secs()));
        tokio::time::timeout(patience, polled).await.map_err(|_| stuck())?
    }
}

fn event5(event: v5::Event) -> Event {
    use packet5::SubscribeReasonCode::Success;
    match event {
        v5::Event::Incoming(v5::Incoming::Publish(publish)) => Event::Message(Message {
            receipt: (publish.qos != bytes5::QoS::AtMostOnce).then_some(Receipt {
                packet_id: publish.pkid,
                exactly_once: publish.qos == bytes5::QoS::ExactlyOnce,
            }),
            topic: publish.topic,
            payload: publish.payload,
        }),
        v5::Event::Incoming(v5::Incoming::SubAck(answer)) => Event::Subscribed {
            refused: places(&answer.return_codes, |code| {
                !matches!(code, Success(bytes5::QoS::AtLeastOnce | bytes5::QoS::ExactlyOnce))
            }),
        },
        v5::Event::Outgoing(Outgoing::Disconnect) => Event::Left,
        _ => Event::Other,
    }
}

fn event4(event: Event4) -> Event {
    use SubscribeReasonCode::Success;
    match event {
        Event4::Incoming(Packet4::Publish(publish)) => Event::Message(Message {
            receipt: (publish.qos != QoS::AtMostOnce).then_some(Receipt {
                packet_id: publish.pkid,
                exactly_once: publish.qos == QoS::ExactlyOnce,
            }),
            topic: publish.topic.into(),
            payload: publish.payload,
        }),
        Event4::Incoming(Packet4::SubAck(answer)) => Event::Subscribed {
            refused: places(&answer.return_codes, |code| {
                !matches!(code, Success(QoS::AtLeastOnce | QoS::ExactlyOnce))
            }),
        },
        Event4::Outgoing(Outgoing::Disconnect) => Event::Left,
        _ => Event::Other,
    }
}

/// Where in a list something holds.
fn places<T>(list: &[T], holds: impl Fn(&T) -> bool) -> Vec<usize> {
    list.iter().enumerate().filter(|(_, item)| holds(item)).map(|(at, _)| at).collect()
}

/// A 3.1.1 broker answers in its own way and hangs up. The library, which reads version 5, waits
/// for the rest of such an answer, and so sees the hanging up only.
fn does_not_speak5(error: &v5::ConnectionError) -> bool {
    use packet5::ConnectReturnCode::{RefusedProtocolVersion, UnsupportedProtocolVersion};
    matches!(
        error,
        v5::ConnectionError::MqttState(
            v5::StateError::Deserialization(_) | v5::StateError::ConnectionAborted
        ) | v5::ConnectionError::NotConnAck(_)
            | v5::ConnectionError::ConnectionRefused(
                RefusedProtocolVersion | UnsupportedProtocolVersion
            )
    )
}

const LOGIN: &str = "it refuses the login; check username and password_file";
const CLOSED: &str = "it closed the connection: a stop, or another client with this client_id";
const CLIENT_ID: &str = "it refuses the client id; give another client_id";

fn describe5(error: &v5::ConnectionError) -> Lost {
    use packet5::ConnectReturnCode as Code;
    use v5::{ConnectionError as Error, StateError as State};
    let why: Cow<str> = match error {
        Error::Timeout(_) => "it does not answer".into(),
        Error::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => LOGIN.into(),
        Error::ConnectionRefused(Code::BadClientId | Code::ClientIdentifierNotValid) => {
            CLIENT_ID.into()
        }
        Error::MqttState(State::ConnectionAborted) => CLOSED.into(),
        Error::MqttState(State::ServerDisconnect { reason_code, .. })
            if *reason_code == packet5::DisconnectReasonCode::SessionTakenOver =>
        {
            "another client took the session over; give each its own client_id".into()
        }
        Error::MqttState(State::Deserialization(bytes5::Error::PayloadSizeLimitExceeded {
            pkt_size,
            ..
        })) => too_large(*pkt_size).into(),
        other => other.to_string().into(),
    };
    Lost(why.into_owned())
}

fn describe4(error: &ConnectionError) -> Lost {
    use ConnectReturnCode as Code;
    let why: Cow<str> = match error {
        ConnectionError::NetworkTimeout => "it does not answer".into(),
        ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized) => {
            LOGIN.into()
        }
        ConnectionError::ConnectionRefused(Code::BadClientId) => CLIENT_ID.into(),
        ConnectionError::MqttState(StateError::ConnectionAborted) => CLOSED.into(),
        ConnectionError::MqttState(StateError::Deserialization(
            rumqttc::mqttbytes::Error::PayloadSizeLimitExceeded(size),
        )) => too_large(*size).into(),
        other => other.to_string().into(),
    };
    Lost(why.into_owned())
}

fn too_large(size: usize) -> String {
    format!(
        "it sends a message of {size} bytes, of at most {MAX_PACKET}; limit the packets it takes \
         (Mosquitto: max_packet_size)"
    )
}
