//! One connection, in either version of MQTT: bytes, pings, patience.
//!
//! All that is at hand is read before anything is written, and all that is to be said goes out in
//! one write: a broker is woken once for the acknowledgements of a whole commit.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::packet::{self, Incoming, Message, Receipt, Refusal, Unreadable, Unwritable, Version};
use super::{CollectorOptions, MAX_PACKET, Protocol};

const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a broker may take to answer a ping.
const STUCK: Duration = Duration::from_secs(5);

/// For the TCP connection and the CONNACK together.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a broker may take to hang up after our leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// How long an MQTT 5 broker keeps the session of a collector that is away, with what is queued for
/// it: over a long weekend. A 3.1.1 broker decides itself.
const SESSION_KEPT: Duration = Duration::from_hours(7 * 24);

/// Read at once: some hundred messages.
const CHUNK_BYTES: usize = 64 * 1024;
/// With less room than this for what is read next, there is a new chunk.
const LEAST_ROOM: usize = 4 * 1024;

/// Nothing is read while more than this could not be written: acknowledgements go before new
/// messages. There are 65,535 packet ids and four bytes to acknowledge one, so a broker that keeps
/// to them is never beyond.
const CLOGGED_BYTES: usize = 512 * 1024;

/// A connection that the broker has accepted.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub(super) version: Version,
    incoming: BytesMut,
    outgoing: BytesMut,
    keep_alive: Duration,
    /// When something must be done about silence.
    timer: Pin<Box<Sleep>>,
    /// Until when the ping under way is to be answered.
    pinged: Option<Instant>,
    /// The DISCONNECT is written; nothing may follow it.
    leaving: bool,
}

#[derive(Debug)]
pub(super) enum Event {
    /// The answer to the subscriptions: which of them the broker does not grant.
    Subscribed {
        refused: Vec<usize>,
    },
    Message(Message),
    /// We have taken our leave.
    Left,
}

/// Why there is no connection (any more).
#[derive(Debug)]
pub(super) struct Lost(pub(super) String);

/// Connects; returns when the broker has accepted.
pub(super) async fn open(options: &CollectorOptions) -> Result<Link, Lost> {
    match options.protocol {
        Protocol::V4 => open_as(options, Version::V4).await.map_err(NotOpen::lost),
        Protocol::V5 => open_as(options, Version::V5).await.map_err(NotOpen::lost),
        // Tried anew at each connection: a broker may have learnt it meanwhile.
        Protocol::Auto => match open_as(options, Version::V5).await {
            Err(NotOpen::OtherVersion(_)) => {
                open_as(options, Version::V4).await.map_err(NotOpen::lost)
            }
            other => other.map_err(NotOpen::lost),
        },
    }
}

enum NotOpen {
    /// A broker of another version answers in its own way, or hangs up.
    OtherVersion(Lost),
    Lost(Lost),
}

impl NotOpen {
    fn lost(self) -> Lost {
        match self {
            Self::OtherVersion(lost) | Self::Lost(lost) => lost,
        }
    }
}

async fn open_as(options: &CollectorOptions, version: Version) -> Result<Link, NotOpen> {
    let opening = async {
        let link = connect(options).await.map_err(|error| NotOpen::Lost(broken(&error)))?;
        accept(link, options, version).await
    };
    let silent = || NotOpen::Lost(Lost("it does not answer".to_owned()));
    timeout(CONNECT, opening).await.map_err(|_| silent())?
}

