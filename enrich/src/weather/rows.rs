//! The rows that feeds gave, kept small, and which of them answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Cell, HOUR_MS, Hour, Row, Series, Values};

/// A feed, and for which hours it can be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// Its name in the configuration, and in its series.
    pub source: Arc<str>,
    /// How far back and ahead of now it has rows for who asks. Zero both: it says what it has by
    /// itself, and nothing is to be waited for.
    pub past_ms: i64,
    pub ahead_ms: i64,
}

impl Reach {
    fn can_be_asked(&self) -> bool {
        (self.past_ms, self.ahead_ms) != (0, 0)
    }
}

/// For each cell and feed one row an hour, the last that the feed gave.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// In order of preference.
    feeds: Vec<Reach>,
    cells: HashMap<Cell, Vec<Kept>>,
}

/// A row in 80 bytes: in a cell ordered by hour, then by preference.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    valid_ms: i64,
    issued_ms: i64,
    /// From when on it may be used.
    known_ms: i64,
    lat_e4: i32,
    lon_e4: i32,
    elevation_m: Option<i16>,
    /// Which of the feeds.
    feed: u8,
    observed: bool,
    code: Option<u8>,
    steps: [i16; Values::NUMBERS],
    present: Option<Arc<str>>,
}

impl Kept {
    fn new(feed: u8, series: &Series, hour: &Hour, known_ms: i64) -> Self {
        Self {
            valid_ms: hour.valid_ms,
            issued_ms: series.issued_ms,
            known_ms,
            lat_e4: (series.lat * 1e4).round() as i32,
            lon_e4: (series.lon * 1e4).round() as i32,
            elevation_m: series.elevation_m.map(|elevation| elevation.round() as i16),
            feed,
            observed: hour.observed,
            code: hour.values.code,
            steps: hour.values.steps(),
            present: hour.values.present.clone(),
        }
    }

    fn place(&self) -> (i64, u8) {
        (self.valid_ms, self.feed)
    }
}

impl Rows {
    /// Nothing yet, from feeds in order of preference (at most 256 of them).
    #[must_use]
    pub fn new(feeds: Vec<Reach>) -> Self {
        Self { feeds, cells: HashMap::new() }
    }

