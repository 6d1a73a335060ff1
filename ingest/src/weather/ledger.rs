//! When a feed may be asked for what: budgets, freshness and back-off, without a clock of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cell, Fault, HOUR_MS};

const DAY_MS: i64 = 24 * HOUR_MS;

/// The first wait after a fault; it doubles with each one that follows, up to the longest.
const FIRST_WAIT_MS: i64 = 5_000;
const LONGEST_WAIT_MS: i64 = 15 * 60_000;

/// A feed that refuses us does so until somebody changes the configuration.
const FORBIDDEN_WAIT_MS: i64 = HOUR_MS;

/// What is remembered of cells that nobody has asked for since.
const REMEMBERED_MS: i64 = 2 * DAY_MS;

/// Most cells that a feed is asked for ahead of need: devices elsewhere wait for their weather when
/// something happens to them.
const MOST_AHEAD: usize = 2_000;

/// How much a feed may be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Cells in one request.
    pub cells_a_request: usize,
    /// What a day's requests may cost, from midnight UTC. A request costs 1, or its cells.
    pub a_day: u32,
    pub cost: Cost,
    /// How long an answer is good for when the feed does not say so.
    pub refresh_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    OneARequest,
    OneACell,
}

/// What somebody needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Cells and times that events wait for.
    pub waiting: Vec<(Cell, i64)>,
    /// Cells where devices are.
    pub ahead: Vec<Cell>,
}

/// What a feed was asked, and when it may be asked again. It outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    #[serde(with = "as_list")]
    cells: BTreeMap<Cell, Asked>,
    /// The day that `used` counts, since the epoch.
    day: i64,
    used: u32,
    failures: u32,
    not_before_ms: i64,
}

/// The last answer about a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    at_ms: i64,
    /// Until then it need not be asked again.
    fresh_until_ms: i64,
    /// From when on it has hours.
    from_ms: i64,
    /// As the feed said it, to be told back.
    last_modified: Option<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask for these cells, from that time on.
    Ask { cells: Vec<Cell>, from_ms: i64 },
    /// Nothing before this moment, unless somebody needs something else.
    Wait { until_ms: i64 },
}

/// An answer, as far as it says when to ask again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Freshness {
    /// For how long the feed says it is good.
    pub lifetime_ms: Option<i64>,
    pub last_modified: Option<String>,
}

impl Ledger {
    /// What to ask now. Events that wait come first, and half of the day's budget is theirs alone.
    #[must_use]
    pub fn next(&self, limits: &Limits, needs: &Needs, now_ms: i64) -> Next {
        if now_ms < self.not_before_ms {
            return Next::Wait { until_ms: self.not_before_ms };
        }
        let day = now_ms.div_euclid(DAY_MS);
        let used = if day == self.day { self.used } else { 0 };
        let tomorrow_ms = (day + 1) * DAY_MS;
        let left = limits.a_day.saturating_sub(used);
        if left == 0 {
            return Next::Wait { until_ms: tomorrow_ms };
        }
        let due = |cell: &Cell, time_ms: i64| match self.cells.get(cell) {
            None => true,
            Some(asked) => asked.fresh_until_ms <= now_ms || time_ms < asked.from_ms,
        };
        let mut cells = BTreeSet::new();
        let mut from_ms = now_ms - HOUR_MS;
        for (cell, time_ms) in needs.waiting.iter().filter(|(cell, time_ms)| due(cell, *time_ms)) {
            cells.insert(*cell);
            from_ms = from_ms.min(time_ms.div_euclid(HOUR_MS) * HOUR_MS - HOUR_MS);
        }
        let ahead = &needs.ahead[..needs.ahead.len().min(MOST_AHEAD)];
        if left > limits.a_day / 2 {
            cells.extend(ahead.iter().filter(|cell| due(cell, now_ms)));
        }
        let affordable = match limits.cost {
            Cost::OneARequest => limits.cells_a_request,
            Cost::OneACell => limits.cells_a_request.min(left as usize),
        };
        if cells.is_empty() {
            let all = needs.waiting.iter().map(|(cell, _)| cell).chain(ahead);
            let fresh = all.filter_map(|cell| Some(self.cells.get(cell)?.fresh_until_ms));
            let until_ms = fresh.filter(|until_ms| *until_ms > now_ms).min();
            return Next::Wait { until_ms: until_ms.unwrap_or(tomorrow_ms) };
        }
        // What waits is asked for first.
        let urgent = |cell: &Cell| !needs.waiting.iter().any(|(waiting, _)| waiting == cell);
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.sort_by_key(urgent);
        cells.truncate(affordable);
        Next::Ask { cells, from_ms }
    }

    /// What the feed called its last answer about a cell, to ask only for what changed since.
    #[must_use]
    pub fn last_modified(&self, cell: &Cell, from_ms: i64) -> Option<&str> {
        let asked = self.cells.get(cell).filter(|asked| asked.from_ms <= from_ms)?;
        asked.last_modified.as_deref()
    }

