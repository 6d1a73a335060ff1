//! Whatever the order of data, consents, transfers, erasure and crashes: nothing is stored that
//! nobody may keep, nothing is sent that nobody may hear, and nothing comes back.

use std::collections::BTreeMap;

use enrich::registry::{Product, RegistryFile};
use ingest::Reading;
use proptest::prelude::*;

use super::{BELGIUM, GERMANY, NETHERLANDS, NOW_MS, REGISTRY, Trial, reading};
use crate::chunk;
use crate::live::read;
use crate::rows::take_log_row;
use crate::webhook::Recorded;
use crate::{Change, Letter, Progress, Retention, Why};

const DEVICES: [&str; 3] = ["car-a", "car-b", "car-c"];
const CUSTOMERS: [&str; 3] = ["anna", "bram", "carl"];

fn travel(customer: &str, insurer: &str) -> (std::sync::Arc<str>, std::sync::Arc<str>, Product) {
    (customer.into(), insurer.into(), Product::Travel)
}

pub(super) fn withdraw(customer: &str, insurer: &str) -> Change {
    let (customer, insurer, purpose) = travel(customer, insurer);
    Change::Withdraw { customer, insurer, purpose }
}

fn give(customer: &str, insurer: &str) -> Change {
    let (customer, insurer, purpose) = travel(customer, insurer);
    Change::Give { customer, insurer, purpose, wording: "travel-2".into() }
}

fn erase(customer: &str) -> Change {
    Change::Erase { customer: customer.into() }
}

impl Trial {
    pub(super) fn purge_all(&mut self) {
        for _ in 0..10_000 {
            if self.writer().purges.is_empty() {
                return;
            }
            self.purge();
        }
        panic!("a deletion does not end");
    }

    /// Every reading in the file, sealed or in the log, and in memory.
    pub(super) fn kept_anywhere(&self) -> Vec<(u32, Reading)> {
        let connection = &self.writer().store.connection;
        let mut found = Vec::new();
        let mut chunks = connection.prepare("SELECT device, columns FROM chunk").unwrap();
        let mut rows = chunks.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (device, columns): (u32, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
            found.extend(
                chunk::open(&columns).unwrap().into_iter().map(|reading| (device, reading)),
            );
        }
        let mut batches = connection.prepare("SELECT rows FROM batch").unwrap();
        let mut rows = batches.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let blob: Vec<u8> = row.get(0).unwrap();
            let mut log = blob.as_slice();
            while let Some(logged) = take_log_row(&mut log) {
                found.push(logged);
            }
        }
        let histories = read(&self.writer().live.histories);
        for device in 0..histories.len() {
            let open = histories.get(device).unwrap().open.readings();
            found.extend(open.into_iter().map(|reading| (device, reading)));
        }
        found
    }

    /// Holds when no deletion is under way.
    pub(super) fn check_rights(&self) {
        let registry = self.writer().core.registry.read();
        let now_ms = self.now_ms;
        let may_keep = |device, time_ms| {
            let known = registry.device_by_number(device);
            let owner = known.and_then(|known| known.owner_at(time_ms));
            owner.is_some_and(|owner| registry.may_keep(owner, time_ms, now_ms))
        };
        for (device, reading) in self.kept_anywhere() {
            assert!(may_keep(device, reading.time_ms), "device {device}: {reading:?}");
        }
        let histories = read(&self.writer().live.histories);
        for device in 0..histories.len() {
            let state = histories.get(device).unwrap().state();
            let (Some(owner), Some(seen_ms)) = (state.owner(), state.seen_until_ms) else {
                continue;
            };
            assert!(registry.may_keep(owner, seen_ms, now_ms), "what detectors of {device} know");
        }
        drop(histories);
        for device in DEVICES.iter().filter_map(|device| registry.device(device)) {
            for row in self.reader().events(device.number).unwrap() {
                assert!(may_keep(device.number, row.event.cause.time_ms), "an event");
            }
        }
        assert!(self.counts().balance());
    }

    /// Holds at any moment: what would be sent or shown again has nothing in it.
    pub(super) fn check_outbox(&self) {
        let registry = self.writer().core.registry.read();
        let mut sequences: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
        let connection = &self.writer().store.connection;
        let mut select = connection
            .prepare("SELECT customer, insurer, evidence, body FROM trigger_out ORDER BY position")
            .unwrap();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (customer, insurer): (u32, String) = (row.get(0).unwrap(), row.get(1).unwrap());
            let body: String = row.get(3).unwrap();
            let told = registry.consents_of(customer).iter().any(|consent| {
                consent.is_of(&insurer, Product::Travel) && consent.span.holds(self.now_ms)
            });
            // Given again, it is a new consent: what was said before stays deleted.
            if !told {
                assert!(row.get::<_, String>(2).unwrap().is_empty());
                assert!(!body.contains("happened_at"), "{body}");
            }
        }
        for row in self.reader().released_after(0, 10_000).unwrap() {
            let number = row.body.sequence.parse().unwrap();
            sequences.entry((row.insurer, row.product)).or_default().push(number);
        }
        for (to, numbers) in sequences {
            assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "to {to:?}");
        }
    }
}

