//! What reaches a broker, over real sockets: nothing is lost when connections are, an
//! acknowledgement is written down only when it came, and stopping is prompt.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use device_sim::{Broker, Fleet, Kind, Login, Mix, Options, Protocol, Qos, Rate, Report};
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PingResp, PubAck};

/// A broker that acknowledges, and hangs up on each connection after `patience` publishes without
/// acknowledging the last.
#[derive(Clone)]
struct StandIn {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Client id and user of each connection.
    logins: Vec<(String, Option<String>)>,
    /// Payloads by topic and sequence number, as often as they came.
    received: HashMap<(String, u64), Vec<Vec<u8>>>,
    acknowledged: HashSet<(String, u64)>,
}

impl StandIn {
    fn start(patience: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stand_in =
            Self { address: listener.local_addr().unwrap(), seen: Arc::new(Mutex::default()) };
        let serving = stand_in.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream, patience));
            }
        });
        stand_in
    }

    fn serve(&self, mut stream: TcpStream, patience: usize) -> Option<()> {
        let (mut buffer, mut chunk) = (BytesMut::new(), [0; 4096]);
        let mut publishes = 0;
        loop {
            let Ok(packet) = Packet::read(&mut buffer, 1 << 20) else {
                let length = stream.read(&mut chunk).ok().filter(|&length| length > 0)?;
                buffer.extend_from_slice(&chunk[..length]);
                continue;
            };
            let mut answer = BytesMut::new();
            match packet {
                Packet::Connect(connect) => {
                    let user = connect.login.map(|login| login.username);
                    self.seen.lock().unwrap().logins.push((connect.client_id, user));
                    ConnAck::new(ConnectReturnCode::Success, false).write(&mut answer).ok()?;
                }
                Packet::Publish(publish) => {
                    let reading: serde_json::Value =
                        serde_json::from_slice(&publish.payload).ok()?;
                    let key = (publish.topic, reading["seq"].as_u64()?);
                    let mut seen = self.seen.lock().unwrap();
                    let copies = seen.received.entry(key.clone()).or_default();
                    copies.push(publish.payload.to_vec());
                    publishes += 1;
                    if publishes == patience {
                        return None;
                    }
                    seen.acknowledged.insert(key);
                    PubAck::new(publish.pkid).write(&mut answer).ok()?;
                }
                Packet::PingReq => {
                    PingResp.write(&mut answer).ok()?;
                }
                _ => return None,
            }
            stream.write_all(&answer).ok()?;
        }
    }

    fn options(&self) -> Options {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let mut options = Options::new(Broker { host, port, tls: false });
        options.protocol = Mix::all(Protocol::V3_1_1);
        options.window = 10;
        options
    }
}

fn publish(fleet: Fleet, options: Options, stop: impl Future<Output = ()>) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(device_sim::run(fleet, options, stop))
}

#[test]
fn lost_connections_lose_nothing_and_only_acknowledged_messages_are_written_down() {
    let broker = StandIn::start(40);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut options = broker.options();
    options.connections = 3;
    options.duration = Some(Duration::from_millis(1_500));
    options.acked = Some(file.reopen().unwrap());
    let fleet = Fleet::load(Kind::Car, 6, "sim-car-", Rate::PerSecond(400.0), 1);
    let report = publish(fleet, options, std::future::pending());

    assert_eq!(report.offered, 600);
    assert_eq!((report.acknowledged, report.unacknowledged, report.unsent), (600, 0, 0));
    assert!(report.lost_connections >= 9, "{report}");
    assert!(report.latency.unwrap().max_ms >= report.latency.unwrap().p50_ms);

    let seen = broker.seen.lock().unwrap();
    assert_eq!(seen.received.len(), 600);
    assert!(seen.received.values().any(|copies| copies.len() > 1), "nothing was sent again");
    for (key, copies) in &seen.received {
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{key:?} changed when sent again");
    }
    let written = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(written.lines().count(), 600);
    for line in written.lines() {
        let [device, ts, seq] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line:?} is not device, ts, seq")
        };
        let key = (format!("telemetry/car/{device}"), seq.parse().unwrap());
        assert!(seen.acknowledged.contains(&key), "{line} was never acknowledged");
        let reading: serde_json::Value = serde_json::from_slice(&seen.received[&key][0]).unwrap();
        assert_eq!(reading["ts"].to_string(), ts);
    }
}