async fn connect(options: &CollectorOptions) -> io::Result<TcpStream> {
    // An IPv6 address stands in brackets where a port follows, and nowhere else.
    let host = options.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, options.port)).await?;
    // An acknowledgement that waits for the next one may wait for 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn accept(
    stream: TcpStream,
    options: &CollectorOptions,
    version: Version,
) -> Result<Link, NotOpen> {
    let mut link = Link {
        stream,
        version,
        incoming: BytesMut::new(),
        outgoing: BytesMut::new(),
        keep_alive: KEEP_ALIVE,
        // The time for all of opening is limited.
        timer: Box::pin(sleep_until(Instant::now() + CONNECT + CONNECT)),
        pinged: None,
        leaving: false,
    };
    let kept_s = u32::try_from(SESSION_KEPT.as_secs()).unwrap_or(u32::MAX);
    link.writer()
        .connect(options, KEEP_ALIVE.as_secs() as u16, kept_s)
        .map_err(|error| NotOpen::Lost(unwritable(error)))?;
    match link.answer().await {
        Ok(Incoming::Accepted { keep_alive_s }) => {
            // A broker may ask for other pings than ours. More often than it asks is always
            // allowed; 0 means never.
            let asked = keep_alive_s.map(|seconds| Duration::from_secs(seconds.into()));
            let asked = asked.filter(|asked| !asked.is_zero()).unwrap_or(KEEP_ALIVE);
            link.keep_alive = asked.min(KEEP_ALIVE);
            link.rest();
            Ok(link)
        }
        Ok(Incoming::Refused(refusal)) => Err(refused(refusal)),
        Ok(_) => Err(NotOpen::OtherVersion(Lost("it does not answer the CONNECT".to_owned()))),
        Err(lost) => Err(NotOpen::OtherVersion(lost)),
    }
}

fn refused(refusal: Refusal) -> NotOpen {
    let lost = |why: &str| NotOpen::Lost(Lost(why.to_owned()));
    match refusal {
        Refusal::Version => {
            NotOpen::OtherVersion(Lost("it does not speak this version of MQTT".to_owned()))
        }
        Refusal::Login => lost("it refuses the login; check username and password_file"),
        Refusal::ClientId => lost("it refuses the client id; give another client_id"),
        Refusal::Other(code) => lost(&format!("it refuses the connection: {code}")),
    }
}

