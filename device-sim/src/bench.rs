//! Runs a scenario: listens, publishes, watches the server, and judges.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::claims::claim_line;
use crate::listen::Listener;
use crate::options::{Broker, ClockStart, Mix, Options, Protocol, Qos};
use crate::outcome::{Machine, Outcome, ServerSide};
use crate::parts::Processes;
use crate::publish::run_in_full;
use crate::replay::publish_lines;
use crate::scenario::{ClockSpec, Scenario, ScenarioError};
use crate::server::{Identity, Process, Seen, Server, ServerError, Totals};
use crate::setup::Setup;
use crate::stats::lock;
use crate::truth::Truth;
use crate::verify::Limits;

/// How a scenario is run.
#[derive(Debug)]
pub struct Settings {
    /// By which name it was asked for.
    pub name: String,
    /// Times as many devices, at times the load.
    pub scale: f64,
    /// In the place of the scenario's.
    pub seed: Option<u64>,
    pub seconds: Option<Duration>,
    pub protocol: Option<Mix<Protocol>>,
    pub qos: Option<Mix<Qos>>,
    pub window: Option<u16>,
    pub connect_rate: Option<f64>,
    /// The server's HTTP side, for its totals and its clock.
    pub http: Option<String>,
    /// How long to wait for triggers that are missing.
    pub grace: Duration,
    /// Repeats the run.
    pub command: String,
    /// Keep the triggers that come.
    pub record: Option<File>,
    /// Write down the claims that insurers report, one message a line.
    pub claims: Option<File>,
    /// Publish from processes of their own.
    pub processes: Option<Processes>,
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    #[error("{0}")]
    Server(#[from] ServerError),
    #[error("the scenario goes by the server's clock: say where that is with --http")]
    NoHttp,
    #[error(
        "the server's clock runs {0:.0} times as fast, so that a greeting at a venue is of no use before it \
         arrives: start it with --clock-speed {MOST_SPEED_OF_VENUES} or less"
    )]
    TooFast(f64),
    #[error("cannot listen to triggers: {0}")]
    Listen(#[from] std::io::Error),
    #[error(
        "no broker at {0} let us listen to triggers within {1:?}: start it, or see the log for why"
    )]
    NoBroker(Broker, Duration),
    #[error("cannot write the claims: {0}")]
    Claims(std::io::Error),
    #[error("cannot report the claims: {0:#}")]
    Report(anyhow::Error),
    #[error("a process of the simulator {0}")]
    Process(String),
    #[error("a task of the simulator failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// With a fast clock the fleet's stays so much behind the server's, so that nothing seems to come
/// from the future.
const BEHIND: Duration = Duration::from_secs(3);

/// A greeting is of use for half an hour of the fleet's time: of the 18 s on the wall that this is then,
/// [`BEHIND`] takes three.
const MOST_SPEED_OF_VENUES: f64 = 100.0;

/// How long what was acknowledged may take to the server.
const SETTLE: Duration = Duration::from_secs(10);

