//! Venues that people visit, and which arrivals ought to be greeted.

use crate::areas::DWELL_MS;
use crate::geo::Position;
use crate::places::Place;
use crate::truth::{Expect, Found, What};
use crate::weather::HOUR_MS;

const RADIUS_M: f64 = 150.0;
/// East and north of the middle of its town. People live within 3 km of that, and their ways to work
/// lead to the north-east: nobody comes by but guests.
const AWAY_M: (f64, f64) = (-5_000.0, -5_000.0);
/// So far from the edge no receiver can doubt on which side it is, reflections included.
const SURE_M: f64 = 100.0;
/// As documented of the rule `venue-welcome`: who was greeted is not greeted again for so long.
const COOLDOWN_MS: i64 = 12 * HOUR_MS;
/// The server's default quiet hours, by the time of day in UTC: the customers of a scenario's registry
/// have no other time zone.
const QUIET_FROM_H: i64 = 22;
const QUIET_TO_H: i64 = 7;
/// As documented of the rule: from then on a greeting is of no use.
pub(crate) const OF_USE_MS: i64 = HOUR_MS / 2;
/// So far a server may be off in when somebody came in: receivers are wrong near houses for half a
/// minute, and guests take as long from the edge to where there is no doubt.
pub(crate) const DOUBT_MS: i64 = 120_000;

/// Where guests come.
#[derive(Clone, Debug)]
pub(crate) struct Venue {
    pub(crate) name: String,
    pub(crate) at: Position,
}

impl Venue {
    pub(crate) fn of(town: &Place) -> Self {
        let (east_m, north_m) = AWAY_M;
        Self {
            name: format!("Museum of {}", town.name),
            at: town.position().moved(east_m, north_m),
        }
    }

    /// The geofence that a registry has for it, as TOML.
    pub(crate) fn geofence(&self) -> String {
        let Self { name, at } = self;
        format!(
            "\n[[geofence]]\nname = \"{name}\"\nkind = \"venue\"\n\
             circle = {{ lat = {:.6}, lon = {:.6}, radius_m = {RADIUS_M:.1} }}\n",
            at.lat, at.lon
        )
    }
}

/// Follows one guest, report by report.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    venue: Venue,
    /// It has surely been outside since it last came in.
    outside: bool,
    /// When it was first surely inside.
    pending_ms: Option<i64>,
    greeted: Option<Greeted>,
}

#[derive(Clone, Copy, Debug)]
struct Greeted {
    at_ms: i64,
    surely: bool,
}

impl Arrivals {
    pub(crate) fn at(venue: Venue) -> Self {
        Self { venue, outside: false, pending_ms: None, greeted: None }
    }

    /// The device reports at `now_ms` from `here`.
    pub(crate) fn report(&mut self, now_ms: i64, here: Position) -> Option<Found> {
        let metres = self.venue.at.distance_m(here);
        if metres > RADIUS_M + SURE_M {
            self.outside = true;
            return self.finish();
        }
        if metres > RADIUS_M - SURE_M || !self.outside {
            return None;
        }
        let since_ms = *self.pending_ms.get_or_insert(now_ms);
        if now_ms - since_ms < DWELL_MS {
            return None;
        }
        (self.pending_ms, self.outside) = (None, false);
        let expect = self.expect(since_ms)?;
        self.greeted = Some(Greeted { at_ms: since_ms, surely: expect == Expect::Trigger });
        Some(self.arrival(since_ms, expect))
    }

    /// It did not stay, or nobody looks any longer: a server may have seen it longer at the edge.
    pub(crate) fn finish(&mut self) -> Option<Found> {
        let since_ms = self.pending_ms.take()?;
        self.expect(since_ms)?;
        self.greeted = Some(Greeted { at_ms: since_ms, surely: false });
        Some(self.arrival(since_ms, Expect::Either))
    }

    fn arrival(&self, at_ms: i64, expect: Expect) -> Found {
        let what = What::GeofenceEntered { area: self.venue.name.clone() };
        Found { at_ms, place: Some(self.venue.at), what, expect, unseen_ms: 0 }
    }

