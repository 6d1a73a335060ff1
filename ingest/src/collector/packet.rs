//! MQTT packets of both versions, as far as a collector sends and receives them. The encoding
//! itself is the codec of rumqttc.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self as bytes4, v4};
use rumqttc::v5::mqttbytes::{self as bytes5, v5};

use super::{CollectorOptions, MAX_PACKET};

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

/// What a broker says.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The connection is accepted; a broker may ask for pings of its own choosing.
    Accepted {
        keep_alive_s: Option<u16>,
    },
    Refused(Refusal),
    Message(Message),
    /// The answer to the subscriptions: which of them the broker does not grant.
    Subscribed {
        refused: Vec<usize>,
    },
    /// The second half of a QoS 2 message.
    Release(u16),
    Goodbye {
        taken_over: bool,
    },
    /// Answers to pings and the like.
    Other,
}

/// Why a connection is not accepted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not speak this version.
    Version,
    Login,
    ClientId,
    Other(String),
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// `None`: QoS 0.
    pub(super) receipt: Option<Receipt>,
}

/// What acknowledges a message on the connection it came from, and on no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    packet_id: u16,
    exactly_once: bool,
}

/// What the broker sent is not MQTT, or more than we take.
#[derive(Debug)]
pub(super) enum Unreadable {
    TooLarge(usize),
    Malformed(String),
}

/// Takes the next packet out of `buffer`, if it is there as a whole.
pub(super) fn read(
    version: Version,
    buffer: &mut BytesMut,
) -> Result<Option<Incoming>, Unreadable> {
    let held = buffer.len();
    match version {
        Version::V4 => match v4::Packet::read(buffer, MAX_PACKET) {
            Ok(packet) => Ok(Some(incoming4(packet))),
            // The codec says the same of a whole packet that breaks off inside.
            Err(bytes4::Error::InsufficientBytes(_)) if buffer.len() == held => Ok(None),
            Err(bytes4::Error::PayloadSizeLimitExceeded(size)) => Err(Unreadable::TooLarge(size)),
            Err(error) => Err(Unreadable::Malformed(error.to_string())),
        },
        Version::V5 => {
            // A DISCONNECT without a reason, which the codec does not read.
            if buffer.starts_with(&[0xE0, 0]) {
                return Ok(Some(Incoming::Goodbye { taken_over: false }));
            }
            match v5::Packet::read(buffer, Some(MAX_PACKET as u32)) {
                Ok(packet) => Ok(Some(incoming5(packet))),
                Err(bytes5::Error::InsufficientBytes(_)) if buffer.len() == held => Ok(None),
                Err(bytes5::Error::PayloadSizeLimitExceeded { pkt_size, .. }) => {
                    Err(Unreadable::TooLarge(pkt_size))
                }
                Err(error) => Err(Unreadable::Malformed(error.to_string())),
            }
        }
    }
}

/// Reads packets until there is no other, or what comes is none.
#[cfg(fuzzing)]
pub fn fuzz(input: &[u8]) {
    for version in [Version::V4, Version::V5] {
        let mut buffer = BytesMut::from(input);
        while let Ok(Some(packet)) = read(version, &mut buffer)
            && !matches!(packet, Incoming::Goodbye { .. })
        {}
    }
}

fn incoming4(packet: v4::Packet) -> Incoming {
    use v4::{ConnectReturnCode as Code, SubscribeReasonCode::Success};
    match packet {
        v4::Packet::ConnAck(answer) => match answer.code {
            Code::Success => Incoming::Accepted { keep_alive_s: None },
            Code::RefusedProtocolVersion => Incoming::Refused(Refusal::Version),
            Code::BadUserNamePassword | Code::NotAuthorized => Incoming::Refused(Refusal::Login),
            Code::BadClientId => Incoming::Refused(Refusal::ClientId),
            code @ Code::ServiceUnavailable => {
                Incoming::Refused(Refusal::Other(format!("{code:?}")))
            }
        },
        v4::Packet::Publish(publish) => Incoming::Message(Message {
            receipt: (publish.qos != bytes4::QoS::AtMostOnce).then_some(Receipt {
                packet_id: publish.pkid,
                exactly_once: publish.qos == bytes4::QoS::ExactlyOnce,
            }),
            topic: publish.topic.into(),
            payload: publish.payload,
        }),
        v4::Packet::SubAck(answer) => Incoming::Subscribed {
            refused: places(&answer.return_codes, |code| {
                !matches!(code, Success(bytes4::QoS::AtLeastOnce | bytes4::QoS::ExactlyOnce))
            }),
        },
        v4::Packet::PubRel(release) => Incoming::Release(release.pkid),
        v4::Packet::Disconnect => Incoming::Goodbye { taken_over: false },
        _ => Incoming::Other,
    }
}

fn incoming5(packet: v5::Packet) -> Incoming {
    use v5::{ConnectReturnCode as Code, DisconnectReasonCode, SubscribeReasonCode::Success};
    match packet {
        v5::Packet::ConnAck(answer) => match answer.code {
            Code::Success => Incoming::Accepted {
                keep_alive_s: answer.properties.and_then(|properties| properties.server_keep_alive),
            },
            Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
                Incoming::Refused(Refusal::Version)
            }
            Code::BadUserNamePassword | Code::NotAuthorized => Incoming::Refused(Refusal::Login),
            Code::BadClientId | Code::ClientIdentifierNotValid => {
                Incoming::Refused(Refusal::ClientId)
            }
            code => Incoming::Refused(Refusal::Other(format!("{code:?}"))),
        },
        v5::Packet::Publish(publish) => Incoming::Message(Message {
            receipt: (publish.qos != bytes5::QoS::AtMostOnce).then_some(Receipt {
                packet_id: publish.pkid,
                exactly_once: publish.qos == bytes5::QoS::ExactlyOnce,
            }),
            topic: publish.topic,
            payload: publish.payload,
        }),
        v5::Packet::SubAck(answer) => Incoming::Subscribed {
            refused: places(&answer.return_codes, |code| {
                !matches!(code, Success(bytes5::QoS::AtLeastOnce | bytes5::QoS::ExactlyOnce))
            }),
        },
        v5::Packet::PubRel(release) => Incoming::Release(release.pkid),
        v5::Packet::Disconnect(goodbye) => Incoming::Goodbye {
            taken_over: goodbye.reason_code == DisconnectReasonCode::SessionTakenOver,
        },
        _ => Incoming::Other,
    }
}

