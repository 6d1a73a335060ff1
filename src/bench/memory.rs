//! What the server holds in memory, alone and with many devices.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;

use super::load::{reading, topic};
use super::report::{Report, Target};
use super::server::{NOON_MS, Server};
use super::wait;
use super::wire::{Device, Message};

const CONNECTIONS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// With nothing given back for so long, nothing more will be.
const QUIET: Duration = Duration::from_secs(12);

pub(super) fn measure(devices: usize, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), &[("car-", 1)], None)?;
    report.add("memory, resident: alone", settled_mb(&server)?, "MB");
    drop(server);

    let dir = tempfile::tempdir()?;
    let fleets = [("car-", devices)];
    let server = Server::start(dir.path(), &fleets, None)?;
    report.add(
        format!("memory, resident: {devices} devices in the registry"),
        settled_mb(&server)?,
        "MB",
    );
    wait(each_once(&server, devices))?;
    let what = format!("memory, resident: {devices} devices heard of");
    report.add(what, settled_mb(&server)?, "MB");
    drop(server);

    // The registry's file was read for the first start only.
    let began = Instant::now();
    let server = Server::start(dir.path(), &fleets, None)?;
    let started = began.elapsed();
    let what = format!("memory, resident: {devices} devices, started again");
    report.add_for(what, settled_mb(&server)?, "MB", Target::AtMost(200.0));
    report.add(format!("start with {devices} devices"), started.as_secs_f64() * 1e3, "ms");
    Ok(())
}

/// What stays: memory that only a start, or a burst, needed is given back within seconds.
fn settled_mb(server: &Server) -> Result<f64> {
    let began = Instant::now();
    let (mut least, mut at) = (server.resident_mb()?, Instant::now());
    while at.elapsed() < QUIET && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(500));
        let now = server.resident_mb()?;
        if now < least * 0.99 {
            (least, at) = (now, Instant::now());
        }
    }
    Ok(least)
}

async fn each_once(server: &Server, devices: usize) -> Result<()> {
    let mut publishing = JoinSet::new();
    for connection in 0..CONNECTIONS.min(devices) {
        let device = Device::connect(server.mqtt, &format!("gateway-{connection}")).await?;
        let numbers = (connection..devices).step_by(CONNECTIONS);
        let messages = numbers.map(|number| Message {
            due: None,
            topic: topic("car-", number),
            payload: reading(number, NOON_MS, 0),
        });
        publishing.spawn(device.publish(messages, 50));
    }
    while let Some(done) = publishing.join_next().await {
        done.context("a device panicked")??;
    }
    let deadline = Instant::now() + PATIENCE;
    while server.stored()? < devices as u64 {
        std::thread::sleep(Duration::from_millis(20));
        if Instant::now() > deadline {
            bail!("not all of {devices} readings were stored");
        }
    }
    Ok(())
}
