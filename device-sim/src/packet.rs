//! MQTT packets of both versions, as far as a device sends and receives them. The encoding itself
//! is the codec of rumqttc.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes as v3;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes as v5m;
use rumqttc::v5::mqttbytes::v5;

use crate::options::{Protocol, Qos};

/// What a broker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// Welcome, with the number of unacknowledged messages that the broker takes at once.
    Welcome {
        receive_maximum: u16,
    },
    Unwelcome(String),
    /// Not let in for now: it would be another time.
    Busy(String),
    Acked(Ack),
    /// The first half of a QoS 2 acknowledgement.
    Received(Ack),
    /// The first half of the end of a QoS 2 message that was sent to us.
    Release(u16),
    Message {
        topic: String,
        payload: Bytes,
        qos: Qos,
        id: u16,
    },
    Subscribed {
        refused: bool,
    },
    Goodbye(String),
    /// Said by the session, not by the broker: all that was to be sent has gone out.
    Flushed,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) id: u16,
    /// The broker does not want the message; only MQTT 5 can say so.
    pub(crate) refused: bool,
}

/// The broker's bytes are no MQTT.
#[derive(Debug, thiserror::Error)]
#[error("cannot understand the broker: {0}")]
pub(crate) struct PacketError(String);

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) client_id: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) keep_alive_s: u16,
    /// Topic and payload to be published for us if we vanish.
    pub(crate) will: Option<(String, Bytes)>,
    /// Keep the session for so long when we are away; 0 is not at all.
    pub(crate) session_s: u32,
}

/// Larger packets than this are for nobody here.
const MAX_PACKET_BYTES: u32 = 1024 * 1024;

/// The next packet in `buffer`, if it is there as a whole.
pub(crate) fn read(
    protocol: Protocol,
    buffer: &mut BytesMut,
) -> Result<Option<Incoming>, PacketError> {
    match protocol {
        Protocol::V3_1_1 => match v4::Packet::read(buffer, MAX_PACKET_BYTES as usize) {
            Ok(packet) => Ok(Some(v3_incoming(packet))),
            Err(v3::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(PacketError(error.to_string())),
        },
        Protocol::V5 => match v5::Packet::read(buffer, Some(MAX_PACKET_BYTES)) {
            Ok(packet) => Ok(Some(v5_incoming(packet))),
            Err(v5m::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(PacketError(error.to_string())),
        },
    }
}

fn v3_incoming(packet: v4::Packet) -> Incoming {
    let fine = |id| Ack { id, refused: false };
    match packet {
        v4::Packet::ConnAck(ack) => match ack.code {
            v4::ConnectReturnCode::Success => Incoming::Welcome { receive_maximum: u16::MAX },
            code @ v4::ConnectReturnCode::ServiceUnavailable => Incoming::Busy(format!("{code:?}")),
            code => Incoming::Unwelcome(format!("{code:?}")),
        },
        v4::Packet::PubAck(ack) => Incoming::Acked(fine(ack.pkid)),
        v4::Packet::PubRec(ack) => Incoming::Received(fine(ack.pkid)),
        v4::Packet::PubComp(done) => Incoming::Acked(fine(done.pkid)),
        v4::Packet::PubRel(release) => Incoming::Release(release.pkid),
        v4::Packet::Publish(publish) => Incoming::Message {
            topic: publish.topic,
            payload: publish.payload,
            qos: match publish.qos {
                v3::QoS::AtMostOnce => Qos::AtMostOnce,
                v3::QoS::AtLeastOnce => Qos::AtLeastOnce,
                v3::QoS::ExactlyOnce => Qos::ExactlyOnce,
            },
            id: publish.pkid,
        },
        v4::Packet::SubAck(ack) => Incoming::Subscribed {
            refused: ack.return_codes.contains(&v4::SubscribeReasonCode::Failure),
        },
        v4::Packet::Disconnect => Incoming::Goodbye("without a reason".into()),
        _ => Incoming::Other,
    }
}

fn v5_incoming(packet: v5::Packet) -> Incoming {
    use v5::{ConnectReturnCode, PubAckReason, PubCompReason, PubRecReason, SubscribeReasonCode};
    match packet {
        v5::Packet::ConnAck(ack) => match ack.code {
            ConnectReturnCode::Success => {
                let limit = ack.properties.and_then(|properties| properties.receive_max);
                Incoming::Welcome { receive_maximum: limit.unwrap_or(u16::MAX).max(1) }
            }
            code @ (ConnectReturnCode::ServerUnavailable
            | ConnectReturnCode::ServerBusy
            | ConnectReturnCode::QuotaExceeded
            | ConnectReturnCode::ConnectionRateExceeded) => Incoming::Busy(format!("{code:?}")),
            code => Incoming::Unwelcome(format!("{code:?}")),
        },
        v5::Packet::PubAck(ack) => {
            let taken =
                matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
            Incoming::Acked(Ack { id: ack.pkid, refused: !taken })
        }
        v5::Packet::PubRec(ack) => {
            let taken =
                matches!(ack.reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers);
            Incoming::Received(Ack { id: ack.pkid, refused: !taken })
        }
        v5::Packet::PubComp(done) => {
            let refused = done.reason != PubCompReason::Success;
            Incoming::Acked(Ack { id: done.pkid, refused })
        }
        v5::Packet::PubRel(release) => Incoming::Release(release.pkid),
        v5::Packet::Publish(publish) => Incoming::Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            qos: match publish.qos {
                v5m::QoS::AtMostOnce => Qos::AtMostOnce,
                v5m::QoS::AtLeastOnce => Qos::AtLeastOnce,
                v5m::QoS::ExactlyOnce => Qos::ExactlyOnce,
            },
            id: publish.pkid,
        },
        v5::Packet::SubAck(ack) => Incoming::Subscribed {
            refused: !ack
                .return_codes
                .iter()
                .all(|code| matches!(code, SubscribeReasonCode::Success(_))),
        },
        v5::Packet::Disconnect(goodbye) => Incoming::Goodbye(format!("{:?}", goodbye.reason_code)),
        _ => Incoming::Other,
    }
}

/// Writes packets of one version.
pub(crate) struct Writer<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) buffer: &'a mut BytesMut,
}

