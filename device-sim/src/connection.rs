//! One connection and the devices on it: makes their messages when they are due, sends them, and
//! keeps each until it is acknowledged, over as many sessions as it takes.

mod making;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::faults::Trouble;
use crate::fleet::{Fleet, device_rng};
use crate::options::{Login, Protocol};
use crate::outbox::{Entry, Outbox};
use crate::packet::{Ack, Hello, Incoming};
use crate::session::{Session, SessionError};
use crate::shared::{Shared, Start, now_ms};

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
    /// When it was last back from being offline: what it kept went out from then on.
    back_us: i64,
    /// What goes wrong next, and how many seconds after the start.
    trouble: Option<(f64, Trouble)>,
    /// To be overtaken by the next message.
    held: Option<Entry>,
    /// Left behind, and the broker does not know.
    half_open: Option<Session>,
    rng: Rng,
}

/// How the work on a session ended.
enum End {
    Done,
    Lost(SessionError),
    Trouble(Trouble),
}

impl Connection {
    pub(crate) fn new(index: usize, fleet: Fleet, shared: Arc<Shared>) -> Self {
        let mut rng = device_rng(shared.options.seed.rotate_left(32), index);
        let protocol = shared.options.protocol.pick(&mut rng);
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
            back_us: 0,
            trouble: None,
            held: None,
            half_open: None,
            rng,
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
        let mut was_up = false;
        loop {
            // Who was up before comes back at once, as after a network that failed.
            if !was_up {
                self.shared.newcomers.turn().await;
            }
            let settled_before = self.shared.stats.settled();
            let error = match self.connect().await {
                Ok(session) => {
                    was_up = true;
                    self.shared.stats.connects.fetch_add(1, Relaxed);
                    self.outbox.rewind();
                    self.room_us = self.now_us();
                    self.session = Some(session);
                    match self.work().await {
                        End::Done => return,
                        End::Trouble(trouble) => {
                            self.suffer(trouble).await;
                            backoff = FIRST_BACKOFF;
                            continue;
                        }
                        End::Lost(error) => {
                            self.session = None;
                            self.shared.stats.lost_connections.fetch_add(1, Relaxed);
                            // A broker that lets in and throws out at once is not asked faster and
                            // faster.
                            if self.shared.stats.settled() > settled_before {
                                backoff = FIRST_BACKOFF;
                            }
                            Some(error)
                        }
                    }
                }
                Err(error) if error.turned_away() => {
                    self.shared.stats.refused_connects.fetch_add(1, Relaxed);
                    // Where nobody is let in, it is no matter of too many.
                    let nobody = self.shared.stats.connects.load(Relaxed) == 0;
                    nobody.then_some(error)
                }
                Err(error) => {
                    self.shared.stats.failed_connects.fetch_add(1, Relaxed);
                    Some(error)
                }
            };
            if let Some(error) = error {
                self.shared.stats.failed(&error);
            }
            sleep(backoff.mul_f64(0.5 + self.rng.f64())).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// The network is gone: no goodbye, and maybe nobody tells the broker.
    async fn suffer(&mut self, trouble: Trouble) {
        self.shared.stats.cut_connections.fetch_add(1, Relaxed);
        let session = self.session.take();
        let half_open = match trouble {
            Trouble::Cut { half_open } | Trouble::Offline { half_open, .. } => half_open,
            Trouble::Deaf { .. } => false,
        };
        if half_open {
            // One at a time: more would use up the open files.
            self.half_open = session;
        }
        if let Trouble::Offline { lasts, .. } = trouble {
            sleep(lasts).await;
            self.back_us = self.now_us();
        }
    }

    async fn connect(&mut self) -> Result<Session, SessionError> {
        let options = &self.shared.options;
        // Closed only when all connections are gone.
        let _permit = self.shared.connecting.acquire().await.ok();
        let client_id = match &self.own {
            Some(device) => device.to_string(),
            None => format!("{}{}", options.client_prefix, self.index),
        };
        let login = match (&options.login, &self.own) {
            (Login::Device { password }, Some(device)) => {
                Some((device.to_string(), password.clone().unwrap_or_default()))
            }
            (Login::User { name, password }, _) => Some((name.clone(), password.clone())),
            (Login::Device { .. }, None) | (Login::Anonymous, _) => None,
        };
        let will = options
            .faults
            .wills
            .then(|| (format!("status/{client_id}"), Bytes::from_static(br#"{"status":"lost"}"#)));
        let hello = Hello { client_id, login, keep_alive_s: KEEP_ALIVE_S, will, session_s: 0 };
        let source = match options.sources.len() {
            0 => None,
            several => Some(options.sources[self.index % several]),
        };
        Session::open(options, self.protocol, source, &hello).await
    }

    /// Makes and sends messages until all is done or the session ends.
    async fn work(&mut self) -> End {
        let mut start = self.shared.start.subscribe();
        loop {
            self.feed();
            let over = self.over();
            if self.done && self.outbox.is_empty() && over.is_none_or(|at| at <= Instant::now()) {
                return End::Done;
            }
            let due = if self.done { over.map(Into::into) } else { self.next_due() };
            let trouble = self.trouble_at();
            let Some(session) = &mut self.session else { return End::Done };
            let wake = [due, trouble].into_iter().flatten().fold(session.wake(), Ord::min);
            tokio::select! {
                biased;
                incoming = session.next() => match incoming {
                    Ok(incoming) => self.on(incoming),
                    Err(error) => return End::Lost(error),
                },
                _ = start.changed(), if self.start.is_none() => {}
                () = sleep_until(wake) => {
                    if let Err(error) = session.keep_alive() {
                        return End::Lost(error);
                    }
                    self.awake_us = self.now_us();
                    if let Some(trouble) = self.trouble_now() {
                        return End::Trouble(trouble);
                    }
                }
            }
        }
    }

    /// When the schedule ends. Until then a device stays connected, as devices do.
    fn over(&self) -> Option<Instant> {
        Some(self.start?.instant + self.shared.options.duration?)
    }

    fn trouble_at(&self) -> Option<tokio::time::Instant> {
        let (start, (at_s, _)) = (self.start?, self.trouble?);
        Some((start.instant + Duration::from_secs_f64(at_s.min(1e9))).into())
    }

    /// Takes the trouble that is due, and draws the next. Deafness is suffered on the session.
    fn trouble_now(&mut self) -> Option<Trouble> {
        let (start, (at_s, trouble)) = (self.start?, self.trouble?);
        let now_s = start.instant.elapsed().as_secs_f64();
        if now_s < at_s {
            return None;
        }
        self.trouble = self.shared.options.faults.next_trouble(now_s.max(at_s), &mut self.rng);
        match (trouble, &mut self.session) {
            (Trouble::Deaf { lasts }, Some(session)) => {
                session.deaf_until = Some(tokio::time::Instant::now() + lasts);
                None
            }
            _ => Some(trouble),
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
        self.shared.stats.answered(&entry, ack.refused);
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
        self.trouble = self.shared.options.faults.next_trouble(0.0, &mut self.rng);
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

    /// Nothing more will become due, so nothing will overtake what was held back.
    fn finish(&mut self) {
        self.done = true;
        self.outbox.extend(self.held.take());
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
