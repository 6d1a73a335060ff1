//! A journal with made-up devices, and the web server on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashboards::{App, BrokerState, Info, Limits, Ports, ServeError, Webhook, serve};
use deliver::influx::InfluxReport;
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::{Feed, Synthetic};
use ingest::source::Outcome;
use ingest::{Arrival, Clock, Reason, Rejected, Sender, formats};
use journal::{Followers, Journal, Live, Options, Quarantine};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina <Travel>"
    token = "alpina-token"
    [[insurer]]
    id = "boreal"
    name = "Boreal"
    [[fleet]]
    prefix = "car-"
    kind = "car"
    count = 40
    insurer = "alpina"
    products = ["travel"]
    since = "2020-01-01T00:00:00Z"
    home = "NL"
    covers = ["NL", "BE"]
    wording = "1"
    [[fleet]]
    prefix = "tracker-"
    kind = "tracker"
    count = 30
    insurer = "boreal"
    products = ["travel"]
    since = "2020-01-01T00:00:00Z"
    home = "DE"
    covers = ["FR", "BE"]
    wording = "1"
    [[fleet]]
    prefix = "home-"
    kind = "thermostat"
    count = 30
    insurer = "boreal"
    products = ["home"]
    since = "2020-01-01T00:00:00Z"
    wording = "1"
    [[fleet]]
    prefix = "washer-"
    kind = "product"
    count = 20
    insurer = "alpina"
    products = ["product_usage"]
    since = "2020-01-01T00:00:00Z"
    wording = "1"
"#;

pub struct Site {
    pub addr: SocketAddr,
    pub live: Arc<Live>,
    pub journal: Journal,
    pub broker: watch::Sender<BrokerState>,
    pub influx: watch::Sender<InfluxReport>,
    arrivals: mpsc::Sender<Arrival>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    _data: tempfile::TempDir,
}

impl Site {
    pub async fn start(listen: &str) -> Self {
        Self::start_with(listen, Limits::within(20_000)).await
    }

    pub async fn limited(limits: Limits) -> Self {
        Self::start_with("127.0.0.1:0", limits).await
    }

    async fn start_with(listen: &str, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let started = Journal::start(Options {
            dir: data.path().to_owned(),
            seed: RegistryFile::parse(REGISTRY).unwrap(),
            world: World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) },
            weather: "synthetic".to_owned(),
            weather_wait_ms: 5_000,
            rules: RuleSet::shipped().unwrap(),
            clock: clock.clone(),
            horizon_ms: 72 * 3_600_000,
            retention: journal::Retention::default(),
            claim_wait_ms: 3_600_000,
            max_batch: 5_000,
            log_readings: 100_000,
            followers: Followers::default(),
        })
        .unwrap();
        let journal = started.journal;
        let (broker, accepting) = watch::channel(BrokerState::Accepting);
        let (influx, influxed) = watch::channel(InfluxReport::default());
        // As if the plant's source had come after what it sent.
        let decode = |_: &str, topic: &str, payload: &Bytes, now_ms| {
            let topic = topic.replace("plant/", "telemetry/car/");
            Some(formats::decode(&topic, payload, now_ms).into())
        };
        let quarantine = Quarantine::new(&started.arrivals, journal.registry(), decode);
        let app = App {
            live: journal.live(),
            reader: journal.reader(),
            quarantine,
            journal: journal.clone(),
            webhooks: [Webhook {
                name: "alpina".into(),
                insurer: "alpina".to_owned(),
                url: "https://alpina.example/hook".to_owned(),
                products: Vec::new(),
                report: watch::Sender::default().subscribe(),
            }]
            .into(),
            operators: Vec::new(),
            registry: journal.registry(),
            broker: accepting,
            refusals: deliver::requests::Refusals::default(),
            influx: Some(influxed),
            weather: ingest::weather::FeedStatuses::default(),
            info: Info {
                version: "1.2.3",
                mqtt: "127.0.0.1:1883".parse().unwrap(),
                started_ms: clock.now_ms(),
            },
            clock,
        };
        let listener = TcpListener::bind(listen).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server =
            tokio::spawn(serve(Ports { plain: listener, tls: None, limits }, app, async {
                stopped.await.ok();
            }));
        let live = journal.live();
        Self {
            addr,
            live,
            journal,
            broker,
            influx,
            arrivals: started.arrivals,
            stop,
            server,
            _data: data,
        }
    }

    /// Publishes and returns when it is committed.
    pub async fn publish(&self, topic: &str, payload: &str) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let decoded = formats::decode(topic, &payload, Clock::system().now_ms());
        self.arrive(topic, payload, decoded).await;
    }

    /// The same, on a topic that means nothing yet.
    pub async fn quarantine(&self, topic: &str, device: &str, payload: &str) {
        let raw = Bytes::copy_from_slice(payload.as_bytes());
        let (reason, detail) = (Reason::UnknownTopic, String::new());
        let rejected = Rejected { reason, detail, raw: raw.clone() };
        self.arrive(topic, raw, Err((Some(device.into()), rejected))).await;
    }

    async fn arrive(&self, topic: &str, payload: Bytes, decoded: Outcome) {
        let now_ms = Clock::system().now_ms();
        let (acknowledge, acknowledged) = oneshot::channel();
        let arrival = Arrival {
            broker: "embedded".into(),
            topic: topic.into(),
            sender: Sender::Anonymous,
            decoded: decoded.into(),
            payload,
            retry_of: None,
            received_ms: now_ms,
            received: Instant::now(),
            acknowledge,
        };
        self.arrivals.send(arrival).await.unwrap();
        acknowledged.await.unwrap();
    }

    /// Begins the shutdown and waits for the server to end.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.server);
        ended.await.expect("the server ends").unwrap().unwrap();
    }
}
