//! MQTT by hand: a client that sends exactly the bytes a test needs and sees every answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const CONNACK: u8 = 2;
pub const PUBLISH: u8 = 3;
pub const PUBACK: u8 = 4;
pub const PUBREC: u8 = 5;
pub const PUBCOMP: u8 = 7;
pub const SUBACK: u8 = 9;
pub const PINGRESP: u8 = 13;

#[derive(Clone)]
pub struct Hello {
    /// 4 is MQTT 3.1.1, 5 is MQTT 5.
    pub version: u8,
    pub client_id: &'static str,
    pub login: Option<(String, String)>,
    pub clean: bool,
    pub keep_alive_s: u16,
    pub will: Option<Will>,
}

#[derive(Clone)]
pub struct Will {
    pub topic: &'static str,
    pub payload: &'static str,
    pub retain: bool,
    /// MQTT 5 only.
    pub delay_s: Option<u32>,
}

pub fn hello(version: u8, client_id: &'static str) -> Hello {
    Hello { version, client_id, login: None, clean: true, keep_alive_s: 60, will: None }
}

impl Hello {
    pub fn login(mut self, username: &str, password: &str) -> Self {
        self.login = Some((username.to_owned(), password.to_owned()));
        self
    }

    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }
}

#[derive(Debug)]
pub struct Packet {
    pub kind: u8,
    pub flags: u8,
    pub body: Vec<u8>,
}

impl Packet {
    /// Of an acknowledgement.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }
}

pub struct Wire {
    pub stream: TcpStream,
    version: u8,
}

impl Wire {
    pub fn connect(addr: SocketAddr, hello: &Hello) -> Self {
        match Self::try_connect(addr, hello) {
            Ok(wire) => wire,
            Err(code) => panic!("the broker refused the connection: {code:?}"),
        }
    }

    /// Fails with the CONNACK's code, or `None` when the broker just hung up.
    pub fn try_connect(addr: SocketAddr, hello: &Hello) -> Result<Self, Option<u8>> {
        let stream = TcpStream::connect(addr).expect("the broker listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream, version: hello.version };
        wire.send(0x10, &connect_body(hello));
        match wire.read() {
            Some(Packet { kind: CONNACK, body, .. }) if body[1] == 0 => Ok(wire),
            Some(Packet { kind: CONNACK, body, .. }) => Err(Some(body[1])),
            Some(other) => panic!("expected a CONNACK, not {other:?}"),
            None => Err(None),
        }
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, id: u16) {
        self.publish_flagged(topic, payload, qos << 1, id);
    }

    /// `flags` as in the fixed header: DUP 8, QoS 2 and 4, RETAIN 1.
    pub fn publish_flagged(&mut self, topic: &str, payload: &[u8], flags: u8, id: u16) {
        let mut body = text(topic);
        if flags & 6 != 0 {
            body.extend(id.to_be_bytes());
        }
        body.extend(self.no_properties());
        body.extend(payload);
        self.send(0x30 | flags, &body);
    }

    pub fn pubrel(&mut self, id: u16) {
        self.send(0x62, &id.to_be_bytes());
    }

    pub fn puback(&mut self, id: u16) {
        self.send(0x40, &id.to_be_bytes());
    }

    pub fn ping(&mut self) {
        self.send(0xC0, &[]);
    }

    pub fn disconnect(mut self) {
        self.send(0xE0, &[]);
    }

    /// The granted QoS, or a code of 0x80 and above.
    pub fn subscribe(&mut self, filter: &str) -> u8 {
        let mut body = 1_u16.to_be_bytes().to_vec();
        body.extend(self.no_properties());
        body.extend(text(filter));
        body.push(1);
        self.send(0x82, &body);
        let answer = self.expect(SUBACK);
        *answer.body.last().unwrap()
    }

    pub fn expect(&mut self, kind: u8) -> Packet {
        let packet = self.read().expect("the broker hung up");
        assert_eq!(packet.kind, kind, "{packet:?}");
        packet
    }

    /// Topic and payload of the next message, acknowledged.
    pub fn message(&mut self) -> (String, Vec<u8>) {
        let Packet { flags, mut body, .. } = self.expect(PUBLISH);
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..topic_end].to_vec()).unwrap();
        let mut rest = body.split_off(topic_end);
        if flags & 6 != 0 {
            let id = u16::from_be_bytes([rest[0], rest[1]]);
            rest.drain(..2);
            self.puback(id);
        }
        if self.version == 5 {
            // The length of the properties fits into a byte in these tests.
            rest.drain(..=usize::from(rest[0]));
        }
        (topic, rest)
    }

    /// `None` when the broker has closed the connection.
    pub fn read(&mut self) -> Option<Packet> {
        let first = self.byte()?;
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(Packet { kind: first >> 4, flags: first & 0x0F, body })
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the broker neither answered nor hung up within {DEADLINE:?}")
            }
            // A reset is a way of hanging up.
            Err(_) => None,
        }
    }

    /// Whether the broker has sent something, or hung up.
    pub fn has_news(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Fails silently: the broker may have hung up, which the next read tells.
    pub fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let byte = (length % 128) as u8;
            length /= 128;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        self.stream.write_all(&packet).ok();
    }

    fn no_properties(&self) -> &'static [u8] {
        if self.version == 5 { &[0] } else { &[] }
    }
}

fn connect_body(hello: &Hello) -> Vec<u8> {
    let no_properties: &[u8] = if hello.version == 5 { &[0] } else { &[] };
    let mut flags = u8::from(hello.clean) << 1;
    let mut rest = text(hello.client_id);
    if let Some(will) = &hello.will {
        flags |= 0x04 | 0x08 | u8::from(will.retain) << 5;
        match will.delay_s {
            Some(delay) => {
                rest.extend([5, 0x18]);
                rest.extend(delay.to_be_bytes());
            }
            None => rest.extend(no_properties),
        }
        rest.extend(text(will.topic));
        rest.extend(text(will.payload));
    }
    if let Some((username, password)) = &hello.login {
        flags |= 0x80;
        rest.extend(text(username));
        if !password.is_empty() {
            flags |= 0x40;
            rest.extend(text(password));
        }
    }
    let mut body = text("MQTT");
    body.extend([hello.version, flags]);
    body.extend(hello.keep_alive_s.to_be_bytes());
    body.extend(properties(hello));
    body.extend(rest);
    body
}

/// A session that does not end with the connection must say so in MQTT 5.
fn properties(hello: &Hello) -> Vec<u8> {
    match (hello.version, hello.clean) {
        (5, true) => vec![0],
        (5, false) => vec![5, 0x11, 0, 0, 0x0E, 0x10],
        _ => Vec::new(),
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}
