//! The one writer: collects what waits, and commits it in one transaction.

mod patience;
mod waking;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enrich::World;
use enrich::rules::RuleSet;
use enrich::trigger::Key;
use ingest::{Arrival, Clock};
use tokio::sync::mpsc;

use crate::Counts;
use crate::batch::{Batch, Done};
use crate::claims::{self, Claims};
use crate::handle::{Command, Options, PutAway};
use crate::history::Histories;
use crate::live::{Health, Live, Notice, read, write};
use crate::log::{Following, Log};
use crate::purge::Purge;
use crate::quarantine;
use crate::recover::{
    conversion, last_position, load_histories, load_windows, secrets, show_fleet,
};
use crate::registry::SharedRegistry;
use crate::retention::{Belief, Retention, Sweep};
use crate::seal::Pass;
use crate::sort::sort;
use crate::store::{Store, meta, widen_cache};
use crate::timers::Timers;
use crate::trips;
use crate::waiting::{self, Waiting, by_priority};
use crate::weather::{self, WeatherAnswer};
use crate::webhook::Recorded;

/// Until what failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What the core computes with.
pub(crate) struct Core {
    pub(crate) registry: SharedRegistry,
    pub(crate) world: World,
    pub(crate) rules: RuleSet,
    pub(crate) key: Key,
    /// The feed, as recorded with each batch.
    pub(crate) weather: String,
}

pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) core: Core,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Clock,
    pub(crate) horizon_ms: i64,
    pub(crate) retention: Retention,
    pub(crate) belief: Belief,
    pub(crate) claim_wait_ms: i64,
    pub(crate) weather_wait_ms: i64,
    pub(crate) log_most: u64,
    max_batch: usize,
    pub(crate) counts: Counts,
    pub(crate) timers: Timers,
    pub(crate) waiting: Waiting,
    pub(crate) claims: Claims,
    /// When the first booked trip is due.
    pub(crate) next_trip_ms: Option<i64>,
    /// Whether some booked trip lacks its weather.
    pub(crate) trips_ask: bool,
    /// What feeds brought and is not committed yet.
    pub(crate) answers: Vec<WeatherAnswer>,
    /// Whether weather came since the waiting events were last looked at.
    pub(crate) look_again: bool,
    /// The number of the last weather row.
    pub(crate) last_weather: i64,
    pub(crate) windows: Vec<i64>,
    pub(crate) pass: Pass,
    pub(crate) log: Log,
    pub(crate) following: Following,
    pub(crate) cursors: BTreeMap<&'static str, i64>,
    /// What outputs put away; a command each, so no more of them
    /// than commands wait while commits fail.
    pub(crate) put_away: Vec<PutAway>,
    /// What became of webhooks' messages; somebody waits for each, so there are few.
    pub(crate) webhooks: Vec<Recorded>,
    /// Since when a cursor, or what was put away, waits to be written.
    cursors_since: Option<Instant>,
    pub(crate) swept_ms: i64,
    /// Deletions under way, one after the other.
    pub(crate) purges: VecDeque<Purge>,
    /// What goes because of its age, and when that is looked for again, by the clock.
    pub(crate) sweep: Option<Sweep>,
    pub(crate) next_sweep_ms: i64,
    /// Until when the next slice of a deletion waits, after one that could not be done.
    purge_later: Option<Instant>,
}

