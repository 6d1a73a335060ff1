//! Notices that a device crossed from one country into another.
//!
//! A crossing lies between two certainties. The second one must last [`DWELL_MS`] and be seen at
//! least twice, so that neither jitter on the border nor one wild fix makes a crossing; neither the
//! sea nor the air is a country, so a ferry and a flight cross once, where they end. Fixes that are
//! uncertain only help to say when and where. Where the way was lost, by a pause, a flight or a
//! jump, there is no more to say than that somebody arrived, and between which moments.

use ingest::Fix;
use serde::{Deserialize, Serialize};

use super::Detector;
use crate::event::{BorderCrossed, Cause};
use crate::places::{
    ASSUMED_ACCURACY_M, Atlas, BORDER_ERROR_M, VAGUEST_M, Whereabouts, distance_m,
};
use crate::{Country, EnrichedReading, Event, Happening, World};

/// How long a device must be certainly in the new country. Our own choice: long enough for a
/// receiver that jumps to jump back, short enough to offer cover while it matters.
pub const DWELL_MS: i64 = 20_000;

/// After a longer pause between two fixes nobody knows the way between them. Our own choice: half an
/// hour of motorway is 60 km, and longer than any tunnel but the Channel's takes.
pub const PAUSE_MS: i64 = 30 * 60_000;

/// How long a device must stay where it cannot have come: a receiver that is deceived, or a clock
/// that was put right. Our own choice.
pub const JUMPED_DWELL_MS: i64 = 60 * 60_000;

/// Nothing that carries a device on civil business moves faster (a fast jet in a strong tail wind
/// makes 340 m/s over the ground): a fix that says so is a jump of the receiver.
const FASTEST_MPS: f64 = 350.0;

/// Nothing on the ground or the water moves faster: the fastest train in service made 431 km/h.
const FLYING_MPS: f64 = 120.0;

/// What flies has landed when it is slower: airliners approach at 60 to 80 m/s.
const LANDED_MPS: f64 = 50.0;

/// Speed is measured about this long: receivers stamp whole seconds.
const PACE_MS: i64 = 10_000;

/// What was this fast so many times in a row flies: a wild fix makes two, there and back.
const FLYING_AFTER: u8 = 3;

/// A jump that is repeated from the same place is believed after all: the device had been
/// somewhere else all along.
const BELIEVED_AFTER_FIXES: u8 = 3;

/// Two crossing estimates closer than this are one: bisection stops there.
const NEAR_ENOUGH_M: f64 = 5.0;

/// The doubt of a fix ten accuracies from the border: farther ones would not say more, since what
/// goes wrong then is not the receiver's inaccuracy. And that of one just far enough to be certain,
/// three accuracies from it.
const LEAST_DOUBT: f64 = 0.01;
const MOST_DOUBT: f64 = 1.0 / 9.0;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct At {
    time_ms: i64,
    fix: Fix,
}

/// The country a device is certainly in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Home {
    country: Country,
    /// Since when nothing newer confirmed it.
    certain_ms: i64,
    /// Certain fixes seen in it, counted up to two.
    fixes: u8,
    doubt: f64,
}

/// A country the device may have entered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    country: Country,
    cause: Cause,
    /// The first fix certainly in it.
    first: At,
    /// Certain fixes seen in it, counted up to two.
    fixes: u8,
    doubt: f64,
}

/// How well the way from home is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Way {
    #[default]
    Followed,
    /// A pause or a flight lies in it.
    Lost,
    /// Nothing can have gone it.
    Jumped,
}

/// What the detector remembers of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    home: Option<Home>,
    last: Option<At>,
    /// The last fix that seemed to lie in the home country, and the first after it that did not.
    last_home: Option<At>,
    first_away: Option<At>,
    /// Metres covered along the fixes since then, and the last fix they were counted to.
    covered: Option<(f64, Fix)>,
    way: Way,
    entry: Option<Entry>,
    jump: Option<(At, u8)>,
    /// Where speed is measured from, and how often in a row it was that of flying.
    pace: Option<(At, u8)>,
}

