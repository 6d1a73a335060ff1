//! Serving: everything is wired here, in the order data takes, and taken down in it too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dashboards::{App, Info, Limits, Ports, Webhook};
use deliver::influx::Influx;
use deliver::webhooks::{Endpoint, WebhookReport, Webhooks};
use enrich::World;
use enrich::places::{Areas, Atlas, risk_areas};
use enrich::registry::{Entry, RegistryFile};
use ingest::broker::{Account, BrokerOptions, Credentials, TokenHash};
use ingest::source::Sources;
use ingest::tls::Tls;
use ingest::{Arrival, Clock};
use journal::{Followers, Health, Journal, Quarantine, SharedRegistry, Started};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, writing_to_influx};
use crate::front::{Front, Home, Sides};
use crate::{certificates, rules, weather};

/// The registry of the demo.
const DEMO_REGISTRY: &str = include_str!("../registry.toml");

/// How long the simulated fleet may take to leave.
const SIMULATION_LEAVES: Duration = Duration::from_millis(800);

/// Serves until it is told to stop, or until the journal fails for good.
pub(crate) async fn run(config: &Config) -> Result<ExitCode> {
    let clock = clock(config);
    // Who asks before it is done waits for it: nobody does in the first half second.
    std::thread::Builder::new().name("places".to_owned()).spawn(enrich::places::warm)?;
    let started = tokio::task::block_in_place(|| open_journal(config, clock.clone()))?;
    let Started { journal, arrivals } = started;
    let listener = listen(config.http.listen).await?;
    let http = listener.local_addr().context("the web server's address")?;
    let tls = config.tls_ports()?;
    let certificates = tls.shown();
    let tls_listener = match tls.http {
        Some((addr, tls)) => Some((listen(addr).await?, tls)),
        None => None,
    };
    let sides = sides(config, journal.registry(), tls.mqtt)?;
    let quarantine = quarantine(config, &journal, &arrivals)?;
    let influx = influx(config, &journal, &clock)?;
    let asking = weather::ask(config, &journal, &clock)?;
    let front = Front::start(sides, clock.clone(), arrivals, journal.clone())?;
    let mqtt = match front.addr {
        Some(addr) => addr,
        None => first_broker(config).await,
    };
    let endpoints = endpoints(config, &journal.registry().read())?;
    let (stop, stopped) = watch::channel(false);
    let webhooks = Webhooks::new(endpoints.clone(), &journal, &clock);
    let app = App {
        live: journal.live(),
        reader: journal.reader(),
        quarantine,
        journal: journal.clone(),
        webhooks: endpoints.into_iter().zip(webhooks.reports()).map(shown).collect(),
        operators: operators(config),
        registry: journal.registry(),
        broker: front.state.clone(),
        refusals: front.refusals.clone(),
        influx: influx.as_ref().map(Influx::report),
        weather: asking.statuses.clone(),
        info: Info { version: env!("CARGO_PKG_VERSION"), mqtt, started_ms: clock.now_ms() },
        clock,
    };
    let webhooks = tokio::spawn(webhooks.run(stopped.clone()));
    let ports = Ports {
        plain: listener,
        tls: tls_listener,
        limits: Limits::within(ingest::broker::open_files()),
    };
    let mut page = tokio::spawn(dashboards::serve(ports, app, until(stopped.clone())));
    if !certificates.is_empty() {
        tokio::spawn(certificates::watch(certificates, stopped.clone()));
    }
    if let Some(dir) = &config.rules.dir {
        let relevance = config.relevance.parsed()?;
        tokio::spawn(rules::watch(dir.clone(), relevance, journal.clone(), stopped.clone()));
    }
    let writing = influx.map(|influx| tokio::spawn(influx.run(stopped.clone())));
    let simulation =
        config.sim.enabled.then(|| tokio::spawn(simulate(mqtt, config.sim.seed, stopped)));
    welcome(config, mqtt, http);

    let mut health = journal.live().health();
    let code = tokio::select! {
        () = told_to_stop() => ExitCode::SUCCESS,
        failed = health.wait_for(|health| matches!(health, Health::Failed { .. })) => {
            if let Ok(failed) = failed
                && let Health::Failed { reason } = &*failed
            {
                eprintln!("error: the journal failed: {reason}");
            }
            ExitCode::FAILURE
        }
        ended = &mut page => {
            ended.context("the web server panicked")??;
            ExitCode::FAILURE
        }
    };

    tracing::info!("stopping");
    drop(asking);
    stop.send_replace(true);
    if let Some(mut simulation) = simulation
        && tokio::time::timeout(SIMULATION_LEAVES, &mut simulation).await.is_err()
    {
        simulation.abort();
    }
    if let Some(writing) = writing
        && writing.await.is_err()
    {
        tracing::error!(
            "the output to InfluxDB panicked; it goes on where it was at the next start"
        );
    }
    front.stop().await;
    webhooks.await.context("the webhooks panicked")?;
    let drained = journal.clone();
    tokio::task::spawn_blocking(move || drained.join()).await.context("the journal's end")?;
    if !page.is_finished() {
        page.await.context("the web server panicked")??;
    }
    let counts = journal.live().counts();
    tracing::info!(stored = counts.stored, triggers = counts.triggers_released, "stopped");
    Ok(code)
}

