//! A broker on a free port, and the place of the pipeline behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ingest::broker::{Account, Broker, BrokerError, BrokerOptions, Credentials, TokenHash};
use ingest::source::Sources;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Message, Reason, Rejected};
use tokio::sync::mpsc;

use crate::wire::{DEADLINE, Hello, Wire, hello};

pub struct Rig {
    pub broker: Broker,
    pub addr: SocketAddr,
    pub arrivals: Arrivals,
}

pub struct Arrivals {
    queue: mpsc::Receiver<Arrival>,
    waiting: tokio::runtime::Runtime,
}

impl Arrivals {
    pub fn channel() -> (mpsc::Sender<Arrival>, Self) {
        let (sender, queue) = mpsc::channel(64);
        let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        (sender, Self { queue, waiting })
    }

    pub fn next(&mut self) -> Arrival {
        let next = async { tokio::time::timeout(DEADLINE, self.queue.recv()).await };
        self.waiting.block_on(next).expect("an arrival in time").expect("a running broker")
    }

    /// Acknowledges the next one and gives its topic and reason, if it was rejected.
    pub fn settle(&mut self) -> (Arc<str>, Option<Reason>) {
        let arrival = self.next();
        let reason = arrival.decoded.rejected().map(|rejected| rejected.reason);
        arrival.acknowledge.send(()).expect("somebody waits for the acknowledgement");
        (arrival.topic, reason)
    }

    pub fn none_waiting(&mut self) -> bool {
        self.queue.try_recv().is_err()
    }
}

pub fn demo() -> BrokerOptions {
    BrokerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        port_auto: false,
        max_clients: None,
        tls: None,
        anonymous: true,
        credentials: Credentials::of([]),
    }
}

/// Nobody without a token: devices car-1 and car-2, insurer acme.
pub fn public() -> BrokerOptions {
    let credentials = Credentials::of([
        (Account::Device("car-1".into()), Some(TokenHash::of(b"one"))),
        (Account::Device("car-2".into()), Some(TokenHash::of(b"two"))),
        (Account::Insurer("acme".into()), Some(TokenHash::of(b"pssst"))),
    ]);
    BrokerOptions { anonymous: false, credentials, ..demo() }
}

impl Rig {
    pub fn start(options: &BrokerOptions) -> Self {
        Self::try_start(options).unwrap()
    }

    pub fn try_start(options: &BrokerOptions) -> Result<Self, BrokerError> {
        Self::with_decoder(options, decode)
    }

    pub fn with_decoder(
        options: &BrokerOptions,
        decode: impl Fn(&str, &Bytes, i64) -> Message + Send + Sync + 'static,
    ) -> Result<Self, BrokerError> {
        let (sender, arrivals) = Arrivals::channel();
        let broker = Broker::start(options, decode, Clock::system(), sender)?;
        let addr = broker.local_addr();
        Ok(Self { broker, addr, arrivals })
    }

    pub fn connect(&self, hello: &Hello) -> Wire {
        Wire::connect(self.addr, hello)
    }

    pub fn internal(&self, client_id: &'static str) -> Wire {
        let login = self.broker.internal_login();
        self.connect(&hello(4, client_id).login(&login.username, &login.password))
    }
}

/// `telemetry/{kind}/{device}` holds nothing but is decodable, claims are read; all else is unknown.
fn decode(topic: &str, payload: &Bytes, now_ms: i64) -> Message {
    let levels: Vec<&str> = topic.split('/').collect();
    let rejected = |reason| Rejected { reason, detail: String::new(), raw: payload.clone() };
    match levels.as_slice() {
        ["telemetry", _, device] if payload.len() > 64 * 1_024 => {
            Err((Some(Arc::from(*device)), rejected(Reason::TooLarge))).into()
        }
        ["telemetry", _, device] => Ok(Decoded {
            device: (*device).into(),
            kind: DeviceKind::Car,
            readings: Vec::new(),
            unknown_names: 0,
        })
        .into(),
        ["claims", _] => Sources::default().with_insurers().read(topic, payload, now_ms),
        _ => Err((None, rejected(Reason::UnknownTopic))).into(),
    }
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}