/// What came of posting a message to an endpoint.
#[derive(Clone, Copy, Debug)]
enum Answered {
    Taken,
    TryAgain,
    GivenUp,
}

const ENDPOINT: &str = "hook";

impl Trial {
    /// Posts the next message to alpina's endpoint: one that is to be tried again, or a new one.
    fn post(&mut self, answered: Answered) {
        let reader = self.reader();
        let (letter, _) = reader.next_letter(ENDPOINT).unwrap();
        let again = letter.map(|letter| letter.position);
        let cursor = reader.webhook_cursor(ENDPOINT).unwrap().unwrap_or(0);
        let row = match again {
            Some(position) => reader.to_send(position).unwrap(),
            None => reader.next_for("alpina", &[], cursor).unwrap(),
        };
        let Some(row) = row else { return };
        let mut progress =
            Progress { cursor: again.is_none().then_some(row.position), ..Progress::default() };
        let letter = |next_ms| Letter {
            position: row.position,
            attempts: 1,
            next_ms,
            error: "it answered 500".to_owned(),
        };
        match answered {
            Answered::Taken => progress.settled.push(row.position),
            Answered::TryAgain => progress.letters.push(letter(Some(self.now_ms))),
            // What takes a trigger's place is sent until it is taken.
            Answered::GivenUp if row.status == "erased" => {
                progress.letters.push(letter(Some(self.now_ms)));
            }
            Answered::GivenUp => progress.letters.push(letter(None)),
        }
        self.writer_mut().webhooks.push(Recorded::of(ENDPOINT, progress));
        assert!(self.try_send(&[]));
    }

    /// Holds at any moment: nothing of somebody who withdrew is kept to be sent again.
    fn check_letters(&self) {
        for letter in self.reader().dead_letters(ENDPOINT, 0, 1_000).unwrap() {
            let row = self.reader().to_send(letter.position).unwrap().unwrap();
            assert_ne!(row.status, "erased", "{letter:?}");
        }
    }
}

pub(super) fn crossing(from_s: i64) -> Vec<Reading> {
    let there = (0..6).map(|step| reading(from_s + step * 30, NETHERLANDS));
    there.chain((6..16).map(|step| reading(from_s + step * 30, GERMANY))).collect()
}

#[test]
fn who_withdraws_while_the_clock_is_years_ahead_has_withdrawn_when_it_is_set_right() {
    let mut trial = Trial::new(8);
    trial.send("car-a", &crossing(0));
    trial.at(NOW_MS + 3_650 * 86_400_000);
    assert!(trial.change(withdraw("anna", "alpina")));
    trial.purge_all();
    trial.at(NOW_MS + 3_600_000);
    let stored = trial.counts().stored;
    trial.send("car-a", &[reading(3_600, GERMANY)]);
    assert_eq!(trial.counts().stored, stored);
    trial.check_rights();
    trial.check_outbox();
    assert!(trial.change(give("anna", "alpina")), "it is not held to be given still");
}

#[test]
fn a_slice_that_could_not_be_done_is_counted_once() {
    let receipts = [false, true].map(|fails| {
        let mut trial = Trial::new(8);
        trial.send("car-a", &crossing(0));
        trial.rest();
        assert!(trial.change(withdraw("anna", "alpina")));
        let execute = |trial: &Trial, sql| {
            trial.writer().store.connection.execute_batch(sql).unwrap();
        };
        if fails {
            let full = "CREATE TEMP TRIGGER full BEFORE INSERT ON batch
                            BEGIN SELECT RAISE(ABORT, 'full'); END";
            execute(&trial, full);
            assert!(trial.writer_mut().purge().is_err());
            execute(&trial, "DROP TRIGGER full");
        }
        trial.purge_all();
        trial.reader().receipt(1).unwrap().unwrap()
    });
    assert!(receipts[0].events > 0 && receipts[0].readings > 0);
    assert_eq!(receipts[0], receipts[1]);
}

