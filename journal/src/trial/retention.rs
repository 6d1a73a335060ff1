//! What is old enough goes, wherever it is and whatever happens meanwhile; what is not stays as it
//! is, and nothing comes back.

use ingest::Reason;
use proptest::prelude::*;

use super::report::{claim, insured, insured_also, message};
use super::rights::crossing;
use super::{BELGIUM, GERMANY, NETHERLANDS, NOW_MS, Trial, arrival, reading, undecodable};
use crate::{Aged, Retention};

pub(super) const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Readings of an hour.
pub(super) fn of_an_hour() -> Retention {
    Retention { readings_ms: Some(HOUR_MS), ..Retention::default() }
}

impl Trial {
    pub(super) fn keeping(log_readings: u64, retention: Retention) -> Self {
        let mut trial = Self::new(log_readings);
        trial.keep(retention);
        trial
    }

    pub(super) fn keep(&mut self, retention: Retention) {
        self.retention = retention;
        self.restart();
    }

    pub(super) fn sweep_all(&mut self) {
        self.writer_mut().next_sweep_ms = i64::MIN;
        for _ in 0..10_000 {
            self.writer_mut().sweep().unwrap();
            if self.writer().sweep.is_none() {
                return;
            }
        }
        panic!("a sweep does not end");
    }

    /// Holds after a sweep, until the clock goes on.
    pub(super) fn check_age(&self, keep_ms: i64) {
        let since_ms = self.now_ms - keep_ms;
        for (device, reading) in self.kept_anywhere() {
            assert!(reading.time_ms >= since_ms, "device {device}: {reading:?}");
        }
        for device in ["car-a", "car-b", "car-c"] {
            let mut expected = self.expected(device);
            expected.retain(|reading| reading.time_ms >= since_ms);
            let number = self.number(device);
            let found = self.reader().history(number, i64::MIN, i64::MAX, usize::MAX).unwrap();
            assert_eq!(found, expected, "{device}");
        }
        for device in self.writer().live.fleet() {
            assert!(device.last.time_ms >= since_ms, "last heard of");
        }
    }

    pub(super) fn check_all(&self) {
        self.check_totals();
        self.check_stretches();
        self.check_recovery();
    }
}

#[test]
fn readings_of_a_silent_device_go_everywhere_and_a_replay_brings_none_back() {
    for log_readings in [1, 8, u64::MAX] {
        let mut trial = Trial::keeping(log_readings, of_an_hour());
        for from in [-1_200, -600, 0] {
            trial.send("car-a", &crossing(from));
            trial.send("car-c", &crossing(from));
        }
        trial.at(NOW_MS + HOUR_MS - 900_000);
        trial.sweep_all();
        trial.check_age(HOUR_MS);
        trial.check_all();
        trial.at(NOW_MS + 2 * HOUR_MS);
        trial.send("car-c", &[reading(7_700, GERMANY)]);
        trial.sweep_all();
        trial.check_age(HOUR_MS);
        trial.check_all();
        let silent = crate::live::read(&trial.writer().live.histories)
            .get(trial.number("car-a"))
            .unwrap()
            .state();
        assert_eq!(silent, enrich::DeviceState::default(), "nothing is remembered of it");
        let stored = trial.counts().stored;
        assert_eq!(trial.counts().aged.readings, stored - 1);
        trial.send("car-a", &crossing(0));
        trial.sent.truncate(trial.sent.len() - 16);
        assert_eq!(trial.counts().refused[&Reason::TooOld], 16);
        assert_eq!(trial.counts().stored, stored);
        trial.check_age(HOUR_MS);
        trial.restart();
        trial.check_age(HOUR_MS);
        trial.check_all();
    }
}