#[test]
fn a_device_logs_in_as_itself_and_shared_connections_without_a_name() {
    let logins = |connections, login| {
        let broker = StandIn::start(usize::MAX);
        let mut options = broker.options();
        options.connections = connections;
        options.login = login;
        options.duration = Some(Duration::from_millis(50));
        let fleet = Fleet::load(Kind::Tracker, 2, "t-", Rate::PerSecond(100.0), 1);
        publish(fleet, options, std::future::pending());
        let mut logins = std::mem::take(&mut broker.seen.lock().unwrap().logins);
        logins.sort();
        logins
    };
    let named = |client: &str, user: Option<&str>| (client.to_owned(), user.map(str::to_owned));
    assert_eq!(
        logins(2, Login::Device { password: None }),
        [named("t-00000", Some("t-00000")), named("t-00001", Some("t-00001"))]
    );
    assert_eq!(logins(1, Login::Device { password: None }), [named("device-sim-0", None)]);
    let user = Login::User { name: "ops".into(), password: "secret".into() };
    assert_eq!(logins(1, user), [named("device-sim-0", Some("ops"))]);
}

#[test]
fn as_fast_as_it_goes_keeps_to_the_window_and_stops_when_told() {
    let broker = StandIn::start(usize::MAX);
    let mut options = broker.options();
    options.connections = 2;
    let fleet = Fleet::load(Kind::Product, 4, "p-", Rate::Max, 1);
    let seen = Arc::clone(&broker.seen);
    let stopped = Arc::new(Mutex::new(None));
    let stopping = Arc::clone(&stopped);
    let report = publish(fleet, options, async move {
        while seen.lock().unwrap().acknowledged.len() < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *stopping.lock().unwrap() = Some(Instant::now());
    });
    let stopped = stopped.lock().unwrap().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(3), "took {:?}", stopped.elapsed());
    assert!(report.acknowledged >= 490, "{report}");
    // A window of 10 on each of two connections.
    assert!(report.unacknowledged <= 20, "{report}");
}

#[test]
fn a_limited_run_without_a_broker_ends() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = Options::new(Broker { host: "127.0.0.1".into(), port, tls: false });
    options.duration = Some(Duration::from_secs(3_600));
    options.settle = Duration::from_millis(200);
    let report = publish(Fleet::demo(1), options, std::future::pending());
    assert_eq!(report.connects, 0, "{report}");
}

#[test]
fn a_broker_that_is_away_is_reported_and_does_not_hold_up_the_end() {
    // Bound and let go: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for qos in [Qos::AtMostOnce, Qos::ExactlyOnce] {
        for protocol in [Protocol::V3_1_1, Protocol::V5] {
            let mut options = Options::new(Broker { host: "127.0.0.1".into(), port, tls: false });
            (options.qos, options.protocol) = (Mix::all(qos), Mix::all(protocol));
            let fleet = Fleet::demo(1);

            let begin = Instant::now();
            let report = publish(fleet, options, async {
                tokio::time::sleep(Duration::from_millis(300)).await
            });
            assert!(begin.elapsed() < Duration::from_secs(2));
            assert_eq!((report.connects, report.acknowledged, report.offered), (0, 0, 0));
            assert!(report.failed_connects > 0 && report.last_error.is_some(), "{report}");
        }
    }
}

#[test]
fn who_is_turned_away_at_first_tries_again_and_that_is_no_error() {
    let broker = StandIn::start(usize::MAX);
    // Two of three are hung up on, until all others are in.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = broker.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let turned_away = number % 3 > 0 && number < 30;
            let serving = behind.clone();
            if !turned_away {
                thread::spawn(move || serving.serve(stream, usize::MAX));
            }
        }
    });
    let mut options = broker.options();
    options.broker.port = port;
    options.settle = Duration::from_secs(60);
    options.duration = Some(Duration::from_millis(500));
    let fleet = Fleet::load(Kind::Car, 20, "sim-car-", Rate::PerSecond(100.0), 1);
    let report = publish(fleet, options, std::future::pending());
    assert_eq!((report.connects, report.refused_connects), (20, 20), "{report}");
    assert_eq!((report.failed_connects, report.lost_connections), (0, 0), "{report}");
    assert_eq!(report.acknowledged, report.offered, "{report}");
}

#[test]
fn a_broker_that_does_not_speak_mqtt_5_is_not_left_unexplained() {
    // It hangs up on whoever comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
    let said = |protocol| {
        let mut options = Options::new(Broker { host: "127.0.0.1".into(), port, tls: false });
        options.protocol = Mix::all(protocol);
        options.duration = Some(Duration::from_secs(3_600));
        options.settle = Duration::from_millis(500);
        publish(Fleet::demo(1), options, std::future::pending()).last_error.unwrap()
    };
    assert!(said(Protocol::V5).contains("--mqtt 3.1.1"));
    assert!(!said(Protocol::V3_1_1).contains("--mqtt"));
}