#[test]
fn withdrawing_deletes_what_only_that_purpose_justified_and_tells_the_insurer() {
    let mut trial = Trial::new(u64::MAX);
    // Carl keeps what is at home.
    assert!(trial.change(withdraw("carl", "alpina")));
    trial.purge_all();
    trial.send("car-a", &crossing(0));
    trial.send("car-c", &crossing(0));
    trial.rest();
    let fired = trial.reader().newest_triggers(10).unwrap();
    assert_eq!(fired.len(), 2, "Anna's crossing, and what Carl's insurer was asked");
    assert!(trial.change(withdraw("anna", "alpina")));
    trial.check_outbox();
    trial.purge_all();
    trial.check_rights();
    trial.check_totals();
    trial.check_stretches();
    trial.check_recovery();
    let (notice, withheld) = {
        let mut rows = trial.reader().released_after(1, 10).unwrap().into_iter();
        let withheld = rows.next().unwrap();
        (rows.next().unwrap(), withheld)
    };
    assert_eq!((withheld.outcome.as_str(), withheld.status.as_str()), ("withheld", "erased"));
    assert_eq!(withheld.body.id, fired[0].body.id);
    assert_eq!(notice.body.kind, "io.datanaut.consent.withdrawn");
    assert_eq!(notice.body.subject, fired[0].body.subject);
    let carl = trial.number("car-c");
    assert_eq!(
        trial.reader().history(carl, i64::MIN, i64::MAX, 99).unwrap().len(),
        16,
        "Carl stays"
    );
    let receipt = trial.reader().receipt(2).unwrap().unwrap();
    assert_eq!((receipt.why, receipt.readings, receipt.withheld), (Why::Withdrawn, 16, 1));
    assert!(receipt.done_ms.is_some() && receipt.events > 0);
    assert!(!trial.change(withdraw("anna", "alpina")), "there is nothing left to withdraw");
}

#[test]
fn dead_letters_of_who_withdraws_go_and_what_is_tried_again_is_empty() {
    let mut trial = Trial::new(u64::MAX);
    trial.send("car-a", &crossing(-600));
    trial.post(Answered::GivenUp);
    trial.send("car-a", &[reading(500, NETHERLANDS), reading(550, NETHERLANDS)]);
    trial.rest();
    trial.post(Answered::TryAgain);
    assert_eq!(trial.reader().dead_letters(ENDPOINT, 0, 9).unwrap().len(), 1);
    assert!(trial.change(withdraw("anna", "alpina")));
    trial.check_letters();
    trial.purge_all();
    assert_eq!(trial.reader().dead_letters(ENDPOINT, 0, 9).unwrap(), []);
    let receipt = trial.reader().receipt(1).unwrap().unwrap();
    assert_eq!((receipt.triggers, receipt.dead_letters, receipt.influx), (2, 1, None));
    let (again, _) = trial.reader().next_letter(ENDPOINT).unwrap();
    let again = trial.reader().to_send(again.unwrap().position).unwrap().unwrap();
    assert_eq!(again.body.kind, "io.datanaut.trigger.erased");
    assert!(again.body.data.trigger().is_none());
}

#[test]
fn a_file_imported_again_revives_neither_consent_nor_customer() {
    let mut trial = Trial::new(4);
    trial.send("car-a", &crossing(0));
    assert!(trial.change(withdraw("anna", "alpina")));
    assert!(trial.change(erase("bram")));
    trial.purge_all();
    let again = RegistryFile::parse(REGISTRY).unwrap();
    let later =
        REGISTRY.replace("given = \"2020-01-01T00:00:00Z\"", "given = \"2021-01-01T00:00:00Z\"");
    for entries in [again, RegistryFile::parse(&later).unwrap()] {
        assert!(trial.change(Change::Import(entries)));
        trial.restart();
        let registry = trial.writer().core.registry.clone();
        let registry = registry.read();
        let anna = registry.customer_number("anna").unwrap();
        assert!(!registry.may_keep(anna, trial.now_ms, trial.now_ms));
        assert_eq!(registry.customer_number("bram"), None);
        assert_eq!(registry.device("car-b").unwrap().owners().len(), 1, "it is Anna's, not Bram's");
        drop(registry);
        trial.send("car-a", &[reading(900, GERMANY)]);
        trial.sent.clear();
        trial.check_rights();
    }
    assert!(trial.change(give("anna", "alpina")), "but she may give it again");
}

