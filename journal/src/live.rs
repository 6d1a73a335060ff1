//! What others may look at while the writer works: totals, the fleet, health, news.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use enrich::weather::Cell;
use ingest::Reason;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::Counts;
use crate::fleet::{Fleet, FleetDevice};
use crate::history::Histories;

/// Whether the journal takes readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    Writable,
    /// It has not been able to commit for a while; connections should be dropped until it can.
    Stalled {
        reason: String,
    },
    /// It will not write again: the process has to end.
    Failed {
        reason: String,
    },
}

/// Why a message was not used, for `errors/{device}` or `errors/{insurer}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The device or insurer that sent it.
    pub to: Arc<str>,
    pub reason: Reason,
    pub detail: String,
    pub at_ms: i64,
}

/// Notices wait here for the sender of `errors/…`; if it falls behind, the oldest are lost, which
/// costs somebody an explanation that they get again with the next message.
const NOTICES: usize = 256;

/// Shared between the writer and everybody who reads.
#[derive(Debug)]
pub struct Live {
    counts: RwLock<Counts>,
    pub(crate) fleet: RwLock<Fleet>,
    pub(crate) histories: RwLock<Histories>,
    health: watch::Sender<Health>,
    /// The last position in the outbox.
    released: watch::Sender<i64>,
    /// The last batch in the log.
    logged: watch::Sender<i64>,
    /// Counts how often something in the outbox was withheld.
    withheld: watch::Sender<u64>,
    /// Readings from before are not kept any more, and have been deleted.
    kept_since: watch::Sender<i64>,
    /// The registry's version.
    registry: watch::Sender<u64>,
    /// Whether the clock has jumped ahead, and nothing goes because of its age.
    clock_doubted: AtomicBool,
    notices: broadcast::Sender<Notice>,
    /// Where and for when events wait for weather.
    weather_wanted: watch::Sender<Vec<(Cell, i64)>>,
}

impl Live {
    pub(crate) fn new(counts: Counts, released: i64, logged: i64, histories: Histories) -> Self {
        Self {
            counts: RwLock::new(counts),
            fleet: RwLock::default(),
            histories: RwLock::new(histories),
            health: watch::Sender::new(Health::Writable),
            released: watch::Sender::new(released),
            logged: watch::Sender::new(logged),
            withheld: watch::Sender::new(0),
            kept_since: watch::Sender::new(i64::MIN),
            registry: watch::Sender::new(0),
            clock_doubted: AtomicBool::new(false),
            notices: broadcast::Sender::new(NOTICES),
            weather_wanted: watch::Sender::default(),
        }
    }

    /// The totals as of the last commit.
    #[must_use]
    pub fn counts(&self) -> Counts {
        read(&self.counts).clone()
    }

    /// Every device heard of since the start, with its last reading.
    #[must_use]
    pub fn fleet(&self) -> Vec<FleetDevice> {
        read(&self.fleet).devices().collect()
    }

    /// How many devices were heard of since the start, by the names of their kinds.
    #[must_use]
    pub fn heard_by_kind(&self) -> BTreeMap<&'static str, usize> {
        read(&self.fleet).by_kind()
    }

    /// The cells of the last places of devices heard of since, in some order.
    #[must_use]
    pub fn cells_heard_of(&self, since_ms: i64) -> Vec<Cell> {
        let fleet = read(&self.fleet);
        let fixes = fleet.heard_of(since_ms).filter_map(|last| last.fix);
        let cells: HashSet<Cell> = fixes.map(|fix| Cell::of(fix.lat(), fix.lon())).collect();
        cells.into_iter().collect()
    }

    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Changes when the outbox has grown.
    #[must_use]
    pub fn released(&self) -> watch::Receiver<i64> {
        self.released.subscribe()
    }

    /// Changes when the log has grown.
    #[must_use]
    pub fn logged(&self) -> watch::Receiver<i64> {
        self.logged.subscribe()
    }

    /// The cells and times whose weather events wait for.
    #[must_use]
    pub fn weather_wanted(&self) -> watch::Receiver<Vec<(Cell, i64)>> {
        self.weather_wanted.subscribe()
    }

    pub(crate) fn want_weather(&self, wanted: Vec<(Cell, i64)>) {
        self.weather_wanted.send_if_modified(|last| {
            let changed = *last != wanted;
            *last = wanted;
            changed
        });
    }

    /// Changes when something in the outbox is not to be sent any more: what was read of it before
    /// is out of date.
    #[must_use]
    pub fn withheld(&self) -> watch::Receiver<u64> {
        self.withheld.subscribe()
    }

    /// Changes when readings have been deleted because of their age: those from before this moment,
    /// in milliseconds since 1970.
    #[must_use]
    pub fn kept_since(&self) -> watch::Receiver<i64> {
        self.kept_since.subscribe()
    }

    pub(crate) fn swept(&self, kept_since_ms: i64) {
        self.kept_since.send_replace(kept_since_ms);
    }

    /// Whether the clock has jumped so far ahead that nothing is deleted because of its age.
    #[must_use]
    pub fn clock_doubted(&self) -> bool {
        self.clock_doubted.load(Ordering::Relaxed)
    }

    pub(crate) fn doubt_clock(&self, doubted: bool) {
        self.clock_doubted.store(doubted, Ordering::Relaxed);
    }

    /// Changes with the registry.
    #[must_use]
    pub fn registry_version(&self) -> watch::Receiver<u64> {
        self.registry.subscribe()
    }

    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    pub(crate) fn committed(&self, counts: Counts, released: i64, logged: i64) {
        self.counted(counts);
        self.released.send_if_modified(|last| std::mem::replace(last, released) != released);
        self.logged.send_if_modified(|last| std::mem::replace(last, logged) != logged);
        self.set_health(Health::Writable);
    }

    pub(crate) fn counted(&self, counts: Counts) {
        *write(&self.counts) = counts;
    }

    pub(crate) fn withhold(&self) {
        self.withheld.send_modify(|times| *times += 1);
    }

    pub(crate) fn registry_changed(&self, version: u64) {
        self.registry.send_replace(version);
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.send_if_modified(|last| {
            let changed = *last != health;
            *last = health;
            changed
        });
    }

    pub(crate) fn notify(&self, notice: Notice) {
        // Nobody listening is fine.
        drop(self.notices.send(notice));
    }
}

/// A lock whose holder panicked still holds whole values: every writer replaces them at once.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}
