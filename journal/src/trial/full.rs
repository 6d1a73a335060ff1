//! When the disk is full.

use std::time::{Duration, Instant};

use ingest::{Measure, Reading, Value};
use tokio::sync::mpsc;

use super::{GERMANY, NETHERLANDS, Trial, arrival, reading};
use crate::Health;

/// Long enough to need new pages.
fn large(reading: &Reading) -> Reading {
    let text = Value::Text("x".repeat(40_000).into());
    Reading { measures: vec![(Measure::Fault, text)], ..reading.clone() }
}

impl Trial {
    /// Like [`Trial::try_send`], with no page of the file left to grow into.
    pub(crate) fn try_send_when_full(&mut self, messages: &[(&'static str, Vec<Reading>)]) -> bool {
        self.bound_pages(1);
        let sent = self.try_send(messages);
        self.bound_pages(1 << 30);
        sent
    }

    /// SQLite takes the number of pages there are where that is more.
    pub(crate) fn bound_pages(&self, most: i64) {
        let pragma = format!("PRAGMA max_page_count = {most}");
        self.writer().store.connection.query_row(&pragma, [], |_| Ok(())).unwrap();
    }
}

#[test]
fn what_does_not_fit_changes_nothing_and_can_be_sent_again() {
    let mut trial = Trial::new(20);
    let track: Vec<Reading> = (0..100)
        .map(|at| reading(at * 5, if at % 20 < 10 { NETHERLANDS } else { GERMANY }))
        .collect();
    let mut refused = 0;
    for part in track.chunks(7) {
        let before = trial.counts().clone();
        let part: Vec<Reading> = part.iter().map(large).collect();
        if !trial.try_send_when_full(&[("car-a", part.clone())]) {
            refused += 1;
            assert_eq!(*trial.counts(), before);
            trial.check();
            trial.send("car-a", &part);
        }
        trial.check();
    }
    assert!(refused > 5, "{refused}");
    trial.rest();
    trial.check();
    trial.check_events();
}

#[test]
fn when_everybody_has_left_a_full_disk_holds_up_nothing() {
    let mut trial = Trial::new(u64::MAX);
    trial.bound_pages(1);
    let writer = trial.writer.take().unwrap();
    let live = writer.live.clone();
    let (arrivals, arriving) = mpsc::channel(1);
    let (_commands, commanded) = mpsc::channel(1);
    let (acknowledge, mut acknowledged) = tokio::sync::oneshot::channel();
    let arrival = arrival("car-a", &[large(&reading(0, NETHERLANDS))]);
    arrivals.try_send(ingest::Arrival { acknowledge, ..arrival }).unwrap();
    drop(arrivals);
    let since = Instant::now();
    writer.run(arriving, commanded);
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert!(acknowledged.try_recv().is_err(), "it was not committed");
    assert!(matches!(*live.health().borrow(), Health::Stalled { .. }));
    trial.restart();
    assert_eq!(trial.counts().received, 0);
}
