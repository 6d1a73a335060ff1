//! Where requests come in: a plain port, and one for TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use ingest::tls::{Tls, TlsStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Handshakes under way; whoever comes then waits in the system's queue.
const HANDSHAKES: usize = 256;

/// Connections whose handshake is done and which nobody has taken yet.
const READY: usize = 64;

/// Where files run out, accepting fails at once, again and again.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Where a request comes from, on either port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for From {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for From {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Makes handshakes beside each other, so that a slow one keeps nobody waiting.
pub(crate) struct TlsListener {
    addr: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, tls: Tls) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let (done, ready) = mpsc::channel(READY);
        Ok(Self { addr, ready, accepting: tokio::spawn(accept(listener, tls, done)) })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task only ends with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

async fn accept(
    listener: TcpListener,
    tls: Tls,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        if handshakes.len() >= HANDSHAKES {
            handshakes.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, from)) => {
                let (tls, done) = (tls.clone(), done.clone());
                handshakes.spawn(async move {
                    match tls.accept(stream).await {
                        // An error says that nobody serves any more.
                        Ok(stream) => drop(done.send((stream, from)).await),
                        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the page takes no connection; raise the limit on open files");
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }
}
