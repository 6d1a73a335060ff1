//! How long it takes at a rate that is offered whatever the server does: to the acknowledgement,
//! and to the trigger at an insurer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::load::{percentile_ms, reading, topic};
use super::report::{Report, Target};
use super::server::{NOON_MS, Server};
use super::wait;
use super::wire::{Device, Message};

/// Border crossings a second among the readings, each by a car of its own.
const CROSSINGS: f64 = 50.0;

/// How long the last triggers may take.
const LAST: Duration = Duration::from_secs(10);

/// More than can be unacknowledged: nothing waits but for its time.
const NO_WINDOW: usize = 60_000;

pub(super) fn measure(
    span: Duration,
    connections: usize,
    rate: f64,
    report: &mut Report,
) -> Result<()> {
    let crossings = (CROSSINGS * span.as_secs_f64()).ceil() as usize;
    let dir = tempfile::tempdir()?;
    let fleets = [("car-", connections), ("cross-", crossings)];
    let server = Server::start(dir.path(), &fleets, None)?;
    let mut measured = wait(run(&server, span, connections, rate, crossings))?;
    let what = |what: &str| format!("{rate:.0} readings/s offered: {what}");
    report.add(what("acknowledged"), measured.rate, "a second");
    if measured.rate < rate * 0.95 {
        report.note("the server, or this process beside it, did not keep up");
    }
    report.add(what("the server's processor time"), measured.processor_us, "µs a reading");
    let took = &mut measured.to_puback;
    report.add(what("publish → PUBACK, p50"), percentile_ms(took, 0.5), "ms");
    report.add(what("publish → PUBACK, p99"), percentile_ms(took, 0.99), "ms");
    let took = &mut measured.to_trigger;
    if took.len() < crossings {
        let why = format!("{} of {crossings} triggers came", took.len());
        report.leave_out(what("publish → trigger"), why);
        return Ok(());
    }
    report.add(what("publish → trigger, p50"), percentile_ms(took, 0.5), "ms");
    let p99 = percentile_ms(took, 0.99);
    report.add_for(what("publish → trigger, p99"), p99, "ms", Target::AtMost(100.0));
    report.note(format!(
        "{crossings} border crossings among them; time counts from when a message was due"
    ));
    Ok(())
}

struct Measured {
    rate: f64,
    processor_us: f64,
    to_puback: Vec<Duration>,
    to_trigger: Vec<Duration>,
}

async fn run(
    server: &Server,
    span: Duration,
    connections: usize,
    rate: f64,
    crossings: usize,
) -> Result<Measured> {
    let (listening, heard) = listen(server, span, crossings).await?;
    let mut devices = Vec::new();
    for number in 0..connections {
        devices.push(Device::connect(server.mqtt, &format!("car-{number:06}")).await?);
    }
    let crossing = Device::connect(server.mqtt, "crossings").await?;
    let processor_s = server.processor_s()?;
    let began = Instant::now() + Duration::from_millis(100);
    let mut publishing = JoinSet::new();
    let every = Duration::from_secs_f64(connections as f64 / rate);
    for (number, device) in devices.into_iter().enumerate() {
        // Spread over the interval, as devices are.
        let first = began + every.mul_f64(number as f64 / connections as f64);
        let topic = topic("car-", number);
        let messages = (0_u32..)
            .map(move |seq| {
                let payload = reading(number, NOON_MS + i64::from(seq), seq as usize);
                Message { due: Some(first + every * seq), topic: topic.clone(), payload }
            })
            .take_while(move |message| message.due.is_some_and(|due| due < began + span));
        publishing.spawn(device.publish(messages, NO_WINDOW));
    }
    let messages = (0..crossings).map(move |number| Message {
        due: Some(crossed_at(began, number)),
        topic: topic("cross-", number),
        payload: crossed(number),
    });
    let crossed = tokio::spawn(crossing.publish(messages, NO_WINDOW));
    let mut to_puback = Vec::new();
    while let Some(done) = publishing.join_next().await {
        to_puback.extend(done.context("a device panicked")??);
    }
    let took = began.elapsed();
    let processor_us = (server.processor_s()? - processor_s) * 1e6 / to_puback.len() as f64;
    to_puback.extend(crossed.await.context("a device panicked")??);
    listening.await.context("the insurer panicked")??;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let to_trigger = heard
        .iter()
        .map(|(number, at)| at.saturating_duration_since(crossed_at(began, *number)))
        .collect();
    let rate = to_puback.len() as f64 / took.as_secs_f64();
    Ok(Measured { rate, processor_us, to_puback, to_trigger })
}

fn crossed_at(began: Instant, number: usize) -> Instant {
    began + Duration::from_secs_f64((number as f64 + 0.5) / CROSSINGS)
}

/// The first moment of a car abroad, by which its trigger is known again.
fn abroad_ms(number: usize) -> i64 {
    NOON_MS - 60_000 + number as i64
}

/// From the Netherlands to Germany in three fixes, the last of which makes it certain.
fn crossed(number: usize) -> Vec<u8> {
    let fix = |time_ms: i64, lat: f64, lon: f64| {
        format!(r#"{{"ts":{time_ms},"lat":{lat},"lon":{lon},"accuracy_m":5}}"#)
    };
    let abroad_ms = abroad_ms(number);
    let fixes = [
        fix(abroad_ms - 60_000, 50.780, 5.985),
        fix(abroad_ms, 50.776, 6.083),
        fix(abroad_ms + 30_000, 50.776, 6.083),
    ];
    format!("[{}]", fixes.join(",")).into_bytes()
}

type Heard = Arc<Mutex<HashMap<usize, Instant>>>;

/// An insurer's subscriber, which notes when each trigger came.
async fn listen(
    server: &Server,
    span: Duration,
    crossings: usize,
) -> Result<(tokio::task::JoinHandle<Result<()>>, Heard)> {
    let insurer = Device::connect(server.mqtt, "insurer").await?;
    let heard = Heard::default();
    let (subscribed, ready) = oneshot::channel();
    let noted = heard.clone();
    let patience = span + LAST + Duration::from_secs(60);
    let listening = tokio::spawn(async move {
        let take = |payload: &[u8]| {
            let at = Instant::now();
            let mut heard = noted.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(number) = crossing(payload) {
                heard.entry(number).or_insert(at);
            }
            heard.len() >= crossings
        };
        insurer.subscribe("triggers/#", patience, subscribed, take).await
    });
    tokio::time::timeout(LAST, ready).await.context("no answer to SUBSCRIBE")??;
    Ok((listening, heard))
}

/// Whose crossing a trigger is about.
fn crossing(payload: &[u8]) -> Option<usize> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let abroad: jiff::Timestamp = event["data"]["between"][1].as_str()?.parse().ok()?;
    usize::try_from(abroad.as_millisecond() - abroad_ms(0)).ok()
}
