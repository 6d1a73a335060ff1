//! Claims that are answered: at once, or when the data they wait for has come or has had time to; and
//! again when a later reading changes the picture.
//!
//! What a claim is answered with is [`enrich::claim`]'s. It goes out in the insurer's sequence for
//! winter tyres, under one id, and rests on the contract: withdrawing a consent does not take it back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use enrich::World;
use enrich::claim::{AROUND_MS, Around, Car, Context, LEGAL_BASIS, Sky, confirms};
use enrich::detect::tyres::Tyre;
use enrich::registry::{Product, Registry};
use enrich::road::{Inputs, LYING_HOURS};
use enrich::trigger::Status;
use enrich::weather::{HOUR_MS, Joined};
use ingest::report::{Claim, Report};
use ingest::{DeviceKind, Fix, Measure, Reading};
use rusqlite::{Connection, OptionalExtension, Result};
use serde::Serialize;

use crate::chunk;
use crate::history::History;
use crate::message::Message;
use crate::outbox::{Entry, Outbox, Outcome, json, to_json};
use crate::said::{Said, last_said_under, next_sequence, said, says_the_same};
use crate::seal::{base, damaged, decode_state};
use crate::waiting::place;

/// How long a claim is looked at again when readings around it come: what a car had not sent by then
/// is not expected any more.
const WATCHED_MS: i64 = 30 * 86_400_000;

/// How long an answer is of use to who was away.
const VALID_MS: i64 = 90 * 86_400_000;

/// The event that answers have in the outbox: no device noticed one.
const ANSWER: i64 = -1;

/// Claims looked at in one transaction: each reads a stretch of history. The rest follow in the next.
const LOOKED_AT: usize = 64;

/// Weather is waited for this long where a feed may still give it.
const WEATHER_MS: i64 = 10_000;

/// What was answered with a forecast is held against what was observed up to here after it was
/// reported: stations say so within the hour, and models within a few. Our own choice.
const OBSERVED_WITHIN_MS: i64 = 24 * 3_600_000;

/// Most claims whose weather feeds are asked for, the newest: it comes for all of them together, and
/// is looked for with every answer of a feed.
const MOST_ASKED: usize = 1_000;

pub(crate) const TABLES: &str = "
    -- Claims that are watched: looked at when `due_ms` has come, or when a reading around them has.
    CREATE TABLE IF NOT EXISTS claim (
        report INTEGER PRIMARY KEY, customer INTEGER NOT NULL, device INTEGER,
        time_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
        -- Where the weather of its hour is still missing, or forecast only.
        lat_e7 INTEGER, lon_e7 INTEGER);
    -- Those of them that were answered with a forecast.
    CREATE TABLE IF NOT EXISTS claim_foretold (report INTEGER PRIMARY KEY);
";

/// A claim that is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Watched {
    pub(crate) customer: u32,
    /// The car, where it is known which.
    pub(crate) device: Option<u32>,
    pub(crate) time_ms: i64,
    pub(crate) due_ms: i64,
    /// When it is watched no more.
    pub(crate) until_ms: i64,
    /// What it lacks and may still come, before it is answered or after.
    pub(crate) wants: Option<Wants>,
}

/// The weather that a claim lacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wants {
    fix: Fix,
    /// It was answered with a forecast: only what was observed tells more.
    foretold: bool,
}

impl Watched {
    fn answered(&self) -> bool {
        self.due_ms == self.until_ms || self.wants.is_some_and(|wants| wants.foretold)
    }

    /// Whether it is answered, and readings that it was answered with begin to go because of their
    /// age: the answer stands then.
    fn stands(&self, since_ms: i64) -> bool {
        self.answered() && self.time_ms - AROUND_MS < since_ms
    }
}

/// All of them, by the number of their report.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_report: BTreeMap<i64, Watched>,
    by_due: BTreeSet<(i64, i64)>,
    by_device: HashMap<u32, Vec<i64>>,
    /// Those that lack their weather.
    asking: BTreeSet<i64>,
}