/// Where in a list something holds.
fn places<T>(list: &[T], holds: impl Fn(&T) -> bool) -> Vec<usize> {
    list.iter().enumerate().filter(|(_, item)| holds(item)).map(|(at, _)| at).collect()
}

/// Writes packets of one version behind what `buffer` holds.
pub(super) struct Writer<'a> {
    pub(super) version: Version,
    pub(super) buffer: &'a mut BytesMut,
}

/// The codec could not write a packet: it is longer than MQTT's packets can be.
#[derive(Debug)]
pub(super) struct Unwritable(pub(super) String);

impl Writer<'_> {
    /// Asks for a session that is kept for `kept_s` (on MQTT 5; a 3.1.1 broker decides itself).
    pub(super) fn connect(
        &mut self,
        options: &CollectorOptions,
        keep_alive_s: u16,
        kept_s: u32,
    ) -> Result<(), Unwritable> {
        let client_id = options.client_id.to_string();
        let login = options.login.clone();
        match self.version {
            Version::V4 => {
                let mut connect = v4::Connect::new(client_id);
                connect.keep_alive = keep_alive_s;
                connect.clean_session = false;
                connect.login = login.map(|(username, password)| v4::Login { username, password });
                self.v4(&v4::Packet::Connect(connect))
            }
            Version::V5 => {
                let mut properties = v5::ConnectProperties::new();
                properties.session_expiry_interval = Some(kept_s);
                properties.receive_maximum = Some(options.receive_maximum.get());
                properties.max_packet_size = Some(MAX_PACKET as u32);
                let connect = v5::Connect {
                    keep_alive: keep_alive_s,
                    client_id,
                    clean_start: false,
                    properties: Some(properties),
                };
                let login = login.map(|(username, password)| v5::Login { username, password });
                self.v5(&v5::Packet::Connect(connect, None, login))
            }
        }
    }

    /// At QoS 1.
    pub(super) fn subscribe(&mut self, filters: &[String]) -> Result<(), Unwritable> {
        // The only packet of ours with an id.
        const ID: u16 = 1;
        match self.version {
            Version::V4 => {
                let filter = |path: &String| {
                    v4::SubscribeFilter::new(path.clone(), bytes4::QoS::AtLeastOnce)
                };
                let mut subscribe = v4::Subscribe::new_many(filters.iter().map(filter));
                subscribe.pkid = ID;
                self.v4(&v4::Packet::Subscribe(subscribe))
            }
            Version::V5 => {
                let filters = filters.iter().map(|path| {
                    let mut filter = v5::Filter::new(path, bytes5::QoS::AtLeastOnce);
                    // Else every reconnection would bring all retained messages again.
                    filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = ID;
                self.v5(&v5::Packet::Subscribe(subscribe))
            }
        }
    }

    /// Says that a message has been dealt with: a PUBACK, or a PUBREC at QoS 2.
    pub(super) fn acknowledge(&mut self, receipt: Receipt) -> Result<(), Unwritable> {
        let Receipt { packet_id, exactly_once } = receipt;
        match (self.version, exactly_once) {
            (Version::V4, false) => self.v4(&v4::Packet::PubAck(v4::PubAck::new(packet_id))),
            (Version::V4, true) => self.v4(&v4::Packet::PubRec(v4::PubRec::new(packet_id))),
            (Version::V5, false) => self.v5(&v5::Packet::PubAck(v5::PubAck::new(packet_id, None))),
            (Version::V5, true) => self.v5(&v5::Packet::PubRec(v5::PubRec::new(packet_id, None))),
        }
    }

    /// Ends a QoS 2 message.
    pub(super) fn complete(&mut self, id: u16) -> Result<(), Unwritable> {
        match self.version {
            Version::V4 => self.v4(&v4::Packet::PubComp(v4::PubComp::new(id))),
            Version::V5 => self.v5(&v5::Packet::PubComp(v5::PubComp::new(id, None))),
        }
    }

    pub(super) fn ping(&mut self) -> Result<(), Unwritable> {
        match self.version {
            Version::V4 => self.v4(&v4::Packet::PingReq),
            Version::V5 => self.v5(&v5::Packet::PingReq(v5::PingReq)),
        }
    }

    pub(super) fn goodbye(&mut self) -> Result<(), Unwritable> {
        match self.version {
            Version::V4 => self.v4(&v4::Packet::Disconnect),
            Version::V5 => self.v5(&v5::Packet::Disconnect(v5::Disconnect::new(
                v5::DisconnectReasonCode::NormalDisconnection,
            ))),
        }
    }

    fn v4(&mut self, packet: &v4::Packet) -> Result<(), Unwritable> {
        let written = packet.write(self.buffer, usize::MAX);
        written.map(|_| ()).map_err(|error| Unwritable(error.to_string()))
    }

    fn v5(&mut self, packet: &v5::Packet) -> Result<(), Unwritable> {
        let written = packet.write(self.buffer, None);
        written.map(|_| ()).map_err(|error| Unwritable(error.to_string()))
    }
}
