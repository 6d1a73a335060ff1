//! The broker's TLS port. The library has one too, but it makes handshakes one after the other
//! without a time limit, so that whoever says nothing keeps everybody out; it never reads a
//! certificate again; and it does not tell whom a client's certificate names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::DynamicStorage;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::tls_acceptor::TlsStreamWrapper;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};

use super::access::Way;
use super::desk::{Desk, Later};
use crate::tls::{Tls, client_name};

/// Where files run out, accepting fails at once, again and again.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// What its connections share with those of the plain port.
pub(super) struct Encrypted {
    tls: Tls,
    desk: Arc<Desk>,
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    storage: Option<Arc<DynamicStorage>>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    stop: broadcast::Sender<()>,
}

impl Encrypted {
    pub(super) fn new(
        tls: Tls,
        desk: Arc<Desk>,
        config: BrokerConfig,
        broker: &MqttBroker,
        stop: broadcast::Sender<()>,
    ) -> Self {
        Self {
            tls,
            desk,
            config: Arc::new(config),
            router: broker.router(),
            storage: broker.storage(),
            stats: broker.stats(),
            monitor: broker.resource_monitor(),
            stop,
        }
    }

    /// Returns when it was told to stop and the last connection has gone.
    pub(super) async fn serve(self, listener: TcpListener) {
        let this = Arc::new(self);
        let mut stopped = this.stop.subscribe();
        let (open, mut closed) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.recv() => break,
            };
            match accepted {
                Ok((stream, addr)) => {
                    if this.monitor.can_accept_connection(addr.ip()).await {
                        let (this, open) = (Arc::clone(&this), open.clone());
                        tokio::spawn(async move {
                            this.connection(stream, addr).await;
                            drop(open);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the TLS port takes no connection; raise the limit on open files");
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                }
            }
        }
        drop((listener, open));
        closed.recv().await;
    }

    async fn connection(&self, stream: TcpStream, addr: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "acknowledgements to a client may be slow");
        }
        let stream = match self.tls.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
        };
        let name = client_name(&stream).map(Into::into);
        let desk = Arc::clone(&self.desk);
        let handler = ClientHandler::new(
            BrokerTransport::tls(TlsStreamWrapper::new(stream)),
            addr,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            Arc::new(Entrance { desk, way: Way::Tls { certificate: name } }),
            self.storage.clone(),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        );
        if let Err(error) = handler.run().await {
            tracing::debug!(%error, "a connection over TLS ended");
        }
    }
}

/// The desk, as it is to a connection that has come this way.
struct Entrance {
    desk: Arc<Desk>,
    way: Way,
}

impl AuthProvider for Entrance {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Later<'a, mqtt5::Result<AuthResult>> {
        let result = self.desk.let_in(connect, from, &self.way);
        Box::pin(async move { Ok(result) })
    }

    fn authorize_publish<'a>(
        &'a self,
        client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Later<'a, bool> {
        self.desk.authorize_publish(client_id, user_id, topic)
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Later<'a, bool> {
        self.desk.authorize_subscribe(client_id, user_id, filter)
    }

    fn cleanup_session<'a>(&'a self, user_id: &'a str) -> Later<'a, ()> {
        self.desk.cleanup_session(user_id)
    }
}
