//! `device-sim run`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use device_sim::Fleet;

use super::connect::{Connect, create, ensure_connected, interrupted, seconds};

#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    connect: Connect,
    /// Which fleet
    #[arg(long, value_enum, default_value = "demo")]
    fleet: FleetName,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Write down what happens and ought to be noticed, for `device-sim verify`
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FleetName {
    Demo,
}

pub(crate) async fn run(args: RunArgs) -> Result<()> {
    let fleet = match args.fleet {
        FleetName::Demo => Fleet::demo(args.connect.seed),
    };
    let mut options = args.connect.options()?;
    if let Some(limit) = args.seconds {
        options.duration = Some(seconds(limit)?);
        options.settle = Duration::from_secs(10);
    }
    options.ledger = args.ledger.as_deref().map(create).transpose()?;
    options.progress = Some(Duration::from_secs(10));
    let report = device_sim::run(fleet, options, interrupted()).await;
    print!("{report}");
    ensure_connected(&report)
}