#[test]
fn an_erased_customer_is_in_no_file() {
    let mut trial = Trial::new(8);
    for from in [0, 100, 200] {
        trial.send("car-a", &crossing(from));
        trial.send("car-c", &crossing(from));
    }
    assert!(trial.change(erase("carl")));
    trial.purge_all();
    trial.check_rights();
    for file in std::fs::read_dir(trial.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for word in ["carl", "Carl", "car-c", "P-c"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word}");
        }
    }
    let receipt = serde_json::to_string(&trial.reader().receipt(1).unwrap()).unwrap();
    assert!(receipt.contains("\"readings\":") && !receipt.contains("car"), "{receipt}");
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, i64, bool),
    Wait(i64),
    Withdraw(usize),
    Give(usize),
    Transfer(usize, usize),
    Erase(usize),
    Import,
    Purge(usize),
    Sweep(usize),
    Post(Answered),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..600_i64, any::<bool>()).prop_map(|(device, at, far)| Step::Send(device, at, far)),
        2 => (1..120_000_i64).prop_map(Step::Wait),
        2 => (0..3_usize).prop_map(Step::Withdraw),
        2 => (0..3_usize).prop_map(Step::Give),
        1 => (0..3_usize, 0..3_usize).prop_map(|(device, to)| Step::Transfer(device, to)),
        1 => (0..3_usize).prop_map(Step::Erase),
        1 => Just(Step::Import),
        3 => (1..4_usize).prop_map(Step::Purge),
        3 => (1..6_usize).prop_map(Step::Sweep),
        1 => Just(Step::Post(Answered::Taken)),
        2 => Just(Step::Post(Answered::TryAgain)),
        2 => Just(Step::Post(Answered::GivenUp)),
        1 => Just(Step::Restart),
    ]
}

/// Whom each customer's policy is with.
fn insurer(customer: &str) -> &'static str {
    if customer == "bram" { "boreal" } else { "alpina" }
}

fn live(steps: &[Step], log_readings: u64) {
    let mut trial = Trial::new(log_readings);
    // Some of what is sent is too old to stay within the steps.
    let keep_ms = Some(900_000);
    trial.keep(Retention { readings_ms: keep_ms, events_ms: keep_ms, ..Retention::default() });
    trial.at(NOW_MS - 300_000);
    // In the file his consent has an end to come.
    assert!(trial.change(withdraw("carl", "alpina")));
    for step in steps {
        match step {
            Step::Send(device, at, far) => {
                let place = if *far { BELGIUM } else { GERMANY };
                let seconds = (trial.now_ms - NOW_MS) / 1_000 + 600 - at;
                let readings: Vec<_> = (0..4).map(|n| reading(seconds + n * 15, place)).collect();
                assert!(trial.try_send(&[(DEVICES[*device], readings)]));
            }
            Step::Wait(ms) => {
                trial.at(trial.now_ms + ms);
                assert!(trial.try_send(&[]));
            }
            Step::Withdraw(who) => {
                trial.change(withdraw(CUSTOMERS[*who], insurer(CUSTOMERS[*who])));
            }
            Step::Give(who) => {
                trial.change(give(CUSTOMERS[*who], insurer(CUSTOMERS[*who])));
                // It begins after the one that was withdrawn.
                trial.at(trial.now_ms + 2);
            }
            Step::Transfer(device, to) => {
                let (device, to) = (DEVICES[*device].into(), CUSTOMERS[*to].into());
                trial.change(Change::Transfer { device, to });
            }
            Step::Erase(who) => {
                trial.change(erase(CUSTOMERS[*who]));
            }
            Step::Import => {
                assert!(trial.change(Change::Import(RegistryFile::parse(REGISTRY).unwrap())));
            }
            Step::Purge(slices) => (0..*slices).for_each(|_| {
                trial.purge();
            }),
            Step::Sweep(slices) => (0..*slices).for_each(|_| {
                trial.writer_mut().sweep().unwrap();
            }),
            Step::Post(answered) => trial.post(*answered),
            Step::Restart => trial.restart(),
        }
        trial.check_outbox();
        trial.check_letters();
        trial.check_totals();
        trial.check_stretches();
        trial.check_recovery();
        if trial.writer().purges.is_empty() {
            trial.check_rights();
        }
    }
    trial.purge_all();
    trial.check_rights();
    trial.check_outbox();
    trial.check_stretches();
    trial.restart();
    trial.check_rights();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: super::cases(), failure_persistence: None, max_shrink_iters: 1_000, max_shrink_time: 20_000, ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_kept_or_sent_that_may_not_be(
        log_readings in prop_oneof![Just(u64::MAX), 1..30_u64],
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        live(&steps, log_readings);
    }
}