impl Detector for Memory {
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        let Some((fix, place)) = seen.place else { return };
        // Whoever is that vague says nothing of where it is, nor of when it left.
        if accuracy_m(&fix) > VAGUEST_M {
            return;
        }
        let here = At { time_ms: seen.reading.time_ms, fix };
        if !self.believes(here) {
            return;
        }
        let flies = self.flies(here);
        let paused = self.last.is_some_and(|last| here.time_ms - last.time_ms > PAUSE_MS);
        if self.entry.is_none() && (flies || paused) {
            self.way = self.way.max(Way::Lost);
        }
        self.last = Some(here);
        if !flies {
            self.look(here, place, seen, world);
            self.wait(here.time_ms, world, events);
        }
    }

    /// When a dwell completes if no further fix comes.
    fn due_ms(&self) -> Option<i64> {
        let dwell_ms = if self.way == Way::Jumped { JUMPED_DWELL_MS } else { DWELL_MS };
        let entry = self.entry.filter(|entry| entry.fixes > 1)?;
        Some(entry.first.time_ms + dwell_ms)
    }

    /// Completes a dwell that is over at `now_ms`.
    fn wait(&mut self, now_ms: i64, world: &World, events: &mut Vec<Event>) {
        if self.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        let (Some(home), Some(entry)) = (self.home, self.entry.take()) else { return };
        let entered = self.first_away.unwrap_or(entry.first);
        let arrived = self.way != Way::Followed;
        let crossed = match self.last_home {
            Some(left) if !arrived => crossing_point(left, entered, home.country, world),
            _ => entry.first,
        };
        let covered_m = self.covered.map_or(0.0, |(metres, _)| metres);
        let past_m = distance_m(&crossed.fix, &entered.fix) + covered_m;
        events.push(Event {
            time_ms: crossed.time_ms,
            known_ms: now_ms,
            cause: entry.cause,
            happening: Happening::BorderCrossed(BorderCrossed {
                from: home.country,
                to: entry.country,
                after_ms: home.certain_ms,
                before_ms: entry.first.time_ms,
                lat: crossed.fix.lat(),
                lon: crossed.fix.lon(),
                past_border_m: (!arrived).then(|| past_m.round()),
                arrived,
                certainty: ((1.0 - home.doubt - entry.doubt).max(0.0) * 100.0).round() / 100.0,
            }),
        });
        let Entry { country, first, doubt, .. } = entry;
        self.home = Some(Home { country, certain_ms: first.time_ms, fixes: 2, doubt });
        self.is_home(self.last);
    }
}

impl Memory {
    /// Takes note of the country a fix lies in.
    fn look(&mut self, here: At, place: Whereabouts, seen: &EnrichedReading<'_>, world: &World) {
        // On the high seas nothing is decided: the next coast decides. Nor is it in a country's
        // waters, where a ship may pass; but they help to say where one began and ended.
        let Some(country) = place.country else { return };
        let certain = place.certain && !place.at_sea;
        let Some(home) = &mut self.home else {
            if certain {
                let doubt = doubt(&here.fix, &world.atlas);
                self.home = Some(Home { country, certain_ms: here.time_ms, fixes: 1, doubt });
                self.is_home(Some(here));
            }
            return;
        };
        if country == home.country && (certain || self.entry.is_none()) {
            if certain {
                (home.certain_ms, home.fixes) = (here.time_ms, 2);
                lower(&mut home.doubt, &here.fix, &world.atlas);
            }
            self.is_home(Some(here));
            return;
        }
        self.first_away.get_or_insert(here);
        self.cover(&here.fix);
        if !certain {
            return;
        }
        match &mut self.entry {
            Some(entry) if entry.country == country => {
                entry.fixes = 2;
                lower(&mut entry.doubt, &here.fix, &world.atlas);
            }
            entry => {
                let (cause, doubt) = (Cause::of(seen.reading), doubt(&here.fix, &world.atlas));
                *entry = Some(Entry { country, cause, first: here, fixes: 1, doubt });
            }
        }
    }

    /// It seems to be in the home country, and whatever it was away for is over.
    fn is_home(&mut self, here: Option<At>) {
        self.last_home = here;
        self.first_away = None;
        self.covered = None;
        self.way = Way::Followed;
        self.entry = None;
    }

