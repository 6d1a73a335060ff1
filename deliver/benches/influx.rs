//! How fast a backlog drains into InfluxDB, what a start with it takes, and at what cost.
//!
//! `READINGS=2000000 cargo bench -p deliver --bench influx`

#![allow(clippy::unwrap_used, reason = "a bench stops where it cannot go on")]

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use deliver::influx::{Influx, InfluxOptions, OUTPUT};
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::Feed;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Fix, Measure, Message, Reading, Sender, Value};
use journal::{Followers, Journal, LOG_READINGS, Options, Started};
use tokio::sync::{oneshot, watch};

const NOW_MS: i64 = 1_768_478_400_000;
const DEVICES: usize = 1_000;
/// Readings in a message.
const TOGETHER: usize = 25;

const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"

    [[fleet]]
    prefix = "car-"
    kind = "car"
    first = 0
    count = 1000
    digits = 4
    insurer = "alpina"
    products = ["winter_tyres"]
    since = "2020-01-01T00:00:00Z"
    wording = "1"
"#;

fn main() {
    let readings =
        std::env::var("READINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Started { journal, arrivals } = open(dir.path());
    runtime.block_on(async {
        for message in 0..readings / TOGETHER {
            let (acknowledge, acknowledged) = oneshot::channel();
            arrivals.send(arrival(message, acknowledge)).await.unwrap();
            if message % 1_000 == 999 {
                acknowledged.await.unwrap();
            }
        }
    });
    drop(arrivals);
    journal.join();
    drop(journal);

    let began = Instant::now();
    let Started { journal, arrivals } = open(dir.path());
    let opened = began.elapsed();
    let logged = *journal.live().logged().borrow();
    let file = std::fs::metadata(dir.path().join("journal.sqlite")).unwrap().len();
    println!("{readings} readings wait in {logged} batches; the file has {} MB", file / 1_000_000);
    println!("start with them      {:8.0} ms", opened.as_secs_f64() * 1e3);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(|stream| take(stream.unwrap())));
    let options = InfluxOptions {
        url: url.parse().unwrap(),
        org: "plant".to_owned(),
        bucket: "cars".to_owned(),
        token: String::new(),
        batch_readings: 5_000,
        batch_age: Duration::from_secs(1),
        timeout: Duration::from_secs(10),
        delete: true,
    };
    let (resident, processor) = (resident_kb(), processor());
    let began = Instant::now();
    let (_stop, report) = runtime.block_on(async {
        let influx = Influx::new(&options, journal.clone(), Clock::scaled(NOW_MS, 0.0)).unwrap();
        let report = influx.report();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(influx.run(stopped));
        while journal.reader().cursor(OUTPUT).unwrap() < logged {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (stop, report)
    });
    let (took, processor) = (began.elapsed(), processor_since(processor));
    assert_eq!(report.borrow().points_written, readings as u64);
    println!("drained              {:8.0} readings/s", readings as f64 / took.as_secs_f64());
    println!(
        "processor            {:8.2} µs a reading, the server's reading of it included",
        processor.as_secs_f64() * 1e6 / readings as f64
    );
    println!(
        "memory               {:8} kB more than before",
        resident_kb().saturating_sub(resident)
    );
    drop(arrivals);
    journal.join();
}

fn open(dir: &Path) -> Started {
    Journal::start(Options {
        dir: dir.to_owned(),
        seed: RegistryFile::parse(REGISTRY).unwrap(),
        world: World { atlas: Atlas::load(), weather: Feed::None },
        weather: "none".to_owned(),
        rules: RuleSet::shipped().unwrap(),
        clock: Clock::scaled(NOW_MS, 0.0),
        horizon_ms: 72 * 3_600_000,
        retention: journal::Retention::default(),
        claim_wait_ms: 3_600_000,
        weather_wait_ms: 5_000,
        max_batch: 5_000,
        log_readings: LOG_READINGS,
        followers: Followers { outputs: vec![OUTPUT], most_bytes: u64::MAX, delete: true },
    })
    .unwrap()
}

/// Cars that report every second, a message each in turn.
fn arrival(message: usize, acknowledge: oneshot::Sender<()>) -> Arrival {
    let device = format!("car-{:04}", message % DEVICES);
    let from = (message / DEVICES * TOGETHER) as i64;
    let reading = |second: i64| Reading {
        time_ms: NOW_MS - 86_400_000 + second * 1_000,
        seq: Some(second as u64),
        fix: Fix::new(52.0 + second as f64 * 1.7e-4, 5.1 + second as f64 * 2.3e-4, Some(4.5)),
        measures: vec![
            (Measure::SpeedMps, Value::Number((250 + second % 9) as f64 / 10.0)),
            (Measure::OdometerM, Value::Number((18_230_000 + second * 25) as f64)),
            (Measure::Tyre, Value::Choice(1)),
        ],
    };
    Arrival {
        broker: "embedded".into(),
        topic: format!("telemetry/car/{device}").into(),
        sender: Sender::Anonymous,
        payload: Bytes::new(),
        decoded: Message::Device(Ok(Decoded {
            device: device.into(),
            kind: DeviceKind::Car,
            readings: (from..from + TOGETHER as i64).map(|second| Ok(reading(second))).collect(),
            unknown_names: 0,
        })),
        retry_of: None,
        received_ms: NOW_MS,
        received: Instant::now(),
        acknowledge,
    }
}

/// A server that takes whatever comes.
fn take(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
            let lower = line.to_lowercase();
            if let Some(bytes) = lower.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || stream.read_exact(&mut body).is_err() {
            return;
        }
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    }
}

fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split(' ').skip(12).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn processor_since(before: Duration) -> Duration {
    processor().saturating_sub(before)
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