#[test]
fn events_and_what_was_said_of_them_go_by_their_age_and_places_stay() {
    let mut trial = insured();
    trial.keep(Retention {
        events_ms: Some(HOUR_MS),
        triggers_ms: Some(2 * HOUR_MS),
        reports_ms: Some(40 * 24 * HOUR_MS),
        ..Retention::default()
    });
    trial.send("car-a", &crossing(0));
    trial.rest();
    let feedback = |trial: &Trial| {
        let id = trial.reader().newest_triggers(1).unwrap().remove(0).body.id;
        let payload = format!(r#"{{"trigger":"{id}","time":{NOW_MS},"reaction":"opened"}}"#);
        message("alpina", "feedback/alpina", &payload)
    };
    let told = feedback(&trial);
    trial.report(told);
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    let events = trial.reader().events(trial.number("car-a")).unwrap().len() as u64;
    assert!(events > 0);
    trial.at(NOW_MS + 2 * HOUR_MS);
    trial.sweep_all();
    assert_eq!(trial.reader().events(trial.number("car-a")).unwrap(), []);
    assert!(trial.counts().aged.events + 1 >= events, "the last number stays taken");
    assert_eq!(trial.counts().aged.triggers, 0);
    let before = trial.reader().released_after(0, 99).unwrap();
    trial.at(NOW_MS + 4 * HOUR_MS);
    trial.sweep_all();
    let after = trial.reader().released_after(0, 99).unwrap();
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.body.kind, "io.datanaut.trigger.erased");
        assert_eq!(
            (&before.body.id, &before.body.sequence, before.position),
            (&after.body.id, &after.body.sequence, after.position)
        );
        assert!(serde_json::to_string(&after.body).unwrap().contains("\"no_longer_kept\""));
    }
    assert_eq!(trial.query("SELECT count(*) FROM trigger_out WHERE evidence != ''"), 0);
    // A late reading does not tell anew what is not known any more.
    let said = trial.counts().triggers_released;
    trial.send("car-a", &[reading(155, NETHERLANDS)]);
    assert_eq!(trial.counts().triggers_released, said);
    assert_eq!(trial.counts().aged.reports, 0);
    trial.at(NOW_MS + 41 * DAY_MS);
    trial.send("car-a", &[reading(600 + 41 * DAY_MS / 1_000, GERMANY)]);
    for _ in 0..3 {
        assert!(trial.try_send(&[]));
    }
    trial.sweep_all();
    assert_eq!(trial.counts().aged.reports, 2, "the claim is watched no more");
    assert_eq!(trial.query("SELECT count(*) FROM report"), 0);
    trial.check_stretches();
    trial.check_recovery();
}

#[test]
fn who_comes_back_late_takes_nothing_back_of_what_was_said_before() {
    for log_readings in [1, u64::MAX] {
        let mut trial = Trial::keeping(log_readings, of_an_hour());
        trial.send("car-a", &crossing(0));
        trial.rest();
        let number = trial.number("car-a");
        let before = trial.reader().events(number).unwrap();
        assert!(!before.is_empty());
        trial.at(NOW_MS + 2 * HOUR_MS);
        trial.sweep_all();
        // It is heard of again, and once more from before.
        trial.send("car-a", &[reading(7_700, GERMANY)]);
        for _ in 0..4 {
            trial.send("car-c", &[reading(7_700, GERMANY)]);
        }
        trial.sweep_all();
        trial.send("car-a", &[reading(7_600, GERMANY)]);
        let after = trial.reader().events(number).unwrap();
        assert_eq!(after[..before.len()], before[..]);
        trial.check_age(HOUR_MS);
        trial.check_all();
    }
}

#[test]
fn who_comes_back_while_old_things_go_is_known_after_a_crash() {
    let names: Vec<String> = (0..40).map(|number| format!("car-{number}")).collect();
    let cars = names.iter().map(|name| {
        format!(
            "[[device]]\nid = \"{name}\"\nkind = \"car\"\n\
             owner = [{{ customer = \"anna\", from = \"2020-01-01T00:00:00Z\" }}]\n"
        )
    });
    let mut trial = insured_also(u64::MAX, &cars.collect::<String>());
    trial.keep(of_an_hour());
    trial.send("car-a", &crossing(0));
    for name in &names {
        assert!(trial.try_commit(&[arrival(name, &[reading(0, GERMANY)])]));
    }
    trial.at(NOW_MS + 2 * HOUR_MS);
    trial.writer_mut().next_sweep_ms = i64::MIN;
    trial.writer_mut().sweep().unwrap();
    trial.send("car-a", &crossing(7_000));
    for name in &names[..3] {
        assert!(trial.try_commit(&[arrival(name, &crossing(7_000))]));
    }
    trial.sweep_all();
    trial.check_recovery();
}

#[test]
fn what_a_crash_left_in_the_log_goes_with_the_next_sweep() {
    let mut trial = Trial::keeping(u64::MAX, of_an_hour());
    trial.send("car-a", &crossing(0));
    trial.rest();
    trial.at(NOW_MS + 2 * HOUR_MS);
    trial.writer_mut().sweep().unwrap();
    trial.restart();
    trial.sweep_all();
    let connection = &trial.writer().store.connection;
    let mut states = connection.prepare("SELECT states FROM batch").unwrap();
    let nothing = crate::seal::encode_state(&enrich::DeviceState::default());
    for states in states.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
        let states = states.unwrap();
        let mut left = &states[..];
        while let Some((_, state)) = crate::rows::take_blob(&mut left) {
            assert_eq!(state, nothing);
        }
    }
    drop(states);
    trial.check_recovery();
}

