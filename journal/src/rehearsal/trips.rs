//! Booked trips as they were told of: each when it was due, in the words that stood then, with the weather
//! that was known then.

use std::collections::{HashMap, HashSet};

use enrich::registry::Registry;
use enrich::relevance::Relevance;
use enrich::rules::Occasion;
use enrich::{TripAhead, World};
use ingest::report::{Report, Trip};
use rusqlite::Connection;

use super::{About, Asked, Firing, Of, Rehearsal};
use crate::ReadError;
use crate::archive::Archive;
use crate::outbox::json;
use crate::trips::{WEATHER_MS, concern, time_zone};
use crate::weather;

/// What rules call the event that a trip is.
const TRIP_AHEAD: &str = "trip_ahead";

/// A trip as one report has it.
struct Version {
    first: i64,
    report: i64,
    insurer: String,
    customer: u32,
    received_ms: i64,
    trip: Trip,
    /// When it is still to be looked at, if it is.
    due_ms: Option<i64>,
}

/// A trip at a moment at which something was to be said of it.
struct Telling {
    at_ms: i64,
    of: Version,
}

impl Archive {
    /// All that booked trips fire, with the number of the last row of weather that was read for it.
    pub(super) fn fire_of_trips<'a>(
        &self,
        asked: &Asked<'a>,
        connection: &Connection,
        world: &mut World,
        rehearsal: &mut Rehearsal,
    ) -> Result<(Vec<Firing<'a>>, i64), ReadError> {
        let registry = self.registry();
        if asked.counts(TRIP_AHEAD, i64::MAX) {
            rehearsal.trips_gone = gone(connection, asked.since_ms)?;
        }
        let mut counted = HashSet::new();
        let mut firings = Vec::new();
        let mut read = 0;
        for Telling { at_ms, of } in tellings(connection, registry, &asked.rules.relevance)? {
            let Version { first, report, insurer, customer, trip, .. } = of;
            let event = TripAhead::event(&trip, time_zone(registry, customer));
            let mut now_ms = at_ms;
            read = weather::learn(connection, world, read, now_ms)?;
            let missing = |fix| world.weather.as_of(&fix, event.time_ms, now_ms).is_none();
            let lacks = event.happening.place().is_some_and(missing);
            if lacks && world.weather.may_come(event.time_ms, now_ms) {
                now_ms += WEATHER_MS;
                read = weather::learn(connection, world, read, now_ms)?;
            }
            if trip.from_ms <= now_ms {
                continue;
            }
            let counts = asked.counts(event.happening.name(), now_ms);
            rehearsal.events += u64::from(counts && counted.insert(first));
            let low = self.marked_low(asked.feedback, customer, now_ms);
            let answer = asked.rules.answer(&Occasion {
                event: &event,
                reading: None,
                device: None,
                booked: self.booked(customer),
                marked_low: &low,
                customer,
                registry,
                world,
                now_ms,
            });
            if counts {
                rehearsal.count(&answer.faults, asked.id);
            }
            let mut fired = answer.firings;
            concern(&mut fired, &insurer, &trip);
            let of = Of {
                about: About::Trip { first, report },
                customer,
                cause: event.cause,
                event_ms: event.time_ms,
                known_ms: now_ms,
            };
            firings.extend(fired.into_iter().filter_map(|fired| asked.taken(fired, of, &trip.id)));
        }
        Ok((firings, read))
    }
}

/// When something was to be said of which trip, in the order of time.
fn tellings(
    connection: &Connection,
    registry: &Registry,
    relevance: &Relevance,
) -> rusqlite::Result<Vec<Telling>> {
    let mut of_trip: HashMap<i64, Vec<Version>> = HashMap::new();
    for version in versions(connection)? {
        of_trip.entry(version.first).or_default().push(version);
    }
    let mut tellings: Vec<Telling> = Vec::new();
    for versions in of_trip.into_values() {
        let mut versions = versions.into_iter().peekable();
        while let Some(of) = versions.next() {
            if of.trip.cancelled {
                continue;
            }
            // What was said before is corrected at once, but the first telling is the one that counts; what
            // was not is told like any other.
            let at_ms = first_told(&of, registry, relevance);
            let until_ms = versions.peek().map_or(of.trip.from_ms, |next| next.received_ms);
            let until_ms = until_ms.min(of.trip.from_ms).min(of.due_ms.unwrap_or(i64::MAX));
            if at_ms < until_ms {
                tellings.push(Telling { at_ms, of });
            }
        }
    }
    tellings.sort_by_key(|telling| (telling.at_ms, telling.of.report));
    Ok(tellings)
}

/// Two days before it begins, or when it was reported after that, but for a night that ends before it
/// begins.
fn first_told(of: &Version, registry: &Registry, relevance: &Relevance) -> i64 {
    let zone = time_zone(registry, of.customer);
    let due_ms = TripAhead::due_ms(of.trip.from_ms, zone).max(of.received_ms);
    let morning_ms = relevance.quiet_until(due_ms, zone);
    morning_ms.filter(|morning_ms| *morning_ms < of.trip.from_ms).unwrap_or(due_ms)
}

/// All reports of trips that are kept, in the order they came.
fn versions(connection: &Connection) -> rusqlite::Result<Vec<Version>> {
    let mut select = connection.prepare(
        "SELECT number, insurer, customer, received_ms, body,
             min(number) OVER (PARTITION BY insurer, id),
             (SELECT due_ms FROM trip WHERE report = number)
         FROM report WHERE kind = 'trip' ORDER BY number",
    )?;
    let mut rows = select.query([])?;
    let mut versions = Vec::new();
    while let Some(row) = rows.next()? {
        if let Report::Trip(trip) = json(row, 4)? {
            versions.push(Version {
                report: row.get(0)?,
                insurer: row.get(1)?,
                customer: row.get(2)?,
                received_ms: row.get(3)?,
                trip,
                first: row.get(5)?,
                due_ms: row.get(6)?,
            });
        }
    }
    Ok(versions)
}

/// How many trips something was said of, or held back, since then, that are not kept any more.
fn gone(connection: &Connection, since_ms: i64) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT count(DISTINCT event) FROM trigger_out
         WHERE event < -1 AND said_ms >= ?1 AND status IN ('fired', 'revised', 'withdrawn')
           AND NOT EXISTS (SELECT 1 FROM report WHERE number = -1 - event)",
        [since_ms],
        |row| Ok(row.get::<_, i64>(0)? as u64),
    )
}
