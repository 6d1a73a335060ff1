//! What people and programs look at: the HTTP API, the live stream and the web page.
//!
//! It only reads, but for the quarantine and dead letters, which somebody has to clear. Whatever
//! asks goes [`serve`] → `listener` (how many may come, and how long they may take) → `door` (who
//! may ask, and the headers every answer gets) → `who` (whose token it is) → one of: `health` (is it
//! up, may it be used), `metrics` (for Prometheus), `api` (JSON under `/v1`), `stream` (the same,
//! pushed), `page` (what a person sees). `asked` reads what people
//! write, `wire` writes readings as devices do, `pace` measures rates, `basemap` draws the map's
//! ground. docs/http.md has the shapes.

mod api;
mod asked;
mod basemap;
mod contracts;
mod door;
mod health;
mod listener;
mod login;
mod me;
mod metrics;
mod page;
mod pace;
mod problem;
mod rates;
mod reads;
mod status;
mod stream;
mod timely;
mod who;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deliver::influx::InfluxReport;
use deliver::requests::Refusals;
use deliver::webhooks::WebhookReport;
use ingest::Clock;
use ingest::tls::Tls;
use ingest::weather::FeedStatuses;
use journal::{Journal, Live, Quarantine, Reader, SharedRegistry};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};

pub use health::BrokerState;
pub use listener::Limits;
pub use login::{Operator, Role, new_token};

use api::triggers::Waiting;
use basemap::Basemap;
use listener::Places;
use login::Login;
use rates::Rates;
use reads::Reads;
use stream::Feed;

/// How long answers under way may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(2);

/// What there is to show.
#[derive(Clone, Debug)]
pub struct App {
    pub live: Arc<Live>,
    pub reader: Reader,
    pub quarantine: Quarantine,
    /// Changes the registry, and what is recorded of endpoints.
    pub journal: Journal,
    /// Insurers' endpoints.
    pub webhooks: Arc<[Webhook]>,
    pub registry: SharedRegistry,
    /// Whether devices can publish now.
    pub broker: watch::Receiver<BrokerState>,
    /// Requests for triggers that got none, over MQTT as here.
    pub refusals: Refusals,
    /// How the output to InfluxDB goes, if there is one.
    pub influx: Option<watch::Receiver<InfluxReport>>,
    /// How the weather feeds fare.
    pub weather: FeedStatuses,
    /// Who may look and change things; none where the address is only this machine's.
    pub operators: Vec<Operator>,
    pub clock: Clock,
    pub info: Info,
}

/// An endpoint that an insurer's triggers are posted to.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub name: Arc<str>,
    pub insurer: String,
    pub url: String,
    /// None: all.
    pub products: Vec<String>,
    pub report: watch::Receiver<WebhookReport>,
}

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Info {
    pub version: &'static str,
    /// Where devices and insurers connect.
    pub mqtt: SocketAddr,
    pub started_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the web server lost its address: {0}; choose an address of this machine")]
    Listen(std::io::Error),
}

/// What a request has at hand.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) reads: Reads,
    pub(crate) feed: Feed,
    pub(crate) basemap: Basemap,
    /// Held by whoever works on the quarantine: one page of it is in memory at a time.
    pub(crate) clinic: Mutex<()>,
    /// Those who wait for triggers.
    pub(crate) waiting: Waiting,
    pub(crate) login: Login,
    pub(crate) rates: Rates,
}

/// Where requests come in.
#[derive(Debug)]
pub struct Ports {
    pub plain: TcpListener,
    pub tls: Option<(TcpListener, Tls)>,
    pub limits: Limits,
}

/// Answers requests until `shutdown`; then ends the live streams, lets answers under way finish
/// for at most two seconds, and returns.
pub async fn serve(
    ports: Ports,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let addr = ports.plain.local_addr().map_err(ServeError::Listen)?;
    let (ending, mut ended) = watch::channel(false);
    let site = Arc::new(Site {
        reads: Reads::new(app.reader.clone()),
        feed: Feed::new(&app),
        basemap: Basemap::default(),
        clinic: Mutex::default(),
        waiting: Waiting::new(ended.clone()),
        login: Login::new(app.operators.clone()),
        rates: Rates::default(),
        app,
    });
    let news = tokio::spawn(stream::run(Arc::clone(&site)));
    let stop = {
        let site = Arc::clone(&site);
        async move {
            shutdown.await;
            site.feed.end();
            ending.send_replace(true);
        }
    };
    tokio::spawn(stop);
    let places = Places::new(ports.limits);
    let on = |listener, tls, addr| {
        let router = door::router(Arc::clone(&site), addr, ports.limits.body);
        listener::serve(listener, tls, router, Arc::clone(&places), ended.clone())
    };
    let plain = on(ports.plain, None, addr);
    let encrypted = match ports.tls {
        Some((listener, tls)) => {
            let addr = listener.local_addr().map_err(ServeError::Listen)?;
            Some(on(listener, Some(tls), addr))
        }
        None => None,
    };
    let served = async {
        match encrypted {
            Some(encrypted) => drop(tokio::join!(plain, encrypted)),
            None => plain.await,
        }
    };
    let drained = async {
        // An error means that the server is gone already.
        ended.wait_for(|ended| *ended).await.ok();
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = served => {}
        () = drained => tracing::warn!("left slow readers of the web server behind"),
    }
    news.abort();
    Ok(())
}
