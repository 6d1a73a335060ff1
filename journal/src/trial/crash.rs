//! A process that ends after any transaction of an erasure, of a withdrawal, of a sweep: the next one
//! finishes it, once.

use ingest::{Measure, Reading, Value};

use super::report::{claim, insured_also};
use super::retention::{HOUR_MS, of_an_hour};
use super::rights::{crossing, withdraw};
use super::{GERMANY, NOW_MS, Trial, reading, undecodable};
use crate::webhook::Recorded;
use crate::{Change, Letter, Progress, Receipt, Why};

const FILE: &str = "journal.sqlite";
const LOG: &str = "journal.sqlite-wal";

/// Carl's insurance in winter, so that claims are made about him.
const IN_WINTER: &str = r#"
    [[policy]]
    id = "W-carl"
    insurer = "alpina"
    customer = "carl"
    product = "winter_tyres"
    from = "2020-01-01T00:00:00Z"
"#;

/// Where the transactions in SQLite's own log end, by its file format: a header of 32 bytes, then
/// frames with a header of 24 each. The last frame of a transaction says how long the file is.
fn ends_of_transactions(log: &[u8]) -> Vec<usize> {
    let word = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    if log.len() < 32 {
        return vec![0];
    }
    let frame = 24 + word(8) as usize;
    let mut ends = vec![0];
    for start in (32..=log.len().saturating_sub(frame)).step_by(frame) {
        if log[start + 8..start + 16] != log[16..24] {
            break;
        }
        if word(start + 4) != 0 {
            ends.push(start + frame);
        }
    }
    ends
}

impl Trial {
    fn log_of_file(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// The files as they are on the disk when the process ends after the transaction that ends
    /// there, opened by another.
    fn killed(&self, end: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(self.dir.path().join(FILE), dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(LOG), &self.log_of_file()[..end]).unwrap();
        let mut next = Self {
            dir,
            writer: None,
            log_readings: self.log_readings,
            horizon_ms: self.horizon_ms,
            retention: self.retention.clone(),
            now_ms: self.now_ms,
            sent: self.sent.clone(),
            followers: self.followers.clone(),
            far_end: super::follow::FarEnd::default(),
        };
        next.restart();
        next
    }

    /// Calls `step` for as long as it goes on, and `next` with each journal that another process
    /// finds where this one ends after one of the transactions.
    fn end_after_each(
        &mut self,
        mut step: impl FnMut(&mut Self) -> bool,
        mut next: impl FnMut(Self),
    ) {
        let mut seen = self.log_of_file();
        let mut goes_on = true;
        while goes_on {
            goes_on = step(self);
            let log = self.log_of_file();
            // Where it was emptied, what it held is in the file.
            let seen_to = log.starts_with(&seen).then_some(seen.len());
            for end in ends_of_transactions(&log).into_iter().filter(|end| Some(*end) > seen_to) {
                next(self.killed(end));
            }
            seen = log;
        }
    }

    /// Makes a change, and deletes what it says.
    fn end_after_each_of(&mut self, change: Change, next: impl FnMut(Self)) {
        let mut change = Some(change);
        let step = |trial: &mut Self| {
            match change.take() {
                Some(change) => assert!(trial.change(change)),
                None => drop(trial.purge()),
            }
            !trial.writer().purges.is_empty()
        };
        self.end_after_each(step, next);
    }

    /// What an erasure that is done leaves: one receipt, one request to each insurer and product,
    /// and nothing in any file.
    #[track_caller]
    fn check_erased(&self) -> Receipt {
        self.check_rights();
        self.check_outbox();
        self.check_recovery();
        assert_eq!(self.query("SELECT count(*) FROM deletion"), 1);
        let rows = self.reader().released_after(0, 1_000).unwrap();
        let asked = rows.iter().filter(|row| row.body.kind == "io.datanaut.customer.erased");
        let asked: Vec<_> = asked.map(|row| (&*row.insurer, &*row.product)).collect();
        assert_eq!(asked, [("alpina", "travel"), ("alpina", "winter_tyres"), ("boreal", "home")]);
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for word in ["carl", "Carl", "car-c", "P-c", "Venlo"] {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{word}");
            }
        }
        self.reader().receipt(1).unwrap().unwrap()
    }
}

