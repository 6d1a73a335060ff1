//! Deletes what has been kept for as long as it shall be, in slices between the batches.
//!
//! A sweep begins with a moment for each kind of thing, and what is older goes: first the open ends
//! that reach so far back are sealed, and what detectors know of devices that have been silent
//! since is forgotten; then window by window the sealed stretches, the log, events, messages, what
//! insurers reported, and the file's own log. Every slice is a transaction, and doing one again
//! changes nothing: a start begins with a sweep, whatever the last one came to.

mod belief;
mod cut;
mod rows;

use std::cell::Cell;
use std::collections::HashMap;

use enrich::DeviceState;
use rusqlite::Result;

use crate::history::{Histories, History};
use crate::live::read;
use crate::log::Size;
use crate::purge::{Emptied, Sliced};
use crate::rows::put_blob;
use crate::seal::{Sealer, encode_state};
use crate::writer::Writer;
use cut::Cut;

pub(crate) use belief::Belief;
pub(crate) use rows::TABLES;

const DAY_MS: i64 = 86_400_000;

/// The shortest time for what others are computed from: late readings and claims are looked at for
/// as long, and must find what was said before.
pub const SHORTEST_MS: i64 = 31 * DAY_MS;

/// Devices one slice looks at, and how many of these it seals or forgets: each has at most a few
/// hundred readings open.
const LOOKED_AT: u32 = 4_096;
const DEVICES: usize = 32;

/// Stretches one slice looks at: it writes at most as many pages.
const STRETCHES: usize = 64;

/// Windows one slice looks into for what follows: a look takes microseconds, but who reports seldom
/// is in few of very many windows.
const WINDOWS: usize = 2_048;

/// How long things are kept. `None`: for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// By their own time. One that comes when it is older than that is refused.
    pub readings_ms: Option<i64>,
    /// From when they became known.
    pub events_ms: Option<i64>,
    /// The content of messages to insurers, from when it was said.
    pub triggers_ms: Option<i64>,
    /// What insurers reported, from when it was received.
    pub reports_ms: Option<i64>,
    pub quarantine_ms: i64,
    /// Rows of weather, from their last hour on.
    pub weather_ms: i64,
    /// By how much the clock may have gone on since it was last believed, unless a reading comes
    /// from its time: otherwise nothing goes because of its age.
    pub clock_jump_ms: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            readings_ms: None,
            events_ms: None,
            triggers_ms: None,
            reports_ms: None,
            quarantine_ms: 7 * DAY_MS,
            weather_ms: 7 * DAY_MS,
            clock_jump_ms: 7 * DAY_MS,
        }
    }
}

/// The first moment that is still kept.
fn since(keep_ms: Option<i64>, now_ms: i64) -> i64 {
    keep_ms.map_or(i64::MIN, |keep_ms| now_ms.saturating_sub(keep_ms))
}

impl Retention {
    /// Readings from before are not taken any more.
    pub(crate) fn readings_since_ms(&self, now_ms: i64) -> i64 {
        since(self.readings_ms, now_ms)
    }

    /// Of what became known before, the event, or what was said of it, may be gone: it is not told
    /// anew.
    pub(crate) fn told_since_ms(&self, now_ms: i64) -> i64 {
        since(self.events_ms, now_ms).max(since(self.triggers_ms, now_ms))
    }

    /// How long after a sweep the next begins; `None` where everything is kept. Each reads all
    /// history once, so things stay up to a thirtieth longer than they must, and a day at most.
    fn pause_ms(&self) -> Option<i64> {
        let keeps = [self.readings_ms, self.events_ms, self.triggers_ms, self.reports_ms];
        keeps.into_iter().flatten().min().map(|shortest_ms| (shortest_ms / 30).min(DAY_MS))
    }
}

/// A sweep under way: the first moments that are kept, and where it is.
#[derive(Debug)]
pub(crate) struct Sweep {
    readings_ms: i64,
    events_ms: i64,
    triggers_ms: i64,
    reports_ms: i64,
    step: Step,
    /// Devices whose detectors were made to forget, each with the batch that says so: what the log
    /// says before is not needed. And the last batch that may have something old.
    forgotten: HashMap<u32, i64>,
    until: i64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Devices from this one on.
    Open(u32),
    /// The sealed stretches of devices from this one on, in the window at this place.
    Sealed {
        window: usize,
        device: u32,
    },
    /// The log after this batch.
    Log {
        done: i64,
    },
    Events,
    Triggers,
    Reports,
    /// Until the file's own log is empty.
    File,
}