impl Link {
    fn writer(&mut self) -> packet::Writer<'_> {
        packet::Writer { version: self.version, buffer: &mut self.outgoing }
    }

    /// Goes out when the link is next polled, as everything that is said.
    pub(super) fn subscribe(&mut self, filters: &[String]) -> Result<(), Lost> {
        self.writer().subscribe(filters).map_err(unwritable)
    }

    pub(super) fn acknowledge(&mut self, receipt: Receipt) -> Result<(), Lost> {
        self.writer().acknowledge(receipt).map_err(unwritable)
    }

    /// Takes leave, behind everything that was said.
    pub(super) fn leave(&mut self) -> Result<(), Lost> {
        if !std::mem::replace(&mut self.leaving, true) {
            self.writer().goodbye().map_err(unwritable)?;
        }
        Ok(())
    }

    /// Ends the connection behind what was said. What the broker has sent meanwhile is read and let
    /// go of: a connection closed on unread bytes is reset, and what was said lost with it.
    pub(super) async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let ended = poll_fn(|cx| {
            loop {
                self.incoming.clear();
                match ready!(self.poll_read(cx)) {
                    Ok(()) => {}
                    Err(_) => return Poll::Ready(()),
                }
            }
        });
        timeout(GOODBYE, ended).await.ok();
    }

    /// Says what is to be said, and gives what the broker says. Reads nothing while it may not.
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self, may_read: bool) -> Result<Event, Lost> {
        poll_fn(|cx| self.poll_next(cx, may_read)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<Result<Event, Lost>> {
        loop {
            while may_read && !self.leaving && self.outgoing.len() < CLOGGED_BYTES {
                let Some(packet) =
                    packet::read(self.version, &mut self.incoming).map_err(garbage)?
                else {
                    break;
                };
                match packet {
                    Incoming::Message(message) => return Poll::Ready(Ok(Event::Message(message))),
                    Incoming::Subscribed { refused } => {
                        return Poll::Ready(Ok(Event::Subscribed { refused }));
                    }
                    Incoming::Release(id) => self.writer().complete(id).map_err(unwritable)?,
                    Incoming::Goodbye { taken_over } => {
                        return Poll::Ready(Err(goodbye(taken_over)));
                    }
                    Incoming::Accepted { .. } | Incoming::Refused(_) | Incoming::Other => {}
                }
            }
            self.poll_patience(cx, may_read)?;
            let written = self.poll_write(cx)?;
            if self.leaving && written.is_ready() {
                return Poll::Ready(Ok(Event::Left));
            }
            if !may_read || self.leaving || self.outgoing.len() >= CLOGGED_BYTES {
                return Poll::Pending;
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// The first packet of the broker.
    async fn answer(&mut self) -> Result<Incoming, Lost> {
        poll_fn(|cx| {
            loop {
                if let Some(packet) =
                    packet::read(self.version, &mut self.incoming).map_err(garbage)?
                {
                    return Poll::Ready(Ok(packet));
                }
                // What cannot go out now goes when the network wakes us for it.
                self.poll_write(cx)?.is_ready();
                ready!(self.poll_read(cx))?;
            }
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        // Messages share the memory they were read into, which is free again when all are settled.
        if self.incoming.capacity() - self.incoming.len() < LEAST_ROOM {
            self.incoming.reserve(CHUNK_BYTES);
        }
        loop {
            ready!(self.stream.poll_read_ready(cx)).map_err(|error| broken(&error))?;
            match self.stream.try_read_buf(&mut self.incoming) {
                Ok(0) => return Poll::Ready(Err(closed())),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(broken(&error))),
            }
        }
        if self.pinged.take().is_some() {
            self.rest();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.outgoing) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(closed()),
                Poll::Ready(Ok(written)) => self.outgoing.advance(written),
                Poll::Ready(Err(error)) => return Err(broken(&error)),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Nothing to be done before it is time for a ping.
    fn rest(&mut self) {
        let next = Instant::now() + self.keep_alive;
        self.timer.as_mut().reset(next);
    }

    /// Pings in time, whatever else goes to and fro, and leaves a broker that does not answer, as
    /// long as we would hear it.
    fn poll_patience(&mut self, cx: &mut Context<'_>, may_read: bool) -> Result<(), Lost> {
        while self.timer.as_mut().poll(cx).is_ready() {
            match self.pinged {
                Some(_) if !may_read => self.rest(),
                Some(until) if Instant::now() >= until => {
                    let patience = self.keep_alive + STUCK;
                    return Err(Lost(format!("it has said nothing for {} s", patience.as_secs())));
                }
                Some(until) => self.timer.as_mut().reset(until),
                None => {
                    self.writer().ping().map_err(unwritable)?;
                    let until = Instant::now() + STUCK;
                    self.pinged = Some(until);
                    self.timer.as_mut().reset(until);
                }
            }
        }
        Ok(())
    }
}

fn broken(error: &io::Error) -> Lost {
    Lost(error.to_string())
}

fn closed() -> Lost {
    let why = "it closed the connection: a stop, or another client with this client_id";
    Lost(why.to_owned())
}

fn goodbye(taken_over: bool) -> Lost {
    match taken_over {
        true => {
            Lost("another client took the session over; give each its own client_id".to_owned())
        }
        false => closed(),
    }
}

fn unwritable(Unwritable(why): Unwritable) -> Lost {
    Lost(format!("what is to be said to it cannot be: {why}"))
}

fn garbage(unreadable: Unreadable) -> Lost {
    match unreadable {
        Unreadable::Malformed(why) => Lost(format!("it sent what cannot be read: {why}")),
        Unreadable::TooLarge(size) => Lost(format!(
            "it sends a message of {size} bytes, of at most {MAX_PACKET}; limit the packets it \
             takes (Mosquitto: max_packet_size)"
        )),
    }
}