/// Something of Carl in every table.
fn with_carl(log_readings: u64) -> Trial {
    let mut trial = insured_also(log_readings, IN_WINTER);
    for from in [0, 100, 200] {
        trial.send("car-a", &crossing(from));
        let named = |reading: Reading| Reading {
            measures: vec![(Measure::Fault, Value::Text("carls own".into()))],
            ..reading
        };
        let carls: Vec<Reading> = crossing(from).into_iter().map(named).collect();
        trial.send("car-c", &carls);
    }
    trial.report(claim("alpina", "C-1", r#""policy":"W-carl","place":"Venlo""#));
    assert!(trial.try_commit(&[undecodable("car-c")]));
    trial.rest();
    // A message that alpina's endpoint did not take in three days.
    let carl = trial.writer().core.registry.read().customer_number("carl").unwrap();
    let position =
        trial.query(&format!("SELECT min(position) FROM trigger_out WHERE customer = {carl}"));
    let letter = Letter { position, attempts: 9, next_ms: None, error: "no".to_owned() };
    let progress = Progress { letters: vec![letter], ..Progress::default() };
    trial.writer_mut().webhooks.push(Recorded::of("hook", progress));
    assert!(trial.try_send(&[]));
    trial
}

#[test]
fn an_erasure_is_finished_by_the_next_process_after_whichever_transaction_one_ends() {
    for log_readings in [1, 8, u64::MAX] {
        let mut trial = with_carl(log_readings);
        let (mut halfway, mut receipts) = (0, Vec::new());
        trial.end_after_each_of(Change::Erase { customer: "carl".into() }, |mut next| {
            halfway += usize::from(!next.writer().purges.is_empty());
            next.purge_all();
            receipts.push(next.check_erased());
            next.restart();
            assert!(next.writer().purges.is_empty(), "it is not done again");
        });
        let receipt = trial.check_erased();
        assert!(halfway >= 4, "{halfway} of {}", receipts.len());
        assert!(receipts.iter().all(|one| *one == receipt), "{receipt:?} {receipts:?}");
        assert_eq!((receipt.why, receipt.done_ms), (Why::Erased, Some(trial.now_ms)));
        let Receipt { readings, quarantined, reports, triggers, dead_letters, .. } = receipt;
        assert_eq!((quarantined, reports, dead_letters), (1, 1, 1));
        assert!(readings > 0 && triggers > 0);
    }
}

#[test]
fn so_is_a_withdrawal() {
    for log_readings in [1, 8, u64::MAX] {
        let mut trial = Trial::new(log_readings);
        for from in [0, 100, 200] {
            trial.send("car-a", &crossing(from));
            trial.send("car-b", &crossing(from));
        }
        trial.rest();
        let mut receipts = Vec::new();
        trial.end_after_each_of(withdraw("anna", "alpina"), |mut next| {
            next.check_outbox();
            next.purge_all();
            next.check_rights();
            next.check_outbox();
            next.check_recovery();
            assert_eq!(next.query("SELECT count(*) FROM deletion"), 1);
            receipts.push(next.reader().receipt(1).unwrap().unwrap());
        });
        let receipt = trial.reader().receipt(1).unwrap().unwrap();
        assert_eq!((receipt.why, receipt.done_ms), (Why::Withdrawn, Some(trial.now_ms)));
        assert!(receipts.len() >= 4 && receipts.iter().all(|one| *one == receipt));
    }
}

#[test]
fn so_is_a_sweep() {
    for log_readings in [1, 8, u64::MAX] {
        let mut trial = Trial::keeping(log_readings, of_an_hour());
        for from in [-1_200, -600, 0] {
            trial.send("car-a", &crossing(from));
            trial.send("car-c", &crossing(from));
        }
        trial.at(NOW_MS + 2 * HOUR_MS);
        trial.send("car-c", &[reading(7_700, GERMANY)]);
        trial.writer_mut().next_sweep_ms = i64::MIN;
        let step = |trial: &mut Trial| {
            trial.writer_mut().sweep().unwrap();
            trial.writer().sweep.is_some()
        };
        let mut ends = 0;
        trial.end_after_each(step, |mut next| {
            ends += 1;
            next.sweep_all();
            next.check_age(HOUR_MS);
            next.check_all();
        });
        assert!(ends >= 2, "{ends}");
        trial.check_age(HOUR_MS);
    }
}
