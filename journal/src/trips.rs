//! Booked trips: said two days before they begin, and again or taken back when they change.
//!
//! A trip waits as a row with the time at which it is looked at. What is said of it is a rule's, under
//! the consent that the rule names, and only to the insurer that reported it.

use enrich::registry::Registry;
use enrich::rules::{Firing, Occasion};
use enrich::trigger::data;
use enrich::weather::Joined;
use enrich::{Booked, Event, TripAhead, World};
use ingest::Fix;
use ingest::report::{Report, Trip};
use rusqlite::{Connection, OptionalExtension, Result};
use serde::Serialize;

use crate::feedback::marked_low;
use crate::message::Message;
use crate::outbox::{Outbox, json, to_json};
use crate::said::last_said_of;

/// Trips looked at in one transaction, as with claims: the rest follow in the next.
const LOOKED_AT: i64 = 64;

/// Weather is waited for this long where a feed may still give it.
pub(crate) const WEATHER_MS: i64 = 10_000;

/// Most trips whose weather feeds are asked for at once: it is looked for with every answer.
const MOST_ASKED: i64 = 1_000;

pub(crate) const TABLES: &str = "
    -- Booked trips that are looked at when `due_ms` has come; `asks` for the weather there.
    CREATE TABLE IF NOT EXISTS trip (
        report INTEGER PRIMARY KEY, customer INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        asks INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS trip_by_due ON trip (due_ms);
    CREATE INDEX IF NOT EXISTS trip_asks ON trip (report) WHERE asks;
";

/// When a trip is looked at next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Later {
    pub(crate) due_ms: i64,
    /// Whether it waits for its weather.
    pub(crate) asks: bool,
}

/// When the first of them is due.
pub(crate) fn next_ms(connection: &Connection) -> Result<Option<i64>> {
    connection.prepare_cached("SELECT min(due_ms) FROM trip")?.query_row([], |row| row.get(0))
}

/// The reports of those that are due, and whether they have asked for their weather; where `look` says
/// to look, also of those whose weather has come.
pub(crate) fn due(
    connection: &Connection,
    now_ms: i64,
    world: &World,
    look: bool,
) -> Result<Vec<(i64, bool)>> {
    let mut due = connection
        .prepare_cached(
            "SELECT report, asks FROM trip WHERE due_ms <= ?1 ORDER BY due_ms, report LIMIT ?2",
        )?
        .query_map((now_ms, LOOKED_AT), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>>>()?;
    let asking = if look { asking(connection)? } else { Vec::new() };
    for (report, fix, from_ms) in asking {
        let come = world.weather.as_of(&fix, from_ms, now_ms).is_some();
        if come && !due.iter().any(|(other, _)| *other == report) {
            due.push((report, true));
        }
    }
    Ok(due)
}

/// Whether some ask for their weather.
pub(crate) fn ask(connection: &Connection) -> Result<bool> {
    connection.prepare_cached("SELECT 1 FROM trip WHERE asks LIMIT 1")?.exists([])
}

/// Where and for when weather is waited for, by report.
pub(crate) fn asking(connection: &Connection) -> Result<Vec<(i64, Fix, i64)>> {
    let mut select = connection.prepare_cached(
        "SELECT report, body FROM trip JOIN report ON number = report
         WHERE asks ORDER BY report DESC LIMIT ?1",
    )?;
    let mut asking = Vec::new();
    let mut rows = select.query([MOST_ASKED])?;
    while let Some(row) = rows.next()? {
        if let Report::Trip(trip) = json(row, 1)?
            && let Some(fix) = TripAhead::event(&trip, "UTC").happening.place()
        {
            asking.push((row.get(0)?, fix, trip.from_ms));
        }
    }
    Ok(asking)
}

/// A trip that has just been reported takes the place of what was reported of it before. Where
/// something was said of that, it is looked at again at once.
pub(crate) fn begin(
    connection: &Connection,
    registry: &Registry,
    (report, trip): (i64, &Trip),
    customer: u32,
    now_ms: i64,
) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM trip WHERE report IN (
                 SELECT old.number FROM report AS old JOIN report AS new USING (insurer, kind, id)
                 WHERE new.number = ?1)",
        )?
        .execute([report])?;
    let said = !last_said_of(connection, event_number(connection, report)?)?.is_empty();
    let due_ms = match (said, trip.cancelled) {
        (true, _) => now_ms,
        (false, true) => return Ok(()),
        (false, false) => TripAhead::due_ms(trip.from_ms, time_zone(registry, customer)),
    };
    write(connection, report, customer, Later { due_ms, asks: false })
}

pub(crate) fn write(
    connection: &Connection,
    report: i64,
    customer: u32,
    later: Later,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO trip (report, customer, due_ms, asks) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((report, customer, later.due_ms, later.asks))?;
    Ok(())
}

pub(crate) fn end(connection: &Connection, report: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM trip WHERE report = ?1")?.execute([report])?;
    Ok(())
}

/// The journeys a customer has booked, as they were reported last.
pub(crate) fn booked(connection: &Connection, customer: u32) -> Result<Vec<Booked>> {
    let mut select = connection.prepare_cached(
        "SELECT insurer, body FROM report AS last WHERE customer = ?1 AND kind = 'trip' AND number =
             (SELECT max(number) FROM report
              WHERE insurer = last.insurer AND kind = 'trip' AND id = last.id)",
    )?;
    let mut booked = Vec::new();
    let mut rows = select.query([customer])?;
    while let Some(row) = rows.next()? {
        if let Report::Trip(trip) = json(row, 1)?
            && !trip.cancelled
        {
            let insurer: String = row.get(0)?;
            let Trip { from_ms, to_ms, .. } = trip;
            booked.push(Booked { insurer: insurer.into(), from_ms, to_ms });
        }
    }
    Ok(booked)
}

