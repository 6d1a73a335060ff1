//! One transaction in the making: readings, states, events, triggers, timers, totals.

use enrich::DeviceState;
use enrich::World;
use enrich::registry::{Known, Registry};
use enrich::weather::Series;
use ingest::report::Report;
use ingest::{Reading, Reason};
use rusqlite::Connection;

use crate::Counts;
use crate::cause::Readings;
use crate::claims::{self, Looking, Stretch, Watched};
use crate::history::{History, Open, Touched, run};
use crate::late::{Inserted, Late};
use crate::live::read;
use crate::log::Size;
use crate::outbox::{Outbox, to_json};
use crate::quarantine;
use crate::recover::last_position;
use crate::report::{self, Outcome, Reported};
use crate::rows::{Rows, log_row, put_blob};
use crate::seal::{Sealer, Slice, set_last};
use crate::sort::Kept;
use crate::trips;
use crate::waiting::{self, Wanted};
use crate::weather::{self, WeatherAnswer};
use crate::writer::Writer;

/// A timer for data that came late waits this long for more of it.
const SETTLE_MS: i64 = 10_000;

/// How often quarantine is swept.
const SWEEP_MS: u64 = 60_000;

/// What a transaction did, applied to memory once it is committed.
pub(crate) struct Done {
    pub(crate) counts: Counts,
    pub(crate) touched: Vec<Touched>,
    pub(crate) slice: Slice,
    pub(crate) timers: Vec<(u32, Option<i64>)>,
    pub(crate) last: Vec<(u32, Reading)>,
    pub(crate) released: i64,
    pub(crate) swept_ms: i64,
    pub(crate) weather: WeatherDone,
    /// When the first booked trip is due.
    pub(crate) next_trip_ms: Option<i64>,
    /// Whether some booked trip lacks its weather.
    pub(crate) trips_ask: bool,
    /// Claims that are watched from now on, or no more.
    pub(crate) claims: Vec<(i64, Option<Watched>)>,
}

/// What a transaction did about the weather.
#[derive(Default)]
pub(crate) struct WeatherDone {
    pub(crate) learnt: Vec<Series>,
    pub(crate) known_ms: i64,
    /// The number of the last row.
    pub(crate) last: i64,
    /// Hours before this are not kept any more.
    pub(crate) forget_before_ms: Option<i64>,
    /// Whether there are more claims whose weather has come: they are looked at in the next one.
    pub(crate) claims_left: bool,
    /// Whether a booked trip begins to wait.
    pub(crate) trips_ask: bool,
    /// Events that began or ended to wait.
    pub(crate) waiting: Vec<(i64, Option<Wanted>)>,
}