    /// Takes in what a feed gave; it may be used from `known_ms` on. A later issue takes the
    /// place of an earlier one. Returns how many hours are new or changed. What is of no feed
    /// known here is left out: its feed was taken out of the configuration.
    pub fn learn(&mut self, series: &Series, known_ms: i64) -> usize {
        let feed = self.feeds.iter().position(|feed| feed.source == series.source);
        let Some(feed) = feed.and_then(|feed| u8::try_from(feed).ok()) else {
            return 0;
        };
        let cell = match self.cells.entry(series.cell) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(_) if series.hours.is_empty() => return 0,
            Entry::Vacant(cell) => cell.insert(Vec::with_capacity(series.hours.len())),
        };
        let mut changed = 0;
        for hour in &series.hours {
            let kept = Kept::new(feed, series, hour, known_ms);
            match cell.binary_search_by_key(&kept.place(), Kept::place) {
                Ok(at) if cell[at].issued_ms >= kept.issued_ms => {}
                Ok(at) => {
                    changed += 1;
                    cell[at] = kept;
                }
                Err(at) => {
                    changed += 1;
                    cell.insert(at, kept);
                }
            }
        }
        changed
    }

    /// Whether there is anything in it to learn.
    #[must_use]
    pub fn is_news(&self, series: &Series) -> bool {
        let feed = self.feeds.iter().position(|feed| feed.source == series.source);
        let Some(feed) = feed.and_then(|feed| u8::try_from(feed).ok()) else {
            return false;
        };
        let kept = self.cells.get(&series.cell).map_or(&[][..], Vec::as_slice);
        series.hours.iter().any(|hour| {
            match kept.binary_search_by_key(&(hour.valid_ms, feed), Kept::place) {
                Ok(at) => kept[at].issued_ms < series.issued_ms,
                Err(_) => true,
            }
        })
    }

    /// Forgets the hours that began before `before_ms`, but for those of a feed that cannot be asked
    /// again.
    pub fn forget(&mut self, before_ms: i64) {
        let feeds = &self.feeds;
        self.cells.retain(|_, cell| {
            cell.retain(|kept| {
                kept.valid_ms >= before_ms || !feeds[usize::from(kept.feed)].can_be_asked()
            });
            cell.shrink_to_fit();
            !cell.is_empty()
        });
    }

    /// How many rows are kept, of how many cells.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.cells.values().map(Vec::len).sum(), self.cells.len())
    }

    /// The row that answers for a cell and time: of its hour the one that was observed, or else
    /// forecast; of several the one of the preferred feed. When there is none at all, one that was
    /// observed in the hour before stands in: stations report once an hour, and some time after.
    pub(crate) fn row(&self, cell: Cell, time_ms: i64, now_ms: i64) -> Option<Row> {
        let kept = self.cells.get(&cell)?;
        let valid_ms = time_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let best = best(kept, valid_ms, now_ms);
        let found =
            best.or_else(|| best_before(kept, valid_ms, now_ms).filter(|before| before.observed))?;
        Some(self.unpack(cell, found))
    }

    fn unpack(&self, cell: Cell, kept: &Kept) -> Row {
        Row {
            cell,
            valid_ms: kept.valid_ms,
            issued_ms: kept.issued_ms,
            observed: kept.observed,
            source: self.feeds[usize::from(kept.feed)].source.clone(),
            lat: f64::from(kept.lat_e4) / 1e4,
            lon: f64::from(kept.lon_e4) / 1e4,
            elevation_m: kept.elevation_m.map(f64::from),
            values: Values::of_steps(&kept.steps, kept.code, kept.present.clone()),
        }
    }

    pub(crate) fn may_come(&self, time_ms: i64, now_ms: i64) -> bool {
        self.feeds.iter().any(|feed| {
            feed.can_be_asked()
                && time_ms >= now_ms - feed.past_ms
                && time_ms <= now_ms + feed.ahead_ms
        })
    }
}

fn best(cell: &[Kept], valid_ms: i64, now_ms: i64) -> Option<&Kept> {
    let start = cell.partition_point(|kept| kept.valid_ms < valid_ms);
    let hour = cell[start..].iter().take_while(|kept| kept.valid_ms == valid_ms);
    // The first of equals is the preferred feed's.
    hour.filter(|kept| kept.known_ms <= now_ms).min_by_key(|kept| !kept.observed)
}

fn best_before(cell: &[Kept], valid_ms: i64, now_ms: i64) -> Option<&Kept> {
    best(cell, valid_ms - HOUR_MS, now_ms)
}

#[cfg(test)]
mod tests {
    use super::{Reach, Rows};
    use crate::weather::{Cell, Feed, HOUR_MS, Hour, Series, Values};
    use ingest::Fix;

    const NOON_MS: i64 = 1_768_478_400_000;

    fn reach(source: &str) -> Reach {
        Reach { source: source.into(), past_ms: HOUR_MS, ahead_ms: 2 * HOUR_MS }
    }

    /// Hours from noon on, each with the next temperature.
    fn series(source: &str, issued_ms: i64, observed: bool, temperatures_c: &[f64]) -> Series {
        let hour = |(at, temperature_c): (i64, &f64)| Hour {
            valid_ms: NOON_MS + at * HOUR_MS,
            observed,
            values: Values { temperature_c: Some(*temperature_c), ..Values::default() },
        };
        Series {
            cell: Cell::of(52.1, 5.1),
            source: source.into(),
            lat: 52.14,
            lon: 5.16,
            elevation_m: Some(3.0),
            issued_ms,
            hours: (0..).zip(temperatures_c).map(hour).collect(),
        }
    }