impl Writer {
    pub(crate) fn recover(store: Store, options: Options) -> rusqlite::Result<Self> {
        let connection = &store.connection;
        let key = secrets(connection)?;
        let registry = crate::registry::load(connection, options.seed, &key)?;
        let mut world = options.world;
        world.atlas.set_geofences(registry.geofences());
        let mut core = Core {
            key,
            registry: SharedRegistry::new(registry),
            world,
            weather: options.weather,
            rules: options.rules,
        };
        let counts = match meta(connection, "counts")? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(conversion)?,
            None => Counts::default(),
        };
        let mut histories = Histories::default();
        let log = load_histories(connection, &mut histories)?;
        let following = Following::load(connection, &options.followers, &log)?;
        let released = last_position(connection)?;
        let live = Arc::new(Live::new(counts.clone(), released, log.last, histories));
        let mut timers = Timers::default();
        let mut statement = connection.prepare("SELECT device, wake_ms FROM timer")?;
        for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (device, wake_ms) = row?;
            timers.set(device, Some(wake_ms));
        }
        drop(statement);
        let last_weather = weather::load(connection, &mut core.world)?;
        let waiting = waiting::load(connection)?;
        let claims = claims::load(connection)?;
        let next_trip_ms = trips::next_ms(connection)?;
        let trips_ask = trips::ask(connection)?;
        let windows = load_windows(connection)?;
        show_fleet(connection, &live, &core.registry.read())?;
        widen_cache(connection)?;
        let purges = Purge::unfinished(connection)?.into();
        let now = (options.clock.now_ms(), options.retention.clock_jump_ms);
        let belief = Belief::load(connection, now, read(&live.fleet).newest_ms())?;
        let mut writer = Self {
            store,
            core,
            live,
            clock: options.clock,
            horizon_ms: options.horizon_ms,
            retention: options.retention,
            belief,
            claim_wait_ms: options.claim_wait_ms,
            weather_wait_ms: options.weather_wait_ms,
            log_most: options.log_readings,
            max_batch: options.max_batch,
            counts,
            timers,
            look_again: waiting.len() > 0 || claims.ask() || trips_ask,
            waiting,
            claims,
            next_trip_ms,
            trips_ask,
            answers: Vec::new(),
            last_weather,
            windows,
            pass: Pass::Idle,
            log,
            following,
            cursors: BTreeMap::new(),
            put_away: Vec::new(),
            webhooks: Vec::new(),
            cursors_since: None,
            swept_ms: 0,
            purges,
            sweep: None,
            next_sweep_ms: i64::MIN,
            purge_later: None,
        };
        writer.show_wanted();
        writer.look_at_clock();
        Ok(writer)
    }

    /// Runs until nobody can send arrivals any more and all that were sent are dealt with.
    pub(crate) fn run(
        mut self,
        mut arriving: mpsc::Receiver<Arrival>,
        mut commanded: mpsc::Receiver<Command>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return self.fail(&format!("cannot start the journal's runtime: {error}"));
            }
        };
        let mut arrivals = Vec::with_capacity(self.max_batch);
        loop {
            let wake = self.next_wake();
            let open = runtime.block_on(async {
                tokio::select! {
                    received = arriving.recv_many(&mut arrivals, self.max_batch) => received > 0,
                    Some(command) = commanded.recv() => {
                        self.obey(command);
                        true
                    }
                    () = tokio::time::sleep(wake) => true,
                }
            });
            while let Ok(command) = commanded.try_recv() {
                self.obey(command);
            }
            // In a quiet week, too, so that its end is no jump.
            self.look_at_clock();
            let due = self.timers.due(self.clock.now_ms());
            let work = !arrivals.is_empty() || !due.is_empty() || self.has_weather_work();
            let reports_due = self.reports_due_ms().is_some_and(|due| due <= self.clock.now_ms());
            let work = work || reports_due || !self.webhooks.is_empty();
            if (work || self.cursors_waited()) && !self.persist(&mut arrivals, &mut arriving, &due)
            {
                return;
            }
            self.go_on_deleting();
            if !open {
                // The last cursors, if any: losing them costs nothing but a repetition.
                self.persist(&mut arrivals, &mut arriving, &[]);
                return;
            }
        }
    }

    /// Between two batches: each has one set of rules.
    pub(crate) fn obey(&mut self, command: Command) {
        match command {
            Command::Advance { output, position } => {
                self.cursors.insert(output, position);
                self.following.advance(output, position);
            }
            Command::PutAway(rows) => self.put_away.extend(rows),
            Command::Rules(rules) => {
                self.core.rules = *rules;
                return;
            }
            Command::Weather(answer) => self.answers.push(answer),
            Command::Webhook(recorded) => {
                self.webhooks.push(recorded);
                return;
            }
            Command::Change(change, answer) => {
                // Who asked may have gone.
                answer.send(self.change(change)).ok();
                return;
            }
            Command::DeletedElsewhere(number, done) => {
                let recorded = self.deleted_elsewhere(number);
                if let Err(error) = &recorded {
                    tracing::warn!(%error, "what was deleted elsewhere could not be recorded");
                }
                done.send(recorded.is_ok()).ok();
                return;
            }
            Command::Look(place, answer) => {
                answer.send(Box::new(self.look(&place))).ok();
                return;
            }
            Command::Rotate(answer) => {
                answer.send(self.rotate_pseudonyms()).ok();
                return;
            }
            Command::Test(insurer, product, answer) => {
                answer.send(self.test_trigger(insurer, product)).ok();
                return;
            }
        }
        self.cursors_since.get_or_insert_with(Instant::now);
    }

    fn fail(&self, reason: &str) {
        tracing::error!(reason, "the journal stops");
        self.live.set_health(Health::Failed { reason: reason.to_owned() });
    }

    /// One transaction: everything that `arrivals` and the timers in `due` bring about.
    pub(crate) fn commit(&self, arrivals: &[Arrival], due: &[u32]) -> rusqlite::Result<Done> {
        let transaction = self.store.connection.unchecked_transaction()?;
        let mut counts = self.counts.clone();
        let registry = self.core.registry.read();
        let mut taken = quarantine::take_out(&transaction, arrivals)?;
        let now_ms = self.clock.now_ms();
        let since_ms = self.retention.readings_since_ms(self.belief.aged_ms(now_ms));
        let mut sorted = sort(arrivals, &registry, (now_ms, since_ms), &mut taken, &mut counts);
        let mut batch = Batch::new(self, &registry, &transaction, counts);
        for readings in sorted.kept.chunk_by(|a, b| a.device == b.device) {
            batch.device(readings)?;
        }
        for device in due {
            batch.wake(*device)?;
        }
        for reported in &sorted.reports {
            if let Some(reason) = batch.report(*reported)? {
                let (to, detail) = (reported.insurer.clone(), reported.report.id().to_owned());
                sorted.notices.push(Notice { to, reason, detail, at_ms: now_ms });
            }
        }
        quarantine::put_away(&transaction, &sorted.quarantined)?;
        quarantine::put_away_points(&transaction, &self.put_away, now_ms)?;
        let ready = self.waiting.ready(now_ms, &self.core.world, self.look_again);
        for (event, device) in by_priority(&transaction, &self.core.rules, ready)? {
            batch.tell_waiting(device, event)?;
        }
        let world = &self.core.world;
        let (claims, left) = self.claims.due(now_ms, world, self.look_again);
        for report in claims {
            batch.look(report)?;
        }
        batch.weather.claims_left = left;
        for (report, asked) in trips::due(&transaction, now_ms, world, self.look_again)? {
            batch.look_ahead(report, asked)?;
        }
        batch.weather(&self.answers)?;
        let done = batch.finish()?;
        transaction.commit()?;
        sorted.notices.into_iter().for_each(|notice| self.live.notify(notice));
        Ok(done)
    }

    pub(crate) fn apply(&mut self, done: Done) {
        let mut histories = write(&self.live.histories);
        done.touched.into_iter().for_each(|touched| histories.apply(touched));
        done.slice.sealed.into_iter().for_each(|sealed| histories.seal(sealed));
        drop(histories);
        for (device, wake_ms) in done.timers {
            self.timers.set(device, wake_ms);
        }
        let mut fleet = write(&self.live.fleet);
        let registry = self.core.registry.read();
        for (device, last) in done.last {
            self.belief.heard(last.time_ms);
            if let Some(known) = registry.device_by_number(device) {
                fleet.show(known, &last);
            }
        }
        drop((fleet, registry));
        self.pass = done.slice.pass;
        if done.slice.passed_over > 0 {
            tracing::error!(
                readings = done.slice.passed_over,
                "an output was away for too long: the oldest that was kept for it is gone"
            );
        }
        self.log = done.slice.log;
        if self.windows.last() != Some(&done.slice.window) {
            self.windows.push(done.slice.window);
        }
        let mut claims_ask = false;
        for (report, watched) in done.claims {
            claims_ask |= self.claims.set(report, watched);
        }
        let changes = claims_ask || self.trips_ask != done.trips_ask;
        (self.next_trip_ms, self.trips_ask) = (done.next_trip_ms, done.trips_ask);
        self.apply_weather(done.weather, changes);
        self.cursors.clear();
        self.put_away.clear();
        self.webhooks.drain(..).for_each(Recorded::done);
        self.cursors_since = None;
        self.swept_ms = done.swept_ms;
        self.counts = done.counts;
        self.live.committed(self.counts.clone(), done.released, self.log.last);
        self.look_at_clock();
    }
}
