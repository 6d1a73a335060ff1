//! How fast the embedded broker is. A measurement, not a test:
//! `cargo test --release -p ingest --features broker --test broker_rate -- --ignored --nocapture`
#![cfg(feature = "broker")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ingest::broker::{Broker, BrokerOptions, Credentials};
use ingest::{Arrival, Clock};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const CONNECTIONS: usize = 1_000;
const COMMIT: Duration = Duration::from_millis(5);
const SPAN: Duration = Duration::from_secs(10);
const ROUND_TRIPS: usize = 20_000;
const READING: &[u8] = br#"{"ts":"2026-05-04T12:00:00.250Z","seq":48213,"lat":50.8466,"lon":5.6883,"accuracy_m":4.5,"speed_mps":27.4,"heading_deg":184.0,"odometer_m":48213077}"#;

fn start(arrivals: mpsc::Sender<Arrival>) -> Broker {
    let options = BrokerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        port_auto: false,
        max_clients: None,
        anonymous: true,
        credentials: Credentials::default(),
    };
    Broker::start(&options, ingest::formats::decode, Clock::system(), arrivals).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn a_thousand_connections_with_one_message_in_flight_each() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, mut arrivals) = mpsc::channel::<Arrival>(8_192);
        let broker = start(sender);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while arrivals.recv_many(&mut batch, 8_192).await > 0 {
                tokio::time::sleep(COMMIT).await;
                for arrival in batch.drain(..) {
                    arrival.acknowledge.send(()).ok();
                }
            }
        });
        let acknowledged = Arc::new(AtomicU64::new(0));
        for number in 0..CONNECTIONS {
            let device = Device::connect(broker.local_addr(), number).await;
            tokio::spawn(device.publish_for_ever(Arc::clone(&acknowledged)));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, started) = (acknowledged.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(SPAN).await;
        let count = acknowledged.load(Ordering::Relaxed) - before;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        println!("{CONNECTIONS} connections, {COMMIT:?} a batch: {rate:.0} messages/s");
        broker.drop_connections();
    });
}

struct Device {
    stream: TcpStream,
    publish: Vec<u8>,
}

impl Device {
    async fn connect(addr: SocketAddr, number: usize) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (connect, publish) = frames(number);
        let mut device = Self { stream, publish: connect };
        device.round_trip().await.expect("a CONNACK");
        device.publish = publish;
        device
    }

    async fn publish_for_ever(mut self, acknowledged: Arc<AtomicU64>) {
        while self.round_trip().await.is_ok() {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends the packet and waits for the four bytes of a CONNACK or PUBACK.
    async fn round_trip(&mut self) -> std::io::Result<()> {
        let mut sent = 0;
        while sent < self.publish.len() {
            self.stream.writable().await?;
            match self.stream.try_write(&self.publish[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let mut received = 0;
        while received < 4 {
            self.stream.readable().await?;
            match self.stream.try_read(&mut [0; 4]) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => received += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A CONNECT and a QoS 1 PUBLISH of MQTT 3.1.1.
fn frames(number: usize) -> (Vec<u8>, Vec<u8>) {
    let client_id = format!("device-{number:05}");
    let mut connect = vec![0x10, (12 + client_id.len()) as u8];
    connect.extend(b"\x00\x04MQTT\x04\x02\x00\x3c\x00");
    connect.push(client_id.len() as u8);
    connect.extend(client_id.as_bytes());
    let topic = format!("telemetry/car/{client_id}");
    let length = 2 + topic.len() + 2 + READING.len();
    let mut publish = vec![0x32, (length % 128) as u8 | 0x80, (length / 128) as u8, 0];
    publish.push(topic.len() as u8);
    publish.extend(topic.as_bytes());
    publish.extend([0, 1]);
    publish.extend(READING);
    (connect, publish)
}

#[test]
#[ignore = "a measurement"]
fn one_connection_one_message_at_a_time() {
    let (sender, mut arrivals) = mpsc::channel::<Arrival>(64);
    let broker = start(sender);
    std::thread::spawn(move || {
        while let Some(arrival) = arrivals.blocking_recv() {
            arrival.acknowledge.send(()).ok();
        }
    });
    let mut stream = std::net::TcpStream::connect(broker.local_addr()).unwrap();
    stream.set_nodelay(true).unwrap();
    let (connect, publish) = frames(1);
    let mut answer = [0; 4];
    stream.write_all(&connect).unwrap();
    stream.read_exact(&mut answer).unwrap();
    let mut times: Vec<Duration> = (0..ROUND_TRIPS)
        .map(|_| {
            let started = Instant::now();
            stream.write_all(&publish).unwrap();
            stream.read_exact(&mut answer).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (p50, p99) = (times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 99 / 100]);
    println!("one connection: p50 {p50:?}, p99 {p99:?} from publish to PUBACK");
}
