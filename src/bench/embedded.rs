//! The embedded broker: many connections, then one, each with one message in flight.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::load::{as_they_come, percentile_ms};
use super::report::{Report, Target};
use super::server::Server;
use super::wait;
use super::wire::{Device, Message};

pub(super) fn measure(span: Duration, connections: usize, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &[("car-", connections)], None)?;
    let many = wait(run(&server, connections, span))?;
    let what = |what: &str| format!("embedded broker, {connections} connections: {what}");
    report.add_for(what("readings"), many.rate, "a second", Target::AtLeast(25_000.0));
    report.add(what("the server's processor time"), many.processor_us, "µs a reading");
    let mut took = many.took;
    report.add(what("to PUBACK, p50"), percentile_ms(&mut took, 0.5), "ms");
    report.add(what("to PUBACK, p99"), percentile_ms(&mut took, 0.99), "ms");
    drop(server);

    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &[("car-", 1)], None)?;
    let mut one = wait(run(&server, 1, span))?;
    report.add("embedded broker, one connection: readings", one.rate, "a second");
    report.note("one a commit");
    report.add_for(
        "embedded broker, one connection: to PUBACK, p50",
        percentile_ms(&mut one.took, 0.5),
        "ms",
        Target::AtMost(5.0),
    );
    Ok(())
}

struct Measured {
    rate: f64,
    processor_us: f64,
    took: Vec<Duration>,
}

async fn run(server: &Server, connections: usize, span: Duration) -> Result<Measured> {
    let mut devices = Vec::new();
    for number in 0..connections {
        devices.push(Device::connect(server.mqtt, &format!("car-{number:06}")).await?);
    }
    let (began, processor_s) = (Instant::now(), server.processor_s()?);
    let mut publishing = JoinSet::new();
    for (number, device) in devices.into_iter().enumerate() {
        let messages = as_they_come(number).take_while(move |_: &Message| began.elapsed() < span);
        publishing.spawn(device.publish(messages, 1));
    }
    let mut took = Vec::new();
    while let Some(done) = publishing.join_next().await {
        took.extend(done.context("a device panicked")??);
    }
    let readings = took.len() as f64;
    let processor_us = (server.processor_s()? - processor_s) * 1e6 / readings;
    Ok(Measured { rate: readings / began.elapsed().as_secs_f64(), processor_us, took })
}
