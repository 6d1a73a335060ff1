//! Whoever follows the log gets everything that is stored, or it is counted.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ingest::{Reading, Reason};

use super::{BELGIUM, NETHERLANDS, Trial, reading};
use crate::QuarantineFilter;
use crate::handle::{Command, PutAway};
use crate::log::Followers;
use crate::quarantine::let_go;

pub(crate) const OUTPUT: &str = "trial";

pub(crate) fn follower(most_bytes: u64) -> Followers {
    Followers { outputs: vec![OUTPUT], most_bytes, delete: true }
}

/// The far end of an output: what it was given survives whatever happens here.
#[derive(Default)]
pub(crate) struct FarEnd {
    had: BTreeMap<u32, Vec<Reading>>,
}

impl FarEnd {
    fn has(&self, device: u32, reading: &Reading) -> bool {
        let had = self.had.get(&device).map_or(&[][..], Vec::as_slice);
        had.binary_search_by(|old| old.history_order(reading)).is_ok()
    }

    fn give(&mut self, device: u32, reading: Reading) {
        let had = self.had.entry(device).or_default();
        if let Err(at) = had.binary_search_by(|old| old.history_order(&reading)) {
            had.insert(at, reading);
        }
    }
}

impl Trial {
    /// Gives the far end what comes next; `known` says whether the cursor hears of it.
    pub(crate) fn follow(&mut self, limit: usize, known: bool) {
        let from = self.writer().following.position(OUTPUT);
        let (batches, last) = self.reader().log_after(from, limit).unwrap();
        for (device, reading) in batches.into_iter().flatten().map(Result::unwrap) {
            self.far_end.give(device, reading);
        }
        if known {
            self.writer_mut().obey(Command::Advance { output: OUTPUT, position: last });
        }
    }

    /// What is stored has reached the far end, or waits for it in the log, or was passed over.
    pub(crate) fn check_following(&self) {
        let writer = self.writer();
        let size = |condition: &str| {
            let sql = format!(
                "SELECT coalesce(sum(length(rows) + length(states)), 0) FROM batch WHERE {condition}"
            );
            self.query(&sql) as u64
        };
        let sealed = writer.log.sealed;
        assert_eq!(writer.log.kept_bytes, size(&format!("id <= {sealed}")));
        assert_eq!(writer.log.open.bytes, size(&format!("id > {sealed}")));
        assert_eq!(self.query("SELECT count(*) FROM batch"), writer.log.last - writer.log.gone);
        if self.followers.outputs.is_empty() {
            return;
        }
        let from = writer.following.position(OUTPUT);
        let mut waiting = FarEnd::default();
        let (batches, _) = self.reader().log_after(from, usize::MAX).unwrap();
        for (device, reading) in batches.into_iter().flatten().map(Result::unwrap) {
            waiting.give(device, reading);
        }
        let mut missing = 0;
        for name in ["car-a", "car-b", "car-c"] {
            let device = self.number(name);
            let stored = self.expected(name);
            let gone = |reading: &&Reading| {
                !self.far_end.has(device, reading) && !waiting.has(device, reading)
            };
            missing += stored.iter().filter(gone).count() as u64;
        }
        assert!(missing <= self.counts().passed_over, "{missing} vanished");
    }
}

#[test]
fn a_follower_that_is_away_delays_neither_sealing_nor_a_start() {
    let mut trial = Trial::following(3, follower(u64::MAX));
    for at in 0..60 {
        trial.send("car-a", &[reading(at * 10, if at < 30 { NETHERLANDS } else { BELGIUM })]);
    }
    trial.check();
    let log = trial.writer().log.clone();
    assert_eq!((log.gone, log.last), (0, 60), "all of it is kept");
    assert!(log.sealed > 50 && log.open.readings < 10, "{log:?}");
    trial.restart();
    assert_eq!(trial.writer().log, log);
    trial.follow(usize::MAX, true);
    for _ in 0..3 {
        assert!(trial.try_send(&[]));
    }
    trial.check();
    assert!(trial.writer().log.gone > 50, "what it has had is let go");
    assert_eq!(trial.counts().passed_over, 0);
}

#[test]
fn a_backlog_is_bounded_and_what_it_costs_is_counted() {
    let most_bytes = 400;
    let mut trial = Trial::following(3, follower(most_bytes));
    for at in 0..60 {
        trial.send("car-a", &[reading(at * 10, NETHERLANDS)]);
        trial.check();
        let log = &trial.writer().log;
        assert!(log.kept_bytes <= most_bytes, "{log:?}");
    }
    let passed_over = trial.counts().passed_over;
    assert!((20..60).contains(&passed_over), "{passed_over}");
    trial.follow(usize::MAX, true);
    assert!(trial.try_send(&[]));
    let device = trial.number("car-a");
    let had = trial.far_end.had[&device].len() as u64;
    assert_eq!(had + passed_over, 60);
}

#[test]
fn what_an_output_puts_away_is_kept_with_its_cursor_and_counted_nowhere_else() {
    let mut trial = Trial::following(u64::MAX, follower(u64::MAX));
    trial.send("car-a", &[reading(0, NETHERLANDS)]);
    let counts = trial.counts().clone();
    let refused = PutAway {
        device: trial.number("car-a"),
        reason: Reason::RefusedByInflux,
        detail: "field type conflict".to_owned(),
        topic: "influx/cars".to_owned(),
        payload: b"car,device=car-a speed_mps=1.0 1".to_vec(),
    };
    trial.writer_mut().obey(Command::PutAway(vec![refused.clone()]));
    trial.writer_mut().obey(Command::Advance { output: OUTPUT, position: 1 });
    trial.restart();
    assert_eq!(trial.writer().following.position(OUTPUT), 0, "neither was committed");
    trial.writer_mut().obey(Command::PutAway(vec![refused]));
    trial.writer_mut().obey(Command::Advance { output: OUTPUT, position: 1 });
    assert!(trial.try_send(&[]));
    assert!(trial.try_send(&[]));
    trial.restart();
    assert_eq!(trial.writer().following.position(OUTPUT), 1);
    let rows = trial.reader().quarantine(QuarantineFilter::default(), 9).unwrap();
    assert_eq!(rows.len(), 1, "once");
    assert_eq!(rows[0].reason, Some(Reason::RefusedByInflux));
    assert_eq!(rows[0].detail, "field type conflict");
    assert!(trial.try_commit(&[let_go(&rows[0])]));
    assert_eq!(trial.reader().quarantine(QuarantineFilter::default(), 9).unwrap(), []);
    assert_eq!(*trial.counts(), counts);
}

#[test]
fn who_was_not_configured_for_a_while_goes_on_with_what_there_is() {
    let mut trial = Trial::following(3, follower(u64::MAX));
    trial.send("car-a", &[reading(0, NETHERLANDS)]);
    trial.follow(usize::MAX, true);
    assert!(trial.try_send(&[]));
    trial.followers = Followers::default();
    trial.restart();
    for at in 1..30 {
        trial.send("car-a", &[reading(at * 10, NETHERLANDS)]);
    }
    trial.check();
    trial.followers = follower(u64::MAX);
    trial.restart();
    trial.follow(usize::MAX, true);
    let had = &trial.far_end.had[&trial.number("car-a")];
    let stored = trial.expected("car-a");
    assert!(had.len() < stored.len(), "what was sealed and let go in between");
    let newest = (had.last().unwrap(), stored.last().unwrap());
    assert_eq!(newest.0.history_order(newest.1), Ordering::Equal);
}