    /// Counts the way. What is less than the inaccuracy is jitter of a receiver that stands still.
    fn cover(&mut self, fix: &Fix) {
        let (metres, from) = self.covered.get_or_insert((0.0, *fix));
        let step_m = distance_m(from, fix);
        if step_m > accuracy_m(from).max(accuracy_m(fix)) {
            (*metres, *from) = (*metres + step_m, *fix);
        }
    }

    /// Whether the device can have come here from where it was. A jump is set aside until it is
    /// confirmed from where it went.
    fn believes(&mut self, here: At) -> bool {
        let Some(last) = self.last else { return true };
        if reachable(last, here) {
            self.jump = None;
            return true;
        }
        let fixes = match self.jump {
            Some((from, fixes)) if reachable(from, here) => fixes + 1,
            _ => 1,
        };
        if fixes < BELIEVED_AFTER_FIXES {
            self.jump = Some((here, fixes));
            return false;
        }
        match self.home {
            Some(home) if home.fixes > 1 => {
                (self.jump, self.pace, self.entry) = (None, None, None);
                self.way = Way::Jumped;
            }
            // One fix against three: it never was there.
            _ => *self = Self::default(),
        }
        true
    }

    /// Whether it is in the air, or looks as if it were: then the landing decides.
    fn flies(&mut self, here: At) -> bool {
        let (from, fast) = *self.pace.get_or_insert((here, 0));
        // By the clock, not from fix to fix: a late fix changes one measurement, not all after it.
        let slot = |at: At| at.time_ms.div_euclid(PACE_MS);
        if slot(from) == slot(here) {
            return fast > 0;
        }
        let lasted_ms = here.time_ms - from.time_ms;
        if lasted_ms < PACE_MS / 2 {
            self.pace = Some((here, fast));
            return fast > 0;
        }
        let far_m =
            distance_m(&from.fix, &here.fix) - accuracy_m(&from.fix) - accuracy_m(&here.fix);
        let mps = far_m / (lasted_ms as f64 / 1e3);
        let fast = match mps {
            FLYING_MPS.. => FLYING_AFTER.min(fast + 1),
            LANDED_MPS.. if fast == FLYING_AFTER => fast,
            _ => 0,
        };
        self.pace = Some((here, fast));
        fast > 0
    }
}

fn accuracy_m(fix: &Fix) -> f64 {
    fix.accuracy_m.map_or(ASSUMED_ACCURACY_M, f64::from)
}

fn reachable(from: At, to: At) -> bool {
    let slack_m = 2.0 * (accuracy_m(&from.fix) + accuracy_m(&to.fix));
    let seconds = (to.time_ms - from.time_ms) as f64 / 1e3;
    // Receivers stamp whole seconds: two fixes may be a second nearer in time than they say.
    distance_m(&from.fix, &to.fix) <= FASTEST_MPS * (seconds + 1.0) + slack_m
}

/// How likely a fix that is certain lies beyond the border all the same, at most: by Chebyshev's
/// inequality an error is larger than k times its root mean square once in k² times, whatever its
/// distribution; the accuracy, a 68 % radius, is a little more than that.
fn doubt(fix: &Fix, atlas: &Atlas) -> f64 {
    let accuracy_m = accuracy_m(fix).max(1.0);
    let far_m = accuracy_m / LEAST_DOUBT.sqrt();
    let border = atlas.border(fix, far_m + BORDER_ERROR_M);
    let distance_m = border.map_or(far_m, |border| border.distance_m - BORDER_ERROR_M);
    (accuracy_m / distance_m.max(accuracy_m)).powi(2).clamp(LEAST_DOUBT, MOST_DOUBT)
}

/// The best of several fixes counts, and none is looked at after one that left the least doubt.
fn lower(known: &mut f64, fix: &Fix, atlas: &Atlas) {
    if *known > LEAST_DOUBT {
        *known = known.min(doubt(fix, atlas));
    }
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

#[cfg(test)]
mod along;
#[cfg(test)]
mod hard_cases;
#[cfg(test)]
mod tests;
