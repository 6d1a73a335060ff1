//! `/v1/stream`: what happens, as it happens (server-sent events).
//!
//! Every frame is made once and shared by all who watch. One who cannot keep up is let go: the
//! browser comes back by itself and starts from how things stand then. So nothing piles up here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use enrich::registry::Registry;
use ingest::Reading;
use journal::{FleetDevice, TriggerRow};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use crate::api::fleet::shown;
use crate::api::triggers::Shown;
use crate::pace::{Pace, Rates};
use crate::problem::Problem;
use crate::status::{Devices, Status};
use crate::wire::OfDevice;
use crate::{App, Site};

/// How often what is new of the fleet goes out; every second time with the status.
const BEAT: Duration = Duration::from_millis(500);

/// Frames a watcher may be behind: with three a second and triggers, some seconds.
const BEHIND: usize = 256;

/// Each watcher costs a connection and its share of the sending.
const WATCHERS: usize = 100;

/// More dots than this nobody can tell apart on a screen. A device keeps its place once it has one.
const DEVICES: usize = 5_000;

/// Triggers read from the journal at a time; after that many there is a pause, so that a flood of
/// them (more than 1,000 a second) does not drive the watchers out.
const TRIGGERS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// What the watchers have been told.
pub(crate) struct Feed(Mutex<Told>);

struct Told {
    /// Gone when the server stops, which ends the streams.
    frames: Option<broadcast::Sender<Bytes>>,
    fleet: HashMap<Arc<str>, Reading>,
    pace: Pace,
}

#[derive(Serialize)]
struct FleetFrame<'a> {
    /// Whether these are all there are to show, or only those that have changed.
    all: bool,
    heard: usize,
    devices: Vec<OfDevice<'a>>,
}

impl Feed {
    pub(crate) fn new(app: &App) -> Self {
        Self(Mutex::new(Told {
            frames: Some(broadcast::Sender::new(BEHIND)),
            fleet: HashMap::new(),
            pace: Pace::new(app.live.counts(), Instant::now()),
        }))
    }

    pub(crate) fn pace(&self) -> (Rates, Vec<f64>) {
        let told = self.told();
        (told.pace.rates(), told.pace.recent())
    }

    pub(crate) fn watching(&self) -> usize {
        self.told().watching()
    }

    /// Ends all streams, and lets nobody in any more.
    pub(crate) fn end(&self) {
        self.told().frames = None;
    }

    /// How things stand, and what follows on it without a gap.
    fn join(&self, app: &App) -> Option<(Bytes, broadcast::Receiver<Bytes>)> {
        let mut told = self.told();
        let fleet = app.live.fleet();
        // For those who watch already, as what follows must fit what everybody has.
        told.tell_fleet(&fleet);
        let frames = told.frames.as_ref().filter(|frames| frames.receiver_count() < WATCHERS)?;
        let receiver = frames.subscribe();
        let devices = Devices::count(app);
        let status = Status::now(app, told.pace.rates(), told.pace.recent(), devices);
        let shown: Vec<_> =
            fleet.iter().filter(|device| told.fleet.contains_key(&device.id)).map(shown).collect();
        let fleet = FleetFrame { all: true, heard: fleet.len(), devices: shown };
        let start = [&b"retry: 2000\n\n"[..], &frame("status", &status), &frame("fleet", &fleet)];
        Some((start.concat().into(), receiver))
    }

    fn beat(&self, app: &App, second: bool) {
        let mut told = self.told();
        if second {
            told.pace.look(app.live.counts(), Instant::now());
        }
        if told.watching() == 0 {
            return;
        }
        let fleet = app.live.fleet();
        told.tell_fleet(&fleet);
        if second {
            let devices = Devices::count(app);
            told.tell(frame("status", &Status::now(app, told.pace.rates(), Vec::new(), devices)));
        }
    }

    fn tell_triggers(&self, rows: &[TriggerRow], registry: &Registry) {
        let told = self.told();
        for row in rows {
            told.tell(frame("trigger", &Shown::of(row, registry)));
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Whoever panicked left at worst a fleet that is told again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn watching(&self) -> usize {
        self.frames.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    fn tell(&self, frame: Bytes) {
        if let Some(frames) = &self.frames {
            // Nobody watching is fine.
            frames.send(frame).ok();
        }
    }

    /// Tells which devices have said something since they were last told of.
    fn tell_fleet(&mut self, fleet: &[FleetDevice]) {
        let mut news = Vec::new();
        for device in fleet {
            let full = self.fleet.len() >= DEVICES;
            match self.fleet.get_mut(&device.id) {
                Some(last) if *last == device.last => continue,
                Some(last) => *last = device.last.clone(),
                None if full => continue,
                None => {
                    self.fleet.insert(device.id.clone(), device.last.clone());
                }
            }
            news.push(shown(device));
        }
        if !news.is_empty() && self.watching() > 0 {
            let fleet = FleetFrame { all: false, heard: fleet.len(), devices: news };
            self.tell(frame("fleet", &fleet));
        }
    }
}

pub(crate) async fn stream(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let (start, news) = site.feed.join(&site.app).ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no more live streams can be opened",
            format!("close some of the {WATCHERS}, or wait until datanaut has started again"),
        )
    })?;
    // Ends when the watcher has fallen behind.
    let news = BroadcastStream::new(news).map_while(Result::ok);
    let frames = tokio_stream::once(start).chain(news).map(Ok::<_, Infallible>);
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// Makes the frames, until it is aborted.
pub(crate) async fn run(site: Arc<Site>) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut released = site.app.live.released();
    let mut position = *released.borrow_and_update();
    let mut second = false;
    loop {
        tokio::select! {
            _ = beats.tick() => {
                site.feed.beat(&site.app, second);
                second = !second;
            }
            changed = released.changed() => {
                let Ok(()) = changed else { return };
                let newest = *released.borrow_and_update();
                position = tell_triggers(&site, position, newest).await;
            }
        }
    }
}

/// Tells what was released after a position, and returns how far it came.
async fn tell_triggers(site: &Site, mut position: i64, newest: i64) -> i64 {
    while position < newest && site.feed.watching() > 0 {
        let after = position;
        let read = site.reads.read(move |reader| reader.released_after(after, TRIGGERS));
        let Ok(rows) = read.await else { break };
        let Some(last) = rows.last() else { break };
        position = last.position;
        site.feed.tell_triggers(&rows, &site.app.registry.read());
        if rows.len() == TRIGGERS {
            tokio::time::sleep(PAUSE).await;
        }
    }
    // What could not be read is still in /v1/triggers.
    newest
}

/// An event of the stream: JSON has no line breaks of its own.
fn frame(event: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {event}\ndata: {json}\n\n").into()
}
