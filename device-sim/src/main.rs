//! The command line of the simulator.

mod cli;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use cli::{LoadArgs, RunArgs, VerifyArgs};

/// A simulated fleet of connected devices, and a load test for any MQTT broker.
///
/// Devices publish JSON to telemetry/{kind}/{device}, as docs/simulator.md describes. The same
/// seed gives the same devices doing the same things.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish a fleet as it lives, until stopped (Ctrl-C)
    ///
    /// The demo fleet: twelve cars that shuttle across European borders (somewhere one crosses
    /// about every 15 s), eight trackers on foot, by bicycle, car and train, ten thermostats and
    /// ten products.
    #[command(after_help = "Example:\n  device-sim run --broker mqtt://127.0.0.1:1883 --seed 7")]
    Run(RunArgs),
    /// Publish at a rate, or as fast as the broker acknowledges, and measure
    ///
    /// The schedule is open-loop: a slow broker does not slow it, and latency counts from when a
    /// message was due. Connections that are lost are made again, and what was not acknowledged
    /// is sent again with the same content. When --seconds are over, waits up to --drain seconds
    /// for what is owed, then prints the report.
    #[command(after_help = "Examples:\n  \
        device-sim load --devices 1000 --connections 1000 --rate 5000 --seconds 60\n  \
        device-sim load --rate max --connections 50 --report max.json\n  \
        device-sim load --rate 2000 --acked acked.txt   # then compare with what was stored")]
    Load(LoadArgs),
    /// Compare the triggers that come with what really happened
    ///
    /// Subscribes as an insurer would, waits until the ledger of a run has ended, and counts per
    /// product what was found, missed, told falsely, twice or late. Exits with 1 when that is not
    /// good enough. Start it before the run, against a server that does not know the devices yet.
    #[command(after_help = "Example:\n  \
        device-sim verify --ledger ledger.jsonl &\n  \
        device-sim run --seconds 120 --ledger ledger.jsonl; wait $!")]
    Verify(VerifyArgs),
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    match Cli::parse().command {
        Command::Run(args) => cli::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Load(args) => cli::load(args).await.map(|()| ExitCode::SUCCESS),
        Command::Verify(args) => cli::verify(args).await,
    }
}