#[test]
fn windows_go_when_all_in_them_is_gone() {
    let mut trial = Trial::keeping(1, of_an_hour());
    for minute in 0..180 {
        trial.at(NOW_MS + minute * 60_000);
        let second = 600 + minute * 60;
        trial.send("car-a", &[reading(second, GERMANY)]);
        trial.send("car-c", &[reading(second, GERMANY)]);
    }
    let before = trial.writer().windows.len();
    trial.sweep_all();
    let left = trial.writer().windows.len();
    assert!(left < before * 2 / 3, "{left} of {before}");
    assert_eq!(trial.query("SELECT count(*) FROM window"), left as i64);
    trial.check_age(HOUR_MS);
    trial.check_all();
}

#[test]
fn nobody_waits_for_who_reads_while_old_things_go() {
    let mut trial = Trial::keeping(8, of_an_hour());
    trial.send("car-a", &crossing(0));
    let reader = crate::store::open_reader(trial.dir.path()).unwrap();
    let reads = reader.unchecked_transaction().unwrap();
    reads.query_row("SELECT count(*) FROM batch", [], |_| Ok(())).unwrap();
    trial.at(NOW_MS + 2 * HOUR_MS);
    let goes_on = (0..1_000).find(|_| !trial.writer_mut().sweep().unwrap());
    assert!(goes_on.is_some() && trial.writer().sweep.is_some(), "it is tried again");
    drop(reads);
    trial.sweep_all();
    trial.check_age(HOUR_MS);
}

#[test]
fn a_clock_that_is_years_ahead_lets_nothing_go_and_takes_what_comes() {
    for (log_readings, restarts) in [(1, false), (8, true), (u64::MAX, true)] {
        let keep = Retention { quarantine_ms: HOUR_MS, ..of_an_hour() };
        let mut trial = Trial::keeping(log_readings, keep);
        trial.send("car-a", &crossing(0));
        assert!(trial.try_commit(&[undecodable("car-a")]));
        trial.at(NOW_MS + 3_650 * DAY_MS);
        if restarts {
            trial.restart();
        }
        // The devices' clocks are right, and what they send is not too old.
        for at in 0..4 {
            trial.send("car-c", &[reading(600 + at, GERMANY)]);
            trial.sweep_all();
            assert!(trial.writer().live.clock_doubted());
        }
        if restarts {
            trial.restart();
            trial.sweep_all();
        }
        assert_eq!((trial.counts().aged, trial.counts().refused.len()), (Aged::default(), 0));
        assert_eq!(trial.query("SELECT count(*) FROM quarantine"), 1);
        trial.check_all();
        // It is set right.
        trial.at(NOW_MS + 2 * HOUR_MS);
        trial.sweep_all();
        assert!(!trial.writer().live.clock_doubted());
        trial.check_age(HOUR_MS);
        assert!(trial.try_send(&[]));
        assert_eq!(trial.query("SELECT count(*) FROM quarantine"), 0);
        trial.check_all();
    }
}

#[test]
fn a_clock_that_is_set_back_holds_up_no_sweep() {
    let mut trial = Trial::keeping(8, of_an_hour());
    trial.send("car-a", &crossing(0));
    trial.at(NOW_MS + 6 * DAY_MS);
    trial.sweep_all();
    trial.at(NOW_MS + 2 * HOUR_MS);
    trial.send("car-c", &[reading(7_190, GERMANY)]);
    assert_eq!(trial.writer().sweeps_in_ms(), Some(0));
}

#[test]
fn after_a_month_out_of_use_the_first_reading_says_that_the_clock_is_right() {
    let mut trial = Trial::keeping(8, of_an_hour());
    trial.send("car-a", &crossing(0));
    trial.at(NOW_MS + 30 * DAY_MS);
    trial.restart();
    trial.sweep_all();
    assert_eq!(trial.counts().aged, Aged::default());
    // It comes in the middle of a sweep.
    trial.writer_mut().sweep().unwrap();
    trial.send("car-c", &[reading(600 + 30 * DAY_MS / 1_000, GERMANY)]);
    while trial.writer().sweep.is_some() {
        trial.writer_mut().sweep().unwrap();
    }
    assert_eq!(trial.writer().sweeps_in_ms(), Some(0), "at once, and not a day later");
    trial.sweep_all();
    trial.check_age(HOUR_MS);
    // From then on the clock alone is enough, also for the next process.
    for day in 31..45 {
        trial.at(NOW_MS + day * DAY_MS);
        trial.restart();
        trial.sweep_all();
        assert!(!trial.writer().live.clock_doubted());
    }
    trial.check_age(HOUR_MS);
    trial.check_all();
}

