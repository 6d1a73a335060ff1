//! One connection and the devices on it: makes their messages when they are due, sends them, and
//! keeps each until it is acknowledged, over as many sessions as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::fleet::{Fleet, Message};
use crate::options::{Login, Protocol};
use crate::outbox::{Entry, Outbox};
use crate::packet::{Ack, Hello, Incoming};
use crate::publish::{Shared, Start, now_ms};
use crate::session::{Session, SessionError};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
pub(crate) const GOODBYE: Duration = Duration::from_millis(300);
/// Without an end, a fleet forgets what it could not send for so long, as devices with little
/// memory do.
const KEPT_US: i64 = 600_000_000;
/// The runtime's timer ticks in milliseconds. Waking up so much late is its doing and not the
/// broker's, so it does not count as latency; more than that does.
const TIMER_US: i64 = 1_500;
/// Also how long a dead connection goes unnoticed, together with the broker's time to answer.
const KEEP_ALIVE_S: u16 = 20;
/// With nothing to do, a connection still looks up now and then.
const IDLE: Duration = Duration::from_secs(3_600);

pub(crate) struct Connection {
    index: usize,
    fleet: Fleet,
    shared: Arc<Shared>,
    protocol: Protocol,
    /// The device that has this connection to itself.
    own: Option<Arc<str>>,
    outbox: Outbox,
    session: Option<Session>,
    start: Option<Start>,
    /// Nothing more will become due.
    done: bool,
    /// When the timer last woke us, and when there was last room again, since the start.
    awake_us: i64,
    room_us: i64,
    jitter: Rng,
}

impl Connection {
    pub(crate) fn new(index: usize, fleet: Fleet, shared: Arc<Shared>) -> Self {
        let mut jitter = Rng::with_seed(index as u64);
        let protocol = shared.options.protocol.pick(&mut jitter);
        let own = if fleet.len() == 1 { fleet.ids().next().map(Arc::from) } else { None };
        Self {
            index,
            fleet,
            shared,
            protocol,
            own,
            outbox: Outbox::default(),
            session: None,
            start: None,
            done: false,
            awake_us: 0,
            room_us: 0,
            jitter,
        }
    }

