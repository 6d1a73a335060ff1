//! Events that wait: for their weather, and are told when it comes or when they have waited long
//! enough; or for a customer's quiet hours to end.

use std::collections::{BTreeMap, BTreeSet};

use enrich::World;
use enrich::rules::RuleSet;
use ingest::Fix;
use rusqlite::{Connection, OptionalExtension, Result};

/// Most events that wait. When a feed is away and there are more, the rest is told at once, without
/// weather: each is looked at again with every answer of a feed.
pub(crate) const MOST: usize = 1_000;

/// Most events that wait for anything: a night's worth, a hundred bytes each. What comes on top is
/// kept quiet.
pub(crate) const MOST_QUIET: usize = 200_000;

/// What an event waits for, and until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) device: u32,
    /// Where it needs the weather; `None`: it waits for quiet hours to end.
    pub(crate) fix: Option<Fix>,
    pub(crate) time_ms: i64,
    pub(crate) due_ms: i64,
}

/// All that waits, by event.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_event: BTreeMap<i64, Wanted>,
    by_due: BTreeSet<(i64, i64)>,
    /// How many of these wait for weather.
    weather: usize,
}

impl Waiting {
    pub(crate) fn set(&mut self, event: i64, wanted: Option<Wanted>) {
        let before = match wanted {
            Some(wanted) => self.by_event.insert(event, wanted),
            None => self.by_event.remove(&event),
        };
        if let Some(before) = before {
            self.by_due.remove(&(before.due_ms, event));
            self.weather -= usize::from(before.fix.is_some());
        }
        if let Some(wanted) = wanted {
            self.by_due.insert((wanted.due_ms, event));
            self.weather += usize::from(wanted.fix.is_some());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_event.len()
    }

    pub(crate) fn for_weather(&self) -> usize {
        self.weather
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.by_due.first().map(|(due_ms, _)| *due_ms)
    }

    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.by_event.values()
    }

    /// The events that have waited long enough and, where `look` says to look, those whose weather
    /// has come.
    pub(crate) fn ready(&self, now_ms: i64, world: &World, look: bool) -> Vec<(i64, u32)> {
        let is_ready = |wanted: &Wanted| {
            let come = || {
                let fix = wanted.fix.as_ref();
                fix.is_some_and(|fix| world.weather.as_of(fix, wanted.time_ms, now_ms).is_some())
            };
            wanted.due_ms <= now_ms || look && come()
        };
        if !look && self.next_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return Vec::new();
        }
        let ready = self.by_event.iter().filter(|(_, wanted)| is_ready(wanted));
        ready.map(|(event, wanted)| (*event, wanted.device)).collect()
    }
}

/// Until when an event waits already.
pub(crate) fn due_of(connection: &Connection, event: i64) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT due_ms FROM waiting WHERE event = ?1")?
        .query_row([event], |row| row.get(0))
        .optional()
}

pub(crate) fn keep(connection: &Connection, event: i64, wanted: &Wanted) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO waiting (event, device, lat_e7, lon_e7, time_ms, due_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            event,
            wanted.device,
            wanted.fix.map(|fix| fix.lat_e7),
            wanted.fix.map(|fix| fix.lon_e7),
            wanted.time_ms,
            wanted.due_ms,
        ))?;
    Ok(())
}

/// Returns whether it waited.
pub(crate) fn end(connection: &Connection, event: i64) -> Result<bool> {
    let ended =
        connection.prepare_cached("DELETE FROM waiting WHERE event = ?1")?.execute([event])?;
    Ok(ended > 0)
}

/// The events that have waited long enough, the most important first: where a cap leaves room for
/// one, that is the one.
pub(crate) fn by_priority(
    connection: &Connection,
    rules: &RuleSet,
    ready: Vec<(i64, u32)>,
) -> Result<Vec<(i64, u32)>> {
    let mut held = connection
        .prepare_cached("SELECT rule FROM trigger_out WHERE event = ?1 AND outcome = 'waiting'")?;
    let mut ranked = Vec::with_capacity(ready.len());
    for (event, device) in ready {
        let mut highest = 0;
        for rule in held.query_map([event], |row| row.get::<_, String>(0))? {
            highest = highest.max(rules.rule(&rule?).map_or(0, |rule| rule.priority));
        }
        ranked.push((std::cmp::Reverse(highest), event, device));
    }
    ranked.sort_unstable();
    Ok(ranked.into_iter().map(|(_, event, device)| (event, device)).collect())
}

/// A place in two columns.
pub(crate) fn place(lat_e7: Option<i32>, lon_e7: Option<i32>) -> Option<Fix> {
    Some(Fix { lat_e7: lat_e7?, lon_e7: lon_e7?, accuracy_m: None })
}

pub(crate) fn load(connection: &Connection) -> Result<Waiting> {
    let mut waiting = Waiting::default();
    let mut select =
        connection.prepare("SELECT event, device, lat_e7, lon_e7, time_ms, due_ms FROM waiting")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let fix = place(row.get(2)?, row.get(3)?);
        let wanted = Wanted { device: row.get(1)?, fix, time_ms: row.get(4)?, due_ms: row.get(5)? };
        waiting.set(row.get(0)?, Some(wanted));
    }
    Ok(waiting)
}