impl Claims {
    /// Returns whether it begins or ends to lack its weather.
    pub(crate) fn set(&mut self, report: i64, watched: Option<Watched>) -> bool {
        let asks = watched.is_some_and(|watched| watched.wants.is_some());
        let changes = match asks {
            true => self.asking.insert(report),
            false => self.asking.remove(&report),
        };
        let before = match watched {
            Some(watched) => self.by_report.insert(report, watched),
            None => self.by_report.remove(&report),
        };
        if let Some(before) = before {
            self.by_due.remove(&(before.due_ms, report));
            if let Some(claims) = before.device.and_then(|device| self.by_device.get_mut(&device)) {
                claims.retain(|other| *other != report);
            }
        }
        if let Some(watched) = watched {
            self.by_due.insert((watched.due_ms, report));
            if let Some(device) = watched.device {
                self.by_device.entry(device).or_default().push(report);
            }
        }
        changes
    }

    pub(crate) fn get(&self, report: i64) -> Option<Watched> {
        self.by_report.get(&report).copied()
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.by_due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Those that are to be looked at now and, where `look` says to look, those whose weather has
    /// come; and whether more of these are left.
    pub(crate) fn due(&self, now_ms: i64, world: &World, look: bool) -> (Vec<i64>, bool) {
        let due = self.by_due.range(..=(now_ms, i64::MAX)).map(|(_, report)| *report);
        let due = due.take(LOOKED_AT);
        if !look {
            return (due.collect(), false);
        }
        let come = self.asked().filter(|(_, wants, time_ms)| {
            let joined = world.weather.as_of(&wants.fix, *time_ms, now_ms);
            joined.is_some_and(|joined| joined.row.observed || !wants.foretold)
        });
        let mut come = come.map(|(report, ..)| report);
        let mut reports: Vec<i64> = due.chain(come.by_ref().take(LOOKED_AT)).collect();
        reports.sort_unstable();
        reports.dedup();
        (reports, come.next().is_some())
    }

    /// Whether some lack their weather.
    pub(crate) fn ask(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Where and for when weather is waited for.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (Fix, i64)> {
        self.asked().map(|(_, wants, time_ms)| (wants.fix, time_ms))
    }

    fn asked(&self) -> impl Iterator<Item = (i64, Wants, i64)> {
        let newest = self.asking.iter().rev().take(MOST_ASKED);
        newest.filter_map(|report| {
            let watched = self.get(*report)?;
            Some((*report, watched.wants?, watched.time_ms))
        })
    }

    pub(crate) fn forget_customer(&mut self, customer: u32) {
        let theirs = self.by_report.iter().filter(|(_, watched)| watched.customer == customer);
        let theirs: Vec<i64> = theirs.map(|(report, _)| *report).collect();
        for report in theirs {
            self.set(report, None);
        }
    }

    /// The claims that readings of a device may say something new about. Readings from before
    /// `since_ms` may be gone.
    pub(crate) fn touched(
        &self,
        device: u32,
        stored: &[&Reading],
        since_ms: i64,
    ) -> Vec<(i64, Watched)> {
        let Some(claims) = self.by_device.get(&device) else { return Vec::new() };
        let tells_tyres = |reading: &Reading| {
            let measures = [Measure::Tyre, Measure::TreadMm];
            measures.iter().any(|measure| reading.measure(*measure).is_some())
        };
        let concern = |watched: &Watched| {
            let waits = !watched.answered();
            !watched.stands(since_ms)
                && stored.iter().any(|reading| {
                    let after_ms = reading.time_ms - watched.time_ms;
                    // Tyres hold from when they are said.
                    after_ms.abs() <= AROUND_MS
                        || after_ms >= 0 && waits
                        || after_ms < 0 && tells_tyres(reading)
                })
        };
        let watched = claims.iter().filter_map(|report| Some((*report, self.get(*report)?)));
        watched.filter(|(_, watched)| concern(watched)).collect()
    }
}

pub(crate) fn load(connection: &Connection) -> Result<Claims> {
    let mut claims = Claims::default();
    let mut select = connection.prepare(
        "SELECT report, customer, device, time_ms, due_ms, until_ms, lat_e7, lon_e7,
             report IN (SELECT report FROM claim_foretold)
         FROM claim",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (fix, foretold) = (place(row.get(6)?, row.get(7)?), row.get(8)?);
        let watched = Watched {
            customer: row.get(1)?,
            device: row.get(2)?,
            time_ms: row.get(3)?,
            due_ms: row.get(4)?,
            until_ms: row.get(5)?,
            wants: fix.map(|fix| Wants { fix, foretold }),
        };
        claims.set(row.get(0)?, Some(watched));
    }
    Ok(claims)
}

pub(crate) fn write(connection: &Connection, report: i64, watched: Option<Watched>) -> Result<()> {
    match watched {
        Some(watched) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO claim
                     (report, customer, device, time_ms, due_ms, until_ms, lat_e7, lon_e7)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((
                report,
                watched.customer,
                watched.device,
                watched.time_ms,
                watched.due_ms,
                watched.until_ms,
                watched.wants.map(|wants| wants.fix.lat_e7),
                watched.wants.map(|wants| wants.fix.lon_e7),
            ))?,
        None => {
            connection.prepare_cached("DELETE FROM claim WHERE report = ?1")?.execute([report])?
        }
    };
    let foretold = watched.and_then(|watched| watched.wants).is_some_and(|wants| wants.foretold);
    let write = match foretold {
        true => "INSERT OR IGNORE INTO claim_foretold (report) VALUES (?1)",
        false => "DELETE FROM claim_foretold WHERE report = ?1",
    };
    connection.prepare_cached(write)?.execute([report])?;
    Ok(())
}

/// A claim that has just been reported.
pub(crate) fn begin(registry: &Registry, claim: &Claim, customer: u32, now_ms: i64) -> Watched {
    let (device, _) = car(registry, claim, customer);
    let until_ms = now_ms + WATCHED_MS;
    Watched { customer, device, time_ms: claim.time_ms, due_ms: now_ms, until_ms, wants: None }
}

/// The reports that a report takes the place of, with their customers: the same claim, as it was told
/// before.
pub(crate) fn corrected(connection: &Connection, report: i64) -> Result<Vec<(i64, u32)>> {
    connection
        .prepare_cached(
            "SELECT old.number, old.customer FROM report AS old JOIN report AS new USING (insurer, kind, id)
             WHERE new.number = ?1 AND old.number != ?1",
        )?
        .query_map([report], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The car that a claim names, or the only one that the customer had then.
pub(crate) fn car(registry: &Registry, claim: &Claim, customer: u32) -> (Option<u32>, Car) {
    if let Some(known) = claim.device.as_deref().and_then(|id| registry.device(id)) {
        return (Some(known.number), Car::Known);
    }
    let mut cars = registry.devices_of(customer).filter(|known| {
        known.device.kind == DeviceKind::Car && known.owner_at(claim.time_ms) == Some(customer)
    });
    match (cars.next(), cars.next()) {
        (None, _) => (None, Car::None),
        (Some(only), None) => (Some(only.number), Car::Known),
        (Some(_), Some(_)) => (None, Car::Several),
    }
}

/// The tyres and tread that a car had said it has.
type Fitted = (Option<Tyre>, Option<f64>);

/// Where the history of one device is to be found.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) history: Option<&'a History>,
    pub(crate) windows: &'a [i64],
    pub(crate) device: u32,
}

impl Stretch<'_> {
    /// The readings from one moment up to another and some around them, and the tyres that the car
    /// had said before the first of these, if it was the customer's then.
    fn around(&self, customer: u32, from_ms: i64, to_ms: i64) -> Result<(Vec<Reading>, Fitted)> {
        let open = self.history.map(|history| history.open.readings()).unwrap_or_default();
        let start_ms = self.history.map_or(i64::MIN, |history| history.start_ms);
        let mut known = base(self.connection, self.device)?;
        let mut readings = open;
        if from_ms < start_ms {
            let mut chunks = self.connection.prepare_cached(
                "SELECT start_ms, state, columns FROM chunk
                 WHERE window = ?1 AND device = ?2 AND start_ms <= ?3 ORDER BY start_ms DESC",
            )?;
            'all: for window in self.windows.iter().rev() {
                let mut rows = chunks.query((window, self.device, to_ms))?;
                while let Some(row) = rows.next()? {
                    readings.extend(chunk::open(row.get_ref(2)?.as_blob()?).map_err(damaged)?);
                    known = decode_state(row.get_ref(1)?.as_blob()?)?;
                    if row.get::<_, i64>(0)? <= from_ms {
                        break 'all;
                    }
                }
            }
        }
        readings.retain(|reading| reading.time_ms <= to_ms);
        readings.sort_by(Reading::history_order);
        readings.dedup_by(|a, b| a.history_order(b).is_eq());
        let theirs = known.owner() == Some(customer);
        Ok((readings, if theirs { known.fitted() } else { (None, None) }))
    }
}

/// What looking at a claim needs beside the outbox.
pub(crate) struct Looking<'a> {
    pub(crate) report: i64,
    pub(crate) watched: Watched,
    pub(crate) stretch: Option<Stretch<'a>>,
    /// Until when the car was heard of.
    pub(crate) heard_until_ms: Option<i64>,
    /// How long a claim waits for readings of its time.
    pub(crate) wait_ms: i64,
    /// Readings from before may be gone.
    pub(crate) since_ms: i64,
    /// And weather from before.
    pub(crate) weather_since_ms: i64,
}

