//! Notices that a device crossed from one country into another.
//!
//! A crossing lies between two certainties. The second one must last [`DWELL_MS`] and be seen at
//! least twice, so that neither jitter on the border nor one wild fix makes a crossing; the sea is
//! no country, so a ferry crosses once. Fixes that are uncertain only help to say when and where.

use ingest::Fix;
use serde::{Deserialize, Serialize};

use crate::event::{BorderCrossed, Cause};
use crate::places::distance_m;
use crate::{Country, EnrichedReading, Event, Happening, World};

/// How long a device must be certainly in the new country. Our own choice: long enough for a
/// receiver that jumps to jump back, short enough to offer cover while it matters.
pub const DWELL_MS: i64 = 20_000;

/// Nothing that carries a device on civil business moves faster (a fast jet in a strong tail wind
/// makes 340 m/s over the ground): a fix that says so is a jump of the receiver.
const FASTEST_MPS: f64 = 350.0;

/// A jump that is repeated from the same place is believed after all: the device had been
/// somewhere else all along.
const BELIEVED_AFTER_FIXES: u8 = 3;

/// Two crossing estimates closer than this are one: bisection stops there.
const NEAR_ENOUGH_M: f64 = 5.0;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct At {
    time_ms: i64,
    fix: Fix,
}

/// A country the device may have entered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    country: Country,
    cause: Cause,
    since_ms: i64,
    /// Certain fixes seen in it, counted up to two.
    fixes: u8,
    /// The last fix that seemed to lie where it came from, and the first that did not.
    left: At,
    entered: At,
}

/// What the detector remembers of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The country it is certainly in, and since when nothing newer confirmed it.
    home: Option<(Country, i64)>,
    last: Option<At>,
    /// The last fix that seemed to lie in the home country, and the first after it that did not.
    last_home: Option<At>,
    first_away: Option<At>,
    entry: Option<Entry>,
    jump: Option<(At, u8)>,
}

impl Memory {
    /// When a dwell completes if no further fix comes.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.entry.filter(|entry| entry.fixes > 1).map(|entry| entry.since_ms + DWELL_MS)
    }
}

/// Takes the next reading of the device's history.
pub(crate) fn read(
    memory: &mut Memory,
    seen: &EnrichedReading<'_>,
    world: &World,
    events: &mut Vec<Event>,
) {
    let Some((fix, whereabouts)) = seen.place else {
        return;
    };
    let here = At { time_ms: seen.reading.time_ms, fix };
    if !believable(memory, here) {
        return;
    }
    memory.last = Some(here);
    // At sea nothing is decided: the next coast decides.
    let Some(country) = whereabouts.country else {
        return;
    };
    let Some((home, _)) = memory.home else {
        if whereabouts.certain {
            memory.home = Some((country, here.time_ms));
            memory.last_home = Some(here);
        }
        return;
    };
    if country == home {
        memory.last_home = Some(here);
        memory.first_away = None;
    } else if memory.first_away.is_none() {
        memory.first_away = Some(here);
    }
    if !whereabouts.certain {
        return;
    }
    if country == home {
        memory.home = Some((home, here.time_ms));
        memory.entry = None;
        return;
    }
    match &mut memory.entry {
        Some(entry) if entry.country == country => entry.fixes = 2,
        entry => {
            *entry = Some(Entry {
                country,
                cause: Cause::of(seen.reading),
                since_ms: here.time_ms,
                fixes: 1,
                left: memory.last_home.unwrap_or(here),
                entered: memory.first_away.unwrap_or(here),
            });
        }
    }
    wait(memory, here.time_ms, world, events);
}

/// Completes a dwell that is over at `now_ms`.
pub(crate) fn wait(memory: &mut Memory, now_ms: i64, world: &World, events: &mut Vec<Event>) {
    let Some((from, after_ms)) = memory.home else {
        return;
    };
    if memory.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
        return;
    }
    let Some(entry) = memory.entry.take() else {
        return;
    };
    let crossed = crossing_point(entry.left, entry.entered, from, world);
    events.push(Event {
        time_ms: crossed.time_ms,
        known_ms: now_ms,
        cause: entry.cause,
        happening: Happening::BorderCrossed(BorderCrossed {
            from,
            to: entry.country,
            after_ms,
            before_ms: entry.since_ms,
            lat: crossed.fix.lat(),
            lon: crossed.fix.lon(),
        }),
    });
    memory.home = Some((entry.country, entry.since_ms));
    memory.last_home = memory.last;
    memory.first_away = None;
}

/// Whether the device can have come here from where it was. A jump is set aside until it is
/// confirmed from where it went.
fn believable(memory: &mut Memory, here: At) -> bool {
    let Some(last) = memory.last else { return true };
    if reachable(last, here) {
        memory.jump = None;
        return true;
    }
    let fixes = match memory.jump {
        Some((from, fixes)) if reachable(from, here) => fixes + 1,
        _ => 1,
    };
    if fixes < BELIEVED_AFTER_FIXES {
        memory.jump = Some((here, fixes));
        return false;
    }
    memory.jump = None;
    true
}

fn reachable(from: At, to: At) -> bool {
    let slack_m = 2.0
        * (from.fix.accuracy_m.map_or(0.0, f64::from) + to.fix.accuracy_m.map_or(0.0, f64::from));
    let seconds = (to.time_ms - from.time_ms) as f64 / 1e3;
    // Receivers stamp whole seconds: two fixes may be a second nearer in time than they say.
    distance_m(&from.fix, &to.fix) <= FASTEST_MPS * (seconds + 1.0) + slack_m
}

/// Where and when the straight line between two fixes leaves the country it starts in.
fn crossing_point(left: At, entered: At, from: Country, world: &World) -> At {
    let (mut inside, mut outside) = (0.0, 1.0);
    let length_m = distance_m(&left.fix, &entered.fix);
    while (outside - inside) * length_m > NEAR_ENOUGH_M {
        let middle = f64::midpoint(inside, outside);
        let (lat, lon) = between(left, entered, middle);
        match world.atlas.country(lat, lon) == Some(from) {
            true => inside = middle,
            false => outside = middle,
        }
    }
    let (lat, lon) = between(left, entered, outside);
    let lasted_ms = (entered.time_ms - left.time_ms) as f64;
    At {
        time_ms: left.time_ms + (lasted_ms * outside).round() as i64,
        fix: Fix::new(lat, lon, None).unwrap_or(entered.fix),
    }
}

fn between(a: At, b: At, share: f64) -> (f64, f64) {
    // The short way round, also over the date line.
    let east = (b.fix.lon() - a.fix.lon() + 540.0).rem_euclid(360.0) - 180.0;
    let lon = (a.fix.lon() + east * share + 540.0).rem_euclid(360.0) - 180.0;
    (a.fix.lat() + (b.fix.lat() - a.fix.lat()) * share, lon)
}