impl Writer<'_> {
    pub(crate) fn hello(&mut self, hello: &Hello) {
        let clean = hello.session_s == 0;
        match self.protocol {
            Protocol::V3_1_1 => {
                let will = hello.will.as_ref().map(|(topic, message)| v4::LastWill {
                    topic: topic.clone(),
                    message: message.clone(),
                    qos: v3::QoS::AtLeastOnce,
                    retain: false,
                });
                let login = hello.login.clone();
                self.v3(&v4::Packet::Connect(v4::Connect {
                    protocol: v3::Protocol::V4,
                    keep_alive: hello.keep_alive_s,
                    client_id: hello.client_id.clone(),
                    clean_session: clean,
                    last_will: will,
                    login: login.map(|(username, password)| v4::Login { username, password }),
                }));
            }
            Protocol::V5 => {
                let will = hello.will.as_ref().map(|(topic, message)| v5::LastWill {
                    topic: Bytes::copy_from_slice(topic.as_bytes()),
                    message: message.clone(),
                    qos: v5m::QoS::AtLeastOnce,
                    retain: false,
                    properties: None,
                });
                let mut properties = v5::ConnectProperties::new();
                properties.max_packet_size = Some(MAX_PACKET_BYTES);
                properties.session_expiry_interval = (!clean).then_some(hello.session_s);
                let connect = v5::Connect {
                    keep_alive: hello.keep_alive_s,
                    client_id: hello.client_id.clone(),
                    clean_start: clean,
                    properties: Some(properties),
                };
                let login = hello.login.clone();
                let login = login.map(|(username, password)| v5::Login { username, password });
                self.v5(&v5::Packet::Connect(connect, will, login));
            }
        }
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &Bytes, qos: Qos, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::Publish(v4::Publish {
                dup: false,
                qos: v3_qos(qos),
                retain: false,
                topic: topic.to_owned(),
                pkid: id,
                payload: payload.clone(),
            })),
            Protocol::V5 => self.v5(&v5::Packet::Publish(v5::Publish {
                dup: false,
                qos: v5_qos(qos),
                retain: false,
                topic: Bytes::copy_from_slice(topic.as_bytes()),
                pkid: id,
                payload: payload.clone(),
                properties: None,
            })),
        }
    }

    pub(crate) fn ack(&mut self, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::PubAck(v4::PubAck::new(id))),
            Protocol::V5 => self.v5(&v5::Packet::PubAck(v5::PubAck::new(id, None))),
        }
    }

    pub(crate) fn received(&mut self, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::PubRec(v4::PubRec::new(id))),
            Protocol::V5 => self.v5(&v5::Packet::PubRec(v5::PubRec::new(id, None))),
        }
    }

    pub(crate) fn release(&mut self, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::PubRel(v4::PubRel::new(id))),
            Protocol::V5 => self.v5(&v5::Packet::PubRel(v5::PubRel::new(id, None))),
        }
    }

    pub(crate) fn complete(&mut self, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::PubComp(v4::PubComp::new(id))),
            Protocol::V5 => self.v5(&v5::Packet::PubComp(v5::PubComp::new(id, None))),
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos, id: u16) {
        match self.protocol {
            Protocol::V3_1_1 => {
                let mut subscribe = v4::Subscribe::new(filter, v3_qos(qos));
                subscribe.pkid = id;
                self.v3(&v4::Packet::Subscribe(subscribe));
            }
            Protocol::V5 => {
                let mut subscribe = v5::Subscribe::new(v5::Filter::new(filter, v5_qos(qos)), None);
                subscribe.pkid = id;
                self.v5(&v5::Packet::Subscribe(subscribe));
            }
        }
    }

    pub(crate) fn ping(&mut self) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::PingReq),
            Protocol::V5 => self.v5(&v5::Packet::PingReq(v5::PingReq)),
        }
    }

    pub(crate) fn goodbye(&mut self) {
        match self.protocol {
            Protocol::V3_1_1 => self.v3(&v4::Packet::Disconnect),
            Protocol::V5 => {
                let reason = v5::DisconnectReasonCode::NormalDisconnection;
                self.v5(&v5::Packet::Disconnect(v5::Disconnect::new(reason)));
            }
        }
    }

    // Encoding fails only on what is beyond the protocol's lengths, which nothing here reaches:
    // payloads are bounded by `MAX_PAYLOAD_BYTES`.
    fn v3(&mut self, packet: &v4::Packet) {
        packet.write(self.buffer, usize::MAX).ok();
    }

    fn v5(&mut self, packet: &v5::Packet) {
        packet.write(self.buffer, None).ok();
    }
}

fn v3_qos(qos: Qos) -> v3::QoS {
    match qos {
        Qos::AtMostOnce => v3::QoS::AtMostOnce,
        Qos::AtLeastOnce => v3::QoS::AtLeastOnce,
        Qos::ExactlyOnce => v3::QoS::ExactlyOnce,
    }
}

fn v5_qos(qos: Qos) -> v5m::QoS {
    match qos {
        Qos::AtMostOnce => v5m::QoS::AtMostOnce,
        Qos::AtLeastOnce => v5m::QoS::AtLeastOnce,
        Qos::ExactlyOnce => v5m::QoS::ExactlyOnce,
    }
}