    /// What is to be made of somebody who came in at `at_ms`; `None` where nothing is to be said.
    fn expect(&self, at_ms: i64) -> Option<Expect> {
        // It is said when the dwell is over and the server has heard of it, while it is of use.
        let hours = [at_ms - DOUBT_MS, at_ms + OF_USE_MS + DOUBT_MS];
        let surely = match hours.map(is_quiet) {
            [true, true] => return None,
            [false, false] => true,
            _ => false,
        };
        let surely = match self.greeted {
            Some(greeted) if at_ms < greeted.at_ms + COOLDOWN_MS - DOUBT_MS => {
                if greeted.surely {
                    return None;
                }
                false
            }
            Some(greeted) => surely && at_ms > greeted.at_ms + COOLDOWN_MS + DOUBT_MS,
            None => surely,
        };
        Some(if surely { Expect::Trigger } else { Expect::Either })
    }
}

fn is_quiet(at_ms: i64) -> bool {
    let hour = at_ms.div_euclid(HOUR_MS).rem_euclid(24);
    !(QUIET_TO_H..QUIET_FROM_H).contains(&hour)
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Venue};
    use crate::geo::Position;
    use crate::places::PLACES;
    use crate::roads::place;
    use crate::truth::Expect;

    /// 2026-01-20T00:00:00Z
    const MIDNIGHT_MS: i64 = 1_768_867_200_000;
    const HOUR_S: i64 = 3_600;

    fn museum() -> Venue {
        Venue::of(&PLACES[place("Utrecht").unwrap()])
    }

    /// What is to be made of visits from so many seconds after midnight to so many, with a report
    /// every ten seconds and the rest of the time a kilometre away.
    fn visits(times: &[(i64, i64)]) -> Vec<(i64, Expect)> {
        let venue = museum();
        let mut arrivals = Arrivals::at(venue.clone());
        let away = venue.at.moved(1_000.0, 0.0);
        let mut found = Vec::new();
        for second in (0..=times.last().unwrap().1 + 10).step_by(10) {
            let inside = times.iter().any(|(from, to)| (*from..*to).contains(&second));
            let here: Position = if inside { venue.at } else { away };
            found.extend(arrivals.report(MIDNIGHT_MS + second * 1_000, here));
        }
        found.extend(arrivals.finish());
        found.into_iter().map(|found| ((found.at_ms - MIDNIGHT_MS) / 1_000, found.expect)).collect()
    }

    #[test]
    fn a_guest_is_greeted_once_in_twelve_hours_by_day() {
        let (morning, noon, evening) = (8 * HOUR_S, 12 * HOUR_S, 21 * HOUR_S);
        let stays = |at: i64| (at, at + 900);
        let found = visits(&[stays(morning), stays(noon), stays(evening)]);
        assert_eq!(found, [(morning, Expect::Trigger), (evening, Expect::Trigger)]);
        assert_eq!(visits(&[stays(3 * HOUR_S)]), [], "nobody is greeted at night");
        let bedtime = 22 * HOUR_S - 600;
        assert_eq!(visits(&[stays(bedtime)]), [(bedtime, Expect::Either)]);
    }

    #[test]
    fn who_hardly_comes_in_may_be_greeted_and_who_was_there_at_first_is_not() {
        let noon = 12 * HOUR_S;
        assert_eq!(visits(&[(noon, noon + 40)]), [(noon, Expect::Either)]);
        let found = visits(&[(noon, noon + 40), (noon + 600, noon + 1_500)]);
        assert_eq!(found.iter().map(|one| one.1).collect::<Vec<_>>(), [Expect::Either; 2]);
        let mut arrivals = Arrivals::at(museum());
        let there = (0..60).filter_map(|n| arrivals.report(MIDNIGHT_MS + n * 60_000, museum().at));
        assert_eq!(there.count(), 0);
    }
}
