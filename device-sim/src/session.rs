//! One MQTT session over one network connection, as light as a device: no buffer of its own while
//! nothing is under way.
//!
//! A session ends with its network connection. What is owed lives in the
//! [`Outbox`](crate::outbox::Outbox), which hands it to the next session.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use crate::options::{Options, Protocol, Qos};
use crate::packet::{self, Hello, Incoming, PacketError, Writer};
use crate::transport::{self, Io};

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("the broker hung up")]
    HungUp,
    #[error("the broker does not let us in: {0}")]
    Unwelcome(String),
    #[error("the broker lets nobody in for now: {0}")]
    Busy(String),
    #[error("the broker said goodbye: {0}")]
    Goodbye(String),
    #[error("the broker did not answer the first packet with a welcome")]
    NoWelcome,
    #[error("the broker hung up at once: if it does not speak MQTT 5, give --mqtt 3.1.1")]
    NoV5,
    #[error("the broker did not answer for {} s", PATIENCE.as_secs())]
    Silent,
}

impl SessionError {
    /// The broker is there and lets in nobody for now, as with too many newcomers at a time. Many just hang up.
    pub(crate) fn turned_away(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::NoV5) || self.is_an_end()
    }

    fn is_an_end(&self) -> bool {
        match self {
            Self::HungUp => true,
            Self::Io(error) => {
                use io::ErrorKind::{BrokenPipe, ConnectionReset};
                matches!(error.kind(), ConnectionReset | BrokenPipe)
            }
            _ => false,
        }
    }
}

/// How long a broker may take to let somebody in, or to answer a ping.
const PATIENCE: Duration = Duration::from_secs(30);
/// Publishes wait in the caller's outbox while more than this has not gone out: more would only be
/// memory.
const CLOGGED_BYTES: usize = 64 * 1024;
/// Read at once, from the stack.
const CHUNK_BYTES: usize = 8 * 1024;

/// A session that is up.
pub(crate) struct Session {
    stream: Box<dyn Io>,
    protocol: Protocol,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// TLS holds bytes back until it is flushed.
    unflushed: bool,
    /// Somebody wants to know when all has gone out.
    announce: bool,
    keep_alive: Duration,
    /// What the broker takes at once.
    pub(crate) receive_maximum: u16,
    last_sent: Instant,
    pinged: Option<Instant>,
    /// A slow reader hears nothing until then.
    pub(crate) deaf_until: Option<Instant>,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When the broker is away or does not let us in.
    pub(crate) async fn open(
        options: &Options,
        protocol: Protocol,
        source: Option<IpAddr>,
        hello: &Hello,
    ) -> Result<Self, SessionError> {
        let opening = async {
            let stream = transport::connect(&options.broker, options.tls.as_ref(), source).await?;
            let mut session = Self {
                stream,
                protocol,
                incoming: BytesMut::new(),
                outgoing: BytesMut::new(),
                unflushed: false,
                announce: false,
                keep_alive: Duration::from_secs(hello.keep_alive_s.into()),
                receive_maximum: u16::MAX,
                last_sent: Instant::now(),
                pinged: None,
                deaf_until: None,
            };
            session.writer().hello(hello);
            let answer = session.next().await;
            if protocol == Protocol::V5 && answer.as_ref().is_err_and(SessionError::is_an_end) {
                return Err(SessionError::NoV5);
            }
            match answer? {
                Incoming::Welcome { receive_maximum } => {
                    session.receive_maximum = receive_maximum;
                    Ok(session)
                }
                Incoming::Unwelcome(reason) => Err(SessionError::Unwelcome(reason)),
                Incoming::Busy(reason) => Err(SessionError::Busy(reason)),
                _ => Err(SessionError::NoWelcome),
            }
        };
        timeout(PATIENCE, opening).await.unwrap_or(Err(SessionError::Silent))
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer { protocol: self.protocol, buffer: &mut self.outgoing }
    }

    /// Sends a message, when the session is next polled. Only while not [`clogged`](Self::clogged).
    pub(crate) fn publish(&mut self, topic: &str, payload: &Bytes, qos: Qos, id: u16) {
        self.announce |= qos == Qos::AtMostOnce;
        self.writer().publish(topic, payload, qos, id);
    }

    pub(crate) fn release(&mut self, id: u16) {
        self.writer().release(id);
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.writer().subscribe(filter, qos, 1);
    }

    /// Says that a message that was received has been dealt with.
    pub(crate) fn dealt_with(&mut self, qos: Qos, id: u16) {
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.writer().ack(id),
            Qos::ExactlyOnce => self.writer().received(id),
        }
    }

    pub(crate) fn clogged(&self) -> bool {
        self.outgoing.len() > CLOGGED_BYTES
    }

    /// When [`keep_alive`](Self::keep_alive) is to be called next.
    pub(crate) fn wake(&self) -> Instant {
        match (self.pinged, self.deaf_until) {
            (_, Some(until)) => until,
            (Some(pinged), None) => pinged + PATIENCE,
            (None, None) => self.last_sent + self.keep_alive,
        }
    }

    /// Shows that we are alive, and checks that the broker is.
    ///
    /// # Errors
    /// When a ping was not answered.
    pub(crate) fn keep_alive(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.deaf_until.is_some_and(|until| now >= until) {
            self.deaf_until = None;
        }
        match self.pinged {
            Some(pinged) if now >= pinged + PATIENCE && self.deaf_until.is_none() => {
                return Err(SessionError::Silent);
            }
            None if now >= self.last_sent + self.keep_alive => {
                self.pinged = Some(now);
                self.writer().ping();
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends what waits, and gives the next packet that the caller has to know of. Nothing is lost
    /// when the future is dropped.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) async fn next(&mut self) -> Result<Incoming, SessionError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Completes when all is sent, as far as the network is concerned.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) async fn flush(&mut self) -> Result<(), SessionError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends the session in good order.
    pub(crate) async fn close(mut self) {
        self.writer().goodbye();
        // The broker may be gone before it has heard it: no loss.
        if self.flush().await.is_ok() {
            poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await.ok();
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, SessionError>> {
        loop {
            while let Some(packet) = packet::read(self.protocol, &mut self.incoming)? {
                match packet {
                    Incoming::Release(id) => self.writer().complete(id),
                    Incoming::Goodbye(reason) => {
                        return Poll::Ready(Err(SessionError::Goodbye(reason)));
                    }
                    packet => return Poll::Ready(Ok(packet)),
                }
            }
            if self.incoming.is_empty() {
                self.incoming = BytesMut::new();
            }
            // What cannot go out now goes when the network wakes us for it.
            if self.poll_flush(cx)?.is_ready() && std::mem::take(&mut self.announce) {
                return Poll::Ready(Ok(Incoming::Flushed));
            }
            if self.deaf_until.is_some() {
                return Poll::Pending;
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut read = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Err(SessionError::HungUp));
        }
        self.pinged = None;
        self.incoming.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(SessionError::HungUp));
            }
            self.outgoing.advance(written);
            self.unflushed = true;
            self.last_sent = Instant::now();
            if self.outgoing.is_empty() {
                self.outgoing = BytesMut::new();
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