fn clock(config: &Config) -> Clock {
    match config.clock.start {
        Some(start) => Clock::scaled(start.as_millisecond(), config.clock.speed),
        None if config.clock.speed == 1.0 => Clock::system(),
        None => Clock::scaled(Clock::system().now_ms(), config.clock.speed),
    }
}

pub(crate) fn open_journal(config: &Config, clock: Clock) -> Result<Started> {
    let followers = config.influx.as_ref().map(|influx| Followers {
        outputs: vec![deliver::influx::OUTPUT],
        most_bytes: influx.backlog_bytes(),
        delete: influx.delete,
    });
    let (weather, named) = weather::feed(config)?;
    let started = Journal::start(journal::Options {
        dir: config.data.dir.clone(),
        seed: seed_apart(config)?,
        world: World { atlas: atlas(config)?, weather },
        weather: named,
        weather_wait_ms: config.weather.wait.as_millis() as i64,
        rules: rules::load(config.rules.dir.as_deref(), config.relevance.parsed()?)?,
        clock,
        horizon_ms: config.journal.horizon.as_millis() as i64,
        retention: config.retention.parsed(),
        claim_wait_ms: config.journal.claim_wait.as_millis() as i64,
        max_batch: config.journal.max_batch,
        log_readings: journal::LOG_READINGS,
        followers: followers.unwrap_or_default(),
    })?;
    Ok(started)
}

/// What the core looks things up in.
pub(crate) fn world(config: &Config) -> Result<World> {
    Ok(World { atlas: atlas(config)?, weather: weather::feed(config)?.0 })
}

fn atlas(config: &Config) -> Result<Atlas> {
    let mut atlas = Atlas::load();
    if let Some(file) = &config.places.risk_areas {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        atlas.set_areas(Areas::new(risk_areas(&text).context(name)?));
    }
    Ok(atlas)
}

fn influx(config: &Config, journal: &Journal, clock: &Clock) -> Result<Option<Influx>> {
    let Some(table) = &config.influx else { return Ok(None) };
    Ok(Some(Influx::new(&table.options()?, journal.clone(), clock.clone())?))
}

/// Reads the registry's file on a thread that ends then. A large one is some hundred bytes an entry
/// while it is checked and written; the allocator gives a thread a heap of its own, and that heap
/// back to the system once it is empty.
fn seed_apart(config: &Config) -> Result<Vec<Entry>> {
    std::thread::scope(|scope| scope.spawn(|| seed(config)).join())
        .map_err(|_| anyhow::anyhow!("reading the registry's file panicked; report this"))?
}

fn seed(config: &Config) -> Result<Vec<Entry>> {
    let Some(file) = &config.data.registry else {
        return RegistryFile::parse(DEMO_REGISTRY).context("the demo's registry");
    };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    RegistryFile::parse(&text).context(name)
}

fn sides(
    config: &Config,
    registry: SharedRegistry,
    tls: Option<(SocketAddr, Tls)>,
) -> Result<Sides> {
    let collectors = config.collectors()?;
    for (user, _) in collectors.iter().filter_map(|collector| collector.login.as_ref()) {
        let known = registry.read();
        if known.device(user).is_some() || known.insurer(user).is_some() {
            bail!(
                "a device or insurer has the id \"{user}\", with which Datanaut logs in at a broker to \
                 collect: set another username in [[collector]], or give that one another id"
            );
        }
    }
    let home = match collectors.first() {
        Some(first) if !config.mqtt.embedded => {
            let (user, password) = first.login.clone().unwrap_or_default();
            Home::Elsewhere(deliver::Options {
                host: first.host.clone(),
                port: first.port,
                user,
                password,
            })
        }
        _ => {
            let options = BrokerOptions {
                listen: config.mqtt.addr(),
                port_auto: config.mqtt.port_auto(),
                max_clients: config.mqtt.max_clients.map(Into::into),
                tls,
                anonymous: config.mqtt.anonymous,
                credentials: credentials(registry),
            };
            Home::Embedded(options, config.embedded_sources()?)
        }
    };
    Ok(Sides { home, collectors })
}

