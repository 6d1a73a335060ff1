//! The journal behind its channel, without MQTT: sort, core, commit, seal; and what it leaves on
//! disk.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Fix, Measure, Message, Reading, Sender, Value};
use journal::Started;
use tokio::sync::oneshot;

use super::report::{Report, Target};
use super::server::{NOON_MS, registry};
use crate::config::Config;
use crate::serve::open_journal;

const DEVICES: usize = 10_000;
const BATCH: usize = 5_000;

/// So that what is sealed says something also in a short run.
const LEAST: usize = 400_000;

pub(super) fn measure(span: Duration, report: &mut Report) -> Result<()> {
    run("devices at 1 Hz", 1_000, 20.0, span, report)?;
    run("devices at one in five minutes", 300_000, 30.0, span, report)
}

fn run(
    devices: &str,
    every_ms: i64,
    most_bytes: f64,
    span: Duration,
    report: &mut Report,
) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let fsync = fsync(dir.path())?;
    let config = configuration(dir.path())?;
    let (mut readings, mut batches, mut took) = (0, 0, Duration::ZERO);
    let Started { journal, arrivals } = open(&config)?;
    while took < span || (readings < LEAST && span >= Duration::from_secs(5)) {
        let batch: Vec<_> = (readings..readings + BATCH).map(|at| arrival(at, every_ms)).collect();
        let began = Instant::now();
        let mut last = None;
        for (arrival, acknowledged) in batch {
            arrivals.blocking_send(arrival).context("the journal has stopped")?;
            last = Some(acknowledged);
        }
        if let Some(acknowledged) = last {
            acknowledged.blocking_recv().context("the journal did not commit")?;
        }
        took += began.elapsed();
        readings += BATCH;
        batches += 1;
    }
    drop(arrivals);
    journal.join();
    let rate = |took: Duration| readings as f64 / took.as_secs_f64();
    let what = |what: String| format!("journal alone, {devices}: {what}");
    let fsync_ms = fsync.as_secs_f64() * 1e3;
    let target = Target::AtLeast(150_000.0);
    report.add_for(what(format!("fsync of {fsync_ms:.2} ms")), rate(took), "a second", target);
    let slow = took + Duration::from_millis(10).saturating_sub(fsync) * batches;
    report.add(what("fsync of 10 ms".into()), rate(slow), "a second");
    report.note("computed: one fsync a commit");
    match sealed(dir.path())? {
        Some(bytes) => {
            let target = Target::AtMost(most_bytes);
            report.add_for(what("sealed".into()), bytes, "bytes/reading", target);
        }
        None => report.leave_out(what("sealed".into()), "too few readings: give more --seconds"),
    }
    let began = Instant::now();
    let Started { journal, arrivals } = open(&config)?;
    let opened = began.elapsed().as_secs_f64() * 1e3;
    report.add(what(format!("open with {readings} readings")), opened, "ms");
    drop(arrivals);
    journal.join();
    Ok(())
}

fn configuration(dir: &Path) -> Result<Config> {
    let file = dir.join("registry.toml");
    std::fs::write(&file, registry(&[("car-", DEVICES)]))?;
    let mut config = Config::default();
    config.data.dir = dir.join("data");
    config.data.registry = Some(file);
    Ok(config)
}

fn open(config: &Config) -> Result<Started> {
    open_journal(config, Clock::scaled(NOON_MS + 400 * 86_400_000, 0.0))
}

/// Bytes a sealed reading takes: columns, state and key.
fn sealed(dir: &Path) -> Result<Option<f64>> {
    let file = rusqlite::Connection::open(dir.join("data/journal.sqlite"))?;
    let bytes = file.query_row(
        "SELECT sum(length(columns) + length(state) + 16) / total(readings) FROM chunk",
        [],
        |row| row.get(0),
    )?;
    Ok(bytes)
}

/// The median time to make a small write durable here.
fn fsync(dir: &Path) -> Result<Duration> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("probe"))?;
    let mut times = Vec::new();
    for _ in 0..21 {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[10])
}

fn arrival(at: usize, every_ms: i64) -> (Arrival, oneshot::Receiver<()>) {
    let (device, round) = ((at % DEVICES) as i32, (at / DEVICES) as i64);
    let wobble = ((at * 2_654_435_761) >> 7) as i32 % 90;
    let fix = Fix {
        lat_e7: 480_000_000 + (device % 100) * 700_000 + round as i32 * 1_800 + wobble,
        lon_e7: 60_000_000 + (device / 100) * 700_000 + round as i32 * 2_500 - wobble,
        accuracy_m: Some(4.0 + (wobble % 4) as f32 * 0.5),
    };
    let reading = Reading {
        time_ms: NOON_MS + round * every_ms,
        seq: Some(round as u64),
        fix: Some(fix),
        measures: vec![
            (Measure::SpeedMps, Value::Number(f64::from(250 + wobble) / 10.0)),
            (Measure::OdometerM, Value::Number((18_230_000 + round * 25) as f64)),
            (Measure::Tyre, Value::Choice(1)),
            (Measure::AmbientC, Value::Number(3.5)),
        ],
    };
    let (acknowledge, acknowledged) = oneshot::channel();
    let arrival = Arrival {
        broker: "bench".into(),
        topic: "telemetry/car/x".into(),
        sender: Sender::Anonymous,
        payload: Bytes::new(),
        decoded: Message::Device(Ok(Decoded {
            device: format!("car-{device:06}").into(),
            kind: DeviceKind::Car,
            readings: vec![Ok(reading)],
            unknown_names: 0,
        })),
        retry_of: None,
        received_ms: NOON_MS,
        received: Instant::now(),
        acknowledge,
    };
    (arrival, acknowledged)
}
