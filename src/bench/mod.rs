//! `datanaut bench`: how fast this machine makes it, beside the figures it is meant to reach.
//!
//! The load is made in this process, the servers under test are processes of their own: `server`
//! starts them, `wire` speaks as little MQTT as a device has to. A part each: `journal`,
//! `mosquitto` (the collector against a bare subscriber), `embedded`, `latency`, `memory`.
//! `report` prints.

mod embedded;
mod journal;
mod latency;
mod load;
mod memory;
mod mosquitto;
mod report;
mod server;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use crate::cli::{BenchArgs, Part};
use report::Report;

/// Must be called where blocking is allowed.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let mut report = Report::new();
    let span = Duration::from_secs_f64(args.seconds);
    for part in Part::ALL {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        let measured = match part {
            Part::Journal => journal::measure(span, &mut report),
            Part::Mosquitto => mosquitto::measure(span, &mut report),
            Part::Embedded => embedded::measure(span, args.connections, &mut report),
            Part::Latency => latency::measure(span, args.connections, args.rate, &mut report),
            Part::Memory => memory::measure(args.devices, &mut report),
        };
        measured.with_context(|| format!("{} could not be measured", part.name()))?;
        if !args.json {
            report.print_new();
        }
    }
    if args.json {
        report.print_json()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what waits for sockets.
fn wait<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}
