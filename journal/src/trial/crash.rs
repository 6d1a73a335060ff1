//! A process that ends after any transaction of an erasure: the next one finishes it, once.

use ingest::{Measure, Reading, Value};

use super::report::{claim, insured_also};
use super::rights::crossing;
use super::{Trial, undecodable};
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
            sent: Vec::new(),
            followers: self.followers.clone(),
            far_end: super::follow::FarEnd::default(),
        };
        next.restart();
        next
    }

    /// What a deletion that is done leaves: one receipt, one request to each insurer and product, and nothing in
    /// any file.
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
        let (mut seen_to, mut receipts) = (Some(trial.log_of_file().len()), Vec::new());
        let mut halfway = 0;
        assert!(trial.change(Change::Erase { customer: "carl".into() }));
        loop {
            let log = trial.log_of_file();
            // Where it was emptied, what it held is in the file.
            seen_to = seen_to.filter(|seen_to| log.len() >= *seen_to);
            for end in ends_of_transactions(&log).into_iter().filter(|end| Some(*end) > seen_to) {
                let mut next = trial.killed(end);
                halfway += usize::from(!next.writer().purges.is_empty());
                next.purge_all();
                receipts.push(next.check_erased());
                next.restart();
                assert!(next.writer().purges.is_empty(), "it is not done again");
            }
            seen_to = Some(log.len());
            if trial.writer().purges.is_empty() {
                break;
            }
            trial.purge();
        }
        let receipt = trial.check_erased();
        assert!(halfway >= 4, "{halfway} of {}", receipts.len());
        assert!(receipts.iter().all(|one| *one == receipt), "{receipt:?} {receipts:?}");
        assert_eq!((receipt.why, receipt.done_ms), (Why::Erased, Some(trial.now_ms)));
        let Receipt { readings, quarantined, reports, triggers, dead_letters, .. } = receipt;
        assert_eq!((quarantined, reports, dead_letters), (1, 1, 1));
        assert!(readings > 0 && triggers > 0);
    }
}