impl Sweep {
    fn new(retention: &Retention, now_ms: i64) -> Self {
        let readings_ms = since(retention.readings_ms, now_ms);
        Self {
            readings_ms,
            events_ms: since(retention.events_ms, now_ms),
            triggers_ms: since(retention.triggers_ms, now_ms),
            reports_ms: since(retention.reports_ms, now_ms),
            step: if readings_ms > i64::MIN { Step::Open(0) } else { Step::Events },
            forgotten: HashMap::new(),
            until: 0,
        }
    }
}

impl Writer {
    /// Whether the clock can be believed. What waited for that goes at once: a sweep under way
    /// goes by what was believed before it.
    pub(crate) fn look_at_clock(&mut self) {
        if self.belief.look(self.clock.now_ms()) {
            (self.sweep, self.next_sweep_ms) = (None, i64::MIN);
        }
        self.live.doubt_clock(self.belief.doubts());
        if let Err(error) = self.belief.write(&self.store.connection) {
            tracing::warn!(%error, "how far the clock was believed could not be written down");
        }
    }

    /// In how many milliseconds of the clock a sweep begins or goes on; `None`: never.
    pub(crate) fn sweeps_in_ms(&self) -> Option<i64> {
        let pause_ms = self.retention.pause_ms()?;
        let begins_ms = self.next_sweep_ms.saturating_sub(self.clock.now_ms()).max(0);
        // A clock that was set back would keep it waiting for longer than a pause.
        let at_once = self.sweep.is_some() || begins_ms > pause_ms;
        Some(if at_once { 0 } else { begins_ms })
    }

    /// One slice of a sweep. Returns whether another can follow at once.
    pub(crate) fn sweep(&mut self) -> Result<bool> {
        let now_ms = self.clock.now_ms();
        let begun = self.sweep.take();
        if begun.is_none() {
            self.look_at_clock();
        }
        let aged_ms = self.belief.aged_ms(now_ms);
        let mut sweep = begun.unwrap_or_else(|| Sweep::new(&self.retention, aged_ms));
        let done = self.sweep_slice(&mut sweep);
        if matches!(done, Ok(Sliced::Finished)) {
            if sweep.readings_ms > i64::MIN {
                self.live.swept(sweep.readings_ms);
            }
            self.next_sweep_ms = now_ms.saturating_add(self.retention.pause_ms().unwrap_or(DAY_MS));
        } else {
            self.sweep = Some(sweep);
        }
        Ok(!matches!(done?, Sliced::Waits))
    }

    fn sweep_slice(&mut self, sweep: &mut Sweep) -> Result<Sliced> {
        sweep.step = match sweep.step {
            Step::Open(from) => self.sweep_open(sweep, from)?,
            Step::Sealed { window, device } => {
                self.sweep_sealed(sweep.readings_ms, window, device)?
            }
            Step::Log { done } => self.sweep_log(sweep, done)?,
            Step::Events if self.sweep_events(sweep.events_ms)? => Step::Triggers,
            Step::Triggers if self.sweep_triggers(sweep.triggers_ms)? => Step::Reports,
            Step::Reports if self.sweep_reports(sweep.reports_ms)? => Step::File,
            Step::File => {
                return Ok(if self.empty_log_of_file()? {
                    Sliced::Finished
                } else {
                    Sliced::Waits
                });
            }
            same => same,
        };
        Ok(Sliced::GoesOn)
    }

