//! The journal as a record: read beside a server that may be running, to ask what would have been.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use enrich::registry::{Known, Registry};
use enrich::rules::RuleSet;
use enrich::{Booked, DeviceState, Event, World};
use ingest::Reading;
use ingest::report::{Claim, Report};
use rusqlite::{Connection, OptionalExtension};

use crate::ReadError;
use crate::chunk;
use crate::claims;
use crate::history::{Histories, run};
use crate::outbox::json;
use crate::recover::load_histories;
use crate::registry::stored;
use crate::seal::{base, damaged, decode_state};
use crate::store::open_reader;
use crate::trips;

/// What a journal held when it was opened: the registry, the rules in force, and every device's
/// history, which is read device by device.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
    registry: Registry,
    /// `None` where nothing was ever computed.
    rules: Option<RuleSet>,
    /// The open ends of the histories, which may be sealed while we read.
    open: Histories,
    booked: HashMap<u32, Vec<Booked>>,
}

/// What the core made of a device's history.
#[derive(Clone, Debug)]
pub struct Found {
    pub event: Event,
    /// The reading that caused it.
    pub reading: Option<Reading>,
}

impl Archive {
    /// Reads the log and the registry, in one short transaction.
    ///
    /// # Errors
    /// When there is no journal in `dir`, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let connection = open_reader(dir)?;
        let transaction = connection.unchecked_transaction()?;
        let registry = stored(&transaction)?;
        let mut open = Histories::default();
        load_histories(&transaction, &mut open)?;
        let rules = rules_in_force(&transaction)?;
        let booked = booked_by_all(&transaction)?;
        Ok(Self { dir: dir.to_owned(), registry, rules, open, booked })
    }

    /// What a customer has booked.
    #[must_use]
    pub fn booked(&self, customer: u32) -> &[Booked] {
        self.booked.get(&customer).map(Vec::as_slice).unwrap_or_default()
    }

    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn reader(&self) -> Result<Connection, ReadError> {
        Ok(open_reader(&self.dir)?)
    }

    /// The rules that the newest batch went by.
    #[must_use]
    pub fn rules(&self) -> Option<&RuleSet> {
        self.rules.as_ref()
    }

    /// Runs the detectors over a device's history and returns what they find from `since_ms` on,
    /// in the order it becomes known. They begin with what they knew at the start of the stretch
    /// that `since_ms` falls into.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn events(
        &self,
        device: &Known,
        since_ms: i64,
        world: &World,
    ) -> Result<Vec<Found>, ReadError> {
        let connection = open_reader(&self.dir)?;
        let (mut state, mut readings) = self.sealed(&connection, device.number, since_ms)?;
        let mut until_ms = None;
        if let Some(history) = self.open.get(device.number) {
            readings.extend(history.open.readings());
            until_ms = history.seen_until_ms();
        }
        readings.sort_by(Reading::history_order);
        readings.dedup_by(|a, b| a.history_order(b).is_eq());
        let mut events = Vec::new();
        run(&mut state, &readings, device, world, &mut events);
        if let Some(until_ms) = until_ms {
            state.wait_until(until_ms, world, &mut events);
        }
        events.retain(|event| event.known_ms >= since_ms);
        let by_time: HashMap<_, _> =
            readings.into_iter().map(|reading| ((reading.time_ms, reading.seq), reading)).collect();
        let found = events.into_iter().map(|event| {
            let reading = by_time.get(&(event.cause.time_ms, event.cause.seq)).cloned();
            Found { event, reading }
        });
        Ok(found.collect())
    }

    /// Hands over a device's readings in history order, one by one: a chunk of them is in memory.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn each_reading(
        &self,
        device: &Known,
        mut take: impl FnMut(&Reading),
    ) -> Result<(), ReadError> {
        let connection = open_reader(&self.dir)?;
        let history = self.open.get(device.number);
        // What was open when this was opened may have been sealed since.
        let start_ms = history.map_or(i64::MAX, |history| history.start_ms);
        let mut windows = connection.prepare("SELECT number FROM window ORDER BY number")?;
        let mut chunks = connection.prepare(
            "SELECT columns FROM chunk WHERE window = ?1 AND device = ?2 ORDER BY start_ms",
        )?;
        for window in windows.query_map([], |row| row.get::<_, i64>(0))? {
            let mut rows = chunks.query((window?, device.number))?;
            while let Some(row) = rows.next()? {
                let columns = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
                let sealed = chunk::open(columns).map_err(damaged)?;
                sealed.iter().filter(|reading| reading.time_ms < start_ms).for_each(&mut take);
            }
        }
        let open = history.map(|history| history.open.readings()).unwrap_or_default();
        open.iter().for_each(take);
        Ok(())
    }

    /// The claims that were reported of a device or, where they name none, of whoever had only that
    /// car then; each as it was last told.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn claims(&self) -> Result<HashMap<u32, Vec<Claim>>, ReadError> {
        let connection = open_reader(&self.dir)?;
        let mut select = connection.prepare(
            "SELECT customer, body FROM report AS last WHERE kind = 'claim' AND number =
                 (SELECT max(number) FROM report
                  WHERE insurer = last.insurer AND kind = 'claim' AND id = last.id)",
        )?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, json::<Report>(row, 1)?)))?;
        let mut of_device: HashMap<u32, Vec<Claim>> = HashMap::new();
        for row in rows {
            let (customer, Report::Claim(claim)) = row? else { continue };
            if let (Some(device), _) = claims::car(&self.registry, &claim, customer) {
                of_device.entry(device).or_default().push(claim);
            }
        }
        Ok(of_device)
    }

    /// The sealed stretches from the one that holds `since_ms` on, and what was known at its start.
    fn sealed(
        &self,
        connection: &Connection,
        device: u32,
        since_ms: i64,
    ) -> Result<(DeviceState, Vec<Reading>), ReadError> {
        let mut windows = connection.prepare("SELECT number FROM window ORDER BY number DESC")?;
        let mut chunks = connection.prepare(
            "SELECT start_ms, state, columns FROM chunk
             WHERE window = ?1 AND device = ?2 ORDER BY start_ms DESC",
        )?;
        let mut first = None;
        let mut readings = Vec::new();
        'all: for window in windows.query_map([], |row| row.get::<_, i64>(0))? {
            let mut rows = chunks.query((window?, device))?;
            while let Some(row) = rows.next()? {
                let (start_ms, state): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let columns: Vec<u8> = row.get(2)?;
                readings.extend(chunk::open(&columns).map_err(damaged)?);
                first = Some(decode_state(&state)?);
                if start_ms <= since_ms {
                    break 'all;
                }
            }
        }
        let state = match first {
            Some(state) => state,
            None => base(connection, device)?,
        };
        Ok((state, readings))
    }
}

fn booked_by_all(connection: &Connection) -> rusqlite::Result<HashMap<u32, Vec<Booked>>> {
    let mut who = connection.prepare("SELECT DISTINCT customer FROM report WHERE kind = 'trip'")?;
    let who = who.query_map([], |row| row.get(0))?;
    who.map(|customer| {
        let customer = customer?;
        Ok((customer, trips::booked(connection, customer)?))
    })
    .collect()
}

fn rules_in_force(connection: &Connection) -> rusqlite::Result<Option<RuleSet>> {
    let texts: Option<Vec<String>> = connection
        .query_row(
            // The log may just have been sealed.
            "SELECT rules FROM rule_set ORDER BY
                 name = (SELECT rules FROM batch ORDER BY id DESC LIMIT 1) DESC, since_ms DESC
             LIMIT 1",
            [],
            |row| json(row, 0),
        )
        .optional()?;
    // A set that an older version took and this one does not is none to compare with.
    Ok(texts.and_then(|texts| RuleSet::of_texts(&texts).ok()))
}
