//! The command line of the simulator.

mod cli;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use device_sim::ReplayArgs;

use cli::{CompareArgs, LoadArgs, RegistryArgs, RunArgs, VerifyArgs, WeatherArgs};

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
    /// Run a scenario, or the demo fleet until stopped (Ctrl-C)
    ///
    /// A scenario publishes, listens to triggers, looks at the server, and says whether all was as
    /// it has to be; the exit code is 1 if not. Without a scenario: the demo fleet of twelve cars
    /// that shuttle across European borders (somewhere one crosses about every 10 s), eight
    /// trackers, ten thermostats and ten products.
    #[command(after_help = "Examples:\n  \
        device-sim run smoke --http http://127.0.0.1:8080 --html smoke.html\n  \
        device-sim run morning-rush --scale 0.5 --report a.json\n  \
        device-sim run --seed 7")]
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
    /// Set the reports of two runs side by side
    Compare(CompareArgs),
    /// Give out the weather that the devices feel, as a service or a file
    Weather(WeatherArgs),
    /// Print the areas of risk that cars come through, as GeoJSON
    Areas,
    /// Publish a recorded track through any MQTT broker, as if a device sent it now
    ///
    /// GPX, OwnTracks recorder files, CSV, JSON lines and GeoJSON. Exits with 0 when everything was
    /// acknowledged.
    #[command(after_help = "Examples:\n  \
        device-sim replay drive.gpx --as car-07 --speed 60\n  \
        device-sim replay claims.jsonl --as alpina --user alpina --speed max --at recorded")]
    Replay(ReplayArgs),
    /// Print a registry for Datanaut in which the devices of a scenario have insured owners
    #[command(after_help = "Example:\n  \
        device-sim registry morning-rush > rush.toml\n  \
        datanaut --no-sim --data rush-data --registry rush.toml")]
    Registry(RegistryArgs),
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    let command = Cli::parse().command;
    if matches!(command, Command::Compare(_) | Command::Areas | Command::Registry(_)) {
        // They only print, and end with who reads them, as in `… | head`. Where there are
        // connections, a peer that leaves one must not end the process.
        sigpipe::reset();
    }
    match command {
        Command::Run(args) => cli::run(args).await,
        Command::Load(args) => cli::load(args).await.map(|()| ExitCode::SUCCESS),
        Command::Verify(args) => cli::verify(args).await,
        Command::Compare(args) => cli::compare_runs(&args).map(|()| ExitCode::SUCCESS),
        Command::Weather(args) => cli::weather(args).await.map(|()| ExitCode::SUCCESS),
        Command::Areas => cli::areas(),
        Command::Replay(args) => device_sim::replay(&args).await,
        Command::Registry(args) => cli::registry(&args).map(|()| ExitCode::SUCCESS),
    }
}
