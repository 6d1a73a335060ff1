//! Weather rows as they came from the feeds: in the file, and read back from it at a start.

use std::path::Path;
use std::sync::Arc;

use enrich::World;
use enrich::weather::{Cell, Feed, Hour, Reach, Rows, Series, Synthetic, Values};
use rusqlite::{Connection, OptionalExtension, Result};
use serde::{Deserialize, Serialize};

use crate::ReadError;
use crate::batch::WeatherDone;
use crate::chunk::Damaged;
use crate::seal::damaged;
use crate::store::open_reader;
use crate::writer::Writer;

/// Of feeds whose answers are about the whole world, the last one: some hundred kilobytes.
pub(crate) const TABLES: &str =
    "CREATE TABLE IF NOT EXISTS weather_answer (feed TEXT PRIMARY KEY, body BLOB NOT NULL)";

/// Most rows that one sweep deletes; when there are more, the next batch goes on.
const SWEPT: i64 = 1_000;

/// What asking a feed brought.
#[derive(Clone, Debug, PartialEq)]
pub struct WeatherAnswer {
    pub feed: Arc<str>,
    pub series: Vec<Series>,
    /// What the feed has to remember over a restart: what it asked, and when it may ask again. To
    /// the journal it means nothing.
    pub ledger: Vec<u8>,
    /// An answer that has more in it than was asked for, to be kept until the next one.
    pub whole: Option<Vec<u8>>,
}

/// A series without the names of its fields: 25 bytes an hour.
#[derive(Serialize, Deserialize)]
struct Stored {
    cell: Cell,
    lat: f64,
    lon: f64,
    elevation_m: Option<f64>,
    issued_ms: i64,
    hours: Vec<StoredHour>,
}

#[derive(Serialize, Deserialize)]
struct StoredHour {
    valid_ms: i64,
    observed: bool,
    steps: [i16; Values::NUMBERS],
    code: Option<u8>,
    present: Option<Arc<str>>,
}

fn encode(series: &Series) -> Vec<u8> {
    let hour = |hour: &Hour| StoredHour {
        valid_ms: hour.valid_ms,
        observed: hour.observed,
        steps: hour.values.steps(),
        code: hour.values.code,
        present: hour.values.present.clone(),
    };
    let stored = Stored {
        cell: series.cell,
        lat: series.lat,
        lon: series.lon,
        elevation_m: series.elevation_m,
        issued_ms: series.issued_ms,
        hours: series.hours.iter().map(hour).collect(),
    };
    // Writing into memory cannot fail.
    postcard::to_allocvec(&stored).unwrap_or_default()
}

fn decode(source: &Arc<str>, bytes: &[u8]) -> Result<Series> {
    let stored: Stored = postcard::from_bytes(bytes).map_err(|_| damaged(Damaged))?;
    let hour = |hour: StoredHour| Hour {
        valid_ms: hour.valid_ms,
        observed: hour.observed,
        values: Values::of_steps(&hour.steps, hour.code, hour.present),
    };
    Ok(Series {
        cell: stored.cell,
        source: source.clone(),
        lat: stored.lat,
        lon: stored.lon,
        elevation_m: stored.elevation_m,
        issued_ms: stored.issued_ms,
        hours: stored.hours.into_iter().map(hour).collect(),
    })
}

