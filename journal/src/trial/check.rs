//! What must be true of a journal at any moment.

use std::collections::{BTreeMap, BTreeSet};

use enrich::DeviceState;
use ingest::Reading;

use super::{Trial, give_back, open};
use crate::history::run;
use crate::live::read;
use crate::{EventRow, chunk};

/// An event, without the reading it was first found by: that depends on the order of arrival.
fn happened(event: &enrich::Event) -> String {
    let cause = enrich::Cause { time_ms: 0, seq: None, content: 0 };
    serde_json::to_string(&enrich::Event { cause, ..event.clone() }).unwrap()
}

impl Trial {
    pub(crate) fn check(&self) {
        self.check_totals();
        self.check_stretches();
        self.check_histories();
        self.check_messages();
        self.check_following();
        self.check_recovery();
    }

    pub(crate) fn query(&self, sql: &str) -> i64 {
        self.writer().store.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn check_totals(&self) {
        let counts = self.counts();
        assert!(counts.balance(), "{counts:?}");
        let sealed = self.query("SELECT coalesce(sum(readings), 0) FROM chunk") as u64;
        let histories = read(&self.writer().live.histories);
        let open: usize = (0..histories.len())
            .filter_map(|device| histories.get(device))
            .map(|history| history.open.count())
            .sum();
        let kept = counts.stored - counts.deleted - counts.aged.readings;
        assert_eq!(sealed + open as u64, kept, "sealed and open are all that is stored");
        let released = "SELECT count(*) FROM trigger_out WHERE outcome IN ('released', 'withheld')";
        assert_eq!(self.query(released) as u64, counts.triggers_released);
        let expired = "SELECT count(*) FROM trigger_out WHERE outcome = 'expired'";
        assert_eq!(self.query(expired) as u64, counts.triggers_expired);
    }

    /// Sealed stretches lie one after the other, and each holds just what falls into it.
    pub(crate) fn check_stretches(&self) {
        let connection = &self.writer().store.connection;
        let histories = read(&self.writer().live.histories);
        for device in 0..histories.len() {
            let history = histories.get(device).unwrap();
            let mut statement = connection
                .prepare("SELECT start_ms, readings, columns FROM chunk WHERE device = ?1 ORDER BY window, start_ms")
                .unwrap();
            let chunks: Vec<(i64, u32, Vec<u8>)> = statement
                .query_map([device], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let starts: Vec<i64> = chunks.iter().map(|(start_ms, ..)| *start_ms).collect();
            for (at, (start_ms, count, columns)) in chunks.iter().enumerate() {
                let end_ms = starts.get(at + 1).copied().unwrap_or(history.start_ms);
                assert!(*start_ms < end_ms, "stretches overlap");
                let readings = chunk::open(columns).unwrap();
                assert_eq!(readings.len() as u32, *count);
                in_order(&readings);
                assert!(readings.iter().all(|r| (*start_ms..end_ms).contains(&r.time_ms)));
            }
            let open = history.open.readings();
            in_order(&open);
            assert!(open.iter().all(|reading| reading.time_ms >= history.start_ms));
        }
    }

    /// Each device's history is what was sent of it, once and in order.
    fn check_histories(&self) {
        for device in ["car-a", "car-b", "car-c"] {
            let found =
                self.reader().history(self.number(device), i64::MIN, i64::MAX, usize::MAX).unwrap();
            assert_eq!(found, self.expected(device));
        }
    }

    pub(crate) fn expected(&self, device: &str) -> Vec<Reading> {
        let mut readings: Vec<Reading> = self
            .sent
            .iter()
            .filter(|(name, _)| *name == device)
            .map(|(_, reading)| reading.clone())
            .collect();
        readings.sort_by(Reading::history_order);
        readings.dedup_by(|a, b| a.history_order(b).is_eq());
        readings
    }

    /// Revisions and sequence numbers have no gaps; an event is told under one id, and an id tells
    /// of one event.
    fn check_messages(&self) {
        let rows = self.reader().newest_triggers(100_000).unwrap();
        let mut revisions: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut sequences: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for row in rows.into_iter().rev() {
            revisions.entry(row.body.id.clone()).or_default().push(row.body.revision);
            if row.outcome != "expired" {
                let number = row.body.sequence.parse().unwrap();
                sequences
                    .entry((row.insurer.clone(), row.product.clone()))
                    .or_default()
                    .push(number);
            }
            last.insert(row.body.id.clone(), row);
        }
        for (id, numbers) in revisions {
            assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>(), "of {id}");
        }
        for (to, numbers) in sequences {
            assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "to {to:?}");
        }
        let mut told = BTreeSet::new();
        for (device, row) in self.events() {
            let registry = self.writer().core.registry.read();
            let known = registry.device(device).unwrap();
            let owner = known.owner_at(row.event.cause.time_ms).unwrap();
            let on = |rule: &&enrich::rules::Rule| rule.on == row.event.happening.name();
            let rules = self.writer().core.rules.rules().filter(on);
            let policies = rules.flat_map(|rule| {
                registry
                    .policies(owner, rule.product, self.now_ms)
                    .map(move |policy| (rule, policy))
            });
            for (rule, policy) in policies {
                let key = &self.writer().core.key;
                let id = key.trigger_id(&rule.id, &policy.id, device, &row.event.cause);
                assert!(told.insert(id.clone()), "two events under one id");
                let Some(said) = last.get(&id) else {
                    assert_eq!(device, "car-c", "nobody was told of an event");
                    continue;
                };
                assert_ne!(said.status, "withdrawn");
                let data = said.body.data.trigger().unwrap();
                assert_eq!(data.happened_at.as_millisecond(), row.event.time_ms);
                assert_eq!(data.event, row.event.happening.name());
                assert_eq!(data.told, row.event.happening.told());
            }
        }
        for (id, row) in last {
            let live = row.status != "withdrawn" && row.outcome == "released";
            assert!(!live || told.contains(&id), "somebody believes in an event that never was");
        }
    }