/// A transaction in the making.
///
/// It reads the writer's memory and changes none of it: if the transaction fails, nothing
/// happened.
pub(crate) struct Batch<'a> {
    writer: &'a Writer,
    registry: &'a Registry,
    connection: &'a Connection,
    now_ms: i64,
    counts: Counts,
    touched: Vec<Touched>,
    /// How many of these are touched by readings.
    read: usize,
    /// Device and reading, one after the other: the log's blob.
    log: Vec<u8>,
    logged: usize,
    timers: Vec<(u32, Option<i64>)>,
    last: Vec<(u32, Reading)>,
    pub(crate) weather: WeatherDone,
    claims: Vec<(i64, Option<Watched>)>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        writer: &'a Writer,
        registry: &'a Registry,
        connection: &'a Connection,
        counts: Counts,
    ) -> Self {
        Self {
            writer,
            registry,
            connection,
            now_ms: writer.clock.now_ms(),
            counts,
            touched: Vec::new(),
            read: 0,
            log: Vec::new(),
            logged: 0,
            timers: Vec::new(),
            last: Vec::new(),
            weather: WeatherDone { last: writer.last_weather, ..WeatherDone::default() },
            claims: Vec::new(),
        }
    }

    /// The moment by which things age.
    fn aged_ms(&self) -> i64 {
        self.writer.belief.aged_ms(self.now_ms)
    }

    /// Takes one device's readings, which are in history order.
    pub(crate) fn device(&mut self, kept: &[Kept<'a>]) -> rusqlite::Result<()> {
        let core = &self.writer.core;
        let Some(first) = kept.first() else {
            return Ok(());
        };
        let Some(device) = self.registry.device_by_number(first.device) else {
            return Ok(());
        };
        let histories = read(&self.writer.live.histories);
        let unknown = History::default();
        let history = histories.get(first.device).unwrap_or(&unknown);
        let readings: Vec<&Reading> = kept.iter().map(|kept| kept.reading).collect();
        let inserted = if history.is_before(first.reading) {
            extend(device, history, &readings, &core.world)
        } else {
            let late = Late {
                connection: self.connection,
                world: &core.world,
                windows: &self.writer.windows,
                horizon_ms: self.writer.horizon_ms,
                told_since_ms: self.writer.retention.told_since_ms(self.aged_ms()),
                device,
                history,
            };
            late.insert(&readings)?
        };
        let newest = history.seen_until_ms();
        let late = inserted.stored.iter().filter(|reading| Some(reading.time_ms) < newest).count();
        self.counts.late += late as u64;
        self.counts.stored += inserted.stored.len() as u64;
        self.counts.duplicate += inserted.duplicates;
        self.counts.beyond_horizon += inserted.beyond_horizon;
        for reading in &inserted.stored {
            log_row(&mut self.log, device.number, reading);
        }
        self.logged += inserted.stored.len();
        if let Some(last) = inserted.stored.last().filter(|last| self.is_news(device, last)) {
            if last.time_ms < history.start_ms {
                set_last(self.connection, device.number, last)?;
            }
            self.last.push((device.number, (*last).clone()));
        }
        let since_ms = self.writer.retention.readings_since_ms(self.aged_ms());
        for (report, watched) in
            self.writer.claims.touched(device.number, &inserted.stored, since_ms)
        {
            // These readings are at hand with the next batch.
            self.watch(report, Some(Watched { due_ms: self.now_ms, ..watched }))?;
        }
        let changed = !inserted.stored.is_empty();
        let readings = Readings {
            new: &inserted.stored,
            history: Some(history),
            windows: &self.writer.windows,
        };
        for (before, changes) in inserted.changes {
            self.outbox(readings).record(device, &before, changes)?;
        }
        if changed {
            self.touch(inserted.touched)?;
            self.read = self.touched.len();
        }
        Ok(())
    }

    /// Whether a reading comes after all that was heard of its device. (A timer may have been run
    /// for a moment even later.)
    fn is_news(&self, device: &Known, reading: &Reading) -> bool {
        read(&self.writer.live.fleet).is_news(device.number, reading)
    }

    /// Lets a device's timers run.
    pub(crate) fn wake(&mut self, number: u32) -> rusqlite::Result<()> {
        // Readings come before timers, in the order of devices.
        let by_readings = &self.touched[..self.read];
        if by_readings.binary_search_by_key(&number, |touched| touched.device).is_ok() {
            // Its readings in this batch have set its timer anew.
            return Ok(());
        }
        let core = &self.writer.core;
        let Some(device) = self.registry.device_by_number(number) else {
            return Ok(());
        };
        let histories = read(&self.writer.live.histories);
        let history = histories.get(number);
        let mut state = history.map_or_else(DeviceState::default, History::state);
        let mut events = Vec::new();
        state.wait_until(self.now_ms, &core.world, &mut events);
        let changes = events.into_iter().map(enrich::Change::New).collect();
        let readings = Readings { new: &[], history, windows: &self.writer.windows };
        self.outbox(readings).record(device, &[], changes)?;
        self.touch(Touched::new(number, Open::Kept, state))
    }

    /// Tells an event that waited for weather: as it is now known, with the consents of now.
    pub(crate) fn tell_waiting(&mut self, device: u32, event: i64) -> rusqlite::Result<()> {
        let begun = |(number, wanted): &(i64, Option<Wanted>)| *number == event && wanted.is_some();
        if self.weather.waiting.iter().any(begun) {
            return Ok(());
        }
        // What the readings of this batch did may have ended the wait.
        if !waiting::end(self.connection, event)? {
            return Ok(());
        }
        self.weather.waiting.push((event, None));
        let Some(known) = self.registry.device_by_number(device) else {
            return Ok(());
        };
        let histories = read(&self.writer.live.histories);
        let history = histories.get(device);
        let readings = Readings { new: &[], history, windows: &self.writer.windows };
        self.outbox(readings).tell_again(known, event)
    }

    /// Keeps what an insurer reports; returns why, where it may not be kept.
    pub(crate) fn report(&mut self, reported: Reported<'_>) -> rusqlite::Result<Option<Reason>> {
        let kind = reported.report.kind();
        match report::store(self.connection, self.registry, reported, self.now_ms)? {
            Outcome::Stored { number, customer } => {
                self.counts.stored += 1;
                *self.counts.reports.entry(kind).or_default() += 1;
                match reported.report {
                    Report::Claim(claim) => {
                        for (before, whose) in claims::corrected(self.connection, number)? {
                            self.watch(before, None)?;
                            if whose != customer {
                                let windows = &self.writer.windows;
                                let readings = Readings { new: &[], history: None, windows };
                                let insurer = reported.insurer;
                                self.outbox(readings).take_back_claim(insurer, claim, whose)?;
                            }
                        }
                        let watched = claims::begin(self.registry, claim, customer, self.now_ms);
                        self.watch(number, Some(watched))?;
                    }
                    Report::Feedback(feedback) => {
                        let windows = &self.writer.windows;
                        let readings = Readings { new: &[], history: None, windows };
                        self.outbox(readings).hear(reported.insurer, customer, feedback)?;
                    }
                    Report::Trip(trip) => {
                        let reported = (number, trip);
                        let (connection, now_ms) = (self.connection, self.now_ms);
                        trips::begin(connection, self.registry, reported, customer, now_ms)?;
                    }
                }
            }
            Outcome::Duplicate => self.counts.duplicate += 1,
            Outcome::Refused(reason) => {
                self.counts.refuse(reason, 1);
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn watch(&mut self, report: i64, watched: Option<Watched>) -> rusqlite::Result<()> {
        claims::write(self.connection, report, watched)?;
        self.claims.push((report, watched));
        Ok(())
    }

    /// Looks at a booked trip that is due.
    pub(crate) fn look_ahead(&mut self, report: i64, asked: bool) -> rusqlite::Result<()> {
        let readings = Readings { new: &[], history: None, windows: &self.writer.windows };
        match self.outbox(readings).look_ahead(report, asked)? {
            Some((customer, later)) => {
                self.weather.trips_ask |= later.asks;
                trips::write(self.connection, report, customer, later)
            }
            None => trips::end(self.connection, report),
        }
    }

    /// Looks at a claim that is due.
    pub(crate) fn look(&mut self, report: i64) -> rusqlite::Result<()> {
        let writer = self.writer;
        let just_touched = self.claims.iter().any(|(other, _)| *other == report);
        let Some(watched) = writer.claims.get(report).filter(|_| !just_touched) else {
            return Ok(());
        };
        let histories = read(&writer.live.histories);
        let stretch = watched.device.map(|device| Stretch {
            connection: self.connection,
            history: histories.get(device),
            windows: &writer.windows,
            device,
        });
        let heard_until_ms =
            watched.device.and_then(|device| read(&writer.live.fleet).last_ms(device));
        let wait_ms = writer.claim_wait_ms;
        let since_ms = writer.retention.readings_since_ms(self.aged_ms());
        // What no feed can be asked for is kept for ever.
        let weather_since_ms = match writer.core.world.weather.may_come(self.now_ms, self.now_ms) {
            true => self.aged_ms() - writer.retention.weather_ms,
            false => i64::MIN,
        };
        let looking = Looking {
            report,
            watched,
            stretch,
            heard_until_ms,
            wait_ms,
            since_ms,
            weather_since_ms,
        };
        let readings = Readings { new: &[], history: None, windows: &writer.windows };
        let then = self.outbox(readings).look(&looking)?;
        drop(histories);
        self.watch(report, then)
    }

    /// Keeps what feeds brought. It may be used from the next batch on.
    pub(crate) fn weather(&mut self, answers: &[WeatherAnswer]) -> rusqlite::Result<()> {
        self.weather.known_ms = self.now_ms;
        for answer in answers {
            let world = &self.writer.core.world;
            let (learnt, last) = weather::store(self.connection, world, answer, self.now_ms)?;
            self.weather.learnt.extend(learnt);
            self.weather.last = last.unwrap_or(self.weather.last);
        }
        Ok(())
    }

    fn outbox<'b>(&'b mut self, readings: Readings<'b>) -> Outbox<'b> {
        let core = &self.writer.core;
        Outbox {
            connection: self.connection,
            registry: self.registry,
            rules: &core.rules,
            readings,
            world: &core.world,
            key: &core.key,
            now_ms: self.now_ms,
            counts: &mut self.counts,
            weather_wait_ms: self.writer.weather_wait_ms,
            waiting: &mut self.weather.waiting,
            room: waiting::MOST.saturating_sub(self.writer.waiting.for_weather()),
            room_at_night: waiting::MOST_QUIET.saturating_sub(self.writer.waiting.len()),
        }
    }

    /// Notes a device's new state, and when it wants to be woken.
    fn touch(&mut self, touched: Touched) -> rusqlite::Result<()> {
        let device = touched.device;
        let before = self.writer.timers.by_device.get(&device).copied();
        // Data from long ago has its timers long ago; more of it is probably on its way.
        let wake_ms = touched
            .state
            .next_due_ms()
            .map(|due_ms| due_ms.max(self.now_ms + settle(due_ms, self.now_ms)));
        if wake_ms != before {
            match wake_ms {
                Some(wake_ms) => self
                    .connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO timer (device, wake_ms) VALUES (?1, ?2)",
                    )?
                    .execute((device, wake_ms))?,
                None => self
                    .connection
                    .prepare_cached("DELETE FROM timer WHERE device = ?1")?
                    .execute([device])?,
            };
            self.timers.push((device, wake_ms));
        }
        self.touched.push(touched);
        Ok(())
    }

    /// Keeps the rules' texts under the name that batches refer to them by.
    fn record_rules(&self) -> rusqlite::Result<()> {
        let rules = &self.writer.core.rules;
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM rule_set WHERE name = ?1")?
            .exists([rules.name()])?;
        if !known {
            let texts: Vec<&str> = rules.rules().map(|rule| rule.source.as_str()).collect();
            self.connection.execute(
                "INSERT INTO rule_set (name, since_ms, rules) VALUES (?1, ?2, ?3)",
                (rules.name(), self.now_ms, to_json(&texts)?),
            )?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> rusqlite::Result<Done> {
        let writer = self.writer;
        self.touched.sort_by_key(|touched| touched.device);
        let mut log = writer.log.clone();
        if !self.touched.is_empty() {
            log.last += 1;
            self.record_rules()?;
            let mut states = Vec::new();
            for touched in &mut self.touched {
                put_blob(&mut states, touched.device, touched.pack());
            }
            self.connection
                .prepare_cached(
                    "INSERT INTO batch (id, now_ms, registry_version, rules, weather, readings, rows, states)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute((
                    log.last,
                    self.now_ms,
                    self.registry.version as i64,
                    writer.core.rules.name(),
                    writer.weather_used(),
                    self.logged as i64,
                    &self.log,
                    &states,
                ))?;
            let bytes = (self.log.len() + states.len()) as u64;
            log.open += Size { readings: self.logged as u64, bytes };
        }
        let histories = read(&writer.live.histories);
        let sealer = Sealer {
            connection: self.connection,
            registry: self.registry,
            world: &writer.core.world,
            histories: &histories,
            log_most: writer.log_most,
            following: &writer.following,
            hold: writer.deletes_open_ends(),
            window: writer.windows.last().copied().unwrap_or_default(),
        };
        let slice = sealer.slice(writer.pass, &self.touched, log, self.logged)?;
        drop(histories);
        self.counts.passed_over += slice.passed_over;
        if self.counts != writer.counts {
            writer.write_counts(self.connection, &self.counts)?;
        }
        for (output, position) in &writer.cursors {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO cursor (output, position) VALUES (?1, ?2)")?
                .execute((output, position))?;
        }
        for recorded in &writer.webhooks {
            recorded.write(self.connection)?;
        }
        let mut swept_ms = writer.swept_ms;
        // Also soon after a clock that was ahead is set right.
        if self.now_ms.abs_diff(swept_ms) > SWEEP_MS {
            let aged_ms = self.aged_ms();
            let before_ms = aged_ms - writer.retention.weather_ms;
            self.weather.forget_before_ms = Some(before_ms);
            let weather = weather::sweep(self.connection, before_ms)?;
            let before_ms = aged_ms - writer.retention.quarantine_ms;
            if quarantine::sweep(self.connection, before_ms)? && weather {
                swept_ms = self.now_ms;
            }
        }
        Ok(Done {
            counts: self.counts,
            touched: self.touched,
            slice,
            timers: self.timers,
            last: self.last,
            released: last_position(self.connection)?,
            swept_ms,
            weather: self.weather,
            next_trip_ms: trips::next_ms(self.connection)?,
            trips_ask: trips::ask(self.connection)?,
            claims: self.claims,
        })
    }
}

/// Readings that all come after what is known: nothing has to be looked at again.
pub(crate) fn extend<'a>(
    device: &Known,
    history: &History,
    readings: &[&'a Reading],
    world: &World,
) -> Inserted<'a> {
    let mut stored = readings.to_vec();
    stored.dedup_by(|a, b| a.history_order(b).is_eq());
    let mut state = history.state();
    let mut events = Vec::new();
    run(&mut state, stored.iter().copied(), device, world, &mut events);
    // Even where no detector cared, the history has been looked at up to here.
    state.seen_until_ms = state.seen_until_ms.max(stored.last().map(|last| last.time_ms));
    let rows = Rows::of(stored.iter().copied());
    Inserted {
        touched: Touched::new(device.number, Open::Appended(rows), state),
        duplicates: (readings.len() - stored.len()) as u64,
        stored,
        beyond_horizon: 0,
        changes: vec![(Vec::new(), events.into_iter().map(enrich::Change::New).collect())],
    }
}

pub(crate) fn settle(due_ms: i64, now_ms: i64) -> i64 {
    if due_ms < now_ms { SETTLE_MS } else { 0 }
}
