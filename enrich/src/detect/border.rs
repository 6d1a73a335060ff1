//! Notices that a device crossed from one country into another.
//!
//! A crossing lies between two certainties. The second one must last [`DWELL_MS`] and be seen at
//! least twice, so that neither jitter on the border nor one wild fix makes a crossing; the sea is
//! no country, so a ferry crosses once. Fixes that are uncertain only help to say when and where.

use ingest::Fix;
use serde::{Deserialize, Serialize};

use super::Detector;
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

impl Detector for Memory {
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        read(self, seen, world, events);
    }

    /// When a dwell completes if no further fix comes.
    fn due_ms(&self) -> Option<i64> {
        self.entry.filter(|entry| entry.fixes > 1).map(|entry| entry.since_ms + DWELL_MS)
    }

    fn wait(&mut self, now_ms: i64, world: &World, events: &mut Vec<Event>) {
        wait(self, now_ms, world, events);
    }
}

fn read(memory: &mut Memory, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
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
fn wait(memory: &mut Memory, now_ms: i64, world: &World, events: &mut Vec<Event>) {
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

#[cfg(test)]
mod hard_cases;
#[cfg(test)]
mod tests {
    use super::super::Detector;
    use std::sync::LazyLock;

    use ingest::{Fix, Reading};
    use proptest::prelude::*;

    use super::{Memory, read, wait};
    use crate::places::Atlas;
    use crate::weather::Feed;
    use crate::{BorderCrossed, EnrichedReading, Happening, World};

    pub(super) static WORLD: LazyLock<World> =
        LazyLock::new(|| World { atlas: Atlas::load(), weather: Feed::None });

    /// Seconds, latitude, longitude, accuracy in metres.
    pub(super) type Seen = (i64, f64, f64, f32);

    fn crossings(track: &[Seen]) -> Vec<BorderCrossed> {
        let (mut memory, mut events) = (Memory::default(), Vec::new());
        for (second, lat, lon, accuracy_m) in track {
            let time_ms = second * 1_000;
            let fix = Fix::new(*lat, *lon, Some(*accuracy_m));
            let reading = Reading { time_ms, seq: None, fix, measures: Vec::new() };
            while let Some(due_ms) = memory.due_ms().filter(|due_ms| *due_ms <= time_ms) {
                wait(&mut memory, due_ms, &WORLD, &mut events);
            }
            read(&mut memory, &EnrichedReading::join(&reading, 1, &WORLD), &WORLD, &mut events);
        }
        let crossed = |event: crate::Event| {
            let Happening::BorderCrossed(crossed) = event.happening else { panic!() };
            assert!(crossed.after_ms <= event.time_ms && event.time_ms <= crossed.before_ms);
            crossed
        };
        events.into_iter().map(crossed).collect()
    }

    #[track_caller]
    pub(super) fn check(track: &[Seen], expect: &[(&str, &str)]) -> Vec<BorderCrossed> {
        let found = crossings(track);
        let ways: Vec<_> = found.iter().map(|c| (c.from.code(), c.to.code())).collect();
        assert_eq!(ways, expect);
        found
    }

    const VENLO: (f64, f64) = (51.370, 6.170);
    const STRAELEN: (f64, f64) = (51.440, 6.265);

    pub(super) fn at(second: i64, (lat, lon): (f64, f64)) -> Seen {
        (second, lat, lon, 8.0)
    }

    /// A drive from Venlo (NL) to Straelen (DE), a fix every ten seconds.
    fn drive(from_second: i64) -> Vec<Seen> {
        (0..=40)
            .map(|step| {
                let share = f64::from(step) / 40.0;
                let lat = VENLO.0 + (STRAELEN.0 - VENLO.0) * share;
                let lon = VENLO.1 + (STRAELEN.1 - VENLO.1) * share;
                (from_second + i64::from(step) * 10, lat, lon, 8.0)
            })
            .collect()
    }

    #[test]
    fn a_drive_over_the_border_crosses_once_and_says_where() {
        let found = check(&drive(0), &[("NL", "DE")]);
        let crossing = &found[0];
        let beyond = WORLD.atlas.country(crossing.lat, crossing.lon).map(|c| c.to_string());
        assert_eq!(beyond.as_deref(), Some("DE"));
        let before = WORLD.atlas.locate(&Fix::new(crossing.lat, crossing.lon, Some(0.1)).unwrap());
        assert!(!before.certain, "the point lies on the border");
    }

    #[test]
    fn one_wild_fix_is_no_crossing() {
        check(&[at(0, VENLO), at(600, STRAELEN), at(1_200, VENLO), at(1_800, VENLO)], &[]);
    }

    #[test]
    fn two_fixes_an_hour_apart_are_one() {
        check(&[at(0, VENLO), at(600, STRAELEN), at(4_200, STRAELEN)], &[("NL", "DE")]);
    }

    #[test]
    fn a_dwell_that_is_broken_off_is_no_crossing() {
        // Over the border by 300 m for eighteen seconds, and back.
        let border = crossings(&drive(0))[0].clone();
        let metres = 1.0 / 111_195.0;
        let (home, away) = (-300.0 * metres, 300.0 * metres);
        let off = |second, by: f64| at(second, (border.lat + by, border.lon + by));
        check(&[off(0, home), off(30, away), off(40, away), off(48, home), off(60, home)], &[]);
    }

    #[test]
    fn jitter_on_the_border_is_no_crossing() {
        // A car park on the border near Venlo, 8 m of accuracy, jumping 30 m either way.
        let border = crossings(&drive(0))[0].clone();
        let jitter: Vec<Seen> = (0..200)
            .map(|step| {
                let away = f64::from(step * 7 % 13 - 6) * 5.0 / 111_195.0;
                (10_000 + i64::from(step), border.lat + away, border.lon - away, 8.0)
            })
            .collect();
        let mut track = vec![at(0, VENLO)];
        track.extend(jitter);
        track.push(at(11_000, VENLO));
        check(&track, &[]);
    }

    #[test]
    fn vague_fixes_decide_nothing() {
        let vague = |second| (second, STRAELEN.0, STRAELEN.1, 5_000.0);
        check(&[at(0, VENLO), vague(600), vague(1_200), vague(1_800)], &[]);
    }

    #[test]
    fn a_jump_over_half_a_continent_is_no_journey() {
        let madrid = (40.4, -3.7);
        check(&[at(0, VENLO), at(1, madrid), at(2, VENLO), at(3, VENLO)], &[]);
        // One that stays, on a receiver that was far off before, is believed in the end.
        let stays: Vec<Seen> =
            std::iter::once(at(0, VENLO)).chain((1..60).map(|second| at(second, madrid))).collect();
        check(&stays, &[("NL", "ES")]);
    }

    #[test]
    fn a_ferry_crosses_once() {
        let (calais, dover) = ((50.957, 1.850), (51.127, 1.335));
        let track: Vec<Seen> = (0..=90)
            .map(|minute| {
                let share = f64::from(minute) / 90.0;
                let lat = calais.0 + (dover.0 - calais.0) * share;
                let lon = calais.1 + (dover.1 - calais.1) * share;
                (i64::from(minute) * 60, lat, lon, 8.0)
            })
            .collect();
        check(&track, &[("FR", "GB")]);
    }

    #[test]
    fn weeks_offline_end_in_one_arrival_with_its_interval() {
        let (lisbon, fortnight) = ((38.72, -9.14), 14 * 86_400);
        let track = [at(0, VENLO), at(fortnight, lisbon), at(fortnight + 60, lisbon)];
        let found = check(&track, &[("NL", "PT")]);
        assert_eq!((found[0].after_ms, found[0].before_ms), (0, fortnight * 1_000));
    }

    #[test]
    fn an_enclave_is_another_country() {
        // From Baarle-Nassau (NL) into Baarle-Hertog's Sint-Remigius (BE) and back.
        let (nassau, hertog) = ((51.4436, 4.9303), (51.4409, 4.9327));
        let track: Vec<Seen> = [nassau, hertog, hertog, nassau, nassau]
            .into_iter()
            .enumerate()
            .map(|(step, (lat, lon))| (step as i64 * 300, lat, lon, 3.0))
            .collect();
        check(&track, &[("NL", "BE"), ("BE", "NL")]);
    }

    proptest! {
        /// Whatever a receiver says, crossings chain: each begins where the last one ended.
        #[test]
        fn crossings_chain(track in proptest::collection::vec(
            (0..900_i64, 50.6..50.9_f64, 5.7..6.3_f64, 1.0..300.0_f32), 0..60,
        )) {
            let mut second = 0;
            let track: Vec<Seen> = track
                .into_iter()
                .map(|(step, lat, lon, accuracy_m)| {
                    second += step;
                    (second, lat, lon, accuracy_m)
                })
                .collect();
            let found = crossings(&track);
            for pair in found.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
            }
            for crossing in found {
                prop_assert_ne!(crossing.from, crossing.to);
            }
        }
    }
}