fn endpoints(config: &Config, registry: &enrich::registry::Registry) -> Result<Vec<Endpoint>> {
    let endpoints = config.endpoints()?;
    for endpoint in &endpoints {
        if registry.insurer(&endpoint.insurer).is_none() {
            let Endpoint { name, insurer, .. } = endpoint;
            tracing::warn!(%name, insurer, "a webhook's insurer is not in the registry: nothing goes there");
        }
    }
    Ok(endpoints)
}

fn shown((endpoint, report): (Endpoint, watch::Receiver<WebhookReport>)) -> Webhook {
    let Endpoint { name, insurer, url, products, .. } = endpoint;
    Webhook { name, insurer, url, products, report }
}

/// The quarantine, with the sources of every broker that messages come through.
fn quarantine(
    config: &Config,
    journal: &Journal,
    arrivals: &mpsc::Sender<Arrival>,
) -> Result<Quarantine> {
    let brokers: HashMap<String, Sources> = config.all_sources()?.into_iter().collect();
    let decode = move |broker: &str, topic: &str, payload: &_, received_ms| {
        Some(brokers.get(broker)?.read(topic, payload, received_ms))
    };
    Ok(Quarantine::new(arrivals, journal.registry(), decode))
}

/// Where devices publish when no broker is embedded; unspecified while its name means nothing here.
async fn first_broker(config: &Config) -> SocketAddr {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let Some(first) = config.collector.first() else { return unknown };
    match tokio::net::lookup_host(format!("{}:{}", first.url.host, first.url.port)).await {
        Ok(mut addresses) => addresses.next().unwrap_or(unknown),
        Err(_) => unknown,
    }
}

fn operators(config: &Config) -> Vec<dashboards::Operator> {
    let operators = config.http.operator.iter().cloned();
    let operators = operators.map(|operator| dashboards::Operator {
        name: operator.name,
        token_sha256: operator.token_sha256.to_ascii_lowercase(),
        role: operator.role,
    });
    operators.collect()
}

/// Who the registry knows, as it is at that moment.
fn credentials(registry: SharedRegistry) -> Credentials {
    let hash = |digits: &Option<String>| digits.as_deref().and_then(TokenHash::from_hex);
    Credentials::new(move |id| {
        let registry = registry.read();
        if let Some(insurer) = registry.insurer(id) {
            return Some((Account::Insurer(insurer.id.clone()), hash(&insurer.token_sha256)));
        }
        let device = &registry.device(id)?.device;
        Some((Account::Device(device.id.clone()), hash(&device.token_sha256)))
    })
}

async fn listen(addr: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(addr).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {} on {} is taken by another program; choose another with --http {}:PORT",
            addr.port(),
            addr.ip(),
            addr.ip()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {addr} for the page")),
    }
}

/// The demo's fleet, as devices anywhere would be: over MQTT.
async fn simulate(broker: SocketAddr, seed: u64, stopped: watch::Receiver<bool>) {
    let broker =
        device_sim::Broker { host: broker.ip().to_string(), port: broker.port(), tls: false };
    let fleet = device_sim::Fleet::demo(seed);
    let report = device_sim::run(fleet, device_sim::Options::new(broker), until(stopped)).await;
    tracing::debug!(?report, "the simulated fleet has left");
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone says stop as well.
    if stopped.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("stopping: nobody is left to say so");
    }
}

async fn told_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = interrupt => {
            if let Err(error) = result {
                tracing::warn!(%error, "Ctrl-C cannot be caught; stop with SIGTERM");
                std::future::pending::<()>().await;
            }
        }
        () = terminate => {}
    }
}

/// What runs where, and one thing to try.
fn welcome(config: &Config, mqtt: SocketAddr, http: SocketAddr) {
    let dir = config.data.dir.display();
    println!("Datanaut {} is up", env!("CARGO_PKG_VERSION"));
    println!("  page     http://{http}");
    if config.mqtt.embedded {
        println!("  MQTT     mqtt://{mqtt}   (devices publish on telemetry/{{kind}}/{{device}})");
    }
    if let Some(addr) = config.mqtt.tls_listen {
        println!("  MQTT     mqtts://{addr}");
    }
    if let Some(addr) = config.http.tls_listen {
        println!("  page     https://{addr}");
    }
    for collector in &config.collector {
        println!("  collects from {}", collector.url);
    }
    println!("  journal  {dir}");
    if let Some(influx) = writing_to_influx(config) {
        println!("  {influx}");
    }
    println!("  weather  {}", config.weather.summary());
    match config.sim.enabled {
        true => println!("  fleet    simulated: 12 cars, 8 trackers, 10 thermostats, 10 products"),
        false => println!("  fleet    none simulated (--no-sim)"),
    }
    println!();
    println!("Try next, and wait for somebody to cross a border:");
    println!("  mosquitto_sub -h {} -p {} -t 'triggers/#' -v", mqtt.ip(), mqtt.port());
    println!("Ctrl-C stops.");
}
