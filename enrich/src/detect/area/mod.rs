//! Notices that a device entered or left an area: a geofence of its customer, or an area of risk.
//!
//! A fix decides when the whole circle the device may be in, by its own word, lies inside or
//! outside. That must last [`DWELL_MS`] and be seen at least twice, so that neither a drive past, nor
//! jitter on the edge, nor one wild fix is an arrival. A device that is inside when it is first heard
//! of, or when an area begins to be valid, has not entered it.

mod passage;

use ingest::Fix;
use serde::{Deserialize, Serialize};

use super::Detector;
use crate::event::Cause;
use crate::places::{ASSUMED_ACCURACY_M, Area, Meaning, VAGUEST_M};
use crate::{EnrichedReading, Event, Happening, World};

pub use passage::{GeofenceEntered, GeofenceLeft, Passage, RiskAreaEntered, RiskAreaLeft};

/// How long a device must be certainly inside or outside. Our own choice: longer than it takes to
/// drive past through a few hundred metres, short enough to greet somebody at the door.
pub const DWELL_MS: i64 = 60_000;

/// The most areas a device is in, or about to enter, at once: it bounds what is remembered of it.
/// Further ones are not noticed until it has left one.
const MOST: usize = 16;

/// What the detector remembers of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    customer: u32,
    last_ms: Option<i64>,
    /// In the order of their keys.
    stays: Vec<Stay>,
}

/// An area the device is in, or about to enter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stay {
    area: u64,
    inside: bool,
    /// When it was last certainly what `inside` says, as well as the readings tell.
    certain_ms: i64,
    turn: Option<Turn>,
}

/// It seems to have entered, or left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Turn {
    cause: Cause,
    since_ms: i64,
    fix: Fix,
    /// Certain fixes, counted up to two.
    fixes: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
    Unsure,
}

impl Detector for Memory {
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        let areas = world.atlas.areas();
        if areas.is_empty() && self.stays.is_empty() {
            return;
        }
        let Some((fix, _)) = seen.place else { return };
        let accuracy_m = fix.accuracy_m.map_or(ASSUMED_ACCURACY_M, f64::from);
        if accuracy_m > VAGUEST_M {
            return;
        }
        let time_ms = seen.reading.time_ms;
        self.customer = seen.owner;
        // What is no longer valid ends without having been left.
        self.stays.retain(|stay| areas.known(stay.area, seen.owner, time_ms).is_some());
        let here = Here { fix, accuracy_m, time_ms, seen };
        for stay in &mut self.stays {
            if let Some(area) = areas.known(stay.area, seen.owner, time_ms) {
                stay.turn = here.turn(stay, area);
            }
        }
        self.stays.retain(|stay| stay.inside || stay.turn.is_some());
        for area in areas.at(&fix, seen.owner, time_ms) {
            self.meet(area, &here);
        }
        self.last_ms = Some(time_ms);
        self.wait(time_ms, world, events);
    }

    fn due_ms(&self) -> Option<i64> {
        let turns = self.stays.iter().filter_map(|stay| stay.turn);
        turns.filter(|turn| turn.fixes > 1).map(|turn| turn.since_ms + DWELL_MS).min()
    }

    fn wait(&mut self, now_ms: i64, world: &World, events: &mut Vec<Event>) {
        for stay in &mut self.stays {
            let due = |turn: &Turn| turn.fixes > 1 && turn.since_ms + DWELL_MS <= now_ms;
            let Some(turn) = stay.turn.filter(due) else { continue };
            stay.turn = None;
            let after_ms = stay.certain_ms;
            stay.inside = !stay.inside;
            stay.certain_ms = turn.since_ms;
            let Some(area) = world.atlas.areas().known(stay.area, self.customer, turn.since_ms)
            else {
                continue;
            };
            events.push(Event {
                time_ms: turn.since_ms,
                known_ms: now_ms,
                cause: turn.cause,
                happening: happening(area, &turn, after_ms, stay.inside),
            });
        }
        self.stays.retain(|stay| stay.inside || stay.turn.is_some());
    }
}

impl Memory {
    /// Takes note of an area that the fix lies in and that is not known yet.
    fn meet(&mut self, area: &Area, here: &Here<'_>) {
        let key = area.key();
        let Err(at) = self.stays.binary_search_by_key(&key, |stay| stay.area) else { return };
        if self.stays.len() == MOST || here.side(area) != Side::Inside {
            return;
        }
        // Nobody saw it enter what it was in from the start.
        let before_ms = self.last_ms.filter(|last_ms| *last_ms >= area.span.from_ms);
        let stay = Stay {
            area: key,
            inside: before_ms.is_none(),
            certain_ms: before_ms.unwrap_or(here.time_ms),
            turn: before_ms.map(|_| here.first(key)),
        };
        self.stays.insert(at, stay);
    }
}

/// A fix with how well it is known.
struct Here<'a> {
    fix: Fix,
    accuracy_m: f64,
    time_ms: i64,
    seen: &'a EnrichedReading<'a>,
}

impl Here<'_> {
    fn side(&self, area: &Area) -> Side {
        match area.shape.margin_m(&self.fix) {
            margin_m if margin_m >= self.accuracy_m => Side::Inside,
            margin_m if margin_m <= -self.accuracy_m => Side::Outside,
            _ => Side::Unsure,
        }
    }

    /// What becomes of a turn with this fix.
    fn turn(&self, stay: &mut Stay, area: &Area) -> Option<Turn> {
        let stays = if stay.inside { Side::Inside } else { Side::Outside };
        match (self.side(area), stay.turn) {
            (Side::Unsure, turn) => turn,
            (side, _) if side == stays => {
                stay.certain_ms = self.time_ms;
                None
            }
            (_, Some(turn)) => Some(Turn { fixes: 2, ..turn }),
            (_, None) => Some(self.first(stay.area)),
        }
    }

    fn first(&self, area: u64) -> Turn {
        // One reading can lead into several areas: each is an event of its own.
        let cause = Cause::of(self.seen.reading);
        let cause = Cause { content: cause.content ^ area, ..cause };
        Turn { cause, since_ms: self.time_ms, fix: self.fix, fixes: 1 }
    }
}

fn happening(area: &Area, turn: &Turn, after_ms: i64, entered: bool) -> Happening {
    let passage = Passage {
        name: area.name.to_string(),
        meaning: area.meaning,
        after_ms,
        before_ms: turn.since_ms,
        lat: turn.fix.lat(),
        lon: turn.fix.lon(),
    };
    match (area.meaning, entered) {
        (Meaning::Risk { .. }, true) => Happening::RiskAreaEntered(RiskAreaEntered(passage)),
        (Meaning::Risk { .. }, false) => Happening::RiskAreaLeft(RiskAreaLeft(passage)),
        (_, true) => Happening::GeofenceEntered(GeofenceEntered(passage)),
        (_, false) => Happening::GeofenceLeft(GeofenceLeft(passage)),
    }
}

#[cfg(test)]
mod tests;
