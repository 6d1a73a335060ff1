//! What the journal takes and what it keeps: readings a second through the whole pipeline behind
//! the broker (sort, core, commit, seal), bytes a reading on disk, and the time to open it again.
//!
//! `cargo bench -p journal` runs a million readings; `READINGS=20000000` another number.

#![allow(clippy::expect_used, reason = "a benchmark may stop where it cannot go on")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::{Feed, Synthetic};
use ingest::{Arrival, Clock, Decoded, DeviceKind, Fix, Measure, Reading, Sender, Value};
use journal::{Followers, Journal, LOG_READINGS, Options, Started};

const DEVICES: u32 = 10_000;
const BATCH: usize = 5_000;
const START_MS: i64 = 1_768_478_400_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let only_try = std::env::args().any(|argument| argument == "--test");
    let readings = std::env::var("READINGS").ok().and_then(|count| count.parse().ok());
    let readings = if only_try { 20_000 } else { readings.unwrap_or(1_000_000) };
    println!("{readings} readings of {DEVICES} devices, {BATCH} messages a batch");
    run("cars at 1 Hz", readings, 1_000);
    run("cars at one in five minutes", readings, 300_000);
}

fn run(what: &str, readings: usize, every_ms: i64) {
    let dir = tempfile::tempdir().expect("a directory for the journal");
    let fsync = fsync(dir.path());
    let mut batches = Vec::new();
    let took = {
        let Started { journal, arrivals } = open(dir.path());
        let began = Instant::now();
        for first in (0..readings).step_by(BATCH) {
            let batch: Vec<_> = (first..first + BATCH).map(|at| arrival(at, every_ms)).collect();
            let batch_began = Instant::now();
            let mut last = None;
            for (arrival, acknowledged) in batch {
                arrivals.blocking_send(arrival).expect("the journal runs");
                last = Some(acknowledged);
            }
            if let Some(acknowledged) = last {
                acknowledged.blocking_recv().expect("it is committed");
            }
            batches.push(batch_began.elapsed());
        }
        let took: Duration = batches.iter().sum();
        println!("{what}: made and committed in {:.1} s", began.elapsed().as_secs_f64());
        drop(arrivals);
        journal.join();
        took
    };
    let bytes = std::fs::metadata(dir.path().join("journal.sqlite")).map_or(0, |file| file.len());
    let began = Instant::now();
    let Started { journal, arrivals } = open(dir.path());
    let opened = began.elapsed();
    assert_eq!(journal.live().counts().stored as usize, readings.next_multiple_of(BATCH));
    drop(arrivals);
    journal.join();
    let rate = |took: Duration| readings as f64 / took.as_secs_f64();
    let slow_disk = took + (Duration::from_millis(10).saturating_sub(fsync)) * batches.len() as u32;
    println!(
        "  {:.0} readings/s with this disk's fsync ({:.2} ms)",
        rate(took),
        fsync.as_secs_f64() * 1e3
    );
    println!("  {:.0} readings/s were each fsync 10 ms (computed)", rate(slow_disk));
    let (sealed, chunks, count) = sealed(dir.path());
    println!(
        "  {:.1} bytes a sealed reading, {:.0} readings a chunk",
        sealed / count,
        count / chunks
    );
    println!(
        "  {:.1} bytes a reading in the file, log and free pages included",
        bytes as f64 / readings as f64
    );
    println!("  {:.0} ms to open again", opened.as_secs_f64() * 1e3);
}

/// Bytes of sealed history (columns, states and keys), chunks, and readings in them.
fn sealed(dir: &Path) -> (f64, f64, f64) {
    let file = rusqlite::Connection::open(dir.join("journal.sqlite")).expect("the journal");
    file.query_row(
        "SELECT total(length(columns) + length(state) + 16), total(1), total(readings) FROM chunk",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
    .expect("its chunks")
}

/// The median time to make a small write durable here.
fn fsync(dir: &Path) -> Duration {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("probe")).expect("a file");
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            file.write_all(&[0; 4096]).expect("a write");
            let began = Instant::now();
            file.sync_data().expect("an fsync");
            began.elapsed()
        })
        .collect();
    times.sort();
    times[10]
}

fn open(dir: &Path) -> Started {
    let registry = format!(
        r#"
        [[insurer]]
        id = "alpina"
        name = "Alpina"
        [[fleet]]
        prefix = "car-"
        kind = "car"
        count = {DEVICES}
        insurer = "alpina"
        products = ["travel"]
        since = "2020-01-01T00:00:00Z"
        home = "NL"
        wording = "1"
        "#
    );
    Journal::start(Options {
        dir: dir.to_owned(),
        seed: RegistryFile::parse(&registry).expect("a registry"),
        world: World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) },
        weather: "synthetic 1".to_owned(),
        weather_wait_ms: 5_000,
        weather_keep_ms: 7 * 86_400_000,
        rules: RuleSet::shipped().expect("rules"),
        clock: Clock::scaled(START_MS + 400 * 86_400_000, 0.0),
        horizon_ms: 72 * 3_600_000,
        quarantine_keep_ms: 7 * 86_400_000,
        max_batch: BATCH,
        log_readings: LOG_READINGS,
        followers: Followers::default(),
    })
    .expect("a journal")
}

type Sent = (Arrival, tokio::sync::oneshot::Receiver<()>);

fn arrival(at: usize, every_ms: i64) -> Sent {
    let (device, round) = (at as u32 % DEVICES, (at as u32 / DEVICES) as i64);
    let wobble = ((at * 2_654_435_761) >> 7) as i32 % 90;
    let fix = Fix {
        lat_e7: 480_000_000 + (device as i32 % 100) * 700_000 + round as i32 * 1_800 + wobble,
        lon_e7: 60_000_000 + (device as i32 / 100) * 700_000 + round as i32 * 2_500 - wobble,
        accuracy_m: Some(4.0 + (wobble % 4) as f32 * 0.5),
    };
    let reading = Reading {
        time_ms: START_MS + round * every_ms,
        seq: Some(round as u64),
        fix: Some(fix),
        measures: vec![
            (Measure::SpeedMps, Value::Number(f64::from(250 + wobble) / 10.0)),
            (Measure::OdometerM, Value::Number((18_230_000 + round * 25) as f64)),
            (Measure::Tyre, Value::Choice(1)),
            (Measure::AmbientC, Value::Number(3.5)),
        ],
    };
    let (acknowledge, acknowledged) = tokio::sync::oneshot::channel();
    let arrival = Arrival {
        broker: "embedded".into(),
        topic: "telemetry/car/x".into(),
        sender: Sender::Anonymous,
        payload: Bytes::new(),
        decoded: Ok(Decoded {
            device: format!("car-{device:02}").into(),
            kind: DeviceKind::Car,
            readings: vec![Ok(reading)],
            unknown_names: 0,
        }),
        retry_of: None,
        received_ms: START_MS,
        received: Instant::now(),
        acknowledge,
    };
    (arrival, acknowledged)
}
