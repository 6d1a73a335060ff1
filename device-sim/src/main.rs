//! The command line of the simulator.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use device_sim::{Broker, Fleet, Kind, Login, Options, Protocol, Qos, Rate, Report};
use tracing_subscriber::EnvFilter;

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
}

#[derive(Args)]
struct Connect {
    /// The broker, as mqtt://host:port (without TLS)
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    broker: Broker,
    /// The version of MQTT
    #[arg(long, value_enum, default_value = "5")]
    mqtt: Version,
    /// 0, 1 or 2
    #[arg(long, value_enum, default_value = "1")]
    qos: QosLevel,
    /// The same seed gives the same devices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Log in as this user on all connections; without it, each with its device's id as username
    #[arg(long, conflicts_with = "anonymous")]
    username: Option<String>,
    /// The password that goes with the username or, without one, with every device id
    #[arg(long, conflicts_with = "anonymous")]
    password: Option<String>,
    /// Log in without a username
    #[arg(long)]
    anonymous: bool,
    /// Unacknowledged messages a connection may have, 1 to 100
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100))]
    window: u16,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    connect: Connect,
    /// Which fleet
    #[arg(long, value_enum, default_value = "demo")]
    fleet: FleetName,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
}

#[derive(Args)]
struct LoadArgs {
    #[command(flatten)]
    connect: Connect,
    /// What the devices are
    #[arg(long, value_enum, default_value = "car")]
    kind: KindName,
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
    /// Write the report to this file as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "5")]
    V5,
    #[value(name = "3.1.1")]
    V3_1_1,
}

#[derive(Clone, Copy, ValueEnum)]
enum QosLevel {
    #[value(name = "0")]
    Zero,
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
}

#[derive(Clone, Copy, ValueEnum)]
enum FleetName {
    Demo,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindName {
    Car,
    Tracker,
    Thermostat,
    Product,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Rate::Max),
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Rate::PerSecond(rate)),
        _ => Err("give a number of messages a second above 0, or max".into()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    match Cli::parse().command {
        Command::Run(args) => run(args).await,
        Command::Load(args) => load(args).await,
    }
}

async fn run(args: RunArgs) -> Result<()> {
    let fleet = match args.fleet {
        FleetName::Demo => Fleet::demo(args.connect.seed),
    };
    let mut options = args.connect.options()?;
    if let Some(limit) = args.seconds {
        options.duration = Some(seconds(limit)?);
        options.settle = Duration::from_secs(10);
    }
    options.progress = Some(Duration::from_secs(10));
    let report = device_sim::run(fleet, options, interrupted()).await;
    print!("{report}");
    ensure_connected(&report)
}

async fn load(args: LoadArgs) -> Result<()> {
    let kind = match args.kind {
        KindName::Car => Kind::Car,
        KindName::Tracker => Kind::Tracker,
        KindName::Thermostat => Kind::Thermostat,
        KindName::Product => Kind::Product,
    };
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
    options.progress = Some(Duration::from_secs(5));
    options.acked = args.acked.as_deref().map(append_to).transpose()?;
    let fleet = Fleet::load(kind, args.devices as usize, &prefix, args.rate, args.connect.seed);
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

impl Connect {
    fn options(&self) -> Result<Options> {
        let mut options = Options::new(self.broker.clone());
        options.protocol = match self.mqtt {
            Version::V5 => Protocol::V5,
            Version::V3_1_1 => Protocol::V3_1_1,
        };
        options.qos = match self.qos {
            QosLevel::Zero => Qos::AtMostOnce,
            QosLevel::One => Qos::AtLeastOnce,
            QosLevel::Two => Qos::ExactlyOnce,
        };
        options.window = self.window;
        options.login = match (&self.username, &self.password) {
            _ if self.anonymous => Login::Anonymous,
            (None, password) => Login::Device { password: password.clone() },
            (Some(name), Some(password)) => {
                Login::User { name: name.clone(), password: password.clone() }
            }
            (Some(_), None) => bail!("--username needs --password"),
        };
        Ok(options)
    }
}

fn seconds(seconds: f64) -> Result<Duration> {
    ensure!((0.0..=3.2e7).contains(&seconds), "{seconds} seconds: give 0 to 32000000 (a year)");
    Ok(Duration::from_secs_f64(seconds))
}

fn append_to(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot append to {}", path.display()))
}

fn ensure_connected(report: &Report) -> Result<()> {
    if report.connects == 0 {
        let error = report.last_error.as_deref().unwrap_or("no connection was up in time");
        bail!("never connected to the broker: {error}");
    }
    Ok(())
}

/// Completes when the process is asked to stop.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without signals, the process just ends.
    tokio::signal::ctrl_c().await.ok();
}