/// All that an answer was computed from, but for the readings.
#[derive(Serialize)]
struct Evidence<'a> {
    legal_basis: &'static str,
    insurer: &'a str,
    customer: &'a str,
    device: Option<&'a str>,
    claim: &'a Claim,
    /// How many readings around it were looked at, and the hash of them.
    readings: usize,
    readings_sha256: String,
    fix: Option<Fix>,
    weather: Option<&'a Joined>,
    /// What the road was judged by.
    road: Option<Inputs>,
    registry_version: u64,
    now_ms: i64,
}

impl Outbox<'_> {
    /// Takes back what was answered of a claim that turns out to be about somebody else.
    pub(crate) fn take_back_claim(
        &mut self,
        insurer: &str,
        claim: &Claim,
        customer: u32,
    ) -> Result<()> {
        let Some(customer) = self.registry.customer(customer) else { return Ok(()) };
        let id = self.key.claim_id(insurer, &claim.id, &customer.id);
        match last_said_under(self.connection, &id)? {
            Some(last) => self.withdraw_said(last, ANSWER),
            None => Ok(()),
        }
    }

    /// Answers a claim, or says until when it waits; `None`: it is watched no more.
    pub(crate) fn look(&mut self, looking: &Looking<'_>) -> Result<Option<Watched>> {
        let Looking { report, watched, stretch, .. } = *looking;
        let row = self
            .connection
            .prepare_cached("SELECT insurer, received_ms, body FROM report WHERE number = ?1")?
            .query_row([report], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, json(row, 2)?))
            })
            .optional()?;
        let Some((insurer, received_ms, Report::Claim(claim))) = row else { return Ok(None) };
        let now_ms = self.now_ms;
        if watched.until_ms <= now_ms {
            return Ok(None);
        }
        if watched.stands(looking.since_ms) {
            return Ok(None);
        }
        let deadline_ms = received_ms + looking.wait_ms;
        let heard = looking.heard_until_ms.is_some_and(|heard_ms| heard_ms >= claim.time_ms);
        if watched.device.is_some() && !heard && now_ms < deadline_ms {
            return Ok(Some(Watched { due_ms: deadline_ms, wants: None, ..watched }));
        }
        let (car, mut readings, fitted_before) = match stretch {
            None => (car(self.registry, &claim, watched.customer).1, Vec::new(), (None, None)),
            Some(stretch) => {
                let (from_ms, to_ms) = (claim.time_ms - AROUND_MS, claim.time_ms + AROUND_MS);
                let (readings, fitted) = stretch.around(watched.customer, from_ms, to_ms)?;
                (Car::Known, readings, fitted)
            }
        };
        if let Some(known) = watched.device.and_then(|n| self.registry.device_by_number(n)) {
            readings.retain(|reading| known.owner_at(reading.time_ms) == Some(watched.customer));
        }
        // The road is judged by the hours before, too.
        let goes = claim.time_ms - LYING_HOURS * HOUR_MS < looking.weather_since_ms;
        let before = match goes {
            true => self.answered_with(&insurer, &claim, watched.customer)?,
            false => None,
        };
        let around = Around {
            claim: &claim,
            car,
            readings: &readings,
            fitted_before,
            before: before.as_ref(),
            world: self.world,
            now_ms,
        };
        let context = Context::of(&around);
        let wants = self.wants(&context, claim.time_ms, received_ms);
        let first_ms = received_ms + WEATHER_MS;
        if wants.is_some_and(|wants| !wants.foretold) && now_ms < first_ms {
            return Ok(Some(Watched { due_ms: first_ms, wants, ..watched }));
        }
        self.tell_claim((&*insurer, &claim, received_ms), watched, &context, &readings)?;
        // What comes after all is said in a revision.
        let due_ms = match wants {
            Some(Wants { foretold: true, .. }) => received_ms + OBSERVED_WITHIN_MS,
            _ => watched.until_ms,
        };
        Ok(Some(Watched { due_ms, wants, ..watched }))
    }

    /// The weather that a claim was answered with last.
    fn answered_with(&self, insurer: &str, claim: &Claim, customer: u32) -> Result<Option<Sky>> {
        let Some(customer) = self.registry.customer(customer) else { return Ok(None) };
        let evidence: Option<String> = self
            .connection
            .prepare_cached(
                "SELECT evidence FROM trigger_out WHERE id = ?1 ORDER BY revision DESC LIMIT 1",
            )?
            .query_row([self.key.claim_id(insurer, &claim.id, &customer.id)], |row| row.get(0))
            .optional()?;
        // There is none in it where the weather was missing, or the content was deleted.
        Ok(evidence.and_then(|evidence| serde_json::from_str(&evidence).ok()))
    }

    /// The weather that is missing or forecast only, where a feed may still tell it.
    fn wants(&self, context: &Context, time_ms: i64, received_ms: i64) -> Option<Wants> {
        let now_ms = self.now_ms;
        let fix = context.place.value.as_ref()?.fix;
        let foretold = match &context.weather.value {
            None => false,
            Some(joined) if joined.row.observed => return None,
            Some(_) if now_ms >= received_ms + OBSERVED_WITHIN_MS => return None,
            Some(_) => true,
        };
        self.world.weather.may_come(time_ms, now_ms).then_some(Wants { fix, foretold })
    }

    fn tell_claim(
        &mut self,
        (insurer, claim, received_ms): (&str, &Claim, i64),
        watched: Watched,
        context: &Context,
        readings: &[Reading],
    ) -> Result<()> {
        let Some(customer) = self.registry.customer(watched.customer) else { return Ok(()) };
        let device = watched.device.and_then(|number| self.registry.device_by_number(number));
        let evidence = to_json(&Evidence {
            legal_basis: LEGAL_BASIS,
            insurer,
            customer: &customer.id,
            device: device.map(|known| &*known.device.id),
            claim,
            readings: readings.len(),
            readings_sha256: enrich::trigger::sha256_hex(to_json(&readings)?.as_bytes()),
            fix: context.place.value.as_ref().map(|place| place.fix),
            weather: context.weather.value.as_ref(),
            road: context.sky.as_ref().map(|sky| sky.road),
            registry_version: self.registry.version,
            now_ms: self.now_ms,
        })?;
        let expires_ms = received_ms + VALID_MS;
        let data = context.data(claim, expires_ms, &evidence);
        let id = self.key.claim_id(insurer, &claim.id, &customer.id);
        let before = said(self.connection, &id)?;
        let (status, revision, subject) = match before {
            None => (Status::Fired, 0, self.key.subject(insurer, &customer.id)),
            Some(before) if !before.withdrawn && says_the_same(before.data.as_ref(), &data) => {
                return Ok(());
            }
            Some(Said { withdrawn: false, data: Some(before), .. }) if confirms(&before, &data) => {
                return Ok(());
            }
            Some(before) => (Status::Revised, before.revision + 1, before.subject),
        };
        let customer = watched.customer;
        let message = Message { id, subject, customer, event: ANSWER, data, evidence };
        let product = Product::WinterTyres.name();
        let sequence = next_sequence(self.connection, insurer, product)?;
        let event = message.event(self.now_ms, status, revision, Some(sequence));
        self.insert(Entry {
            message: &message,
            event: &event,
            status,
            outcome: Outcome::Released,
            reason: None,
            counts: false,
            insurer,
            product,
            purpose: LEGAL_BASIS,
            sequence: Some(sequence),
            expires_ms,
        })
    }
}