/// Writes what is news to `world`. Returns these series, and the number of the last row.
pub(crate) fn store(
    connection: &Connection,
    world: &World,
    answer: &WeatherAnswer,
    now_ms: i64,
) -> Result<(Vec<Series>, Option<i64>)> {
    let Feed::Rows(rows) = &world.weather else {
        return Ok((Vec::new(), None));
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO weather (source, known_ms, last_valid_ms, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let news: Vec<&Series> = answer.series.iter().filter(|series| rows.is_news(series)).collect();
    for series in &news {
        let last_valid_ms = series.hours.iter().map(|hour| hour.valid_ms).max();
        insert.execute((&*series.source, now_ms, last_valid_ms, encode(series)))?;
    }
    let last = (!news.is_empty()).then(|| connection.last_insert_rowid());
    connection
        .prepare_cached("INSERT OR REPLACE INTO weather_feed (feed, ledger) VALUES (?1, ?2)")?
        .execute((&*answer.feed, &answer.ledger))?;
    if let Some(whole) = &answer.whole {
        connection
            .prepare_cached("INSERT OR REPLACE INTO weather_answer (feed, body) VALUES (?1, ?2)")?
            .execute((&*answer.feed, whole))?;
    }
    Ok((news.into_iter().cloned().collect(), last))
}

/// Fills `world` with the rows that are kept. Returns the number of the last.
pub(crate) fn load(connection: &Connection, world: &mut World) -> Result<i64> {
    learn(connection, world, 0, i64::MAX)
}

/// The same with those after a number, as far as they were known at `until_ms`.
pub(crate) fn learn(
    connection: &Connection,
    world: &mut World,
    after: i64,
    until_ms: i64,
) -> Result<i64> {
    let mut last = after;
    let Feed::Rows(rows) = &mut world.weather else {
        return Ok(last);
    };
    let mut select = connection.prepare_cached(
        "SELECT number, source, known_ms, body FROM weather WHERE number > ?1 ORDER BY number",
    )?;
    let mut stored = select.query([after])?;
    while let Some(row) = stored.next()? {
        let known_ms = row.get(2)?;
        if known_ms > until_ms {
            break;
        }
        last = row.get(0)?;
        let source: Arc<str> = row.get::<_, String>(1)?.into();
        rows.learn(&decode(&source, row.get_ref(3)?.as_blob()?)?, known_ms);
    }
    Ok(last)
}

/// What the journal tells of the weather that it was computed with.
#[derive(Debug)]
pub enum RecordedFeed {
    /// The synthetic one of the newest batch or, yet without them, the feeds whose rows it has.
    Known(Feed),
    /// Feeds whose rows are elsewhere, by what the newest batch calls them.
    Named(String),
    /// Nothing.
    None,
}

/// What the journal in `dir` tells of its weather.
///
/// # Errors
/// When there is no journal, or it cannot be read.
pub fn recorded_feed(dir: &Path) -> std::result::Result<RecordedFeed, ReadError> {
    let connection = open_reader(dir)?;
    let newest: Option<String> = connection
        .query_row("SELECT weather FROM batch ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let seed = newest.as_deref().and_then(|name| name.strip_prefix("synthetic "));
    if let Some(seed) = seed.and_then(|seed| seed.parse().ok()) {
        return Ok(RecordedFeed::Known(Feed::Synthetic(Synthetic::new(seed))));
    }
    let mut sources =
        connection.prepare("SELECT source FROM weather GROUP BY source ORDER BY min(number)")?;
    let reach = |row: &rusqlite::Row<'_>| {
        Ok(Reach { source: row.get::<_, String>(0)?.into(), past_ms: 0, ahead_ms: 0 })
    };
    let feeds = sources.query_map([], reach)?.collect::<Result<Vec<_>>>()?;
    Ok(match newest {
        _ if !feeds.is_empty() => RecordedFeed::Known(Feed::Rows(Rows::new(feeds))),
        Some(name) if name != "none" => RecordedFeed::Named(name),
        Some(_) => RecordedFeed::Known(Feed::None),
        None => RecordedFeed::None,
    })
}

/// Fills `world` with the rows that the journal in `dir` has. A server may be running on it.
///
/// # Errors
/// When there is no journal, or it cannot be read.
pub fn read_weather(dir: &Path, world: &mut World) -> std::result::Result<(), ReadError> {
    load(&open_reader(dir)?, world)?;
    Ok(())
}

/// Deletes a part of the rows whose last hour began before `before_ms`. Returns whether that was
/// all of them.
pub(crate) fn sweep(connection: &Connection, before_ms: i64) -> Result<bool> {
    let swept = connection
        .prepare_cached(
            "DELETE FROM weather WHERE number IN (
                 SELECT number FROM weather WHERE last_valid_ms < ?1 LIMIT ?2)",
        )?
        .execute((before_ms, SWEPT))?;
    Ok((swept as i64) < SWEPT)
}

/// The last whole answer of a feed that is kept.
pub(crate) fn whole(connection: &Connection, feed: &str) -> Result<Option<Vec<u8>>> {
    connection
        .prepare("SELECT body FROM weather_answer WHERE feed = ?1")?
        .query_row([feed], |row| row.get(0))
        .optional()
}

/// What a feed had to remember.
pub(crate) fn ledger(connection: &Connection, feed: &str) -> Result<Option<Vec<u8>>> {
    connection
        .prepare("SELECT ledger FROM weather_feed WHERE feed = ?1")?
        .query_row([feed], |row| row.get(0))
        .optional()
}

impl Writer {
    /// Names what a batch sees of the weather: the feed and, by the number of the last, its rows.
    pub(crate) fn weather_used(&self) -> String {
        match &self.core.world.weather {
            Feed::Rows(_) => format!("{}; rows to {}", self.core.weather, self.last_weather),
            Feed::Synthetic(_) | Feed::None => self.core.weather.clone(),
        }
    }

    /// Takes in what a committed batch did about the weather.
    pub(crate) fn apply_weather(&mut self, done: WeatherDone, reports_ask: bool) {
        self.answers.clear();
        self.last_weather = done.last;
        self.look_again = done.claims_left;
        if let Feed::Rows(rows) = &mut self.core.world.weather {
            let learnt: usize =
                done.learnt.iter().map(|series| rows.learn(series, done.known_ms)).sum();
            if let Some(before_ms) = done.forget_before_ms {
                rows.forget(before_ms);
            }
            self.look_again |= learnt > 0;
        }
        let changes = !done.waiting.is_empty() || done.trips_ask || reports_ask;
        done.waiting.into_iter().for_each(|(event, wanted)| self.waiting.set(event, wanted));
        self.look_again &= self.waits_for_weather();
        if changes {
            self.show_wanted();
        }
    }

    /// Whether weather came, or an event has waited for it long enough.
    pub(crate) fn has_weather_work(&self) -> bool {
        let due = self.waiting.next_ms().is_some_and(|due_ms| due_ms <= self.clock.now_ms());
        due || !self.answers.is_empty() || self.look_again
    }

    /// Whether there is something that weather may change.
    pub(crate) fn waits_for_weather(&self) -> bool {
        self.waiting.len() > 0 || self.claims.ask() || self.trips_ask
    }

    /// Tells the feeds what events, claims and trips wait for.
    pub(crate) fn show_wanted(&self) {
        let trips = crate::trips::asking(&self.store.connection).unwrap_or_else(|error| {
            tracing::warn!(%error, "the weather of booked trips cannot be asked for");
            Vec::new()
        });
        let mut wanted: Vec<_> = self
            .waiting
            .wanted()
            .filter_map(|wanted| Some((wanted.fix?, wanted.time_ms)))
            .chain(self.claims.wanted())
            .chain(trips.into_iter().map(|(_, fix, time_ms)| (fix, time_ms)))
            .map(|(fix, time_ms)| (Cell::of(fix.lat(), fix.lon()), time_ms))
            .collect();
        wanted.sort_unstable();
        self.live.want_weather(wanted);
    }
}