    #[track_caller]
    fn check(feed: &Feed, time_ms: i64, now_ms: i64, expected: Option<(&str, f64)>) {
        let fix = Fix::new(52.11, 5.11, None).unwrap();
        let joined = feed.as_of(&fix, time_ms, now_ms);
        let found = joined
            .as_ref()
            .map(|joined| (&*joined.row.source, joined.row.values.temperature_c.unwrap()));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_preferred_feed_answers_but_what_was_observed_comes_first() {
        let mut rows = Rows::new(vec![reach("first"), reach("second")]);
        rows.learn(&series("second", NOON_MS - HOUR_MS, false, &[1.0, 2.0]), NOON_MS - HOUR_MS);
        rows.learn(&series("first", NOON_MS - HOUR_MS, false, &[5.0]), NOON_MS - HOUR_MS);
        let feed = Feed::Rows(rows);
        check(&feed, NOON_MS, NOON_MS, Some(("first", 5.0)));
        check(&feed, NOON_MS + HOUR_MS, NOON_MS, Some(("second", 2.0)));
        check(&feed, NOON_MS + 2 * HOUR_MS, NOON_MS, None);
        let Feed::Rows(mut rows) = feed else { unreachable!() };
        rows.learn(&series("second", NOON_MS, true, &[1.5]), NOON_MS);
        let feed = Feed::Rows(rows);
        check(&feed, NOON_MS + 5, NOON_MS, Some(("second", 1.5)));
    }

    #[test]
    fn nothing_is_used_before_it_was_known_and_a_later_issue_wins() {
        let mut rows = Rows::new(vec![reach("a")]);
        assert_eq!(rows.learn(&series("a", NOON_MS - 5, false, &[1.0]), NOON_MS), 1);
        let feed = Feed::Rows(rows);
        check(&feed, NOON_MS, NOON_MS - 1, None);
        check(&feed, NOON_MS, NOON_MS, Some(("a", 1.0)));
        let Feed::Rows(mut rows) = feed else { unreachable!() };
        assert_eq!(rows.learn(&series("a", NOON_MS - 9, false, &[9.0]), NOON_MS), 0, "older");
        assert!(!rows.is_news(&series("a", NOON_MS - 5, false, &[1.0])));
        assert!(rows.is_news(&series("a", NOON_MS, false, &[2.0])));
        assert_eq!(rows.learn(&series("a", NOON_MS, false, &[2.0]), NOON_MS), 1);
        assert_eq!(rows.learn(&series("unknown", NOON_MS, false, &[2.0]), NOON_MS), 0);
        assert_eq!(rows.kept(), (1, 1));
        let feed = Feed::Rows(rows);
        check(&feed, NOON_MS, NOON_MS, Some(("a", 2.0)));
    }

    #[test]
    fn an_observation_stands_in_for_the_hour_after_it_and_a_forecast_does_not() {
        let mut rows = Rows::new(vec![reach("station"), reach("model")]);
        rows.learn(&series("station", NOON_MS, true, &[3.0]), NOON_MS);
        let feed = Feed::Rows(rows);
        check(&feed, NOON_MS + HOUR_MS + 5, NOON_MS + HOUR_MS + 5, Some(("station", 3.0)));
        check(&feed, NOON_MS + 2 * HOUR_MS, NOON_MS + 2 * HOUR_MS, None);
        let mut rows = Rows::new(vec![reach("model")]);
        rows.learn(&series("model", NOON_MS, false, &[3.0]), NOON_MS);
        check(&Feed::Rows(rows), NOON_MS + HOUR_MS, NOON_MS + HOUR_MS, None);
    }

    #[test]
    fn what_is_long_past_is_forgotten_and_only_what_a_feed_has_may_come() {
        let mut rows = Rows::new(vec![reach("a")]);
        rows.learn(&series("a", NOON_MS, true, &[1.0, 2.0, 3.0]), NOON_MS);
        rows.forget(NOON_MS + HOUR_MS);
        assert_eq!(rows.kept(), (2, 1));
        rows.forget(NOON_MS + 9 * HOUR_MS);
        assert_eq!(rows.kept(), (0, 0));
        let feed = Feed::Rows(rows);
        for (at, may) in [(-2, false), (-1, true), (2, true), (3, false)] {
            assert_eq!(feed.may_come(NOON_MS + at * HOUR_MS, NOON_MS), may, "{at}");
        }
        let silent = Reach { source: "file".into(), past_ms: 0, ahead_ms: 0 };
        assert!(!Feed::Rows(Rows::new(vec![silent])).may_come(NOON_MS, NOON_MS));
    }
}
