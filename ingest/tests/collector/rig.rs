//! Collectors, the place of the pipeline behind them, and a Mosquitto before them.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ingest::collector::{CollectorOptions, CollectorState, Collectors, Protocol, RECEIVE_MAXIMUM};
use ingest::source::Sources;
use ingest::{Arrival, Clock};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::wire::{DEADLINE, PUBACK, Wire, hello};

pub fn options(broker: SocketAddr) -> CollectorOptions {
    CollectorOptions {
        host: broker.ip().to_string(),
        port: broker.port(),
        client_id: "datanaut".into(),
        login: None,
        share: None,
        protocol: Protocol::V5,
        receive_maximum: RECEIVE_MAXIMUM,
        sources: Sources::default(),
    }
}

pub struct Rig {
    runtime: Runtime,
    collectors: Collectors,
    arrivals: mpsc::Receiver<Arrival>,
    pub states: watch::Receiver<Vec<CollectorState>>,
}

impl Rig {
    pub fn start(options: &[CollectorOptions]) -> Self {
        Self::with_queue(options, 8_192)
    }

    /// With a pipeline that has room for so many messages.
    pub fn with_queue(options: &[CollectorOptions], room: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (sender, arrivals) = mpsc::channel(room);
        let collectors = {
            let _inside = runtime.enter();
            Collectors::start(options, &Clock::system(), &sender)
        };
        let states = collectors.states();
        Self { runtime, collectors, arrivals, states }
    }

    pub fn next(&mut self) -> Arrival {
        self.next_within(DEADLINE).expect("an arrival in time")
    }

    pub fn next_within(&mut self, patience: Duration) -> Option<Arrival> {
        let next = async { tokio::time::timeout(patience, self.arrivals.recv()).await };
        Some(self.runtime.block_on(next).ok()?.expect("collectors that run"))
    }

    pub fn take(&mut self, count: usize) -> VecDeque<Arrival> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Acknowledges the next one; what it said, for a person.
    pub fn settle(&mut self) -> String {
        let arrival = self.next();
        let said = said(&arrival);
        arrival.acknowledge.send(()).expect("somebody waits for the acknowledgement");
        said
    }

    pub fn wait_for(&mut self, what: &str, holds: impl Fn(&[CollectorState]) -> bool) {
        let held = async {
            tokio::time::timeout(DEADLINE * 2, self.states.wait_for(|states| holds(states))).await
        };
        let held = self.runtime.block_on(held).map(|states| states.map(|_| ()));
        assert!(held.is_ok(), "not in time: {what}; {:?}", self.states.borrow());
    }

    pub fn collecting(&mut self) {
        self.wait_for("a collector at work", |states| {
            states.iter().all(|state| *state == CollectorState::Collecting)
        });
    }

    /// Waits until the first collector says something like this about its broker.
    pub fn away(&mut self, because: &str) {
        self.wait_for(because, |states| {
            matches!(&states[0], CollectorState::Away { reason } if reason.contains(because))
        });
    }

    pub fn drop_connections(self) -> mpsc::Receiver<Arrival> {
        self.runtime.block_on(self.collectors.drop_connections());
        self.arrivals
    }

    /// Stops in order, while `during` plays the pipeline and the broker.
    pub fn stop(self, during: impl FnOnce(&mut mpsc::Receiver<Arrival>)) {
        let Self { runtime, collectors, mut arrivals, .. } = self;
        let stopping = runtime.spawn(collectors.stop());
        during(&mut arrivals);
        runtime.block_on(stopping).unwrap();
    }
}

/// The device and what became of the message.
pub fn said(arrival: &Arrival) -> String {
    match (arrival.decoded.readings(), arrival.decoded.rejected()) {
        (Some(decoded), _) => format!("{} {}", decoded.device, decoded.readings.len()),
        (_, Some(rejected)) => rejected.reason.name().to_owned(),
        (None, None) => "a report".to_owned(),
    }
}

/// A reading, told apart by its sequence number.
pub fn reading(seq: u64) -> String {
    format!(r#"{{"ts":1790000000,"seq":{seq},"speed_mps":20.5}}"#)
}

pub fn seq(arrival: &Arrival) -> u64 {
    let decoded = arrival.decoded.readings().expect("a reading");
    decoded.readings[0].as_ref().expect("a good one").seq.expect("a number")
}

/// What stands in the shipped file, with the test's port and folder.
pub fn shipped() -> String {
    include_str!("../../../mosquitto/mosquitto.conf").to_owned()
}

/// A real Mosquitto in a folder of its own.
pub struct Mosquitto {
    pub addr: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Mosquitto {
    /// With the shipped configuration.
    pub fn start() -> Self {
        Self::with(&shipped())
    }

    pub fn with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addr = free_address();
        let configuration = configuration
            .replace("listener 1883 127.0.0.1", &format!("listener {} 127.0.0.1", addr.port()))
            .replace("/var/lib/mosquitto/", &format!("{}/", folder.path().display()));
        assert!(configuration.contains(&addr.port().to_string()), "{configuration}");
        // Started by root it would become a user that may not write here.
        let configuration = format!("{configuration}\nuser root\nlog_dest none\n");
        std::fs::write(folder.path().join("mosquitto.conf"), configuration).unwrap();
        let process = run(folder.path());
        let mosquitto = Self { addr, folder, process };
        mosquitto.wait();
        mosquitto
    }

    fn wait(&self) {
        let started = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            assert!(started.elapsed() < DEADLINE, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn go_away(&mut self) {
        // In order, as a service is stopped: then it saves what it has.
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.process.wait().unwrap();
    }

    pub fn come_back(&mut self) {
        self.process = run(self.folder.path());
        self.wait();
    }

    pub fn publisher(&self) -> Wire {
        Wire::connect(self.addr, &hello(4, "publisher"))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn run(folder: &Path) -> Child {
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let started = Command::new("mosquitto")
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .env("PATH", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(process) => process,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("these tests need mosquitto: apt-get install mosquitto")
        }
        Err(error) => panic!("mosquitto does not start: {error}"),
    }
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Publishes readings at QoS 1 and waits until the broker has acknowledged all of them.
pub fn publish(wire: &mut Wire, topic: &str, seqs: std::ops::Range<u64>) {
    // What a broker may have in flight from one client.
    const WINDOW: u64 = 100;
    for start in seqs.clone().step_by(WINDOW as usize) {
        let window = start..(start + WINDOW).min(seqs.end);
        for seq in window.clone() {
            wire.publish(topic, reading(seq).as_bytes(), 1, (seq % 50_000 + 1) as u16);
        }
        for _ in window {
            wire.expect(PUBACK);
        }
    }
}
