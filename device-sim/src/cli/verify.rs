//! `device-sim verify`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use device_sim::{Clock, Heard, JUDGEABLE, Limits, Line, Recorded, Truth, Verdict, judge, listen};
use tokio::sync::watch;

use super::connect::{Connect, create, interrupted, seconds};

#[derive(Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    connect: Connect,
    /// What really happened, as `run --ledger` writes it
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Judge these triggers, as `--record` wrote them, instead of listening
    #[arg(long, value_name = "FILE")]
    triggers: Option<PathBuf>,
    /// Keep the triggers that come in this file
    #[arg(long, value_name = "FILE", conflicts_with = "triggers")]
    record: Option<PathBuf>,
    /// What to subscribe to
    #[arg(long, default_value = "triggers/#", value_name = "FILTER")]
    topic: String,
    /// Judge only devices whose ids begin so
    #[arg(long, value_delimiter = ',', value_name = "PREFIXES")]
    devices: Vec<String>,
    /// The events to judge: border_crossed; tyres_unfit and frost_risk, if the server goes by the
    /// simulated weather; claim_reported and trip_ahead, if claims and trips are reported to it as well; risk_area_entered, risk_area_left and
    /// geofence_entered, if it knows the areas and the venues
    #[arg(long, value_delimiter = ',', default_value = "border_crossed", value_name = "EVENTS")]
    events: Vec<String>,
    /// How long to wait for what is missing when the ledger has ended
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    grace: f64,
    #[command(flatten)]
    limits: LimitArgs,
    /// Write the verdict to this file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct LimitArgs {
    /// A trigger may be so many seconds off in when it happened (or two reports of the device)
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    tolerance: f64,
    /// A trigger is late when it comes so many seconds (on the wall) after it could be known
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    late: f64,
    /// The share of triggers that must be right
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    precision: f64,
    /// The share of happenings that must be found
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    recall: f64,
    /// The share of what was found that must not be late
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    in_time: f64,
}

impl LimitArgs {
    fn limits(&self, events: &[String]) -> Result<Limits> {
        let known: Vec<_> = JUDGEABLE.iter().map(|(_, event)| *event).collect();
        if let Some(other) = events.iter().find(|event| !known.contains(&event.as_str())) {
            bail!("--events {other}: give any of {}", known.join(", "));
        }
        Ok(Limits {
            events: events.to_vec(),
            tolerance: seconds(self.tolerance)?,
            late: seconds(self.late)?,
            precision: self.precision,
            recall: self.recall,
            in_time: self.in_time,
        })
    }
}

pub(crate) async fn verify(args: VerifyArgs) -> Result<ExitCode> {
    let limits = args.limits.limits(&args.events)?;
    let verdict = match &args.triggers {
        Some(file) => {
            let Ledger { truths, clock, ended } = Ledger::read(&args.ledger, &args.devices)?;
            let ledger = args.ledger.display();
            ensure!(
                ended,
                "{ledger} has no end: the run was cut off, give the ledger of a whole one"
            );
            judge(&truths, &lines::<Recorded>(file)?, &limits, clock)
        }
        None => watch_and_judge(&args, &limits).await?,
    };
    print!("{verdict}");
    if let Some(path) = &args.report {
        serde_json::to_writer_pretty(create(path)?, &verdict)?;
    }
    Ok(if verdict.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Listens until the ledger has ended and all of it was told, or the grace is over.
async fn watch_and_judge(args: &VerifyArgs, limits: &Limits) -> Result<Verdict> {
    let over = args.ledger.exists() && Ledger::read(&args.ledger, &[])?.ended;
    ensure!(!over, "{} has ended before we listened: remove it first", args.ledger.display());
    let options = args.connect.options()?;
    let record = args.record.as_deref().map(create).transpose()?;
    let (subscribed, mut ready) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let filter = args.topic.clone();
    let heard = Arc::new(Heard::default());
    let hearing = Arc::clone(&heard);
    let mut listener = tokio::spawn(async move {
        let client_id = format!("device-sim-verify-{}", std::process::id());
        listen(&options, &client_id, &filter, &hearing, record, subscribed, stopped).await
    });
    tokio::select! {
        ended = &mut listener => ended.context("the listener")??,
        _ = ready.wait_for(|&ready| ready) => {}
    }
    tracing::info!(topic = args.topic, "listening");
    tokio::select! {
        ended = ledger_ended(&args.ledger) => ended?,
        () = interrupted() => {}
    }
    tracing::info!("the ledger has ended, waiting for what is missing");
    tokio::select! {
        () = tokio::time::sleep(seconds(args.grace)?) => {}
        () = interrupted() => {}
    }
    stop.send_replace(true);
    listener.await.context("the listener")??;
    let Ledger { truths, clock, .. } = Ledger::read(&args.ledger, &args.devices)?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(judge(&truths, &heard, limits, clock))
}

async fn ledger_ended(path: &Path) -> Result<()> {
    let mut warned = Instant::now();
    loop {
        if path.exists() && Ledger::read(path, &[])?.ended {
            return Ok(());
        }
        if warned.elapsed() > Duration::from_secs(30) {
            tracing::info!(ledger = %path.display(), "waiting for the end of the ledger");
            warned = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

struct Ledger {
    truths: Vec<Truth>,
    clock: Clock,
    ended: bool,
}

impl Ledger {
    fn read(path: &Path, devices: &[String]) -> Result<Self> {
        let mut ledger = Self { truths: Vec::new(), clock: Clock::WALL, ended: false };
        for line in lines::<Line>(path)? {
            match line {
                Line::Truth(truth) => {
                    let judged = devices.is_empty()
                        || devices.iter().any(|d| truth.device.starts_with(&**d));
                    ledger.truths.extend(judged.then_some(truth));
                }
                Line::Clock(clock) => ledger.clock = clock,
                Line::End(_) => ledger.ended = true,
            }
        }
        Ok(ledger)
    }
}

/// The lines of a file; a last one that is still being written is left out.
fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let name = path.display();
    let mut reader =
        BufReader::new(File::open(path).with_context(|| format!("cannot read {name}"))?);
    let (mut all, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
        match serde_json::from_str(&line) {
            Ok(one) => all.push(one),
            Err(error) => bail!("{name}, line {}: {error}", all.len() + 1),
        }
        line.clear();
    }
    Ok(all)
}