    /// Works until all is done, time is up, or it is told to stop.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = self.live() => {}
            () = time_is_up(&shared) => {}
            _ = stopped.wait_for(|&stopped| stopped) => {}
        }
        // What was never sent is part of what was offered.
        self.begin();
        let truths = self.fleet.finish();
        self.shared.note(truths);
        if let Some(session) = self.session.take() {
            timeout(GOODBYE, session.close()).await.ok();
        }
    }

    /// Connects, works until the session ends, and again; until nothing is owed.
    async fn live(&mut self) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let settled_before = self.shared.stats.settled();
            let error = match self.connect().await {
                Ok(session) => {
                    self.shared.stats.connects.fetch_add(1, Relaxed);
                    self.outbox.rewind();
                    self.session = Some(session);
                    let Err(error) = self.work().await else { return };
                    self.session = None;
                    self.shared.stats.lost_connections.fetch_add(1, Relaxed);
                    error
                }
                Err(error) => {
                    self.shared.stats.failed_connects.fetch_add(1, Relaxed);
                    error
                }
            };
            self.shared.stats.failed(&error);
            // A broker that lets in and throws out at once is not asked faster and faster.
            if self.shared.stats.settled() > settled_before {
                backoff = FIRST_BACKOFF;
            }
            sleep(backoff.mul_f64(0.5 + self.jitter.f64())).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn connect(&mut self) -> Result<Session, SessionError> {
        let options = &self.shared.options;
        // Closed only when all connections are gone.
        let _permit = self.shared.connecting.acquire().await.ok();
        let client_id = match &self.own {
            Some(device) => device.to_string(),
            None => format!("device-sim-{}", self.index),
        };
        let login = match (&options.login, &self.own) {
            (Login::Device { password }, Some(device)) => {
                Some((device.to_string(), password.clone().unwrap_or_default()))
            }
            (Login::User { name, password }, _) => Some((name.clone(), password.clone())),
            (Login::Device { .. }, None) | (Login::Anonymous, _) => None,
        };
        let hello =
            Hello { client_id, login, keep_alive_s: KEEP_ALIVE_S, will: None, session_s: 0 };
        let source = match options.sources.len() {
            0 => None,
            several => Some(options.sources[self.index % several]),
        };
        Session::open(options, self.protocol, source, &hello).await
    }

    /// Makes and sends messages until all is done (`Ok`) or the session ends.
    async fn work(&mut self) -> Result<(), SessionError> {
        let mut start = self.shared.start.subscribe();
        loop {
            self.feed();
            if self.done && self.outbox.is_empty() {
                return Ok(());
            }
            let due = self.next_due();
            let Some(session) = &mut self.session else { return Ok(()) };
            let wake = due.map_or(session.wake(), |due| due.min(session.wake()));
            tokio::select! {
                biased;
                incoming = session.next() => {
                    let incoming = incoming?;
                    self.on(incoming);
                }
                _ = start.changed(), if self.start.is_none() => {}
                () = sleep_until(wake) => {
                    session.keep_alive()?;
                    self.awake_us = self.now_us();
                }
            }
        }
    }

    fn on(&mut self, incoming: Incoming) {
        let Some(session) = &mut self.session else { return };
        match incoming {
            Incoming::Acked(ack) => self.settle(ack),
            Incoming::Received(ack) if ack.refused => self.settle(ack),
            Incoming::Received(ack) => session.release(ack.id),
            Incoming::Flushed => {
                while self.outbox.holds_written() {
                    self.settle(Ack { id: 0, refused: false });
                }
            }
            Incoming::Message { qos, id, .. } => session.dealt_with(qos, id),
            _ => {}
        }
    }

    fn settle(&mut self, ack: Ack) {
        let was_full = self.is_full();
        let Some(entry) = self.outbox.settled(ack.id) else { return };
        if was_full {
            self.room_us = self.now_us();
        }
        if ack.refused {
            self.shared.stats.refused.fetch_add(1, Relaxed);
        } else {
            self.shared.stats.acknowledged(&entry);
        }
    }

    fn is_full(&self) -> bool {
        self.outbox.len() >= usize::from(self.shared.options.window.clamp(1, 100))
    }

    /// Microseconds of the fleet's time since the start.
    fn now_us(&self) -> i64 {
        self.start.map_or(0, |start| start.now_us())
    }

    /// The schedule has begun.
    fn begin(&mut self) {
        let Some(start) = *self.shared.start.borrow() else { return };
        if self.start.replace(start).is_some() {
            return;
        }
        self.fleet.start(start.ms);
        if let Some(end_us) = self.shared.end_us()
            && !self.fleet.is_unpaced()
        {
            self.shared.stats.offered.fetch_add(self.fleet.due_before(end_us), Relaxed);
        }
    }

    /// Makes the messages that are due, as far as there is room, and sends what waits.
    fn feed(&mut self) {
        self.begin();
        if let Some(start) = self.start {
            self.make(start);
        }
        let Some(session) = &mut self.session else { return };
        let most = usize::from(session.receive_maximum);
        self.outbox.send(most, |entry, id| {
            if session.clogged() {
                return false;
            }
            session.publish(&entry.topic, &entry.payload, entry.qos, id);
            true
        });
    }

    fn make(&mut self, start: Start) {
        let end_us = self.shared.end_us();
        let unpaced = self.fleet.is_unpaced();
        while !self.done && !self.is_full() {
            let now_us = start.now_us();
            let Some(due_us) = self.fleet.due_us() else {
                self.done = true;
                return;
            };
            let at_us = if unpaced { now_us } else { due_us };
            if end_us.is_some_and(|end_us| at_us >= end_us) {
                self.done = true;
                return;
            }
            if due_us > now_us {
                return;
            }
            if end_us.is_none() && now_us - due_us > KEPT_US {
                let dropped = self.fleet.skip_before(now_us - KEPT_US);
                self.shared.stats.dropped.fetch_add(dropped, Relaxed);
                continue;
            }
            let Some(message) = self.fleet.next(now_us) else { return };
            if unpaced || end_us.is_none() {
                self.shared.stats.offered.fetch_add(1, Relaxed);
            }
            self.shared.stats.generated.fetch_add(1, Relaxed);
            if !unpaced {
                let could_us = message.due_us.max(self.room_us).max(0);
                self.shared.stats.lagged(start.real(now_us - could_us));
            }
            self.shared.note(self.fleet.take_truths());
            let entry = self.entry(message, start);
            self.outbox.push(entry);
        }
    }

    fn entry(&mut self, message: Message, start: Start) -> Entry {
        let timer_us = (self.awake_us - message.due_us).clamp(0, TIMER_US);
        // What a device had kept from before the start was due at the start.
        let due_us = message.due_us.max(0) + timer_us;
        Entry {
            device: message.device,
            topic: message.topic,
            ts_ms: message.ts_ms,
            seq: message.seq,
            payload: message.payload.into(),
            qos: self.shared.options.qos.pick(&mut self.jitter),
            due: start.at(due_us),
        }
    }

    /// When there is something to make next.
    fn next_due(&mut self) -> Option<tokio::time::Instant> {
        if self.done || self.is_full() {
            return None;
        }
        let start = self.start?;
        if self.shared.options.duration.is_none() {
            follow_the_clock(&mut self.fleet, start);
        }
        let due = start.at(self.fleet.due_us()?);
        Some(due.min(Instant::now() + IDLE).into())
    }
}

/// The schedule runs on the monotonic clock, which stands still while the computer sleeps; what
/// devices report is the time of day.
fn follow_the_clock(fleet: &mut Fleet, start: Start) {
    if start.speed != 1.0 {
        return;
    }
    let ahead_ms = now_ms() - (fleet.start_ms() + start.now_us() / 1_000);
    if ahead_ms.abs() > 1_000 {
        fleet.shift(ahead_ms);
    }
}

/// Completes when what is left is to be counted as unsent or unacknowledged.
async fn time_is_up(shared: &Shared) {
    let mut start = shared.start.subscribe();
    let begun = start.wait_for(Option::is_some).await.ok().and_then(|start| *start);
    match (begun, shared.options.duration) {
        (Some(start), Some(duration)) => {
            sleep_until((start.instant + duration + shared.options.drain).into()).await;
        }
        _ => std::future::pending().await,
    }
}
