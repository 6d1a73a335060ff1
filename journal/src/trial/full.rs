//! When the disk is full.

use ingest::Reading;

use super::{GERMANY, NETHERLANDS, Trial, reading};

impl Trial {
    /// Like [`Trial::try_send`], with no page of the file left to grow into.
    pub(crate) fn try_send_when_full(&mut self, messages: &[(&'static str, Vec<Reading>)]) -> bool {
        self.bound_pages(1);
        let sent = self.try_send(messages);
        self.bound_pages(1 << 30);
        sent
    }

    /// SQLite takes the number of pages there are where that is more.
    fn bound_pages(&self, most: i64) {
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
        // Enough to need new pages.
        let text = ingest::Value::Text("x".repeat(4_000).into());
        let part: Vec<Reading> = part
            .iter()
            .map(|reading| Reading {
                measures: vec![(ingest::Measure::Fault, text.clone())],
                ..reading.clone()
            })
            .collect();
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