    /// Counts a request before it is made: it costs, whatever comes of it.
    pub fn asking(&mut self, limits: &Limits, cells: usize, now_ms: i64) {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.used) = (day, 0);
        }
        let cost = match limits.cost {
            Cost::OneARequest => 1,
            Cost::OneACell => u32::try_from(cells).unwrap_or(u32::MAX),
        };
        self.used = self.used.saturating_add(cost);
    }

    /// Notes an answer about `cells`, also one that nothing has changed. `jitter` between 0 and 1
    /// spreads what would be asked again at the same time.
    pub fn answered(
        &mut self,
        limits: &Limits,
        cells: &[Cell],
        from_ms: i64,
        fresh: &Freshness,
        now_ms: i64,
        jitter: f64,
    ) {
        self.failures = 0;
        self.not_before_ms = 0;
        let lifetime_ms = fresh.lifetime_ms.unwrap_or(limits.refresh_ms).clamp(60_000, DAY_MS);
        let fresh_until_ms = now_ms + lifetime_ms + (lifetime_ms as f64 * 0.1 * jitter) as i64;
        for cell in cells {
            let before = self.cells.remove(cell);
            let from_ms = before.as_ref().map_or(from_ms, |asked| asked.from_ms.min(from_ms));
            let before = before.and_then(|asked| asked.last_modified);
            let last_modified = fresh.last_modified.clone().or(before);
            let asked = Asked { at_ms: now_ms, fresh_until_ms, from_ms, last_modified };
            self.cells.insert(*cell, asked);
        }
        self.cells.retain(|_, asked| asked.at_ms > now_ms - REMEMBERED_MS);
    }

    /// Notes a fault, and holds back for a while that doubles with each in a row.
    pub fn failed(&mut self, cells: &[Cell], fault: &Fault, now_ms: i64, jitter: f64) {
        if *fault == Fault::OutsideCoverage {
            // The feed is well; it has nothing for these places.
            let fresh_until_ms = now_ms + DAY_MS;
            for cell in cells {
                let from_ms = i64::MIN;
                let asked = Asked { at_ms: now_ms, fresh_until_ms, from_ms, last_modified: None };
                self.cells.insert(*cell, asked);
            }
            return;
        }
        let doubled = FIRST_WAIT_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait_ms = match fault {
            Fault::Forbidden(_) => FORBIDDEN_WAIT_MS,
            Fault::Throttled { retry_after_ms: Some(retry_after_ms) } => {
                (*retry_after_ms).clamp(FIRST_WAIT_MS, DAY_MS)
            }
            _ => doubled.min(LONGEST_WAIT_MS),
        };
        self.not_before_ms = now_ms + wait_ms + (wait_ms as f64 * 0.5 * jitter) as i64;
    }

    /// Until when it holds back after faults.
    #[must_use]
    pub fn not_before_ms(&self) -> i64 {
        self.not_before_ms
    }

    /// What has been spent of the budget of the day of `now_ms`.
    #[must_use]
    pub fn used(&self, now_ms: i64) -> u32 {
        if now_ms.div_euclid(DAY_MS) == self.day { self.used } else { 0 }
    }
}