#[test]
fn where_nothing_ends_nothing_is_looked_for() {
    let trial = Trial::new(8);
    assert_eq!(trial.writer().sweeps_in_ms(), None);
    assert_eq!(trial.counts().aged, Aged::default());
}

#[derive(Clone, Debug)]
enum Step {
    /// So many seconds ago, by one device; late if it is not 0.
    Send(usize, i64, bool),
    /// All are heard of meanwhile.
    Wait(i64),
    Sweep(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 0..3_700_i64, any::<bool>()).prop_map(|(device, ago, far)| Step::Send(device, ago, far)),
        4 => (1..1_500_i64).prop_map(Step::Wait),
        4 => (1..6_usize).prop_map(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

const DEVICES: [&str; 3] = ["car-a", "car-b", "car-c"];

/// What insurers were told, in order; who keeps all tells the same.
fn told(trial: &Trial) -> Vec<(String, String, u32)> {
    let rows = trial.reader().released_after(0, 100_000).unwrap();
    rows.into_iter().map(|row| (row.body.id, row.status, row.body.revision)).collect()
}

/// Whether late readings have moved an event behind what is kept for an hour, and it goes by the
/// reading that it was first found with, which is kept. Should that cause another event, which of the
/// two goes by it depends on whether the first is still looked at again.
fn lends_identity(trial: &Trial) -> bool {
    let since_ms = trial.now_ms - HOUR_MS;
    DEVICES.iter().any(|device| {
        let events = trial.reader().events(trial.number(device)).unwrap();
        let mut events = events.iter().map(|row| &row.event);
        events.any(|event| event.known_ms < since_ms && event.cause.time_ms >= since_ms)
    })
}

fn live(steps: &[Step], log_readings: u64) {
    // Ids come from a secret of each journal.
    let mut all = Trial::new(log_readings);
    let mut some = Trial::keeping(log_readings, of_an_hour());
    let secret = |trial: &Trial| {
        crate::store::meta(&trial.writer().store.connection, "secret").unwrap().unwrap()
    };
    let shared = secret(&all);
    crate::store::set_meta(&some.writer().store.connection, "secret", &shared).unwrap();
    some.restart();
    for step in steps {
        match step {
            Step::Send(device, ago, far) => {
                let place = if *far { BELGIUM } else { GERMANY };
                let second = (some.now_ms - NOW_MS) / 1_000 + 600 - ago;
                let readings: Vec<_> = (0..4).map(|n| reading(second + n * 15, place)).collect();
                if readings[0].time_ms < some.now_ms - HOUR_MS {
                    continue;
                }
                for trial in [&mut all, &mut some] {
                    trial.send(DEVICES[*device], &readings);
                }
            }
            Step::Wait(seconds) => {
                for trial in [&mut all, &mut some] {
                    trial.at(trial.now_ms + seconds * 1_000);
                    let second = (trial.now_ms - NOW_MS) / 1_000 + 600;
                    let here = DEVICES.map(|device| (device, vec![reading(second, NETHERLANDS)]));
                    assert!(trial.try_send(&here));
                }
            }
            Step::Sweep(slices) => (0..*slices).for_each(|_| {
                some.writer_mut().sweep().unwrap();
            }),
            Step::Restart => some.restart(),
        }
        if lends_identity(&all) {
            return;
        }
        assert_eq!(told(&some), told(&all));
        some.check_totals();
        some.check_stretches();
        if matches!(step, Step::Sweep(_)) {
            some.check_recovery();
        }
    }
    some.writer_mut().sweep = None;
    some.sweep_all();
    some.check_age(HOUR_MS);
    some.check_all();
    for device in DEVICES {
        let found = |trial: &Trial| trial.reader().events(trial.number(device)).unwrap();
        assert_eq!(found(&some), found(&all), "events have no end here");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: super::cases(), failure_persistence: None, max_shrink_iters: 1_000, max_shrink_time: 20_000, ..ProptestConfig::default()
    })]

    #[test]
    fn who_keeps_less_tells_the_same(
        log_readings in prop_oneof![Just(u64::MAX), 1..30_u64],
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        live(&steps, log_readings);
    }
}