/// Runs `scenario`, with `options` for how to reach the broker.
///
/// # Errors
/// When it cannot begin: a server that does not answer, a refused subscription.
pub async fn bench(
    scenario: &Scenario,
    mut settings: Settings,
    mut options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome, BenchError> {
    let seed = settings.seed.unwrap_or(scenario.seed);
    settings.fill(scenario, &mut options).await?;
    let server = settings.http.as_deref().map(Server::new);
    let before = totals(server.as_ref()).await?;
    let identity = identity(server.as_ref()).await?;
    let processes = settings.processes.map_or(1, Processes::count);
    let setup = Setup::of(scenario, &options, processes, identity.as_ref());
    let listener = match scenario.verify {
        true => Some(Listener::start(&options, settings.record.take()).await?),
        false => None,
    };
    let watcher = Watcher::start(port_of_server(&settings, &options.broker));
    let insurer = options.connect_only();
    let started_at = Timestamp::now();
    let mut run = match settings.processes {
        Some(processes) => {
            let processes = processes.at_most(scenario.fleet(settings.scale, seed)?.len());
            processes.run(options.ledger.take(), options.progress, shutdown).await?
        }
        None => {
            let fleet = scenario.fleet(settings.scale, seed)?;
            run_in_full(fleet, options, shutdown).await
        }
    };
    if let Some(rates) = &scenario.claims {
        let lines = claim_lines(&run.truths, &rates.insurer);
        if let Some(mut file) = settings.claims.take() {
            file.write_all(lines.as_bytes()).map_err(BenchError::Claims)?;
        }
        if scenario.verify && run.report.connects > 0 {
            let reported = publish_lines(&lines, &insurer, &rates.insurer);
            reported.await.map_err(BenchError::Report)?;
        }
    }
    let (mut own, server_seen) = watcher.stop().await;
    own.add(std::mem::take(&mut run.seen));
    let connections = run.report.connections;
    let verdict = match listener {
        Some(listener) => {
            let limits = Limits {
                events: scenario.judged_events(),
                precision: scenario.limits.precision.unwrap_or(0.0),
                recall: scenario.limits.recall.unwrap_or(0.0),
                // What has to come when, `trigger_p99_ms` says.
                in_time: 0.0,
                ..Limits::default()
            };
            Some(listener.judge(&run, &limits, settings.grace).await?)
        }
        None => None,
    };
    let after = settled(server.as_ref(), before, run.report.readings).await?;
    let mut outcome = Outcome {
        scenario: settings.name,
        about: scenario.about.clone(),
        passed: false,
        checks: Vec::new(),
        warnings: Vec::new(),
        started_at,
        seed,
        scale: settings.scale,
        command: settings.command,
        machine: Machine::here(),
        setup: Some(setup),
        warm_up_s: scenario.warm_up_s,
        report: run.report,
        verdict,
        server: Some(ServerSide {
            totals: before.zip(after).map(|(before, after)| after.since(before)),
            balanced: after.map(Totals::balanced),
            kb_per_connection: server_seen.kb_per_connection(connections),
            usage: server_seen.usage,
        }),
        seconds: run.seconds,
        own_kb_per_connection: own.kb_per_connection(connections),
        own_usage: own.usage,
    };
    outcome.judge(&scenario.limits);
    Ok(outcome)
}

impl Settings {
    /// Fills in what scenario and settings say about how to publish.
    pub(crate) async fn fill(
        &self,
        scenario: &Scenario,
        options: &mut Options,
    ) -> Result<(), BenchError> {
        scenario.apply(options)?;
        options.seed = self.seed.unwrap_or(scenario.seed);
        if let Some(protocol) = &self.protocol {
            options.protocol = protocol.clone();
        }
        if let Some(qos) = &self.qos {
            options.qos = qos.clone();
        }
        options.window = self.window.unwrap_or(options.window);
        options.connect_rate = self.connect_rate.unwrap_or(options.connect_rate);
        if let Some(seconds) = self.seconds {
            options.duration = Some(seconds);
        }
        options.keep_truths = scenario.verify || scenario.claims.is_some();
        if scenario.clock == ClockSpec::Server {
            let server = Server::new(self.http.as_deref().ok_or(BenchError::NoHttp)?);
            let (at, speed) = spawn_blocking(move || server.clock()).await??;
            let behind_ms = if speed > 1.0 { BEHIND.as_secs_f64() * 1e3 * speed } else { 0.0 };
            options.clock_start = Some(ClockStart { ms: at.ms - behind_ms as i64, ..at });
            options.clock_speed = speed;
            if scenario.venues_are_told && speed > MOST_SPEED_OF_VENUES {
                return Err(BenchError::TooFast(speed));
            }
            tracing::info!(speed, "going by the server's clock");
        }
        Ok(())
    }
}

/// What the insurer reports, a message a line.
fn claim_lines(truths: &[Truth], insurer: &str) -> String {
    let lines = truths.iter().filter_map(|truth| claim_line(truth, insurer));
    lines.map(|line| format!("{line}\n")).collect()
}

async fn identity(server: Option<&Server>) -> Result<Option<Identity>, BenchError> {
    let Some(server) = server.cloned() else { return Ok(None) };
    Ok(Some(spawn_blocking(move || server.identity()).await??))
}

async fn totals(server: Option<&Server>) -> Result<Option<Totals>, BenchError> {
    let Some(server) = server.cloned() else { return Ok(None) };
    Ok(Some(spawn_blocking(move || server.totals()).await??))
}

/// The totals when all that was acknowledged is in them, or when that has taken too long: behind
/// another broker it is still on its way for a moment.
async fn settled(
    server: Option<&Server>,
    before: Option<Totals>,
    readings: u64,
) -> Result<Option<Totals>, BenchError> {
    let asked = Instant::now();
    loop {
        let after = totals(server).await?;
        let came = before.zip(after).map(|(before, after)| after.since(before));
        if came.is_none_or(|came| came.has(readings)) || asked.elapsed() > SETTLE {
            return Ok(after);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Where the server listens, if that is on this machine; without an HTTP side, the broker is the server.
fn port_of_server(settings: &Settings, broker: &Broker) -> Option<u16> {
    let (host, port) = match &settings.http {
        None => (broker.host.clone(), broker.port),
        Some(url) => {
            let url: ureq::http::Uri = url.parse().ok()?;
            (url.host()?.to_owned(), url.port_u16().unwrap_or(80))
        }
    };
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>().ok();
    let local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    local.then_some(port)
}

/// Looks every second at what the simulator and the server use.
pub(crate) struct Watcher {
    stop: watch::Sender<bool>,
    task: JoinHandle<(Seen, Seen)>,
}

impl Watcher {
    /// Looks at this process, and at that which listens on `port`.
    pub(crate) fn start(port: Option<u16>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let mut own = Process::own();
        let own_mb = own.resident_mb().unwrap_or_default();
        let task = tokio::spawn(async move {
            // A server elsewhere is not seen.
            let find = move || Process::listening_on(port?);
            let mut server = spawn_blocking(find).await.ok().flatten();
            let server_mb = server.as_ref().and_then(Process::resident_mb).unwrap_or_default();
            let begun = |at_start_mb| Seen { at_start_mb, usage: Vec::new() };
            let seen = Mutex::new((begun(own_mb), begun(server_mb)));
            let looking = async {
                let mut every = interval(Duration::from_secs(1));
                every.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    every.tick().await;
                    let mut seen = lock(&seen);
                    seen.0.usage.extend(own.usage());
                    seen.1.usage.extend(server.as_mut().and_then(Process::usage));
                }
            };
            tokio::select! {
                () = looking => {}
                _ = stopped.wait_for(|&stop| stop) => {}
            }
            seen.into_inner().unwrap_or_default()
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> (Seen, Seen) {
        self.stop.send_replace(true);
        self.task.await.unwrap_or_default()
    }
}
