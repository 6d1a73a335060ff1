//! Runs a scenario: listens, publishes, watches the server, and judges.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::broker::Broker;
use crate::claims::claim_line;
use crate::limits::Limits;
use crate::listen::Listener;
use crate::options::Options;
use crate::outcome::{Machine, Outcome, ServerSide};
use crate::parts::Processes;
use crate::publish::run_in_full;
use crate::replay::publish_lines;
use crate::scenario::Scenario;
use crate::server::{Identity, Server, Totals};
use crate::settings::{BenchError, Settings};
use crate::setup::Setup;
use crate::shared::now_ms;
use crate::trips::Trip;
use crate::truth::Truth;
use crate::watcher::Watcher;

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
    let fleet = scenario.fleet(settings.scale, seed)?;
    // One without devices would have nothing to do.
    let processes = settings.processes.min(fleet.len());
    let setup = Setup::of(scenario, &options, processes, identity.as_ref());
    let listener = match scenario.verify {
        true => Some(Listener::start(&options, settings.record.take()).await?),
        false => None,
    };
    let watcher = Watcher::start(port_of_server(&settings, &options.broker));
    let insurer = options.connect_only();
    let started_at = Timestamp::now();
    options.planned = book_trips(scenario, &settings, &options, &insurer).await?;
    let mut run = if processes > 1 {
        let processes = Processes::like_this(processes);
        processes.run(options.ledger.take(), options.planned, options.progress, shutdown).await?
    } else {
        run_in_full(fleet, options, shutdown).await
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

/// What the insurer reports, a message a line.
fn claim_lines(truths: &[Truth], insurer: &str) -> String {
    let lines = truths.iter().filter_map(|truth| claim_line(truth, insurer));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Reports the trips that people booked, and says what is to be told of them.
async fn book_trips(
    scenario: &Scenario,
    settings: &Settings,
    options: &Options,
    insurer: &Options,
) -> Result<Vec<Truth>, BenchError> {
    let start_ms = options.clock_start.map_or_else(now_ms, |at| at.ms);
    let lasts = options.duration.unwrap_or_default().mul_f64(options.clock_speed);
    let trips = scenario.trips(settings.scale, start_ms, lasts);
    let name = scenario.insurer();
    let lines: String = trips.iter().map(|trip| format!("{}\n", trip.line(name))).collect();
    if !lines.is_empty() {
        publish_lines(&lines, insurer, name).await.map_err(BenchError::Report)?;
    }
    Ok(trips.iter().map(Trip::truth).collect())
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