pub(crate) fn time_zone(registry: &Registry, customer: u32) -> &str {
    registry.customer(customer).map_or("UTC", |customer| &customer.time_zone)
}

/// Leaves what is for the insurer that reported a trip; and where it was booked with one of several
/// policies, what is about that one.
pub(crate) fn concern(firings: &mut Vec<Firing<'_>>, insurer: &str, trip: &Trip) {
    firings.retain(|firing| *firing.policy.insurer == *insurer);
    let named = |policy: &str| trip.policy.as_deref() == Some(policy);
    if firings.iter().any(|firing| named(&firing.policy.id)) {
        firings.retain(|firing| named(&firing.policy.id));
    }
}

/// What stands in the outbox for the event that a trip is: below those of claims and devices, by the
/// first report of it, so that it is the same whatever is corrected.
fn event_number(connection: &Connection, report: i64) -> Result<i64> {
    connection
        .prepare_cached(
            "SELECT -1 - min(first.number) FROM report AS first
             JOIN report AS this USING (insurer, kind, id) WHERE this.number = ?1",
        )?
        .query_row([report], |row| row.get(0))
}

/// All that a message about a trip was computed from.
#[derive(Serialize)]
struct Evidence<'a> {
    insurer: &'a str,
    customer: &'a str,
    policy: &'a str,
    event: &'a Event,
    weather: Option<&'a Joined>,
    rule: &'a str,
    rule_version: u32,
    registry_version: u64,
    now_ms: i64,
}

impl Outbox<'_> {
    /// Says what is to be said of a trip; returns when to look again, if ever, with its customer.
    pub(crate) fn look_ahead(&mut self, report: i64, asked: bool) -> Result<Option<(u32, Later)>> {
        let row = self
            .connection
            .prepare_cached("SELECT insurer, customer, body FROM report WHERE number = ?1")?
            .query_row([report], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, json(row, 2)?))
            })
            .optional()?;
        let Some((insurer, customer, Report::Trip(trip))) = row else { return Ok(None) };
        let now_ms = self.now_ms;
        // What was said before it began stands.
        if trip.from_ms <= now_ms {
            return Ok(None);
        }
        let number = event_number(self.connection, report)?;
        if trip.cancelled {
            self.take_back(number, &[])?;
            return Ok(None);
        }
        let later = |due_ms, asks| Ok(Some((customer, Later { due_ms, asks })));
        let zone = time_zone(self.registry, customer);
        let event = TripAhead::event(&trip, zone);
        let due_ms = TripAhead::due_ms(trip.from_ms, zone);
        if last_said_of(self.connection, number)?.is_empty() {
            // Booked at the last moment: in the morning, if that is before it begins.
            let quiet_until_ms = self.rules.relevance.quiet_until(now_ms, zone);
            if let Some(until_ms) = quiet_until_ms.filter(|until_ms| *until_ms < trip.from_ms) {
                return later(until_ms, asked);
            }
        }
        let weather = &self.world.weather;
        let missing = |fix: Fix| weather.as_of(&fix, event.time_ms, now_ms).is_none();
        let lacks = event.happening.place().is_some_and(missing);
        if !asked && lacks && weather.may_come(event.time_ms, now_ms) {
            return later(now_ms + WEATHER_MS, true);
        }
        self.tell_trip((&insurer, &trip), customer, number, &event)?;
        match lacks {
            // Of one that was put off, its weather is still to be said.
            _ if due_ms > now_ms => later(due_ms, false),
            // It may come until it begins, and is said in a revision then.
            true if weather.may_come(trip.from_ms, trip.from_ms) => later(trip.from_ms, true),
            _ => Ok(None),
        }
    }

    fn tell_trip(
        &mut self,
        (insurer, trip): (&str, &Trip),
        customer: u32,
        number: i64,
        event: &Event,
    ) -> Result<()> {
        let (rules, registry, now_ms) = (self.rules, self.registry, self.now_ms);
        let Some(who) = registry.customer(customer) else { return Ok(()) };
        let world = self.world;
        let booked = booked(self.connection, customer)?;
        let marked_low = marked_low(self.connection, registry, customer)?;
        let occasion = Occasion {
            event,
            reading: None,
            device: None,
            booked: &booked,
            marked_low: &marked_low,
            customer,
            registry,
            world,
            now_ms,
        };
        let answer = rules.answer(&occasion);
        self.count_faults(&answer.faults);
        let mut firings = answer.firings;
        concern(&mut firings, insurer, trip);
        let mut ids = Vec::new();
        for firing in &firings {
            let evidence = to_json(&Evidence {
                insurer,
                customer: &who.id,
                policy: &firing.policy.id,
                event,
                weather: answer.weather.as_ref(),
                rule: &firing.rule.id,
                rule_version: firing.rule.version,
                registry_version: registry.version,
                now_ms,
            })?;
            let data = data(event, firing, answer.weather.as_ref(), &evidence);
            let id = self.key.trip_id(&firing.rule.id, &firing.policy.id, &trip.id);
            ids.push(id.clone());
            let subject = self.key.subject(insurer, &who.id);
            self.say(
                None,
                firing,
                Message { id, subject, customer, event: number, data, evidence },
            )?;
        }
        self.take_back(number, &ids)
    }
}
