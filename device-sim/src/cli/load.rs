//! `device-sim load`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use device_sim::{Fleet, Kind, Rate, Show};

use super::connect::{Connect, append_to, create, ensure_connected, interrupted, seconds};

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    connect: Connect,
    /// What the devices are
    #[arg(long, value_enum, default_value = "car")]
    kind: Kind,
    /// Device ids are this and a number of five digits: sim-car-00000 (default: sim-{kind}-)
    #[arg(long)]
    prefix: Option<String>,
    /// How many devices
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// On how many connections at most; more devices than that share them
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Messages a second, all devices together; `max` keeps every window full
    #[arg(long, default_value = "1000", value_parser = parse_rate)]
    rate: Rate,
    /// For how long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Then wait up to so many seconds for what is still owed
    #[arg(long, default_value_t = 30.0)]
    drain: f64,
    /// Append a line `device ts seq` for each message, once its acknowledgement has arrived
    #[arg(long)]
    acked: Option<PathBuf>,
    /// Write down what happens and ought to be noticed, for `device-sim verify`
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Write the report to this file as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Rate::Max),
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Rate::PerSecond(rate)),
        _ => Err("give a number of messages a second above 0, or max".into()),
    }
}

pub(crate) async fn load(args: LoadArgs) -> Result<()> {
    let kind = args.kind;
    let prefix = args.prefix.unwrap_or_else(|| format!("sim-{}-", kind.name()));
    ensure!(
        prefix.len() <= 56
            && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c)),
        "prefix {prefix:?} does not fit a device id, use up to 56 of A-Z a-z 0-9 . _ : -"
    );
    let mut options = args.connect.options()?;
    options.connections = args.connections as usize;
    options.duration = Some(seconds(args.seconds)?);
    options.drain = seconds(args.drain)?;
    options.settle = Duration::from_secs(30);
    options.progress = Show::People { every: Duration::from_secs(5) };
    options.ledger = args.ledger.as_deref().map(create).transpose()?;
    options.acked = args.acked.as_deref().map(append_to).transpose()?;
    let fleet = Fleet::load(kind, args.devices as usize, &prefix, args.rate, args.connect.seed());
    let report = device_sim::run(fleet, options, interrupted()).await;
    print!("{report}");
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure_connected(&report)?;
    ensure!(
        report.unwritten == 0,
        "{} lines are missing in the file of acknowledged messages, do not rely on it",
        report.unwritten
    );
    Ok(())
}
