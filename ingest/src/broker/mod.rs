//! The embedded MQTT broker: 3.1.1 and 5 on one port, for devices and insurers' subscribers.
//!
//! A publish is decoded on its connection's task and goes into a bounded channel as an
//! [`Arrival`]; the PUBACK (for QoS 2 the PUBREC) waits until the pipeline fires the arrival's
//! acknowledgement. QoS 0 waits likewise, so a flood is held back in the sender's socket, not in
//! our memory. An arrival whose acknowledgement is dropped unfired costs the sender its
//! connection, without a PUBACK: it will send again.
//!
//! While a connection waits for a commit it sees nothing else, neither its client's leaving nor
//! a shutdown. Therefore the broker has a runtime of its own: when the journal stalls, its owner
//! calls [`Broker::drop_connections`] and starts another on the same address later.

mod access;
mod attempts;
mod connections;
mod desk;
mod encrypted;
mod limits;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use mqtt5::broker::server::BrokerShutdownHandle;
use mqtt5::broker::{BrokerConfig, MqttBroker, StorageBackendType, StorageConfig};
use tokio::runtime::{self, Runtime};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

pub use access::{Account, Credentials, Known, Login, TokenHash};

use crate::source::EMBEDDED;
use crate::tls::Tls;
use crate::{Arrival, Clock, Message};
use access::Door;
use attempts::Attempts;
use connections::Connections;
use desk::Desk;
use encrypted::Encrypted;
use limits::Limits;
pub use limits::open_files;

/// What decodes a payload, given its topic and now in milliseconds.
type Decode = Box<dyn Fn(&str, &Bytes, i64) -> Message + Send + Sync>;

/// A packet larger than this ends its connection; what is smaller and still too large for a
/// reading is quarantined or refused by name.
pub const MAX_PACKET: usize = 1 << 20;

/// Messages an MQTT 5 client may send ahead of their acknowledgements, and the most QoS 2 exchanges
/// of any client: the libraries' own limits lie between 10 and 100.
const RECEIVE_MAXIMUM: u16 = 1_024;

/// Each alias of each connection keeps a topic in memory; a device has a topic or two.
const TOPIC_ALIASES: u16 = 16;

/// An insurer has a handful of products.
const SUBSCRIPTIONS: usize = 100;

/// Messages that wait for a connected subscriber to read; beyond it QoS 0 is dropped and QoS 1
/// joins the session's queue.
const CLIENT_CHANNEL: usize = 65_536;

/// Bytes of QoS 1 triggers kept for a subscriber that is away, at about 2 kB each; the broker's
/// bound of 10,000 messages is reached about then.
const OFFLINE_BYTES: usize = 16 << 20;

/// A subscriber away for longer catches up by sequence number.
const SESSION_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How far `port_auto` looks for a free port.
const PORTS_TRIED: usize = 100;

/// Subscriptions not yet looked at; whoever falls behind learns that and sends to all.
const SUBSCRIBED_BACKLOG: usize = 256;

/// How long connections that wait for a commit may take to leave in an orderly stop.
const ORDERLY: Duration = Duration::from_secs(2);

/// How long the runtime may take to let go of everything.
const ABRUPT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Port 0 takes any free port.
    pub listen: SocketAddr,
    /// When the port is taken: use the next free one.
    pub port_auto: bool,
    /// At most this many clients; always fewer than the open-file limit has room for.
    pub max_clients: Option<usize>,
    /// A second port, for TLS; nobody there goes without a login.
    pub tls: Option<(SocketAddr, Tls)>,
    /// Believe whoever connects to the first port. On loopback only.
    pub anonymous: bool,
    pub credentials: Credentials,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "port {} on {} is taken by another program; choose another port, or `--port auto` for the next free one",
        addr.port(),
        addr.ip()
    )]
    PortTaken { addr: SocketAddr },
    #[error(
        "cannot listen on {addr}: {source}; choose an address of this machine and a port it may use"
    )]
    Listen { addr: SocketAddr, source: std::io::Error },
    #[error(
        "clients without a login are allowed on loopback only, and {addr} is reachable from elsewhere; listen on 127.0.0.1 or give every device a token"
    )]
    AnonymousBeyondLoopback { addr: SocketAddr },
    #[error("cannot start the broker's threads: {0}; raise the limit on processes")]
    Threads(std::io::Error),
    #[error("the system gives no random numbers for the internal login: {0}")]
    Random(getrandom::Error),
    #[error("the broker did not start: {0}")]
    Start(String),
}

