//! A broker that does what a test tells it to, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::DEADLINE;

pub const CONNECT: u8 = 1;
pub const PUBACK: u8 = 4;
pub const SUBSCRIBE: u8 = 8;
pub const PINGREQ: u8 = 12;
pub const DISCONNECT: u8 = 14;

pub struct Peer {
    listener: TcpListener,
    pub addr: SocketAddr,
}

/// A connection that a collector has opened.
pub struct Line {
    pub stream: TcpStream,
    /// As its CONNECT says: 4 is MQTT 3.1.1.
    pub version: u8,
    /// What follows the fixed header of its CONNECT.
    pub hello: Vec<u8>,
    /// What it subscribes to.
    pub filters: Vec<String>,
}

#[derive(Debug)]
pub struct Packet {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl Packet {
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }
}

impl Peer {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, addr }
    }

    /// The next connection, up to its CONNECT.
    pub fn accept(&self) -> Line {
        let started = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(started.elapsed() < DEADLINE * 2, "nobody connected in time");
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut line = Line { stream, version: 0, hello: Vec::new(), filters: Vec::new() };
        line.hello = line.expect(CONNECT).body;
        line.version = line.hello[6];
        line
    }

    /// The next connection, accepted and subscribed.
    pub fn serve(&self, session_present: bool) -> Line {
        let mut line = self.accept();
        line.connack(session_present);
        line.grant(1);
        line
    }
}

impl Line {
    pub fn connack(&mut self, session_present: bool) {
        let mut body = vec![session_present.into(), 0];
        body.extend(self.no_properties());
        self.send(0x20, &body);
    }

    /// Answers the SUBSCRIBE with this code for each filter.
    pub fn grant(&mut self, code: u8) {
        let packet = self.expect(SUBSCRIBE);
        let mut rest = &packet.body[2 + self.no_properties().len()..];
        while let [high, low, after @ ..] = rest {
            let (filter, after) = after.split_at(usize::from(*high) << 8 | usize::from(*low));
            self.filters.push(String::from_utf8(filter.to_vec()).unwrap());
            rest = &after[1..];
        }
        let mut body = packet.id().to_be_bytes().to_vec();
        body.extend(self.no_properties());
        body.resize(body.len() + self.filters.len(), code);
        self.send(0x90, &body);
    }

    pub fn publish(&mut self, topic: &str, payload: &str, id: u16) {
        let packet = self.publish_packet(topic, payload.as_bytes(), id);
        self.stream.write_all(&packet).unwrap();
    }

    /// A QoS 1 PUBLISH.
    pub fn publish_packet(&self, topic: &str, payload: &[u8], id: u16) -> Vec<u8> {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(id.to_be_bytes());
        body.extend(self.no_properties());
        body.extend(payload);
        packet(0x32, &body)
    }

    pub fn send(&mut self, head: u8, body: &[u8]) {
        self.stream.write_all(&packet(head, body)).unwrap();
    }

    /// The next packet but for pings, which are answered.
    pub fn read(&mut self) -> Option<Packet> {
        loop {
            let packet = self.read_raw()?;
            if packet.kind != PINGREQ {
                return Some(packet);
            }
            self.send(0xD0, &[]);
        }
    }

    /// `None`: the connection has ended.
    pub fn read_raw(&mut self) -> Option<Packet> {
        let head = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(Packet { kind: head >> 4, body })
    }

    pub fn expect(&mut self, kind: u8) -> Packet {
        match self.read() {
            Some(packet) if packet.kind == kind => packet,
            other => panic!("expected packet {kind}, not {other:?}"),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.stream.read_exact(&mut byte) {
            Ok(()) => Some(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came in time"),
            Err(_) => None,
        }
    }

    fn no_properties(&self) -> &'static [u8] {
        if self.version == 5 { &[0] } else { &[] }
    }
}

pub fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    loop {
        let more = length > 0x7F;
        packet.push((length & 0x7F) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}
