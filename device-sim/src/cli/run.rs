//! `device-sim run`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use device_sim::{Fleet, Part, Scenario, Settings, Show, bench, page, part};

use super::connect::{Connect, append_to, create, ensure_connected, interrupted, seconds};

#[derive(Args)]
pub(crate) struct RunArgs {
    /// smoke, morning-rush, winter-week, reconnect-storm, soak, open-day, crowd, or a TOML file; without one, the
    /// demo fleet as it lives
    scenario: Option<String>,
    #[command(flatten)]
    connect: Connect,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Write down what happens and ought to be noticed, for `device-sim verify`
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Append a line `device ts seq` for each message of QoS 1 or 2, once it is acknowledged
    #[arg(long, value_name = "FILE")]
    acked: Option<PathBuf>,
    #[command(flatten)]
    scenario_args: ScenarioArgs,
}

/// Only with a scenario.
#[derive(Args)]
struct ScenarioArgs {
    /// So many times the devices and the load of the scenario
    #[arg(long, default_value_t = 1.0, requires = "scenario")]
    scale: f64,
    /// The server's HTTP side, for its totals and its clock, as in http://127.0.0.1:8080
    #[arg(long, requires = "scenario", value_name = "URL")]
    http: Option<String>,
    /// How long to wait for triggers that are missing when all is published
    #[arg(long, default_value_t = 30.0, requires = "scenario", value_name = "SECONDS")]
    grace: f64,
    /// Write the claims that insurers report to this file, a message with its topic a line; for
    /// scenarios with [claims]
    #[arg(long, requires = "scenario", value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Keep the triggers that come in this file
    #[arg(long, requires = "scenario", value_name = "FILE")]
    record: Option<PathBuf>,
    /// Publish from so many processes of their own
    #[arg(long, default_value_t = 1, requires = "scenario",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    processes: u16,
    /// One of those processes
    #[arg(long, hide = true, requires = "scenario")]
    part: Option<Part>,
    /// Write the report to this file as JSON
    #[arg(long, requires = "scenario", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report to this file as a page
    #[arg(long, requires = "scenario", value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) async fn run(args: RunArgs) -> Result<ExitCode> {
    match &args.scenario {
        Some(name) => run_scenario(name, &args).await,
        None => run_demo(&args).await,
    }
}

async fn run_demo(args: &RunArgs) -> Result<ExitCode> {
    let mut options = args.connect.options()?;
    if let Some(limit) = args.seconds {
        options.duration = Some(seconds(limit)?);
        options.settle = Duration::from_secs(10);
    }
    options.ledger = args.ledger.as_deref().map(create).transpose()?;
    options.acked = args.acked.as_deref().map(append_to).transpose()?;
    options.progress = Show::People { every: Duration::from_secs(10) };
    let report = device_sim::run(Fleet::demo(args.connect.seed()), options, interrupted()).await;
    print!("{report}");
    ensure_connected(&report)?;
    Ok(ExitCode::SUCCESS)
}

async fn run_scenario(name: &str, args: &RunArgs) -> Result<ExitCode> {
    let scenario = Scenario::load(name)?;
    let more = &args.scenario_args;
    ensure!(more.claims.is_none() || scenario.claims.is_some(), "{name} has no [claims]");
    ensure!(more.scale > 0.0 && more.scale <= 1_000.0, "--scale {}: give 0 to 1000", more.scale);
    let mut options = args.connect.options()?;
    if more.part.is_none() {
        options.ledger = args.ledger.as_deref().map(create).transpose()?;
    }
    options.acked = args.acked.as_deref().map(append_to).transpose()?;
    options.progress = match more.part {
        None => Show::People { every: Duration::from_secs(5) },
        Some(_) => Show::Parent,
    };
    let settings = Settings {
        name: name.to_owned(),
        scale: more.scale,
        seed: args.connect.seed,
        seconds: args.seconds.map(seconds).transpose()?,
        protocol: args.connect.mqtt.clone(),
        qos: args.connect.qos.clone(),
        window: args.connect.window,
        connect_rate: args.connect.connect_rate,
        http: more.http.clone(),
        grace: seconds(more.grace)?,
        command: command_line(),
        record: match more.part {
            None => more.record.as_deref().map(create).transpose()?,
            Some(_) => None,
        },
        claims: match more.part {
            None => more.claims.as_deref().map(create).transpose()?,
            Some(_) => None,
        },
        processes: more.processes.into(),
    };
    if let Some(which) = more.part {
        part(&scenario, &settings, options, which).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing::info!(about = scenario.about, "{name}");
    let outcome = bench(&scenario, settings, options, interrupted()).await?;
    print!("{outcome}");
    if let Some(path) = &more.report {
        serde_json::to_writer_pretty(create(path)?, &outcome).context("the report")?;
    }
    if let Some(path) = &more.html {
        std::fs::write(path, page(&outcome))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if outcome.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As it was typed, without what nobody else should see.
fn command_line() -> String {
    let mut words = vec!["device-sim".to_owned()];
    let mut secret = false;
    for word in std::env::args().skip(1) {
        let shown = match word.split_once('=') {
            _ if secret => "...".to_owned(),
            Some(("--password", _)) => "--password=...".to_owned(),
            _ => word.clone(),
        };
        secret = word == "--password";
        words.push(shown);
    }
    words.join(" ")
}