/// Topic filters somebody has just subscribed to, wildcards and `$share` prefix included. Sent
/// when the subscription is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    pub filters: Vec<Arc<str>>,
}

/// A running broker. Dropped, it goes at once, without telling its clients.
pub struct Broker {
    runtime: Option<Runtime>,
    serving: JoinHandle<()>,
    shutdown: BrokerShutdownHandle,
    desk: Arc<Desk>,
    stop_encrypted: broadcast::Sender<()>,
    local_addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    max_clients: usize,
}

impl Broker {
    /// Returns when the broker listens; `decode` is given topic, payload and now in milliseconds.
    /// May be called from within another runtime.
    pub fn start(
        options: &BrokerOptions,
        decode: impl Fn(&str, &Bytes, i64) -> Message + Send + Sync + 'static,
        clock: Clock,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Self, BrokerError> {
        if options.anonymous && !options.listen.ip().is_loopback() {
            return Err(BrokerError::AnonymousBeyondLoopback { addr: options.listen });
        }
        let listen = free_address(options.listen, options.port_auto)?;
        let encrypted = match &options.tls {
            Some((listen, tls)) => Some((bind(*listen)?, tls.clone())),
            None => None,
        };
        let tls_addr = encrypted.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        let limits = Limits::within(limits::open_files(), options.max_clients);
        let desk = Arc::new(Desk {
            name: EMBEDDED.into(),
            door: Door {
                credentials: options.credentials.clone(),
                internal: Login::random().map_err(BrokerError::Random)?,
                anonymous: options.anonymous,
            },
            decode: Box::new(decode),
            clock,
            arrivals,
            subscribed: broadcast::Sender::new(SUBSCRIBED_BACKLOG),
            router: OnceLock::new(),
            connections: Connections::default(),
            attempts: Attempts::default(),
            stopping: AtomicBool::new(false),
        });
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(BrokerError::Threads)?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let stop_encrypted = broadcast::Sender::new(1);
        let ports = Ports { plain: listen, encrypted, stop_encrypted: stop_encrypted.clone() };
        let serving = runtime.spawn(serve(ports, limits, Arc::clone(&desk), tell));
        let started = told.recv().unwrap_or_else(|gone| Err(gone.to_string()));
        match started {
            Ok((local_addr, shutdown)) => {
                let max_clients = limits.clients;
                tracing::info!(%local_addr, max_clients, "the broker listens");
                Ok(Self {
                    runtime: Some(runtime),
                    serving,
                    shutdown,
                    desk,
                    stop_encrypted,
                    local_addr,
                    tls_addr,
                    max_clients,
                })
            }
            Err(why) => {
                runtime.shutdown_background();
                Err(BrokerError::Start(why))
            }
        }
    }

    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Of the port for TLS.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// The login with which Datanaut's own sender publishes triggers and errors.
    #[must_use]
    pub fn internal_login(&self) -> &Login {
        &self.desk.door.internal
    }

    /// What is subscribed to from now on. After a start this tells when recent triggers can be
    /// sent again; a receiver that lags has missed some and sends to all.
    #[must_use]
    pub fn subscribed(&self) -> broadcast::Receiver<Subscribed> {
        self.desk.subscribed.subscribe()
    }

    /// Drops who could not log in any more as they did: call it when a token has changed. It looks
    /// at every connection, which takes less than a microsecond each.
    pub fn recheck(&self) {
        if let Some(runtime) = &self.runtime {
            let desk = Arc::clone(&self.desk);
            runtime.spawn(async move { desk.recheck().await });
        }
    }

    /// Clients connected now.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.desk.connections.len()
    }

    /// The bound on clients in force.
    #[must_use]
    pub fn max_clients(&self) -> usize {
        self.max_clients
    }

    /// Takes no more connections, tells the clients, waits a moment for commits under way, then
    /// drops what is left. The pipeline must still be running.
    pub async fn stop(mut self) {
        self.desk.stopping.store(true, Ordering::Relaxed);
        self.shutdown.shutdown();
        // An error says that it has none.
        self.stop_encrypted.send(()).ok();
        if tokio::time::timeout(ORDERLY, &mut self.serving).await.is_err() {
            tracing::warn!(
                waiting = self.connected(),
                "dropped connections that wait for a commit"
            );
        }
        self.drop_connections();
    }