    /// Seals what is open and too old in part, and forgets devices of which all is.
    fn sweep_open(&mut self, sweep: &mut Sweep, from: u32) -> Result<Step> {
        let histories = read(&self.live.histories);
        let (found, to) = self.reach_too_far_back(&histories, from, sweep.readings_ms);
        for device in from..histories.len().min(to) {
            if histories.get(device).is_some_and(|history| self.was_forgotten(device, history)) {
                sweep.forgotten.insert(device, self.log.last + 1);
            }
        }
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let transaction = self.store.connection.unchecked_transaction()?;
        let sealer = Sealer {
            connection: &transaction,
            registry: &registry,
            world: &self.core.world,
            histories: &histories,
            log_most: self.log_most,
            following: &self.following,
            hold: false,
            window: self.windows.last().copied().unwrap_or_default(),
        };
        let (mut emptied, mut states) = (Vec::new(), Vec::new());
        for (device, forgotten) in found {
            let Some(history) = histories.get(device) else { continue };
            let start_ms = match sealer.seal_alone(device)? {
                Some(start_ms) => start_ms,
                None if history.open.count() == 0 => history.start_ms,
                // Of a device that is being erased.
                None => continue,
            };
            let (state, last) = match forgotten {
                true => {
                    rows::forget_device(&transaction, device)?;
                    put_blob(&mut states, device, &encode_state(&DeviceState::default()));
                    (DeviceState::default(), None)
                }
                false => (history.state(), read(&self.live.fleet).last(device)),
            };
            emptied.push(Emptied { device, start_ms, state, forgotten, last });
        }
        let mut log = self.log.clone();
        if !states.is_empty() {
            log.last += 1;
            log.open += Size { readings: 0, bytes: states.len() as u64 };
            self.log_states(&transaction, log.last, &states)?;
        }
        transaction.commit()?;
        let done = to >= histories.len();
        drop((histories, registry));
        self.log = log;
        let forgotten = emptied.iter().filter(|device| device.forgotten);
        sweep.forgotten.extend(forgotten.map(|device| (device.device, self.log.last)));
        self.forget(emptied);
        sweep.until = self.log.last;
        Ok(if done { Step::Sealed { window: 0, device: 0 } } else { Step::Open(to) })
    }

    /// Whether a device's detectors know nothing, though the log says something of it: a sweep or a
    /// deletion before came no further.
    fn was_forgotten(&self, device: u32, history: &History) -> bool {
        history.logged
            && history.open.count() == 0
            && read(&self.live.fleet).last_ms(device).is_none()
            && history.state() == DeviceState::default()
    }

    /// Devices from `from` on that have a reading open from before `since_ms`, and whether they
    /// were not heard of since; with them where to go on.
    fn reach_too_far_back(
        &self,
        histories: &Histories,
        from: u32,
        since_ms: i64,
    ) -> (Vec<(u32, bool)>, u32) {
        let fleet = read(&self.live.fleet);
        let mut found = Vec::new();
        for device in from..histories.len().min(from.saturating_add(LOOKED_AT)) {
            let silent = fleet.last_ms(device).is_some_and(|last_ms| last_ms < since_ms);
            let open = histories.get(device).and_then(|history| history.open.first());
            if silent || open.is_some_and(|first| first.time_ms < since_ms) {
                found.push((device, silent));
            }
            if found.len() >= DEVICES {
                return (found, device + 1);
            }
        }
        (found, from.saturating_add(LOOKED_AT))
    }

    fn sweep_sealed(&mut self, since_ms: i64, window: usize, device: u32) -> Result<Step> {
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let transaction = self.store.connection.unchecked_transaction()?;
        let cut = Cut {
            connection: &transaction,
            registry: &registry,
            world: &self.core.world,
            windows: &self.windows,
            since_ms,
            looked_into: Cell::new(0),
        };
        let (mut at, mut seen, mut gone) = ((window, device), 0, 0);
        let few = |seen| seen < STRETCHES && cut.looked_into.get() < WINDOWS;
        let mut empty = Vec::new();
        while few(seen) && at.0 < self.windows.len() {
            seen += 1;
            let Some(device) = cut.next_device(at)? else {
                if cut.drop_empty(at.0)? {
                    empty.push(at.0);
                }
                at = (at.0 + 1, 0);
                continue;
            };
            let silent = read(&self.live.fleet).last_ms(device).is_none();
            let did = cut.device(at.0, device, silent, STRETCHES - seen)?;
            (seen, gone) = (seen + did.stretches, gone + did.readings);
            at.1 = if did.done { device + 1 } else { device };
        }
        let mut counts = self.counts.clone();
        counts.aged.readings += gone;
        self.commit_counted(transaction, &counts)?;
        drop(registry);
        self.count(counts);
        at.0 -= empty.len();
        for place in empty.into_iter().rev() {
            self.windows.remove(place);
        }
        Ok(match at {
            (window, device) if window < self.windows.len() => Step::Sealed { window, device },
            _ => Step::Log { done: self.log.gone },
        })
    }

    fn sweep_log(&mut self, sweep: &Sweep, done: i64) -> Result<Step> {
        let stays = |_, reading: &ingest::Reading| reading.time_ms >= sweep.readings_ms;
        let knows = |device, batch| {
            sweep.forgotten.get(&device).is_none_or(|forgotten| batch >= *forgotten)
        };
        let next = self.thin_log((done, sweep.until), stays, knows)?;
        Ok(next.map_or(Step::Events, |done| Step::Log { done }))
    }
}
