//! Where requests come in: a plain port, and one for TLS. Nobody keeps others out, by coming too
//! often, by taking their time, or by staying.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ingest::tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::rates::network;
use crate::timely::Timely;

/// Most connections, where files are plenty: all that may watch and wait, and as many again.
const CONNECTIONS: usize = 400;

/// Where files run out, accepting fails at once, again and again.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Where a request comes from, on either port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) SocketAddr);

/// What a client may take, of connections and of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once, on both ports together.
    pub connections: usize,
    /// Of these, from one address (of IPv6: from one /64).
    pub from_one: usize,
    /// For the head of a request, from when it could begin: so a connection is kept that long
    /// without one.
    pub head: Duration,
    /// For all of a request's body.
    pub body: Duration,
    /// Without taking anything of what is sent.
    pub taking: Duration,
}

impl Limits {
    /// Of the files that may be open the broker leaves a quarter, at most 512, to everybody else:
    /// half of these are the page's, but for some that the journal needs in any case.
    #[must_use]
    pub fn within(open_files: usize) -> Self {
        let connections = (open_files / 8).clamp(8, CONNECTIONS);
        Self {
            connections,
            from_one: connections.div_ceil(2),
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            taking: Duration::from_secs(30),
        }
    }
}

/// Who is connected, by address.
#[derive(Debug)]
pub(crate) struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    from: IpAddr,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// `None`: all are taken, or as many as an address may have.
    fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let from = network(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.by_address.get(&from).copied().unwrap_or_default();
        if taken.all >= self.limits.connections || theirs >= self.limits.from_one {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(from, theirs + 1);
        Some(Place { places: Arc::clone(self), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        match taken.by_address.get_mut(&self.from) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => drop(taken.by_address.remove(&self.from)),
        }
    }
}

/// Answers requests on one port until `ended`, and those under way to their end.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    places: Arc<Places>,
    mut ended: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end(&mut ended) => break,
        };
        match accepted {
            Ok((stream, from)) => match places.take(from.ip()) {
                Some(place) => {
                    let connection = Connection { place, from, ended: ended.clone() };
                    connections.spawn(connection.serve(stream, tls.clone(), router.clone()));
                }
                // Closed at once.
                None => tracing::debug!("the page has as many connections as it may have"),
            },
            Err(error) => {
                tracing::warn!(%error, "the page takes no connection; raise the limit on open files");
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn end(ended: &mut watch::Receiver<bool>) {
    // An error means that the server is gone already.
    ended.wait_for(|ended| *ended).await.ok();
}

struct Connection {
    place: Place,
    from: SocketAddr,
    ended: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>, router: Router) {
        // What is streamed goes out line by line.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
        }
        match tls {
            None => self.answer(stream, router).await,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => self.answer(stream, router).await,
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            },
        }
    }

    async fn answer(self, io: impl AsyncRead + AsyncWrite + Unpin + Send, router: Router) {
        let Self { place, from, mut ended } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(From(from)));
            let answer = router.call(request);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let limits = place.places.limits;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .serve_connection(TokioIo::new(Timely::new(io, limits.taking)), service);
        let mut connection = pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            () = end(&mut ended) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection to the page ended before its time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_to_others() {
        let places = Places::new(Limits { connections: 3, from_one: 2, ..Limits::within(1_024) });
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let mut theirs: Vec<_> = (0..3).filter_map(|_| places.take(address(1))).collect();
        assert_eq!(theirs.len(), 2);
        let other = places.take(address(2));
        assert!(other.is_some() && places.take(address(3)).is_none());
        theirs.pop();
        assert!(places.take(address(3)).is_some(), "a place that was left is free");
        drop((theirs, other));
        let taken = places.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.by_address.is_empty());
    }

    #[test]
    fn there_is_room_for_all_who_watch_and_wait_where_files_are_plenty() {
        assert_eq!(Limits::within(20_000).connections, 400);
        assert_eq!(Limits::within(1_024).connections, 128);
        assert_eq!(Limits::within(0).connections, 8);
    }
}