    /// Drops every connection at once, also those that wait for a commit; none of these gets a
    /// PUBACK. Returns within a second, when the port is free again.
    pub fn drop_connections(mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // A runtime cannot be waited for from a thread of another runtime.
        let dropping = std::thread::spawn(move || runtime.shutdown_timeout(ABRUPT));
        if dropping.join().is_err() {
            tracing::error!("the broker's runtime did not shut down cleanly");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Started = Result<(SocketAddr, BrokerShutdownHandle), String>;

struct Ports {
    plain: SocketAddr,
    encrypted: Option<(TcpListener, Tls)>,
    stop_encrypted: broadcast::Sender<()>,
}

async fn serve(
    ports: Ports,
    limits: Limits,
    desk: Arc<Desk>,
    tell: std::sync::mpsc::SyncSender<Started>,
) {
    let (mut broker, started, encrypted) = match open(ports, limits, desk).await {
        Ok(opened) => opened,
        Err(why) => {
            tell.send(Err(why)).ok();
            return;
        }
    };
    tell.send(Ok(started)).ok();
    let encrypted = async {
        if let Some((encrypted, listener)) = encrypted {
            encrypted.serve(listener).await;
        }
    };
    let (plain, ()) = tokio::join!(broker.run(), encrypted);
    if let Err(error) = plain {
        tracing::error!(%error, "the broker ended");
    }
}

type Opened =
    (MqttBroker, (SocketAddr, BrokerShutdownHandle), Option<(Encrypted, tokio::net::TcpListener)>);

async fn open(ports: Ports, limits: Limits, desk: Arc<Desk>) -> Result<Opened, String> {
    let config = configuration(ports.plain, limits, Arc::clone(&desk));
    let broker =
        MqttBroker::with_config(config.clone()).await.map_err(|error| error.to_string())?;
    let broker = broker.with_auth_provider(Arc::clone(&desk) as _);
    broker.resource_monitor().update_limits(limits.for_the_broker());
    desk.router.get_or_init(|| Arc::downgrade(&broker.router()));
    let addr = broker.local_addr().ok_or("it listens on no address")?;
    let shutdown = broker.shutdown_handle();
    let encrypted = match ports.encrypted {
        Some((listener, tls)) => {
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            let listener = tokio::net::TcpListener::from_std(listener);
            let encrypted = Encrypted::new(tls, desk, config, &broker, ports.stop_encrypted);
            Some((encrypted, listener.map_err(|error| error.to_string())?))
        }
        None => None,
    };
    Ok((broker, (addr, shutdown), encrypted))
}

fn configuration(listen: SocketAddr, limits: Limits, desk: Arc<Desk>) -> BrokerConfig {
    // In memory: what must survive is the journal's. The library's default is a directory where
    // the program happens to be started.
    let storage = StorageConfig::new()
        .with_backend(StorageBackendType::Memory)
        .with_max_queued_bytes_per_client(OFFLINE_BYTES);
    let mut config = BrokerConfig::new()
        .with_bind_address(listen)
        .with_max_clients(limits.clients)
        .with_max_packet_size(MAX_PACKET)
        .with_session_expiry(SESSION_KEPT)
        .with_storage(storage)
        .with_client_channel_capacity(CLIENT_CHANNEL)
        .with_server_receive_maximum(RECEIVE_MAXIMUM)
        .with_max_subscriptions_per_client(SUBSCRIPTIONS)
        .with_event_handler(desk);
    config.topic_alias_maximum = TOPIC_ALIASES;
    config
}

/// The address to listen on. Tried beforehand because the broker's own error does not tell a
/// taken port from any other failure.
fn free_address(listen: SocketAddr, port_auto: bool) -> Result<SocketAddr, BrokerError> {
    let last = if port_auto { PORTS_TRIED } else { 1 };
    let ports = (listen.port()..=u16::MAX).take(last);
    for addr in ports.map(|port| SocketAddr::new(listen.ip(), port)) {
        match bind(addr) {
            Ok(_) => return Ok(addr),
            Err(BrokerError::PortTaken { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(BrokerError::PortTaken { addr: listen })
}

fn bind(addr: SocketAddr) -> Result<TcpListener, BrokerError> {
    TcpListener::bind(addr).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BrokerError::PortTaken { addr },
        _ => BrokerError::Listen { addr, source },
    })
}