/// JSON has no keys but text.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Asked, Cell};

    pub(super) fn serialize<S: Serializer>(
        cells: &BTreeMap<Cell, Asked>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        cells.iter().collect::<Vec<_>>().serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<BTreeMap<Cell, Asked>, D::Error> {
        Ok(Vec::<(Cell, Asked)>::deserialize(input)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, DAY_MS, Freshness, Ledger, Limits, Needs, Next};
    use crate::weather::{Cell, Fault, HOUR_MS};

    const NOW_MS: i64 = 1_768_478_400_000;
    const HOURLY: Limits =
        Limits { cells_a_request: 2, a_day: 10, cost: Cost::OneACell, refresh_ms: HOUR_MS };

    fn cell(west: i16) -> Cell {
        Cell { south: 520, west }
    }

    fn ahead(cells: impl IntoIterator<Item = i16>) -> Needs {
        Needs { ahead: cells.into_iter().map(cell).collect(), ..Needs::default() }
    }

    fn waits(west: i16, time_ms: i64) -> Needs {
        Needs { waiting: vec![(cell(west), time_ms)], ..Needs::default() }
    }

    #[track_caller]
    fn check(ledger: &Ledger, needs: &Needs, now_ms: i64, cells: &[i16]) {
        match ledger.next(&HOURLY, needs, now_ms) {
            Next::Ask { cells: asked, .. } => {
                assert_eq!(asked, cells.iter().copied().map(cell).collect::<Vec<_>>());
            }
            Next::Wait { until_ms } => {
                assert!(cells.is_empty() && until_ms > now_ms);
            }
        }
    }

    fn answer(ledger: &mut Ledger, cells: &[i16], now_ms: i64) {
        let cells: Vec<Cell> = cells.iter().copied().map(cell).collect();
        ledger.asking(&HOURLY, cells.len(), now_ms);
        ledger.answered(&HOURLY, &cells, now_ms - HOUR_MS, &Freshness::default(), now_ms, 0.5);
    }

    #[test]
    fn nothing_is_asked_twice_while_it_is_fresh_also_after_a_restart() {
        let mut ledger = Ledger::default();
        check(&ledger, &ahead([1, 2, 3]), NOW_MS, &[1, 2]);
        answer(&mut ledger, &[1, 2], NOW_MS);
        let json = serde_json::to_vec(&ledger).unwrap();
        let ledger: Ledger = serde_json::from_slice(&json).unwrap();
        check(&ledger, &ahead([1, 2, 3]), NOW_MS, &[3]);
        check(&ledger, &ahead([1, 2]), NOW_MS + HOUR_MS - 1, &[]);
        check(&ledger, &ahead([1, 2]), NOW_MS + 2 * HOUR_MS, &[1, 2]);
        check(&ledger, &waits(1, NOW_MS), NOW_MS, &[]);
        check(&ledger, &waits(1, NOW_MS - 9 * HOUR_MS), NOW_MS, &[1]);
    }

    #[test]
    fn the_budget_holds_and_half_of_it_is_for_what_waits() {
        let mut ledger = Ledger::default();
        answer(&mut ledger, &[1, 2, 3, 4, 5], NOW_MS);
        check(&ledger, &ahead([6]), NOW_MS, &[]);
        let both = Needs { ahead: vec![cell(6)], ..waits(7, NOW_MS) };
        check(&ledger, &both, NOW_MS, &[7]);
        answer(&mut ledger, &[7, 8, 9, 10], NOW_MS);
        let two =
            Needs { waiting: vec![(cell(11), NOW_MS), (cell(12), NOW_MS)], ..Needs::default() };
        check(&ledger, &two, NOW_MS, &[11]);
        answer(&mut ledger, &[11], NOW_MS);
        assert_eq!(ledger.used(NOW_MS), 10);
        check(&ledger, &two, NOW_MS, &[]);
        let tomorrow_ms = (NOW_MS.div_euclid(DAY_MS) + 1) * DAY_MS;
        assert_eq!(ledger.next(&HOURLY, &two, NOW_MS), Next::Wait { until_ms: tomorrow_ms });
        check(&ledger, &two, tomorrow_ms, &[11, 12]);
    }

    #[test]
    fn faults_hold_it_back_for_longer_and_longer_until_an_answer_comes() {
        let mut ledger = Ledger::default();
        let mut waits_ms = Vec::new();
        let mut now_ms = NOW_MS;
        for _ in 0..12 {
            ledger.failed(&[cell(1)], &Fault::ServerError(503), now_ms, 1.0);
            check(&ledger, &ahead([1]), now_ms, &[]);
            waits_ms.push(ledger.not_before_ms() - now_ms);
            now_ms = ledger.not_before_ms();
        }
        assert_eq!(waits_ms[..3], [7_500, 15_000, 30_000]);
        assert_eq!(waits_ms[11], 15 * 60_000 * 3 / 2);
        check(&ledger, &ahead([1]), now_ms, &[1]);
        answer(&mut ledger, &[1], now_ms);
        ledger.failed(&[cell(1)], &Fault::Timeout, now_ms, 0.0);
        assert_eq!(ledger.not_before_ms() - now_ms, 5_000, "starts small again");
    }

    #[test]
    fn what_the_feed_says_about_waiting_is_obeyed() {
        let mut ledger = Ledger::default();
        let fault = Fault::Throttled { retry_after_ms: Some(120_000) };
        ledger.failed(&[cell(1)], &fault, NOW_MS, 0.0);
        assert_eq!(ledger.not_before_ms(), NOW_MS + 120_000);
        ledger.failed(&[cell(1)], &Fault::Forbidden(403), NOW_MS, 0.0);
        assert_eq!(ledger.not_before_ms(), NOW_MS + HOUR_MS);
        let mut ledger = Ledger::default();
        ledger.failed(&[cell(1)], &Fault::OutsideCoverage, NOW_MS, 0.0);
        check(&ledger, &ahead([1, 2]), NOW_MS, &[2]);
        let fresh = Freshness {
            lifetime_ms: Some(2 * HOUR_MS),
            last_modified: Some("Thu, 15 Jan 2026 11:37:54 GMT".to_owned()),
        };
        ledger.answered(&HOURLY, &[cell(2)], NOW_MS - HOUR_MS, &fresh, NOW_MS, 0.0);
        check(&ledger, &ahead([2]), NOW_MS + 2 * HOUR_MS - 1, &[]);
        assert_eq!(ledger.last_modified(&cell(2), NOW_MS), fresh.last_modified.as_deref());
        assert_eq!(ledger.last_modified(&cell(2), NOW_MS - 9 * HOUR_MS), None, "it had less");
    }
}