    /// All events that stand.
    fn events(&self) -> Vec<(&'static str, EventRow)> {
        let of = |device| {
            let rows = self.reader().events(self.number(device)).unwrap();
            rows.into_iter().filter(|row| !row.withdrawn).map(move |row| (device, row))
        };
        ["car-a", "car-b", "car-c"].into_iter().flat_map(of).collect()
    }

    /// The events are those that the core finds when it sees everything in order.
    pub(crate) fn check_events(&self) {
        let core = &self.writer().core;
        for device in ["car-a", "car-b", "car-c"] {
            let registry = core.registry.read();
            let known = registry.device(device).unwrap();
            let (mut state, mut events) = (DeviceState::default(), Vec::new());
            run(&mut state, &self.expected(device), known, &core.world, &mut events);
            state.wait_until(self.now_ms, &core.world, &mut events);
            let mut expected: Vec<String> = events.iter().map(happened).collect();
            let of =
                |(name, row): &(&str, EventRow)| (*name == device).then(|| happened(&row.event));
            let mut found: Vec<String> = self.events().iter().filter_map(of).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{device}");
        }
    }

    /// A process that starts from the files as they are now knows what this one knows.
    pub(crate) fn check_recovery(&self) {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().ends_with("-shm") {
                continue;
            }
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let writer = self.writer();
        // What is sealed is not looked at, however much of it is kept for a follower.
        let file = rusqlite::Connection::open(copy.path().join("journal.sqlite")).unwrap();
        let lost = "UPDATE batch SET rows = x'00', states = x'00' WHERE id <= ?1";
        file.execute(lost, [writer.log.sealed]).unwrap();
        drop(file);
        let again = open(self.options(copy.path())).unwrap();
        assert_eq!(again.log, writer.log);
        assert_eq!(again.counts, writer.counts);
        assert_eq!(again.timers.by_device, writer.timers.by_device);
        assert_eq!(again.windows, writer.windows);
        {
            let (there, here) = (read(&again.live.histories), read(&writer.live.histories));
            for device in 0..here.len() {
                let (here, there) = (here.get(device).unwrap(), there.get(device));
                let there = there.cloned().unwrap_or_default();
                assert_eq!(there.state(), here.state(), "of device {device}");
                assert_eq!(there.start_ms, here.start_ms);
                assert_eq!(there.open, here.open);
            }
        }
        let fleet = |writer: &crate::writer::Writer| {
            writer.live.fleet().into_iter().map(|device| (device.id, device.last.time_ms)).collect()
        };
        let (there, here): (Vec<_>, Vec<_>) = (fleet(&again), fleet(writer));
        assert_eq!(there, here, "last heard of");
        give_back(again);
    }
}

fn in_order(readings: &[Reading]) {
    assert!(readings.windows(2).all(|pair| pair[0].history_order(&pair[1]).is_lt()));
}
