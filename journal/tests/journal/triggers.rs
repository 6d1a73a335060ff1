//! When triggers are sent, revised, withdrawn, expired or held back.

use bytes::Bytes;
use ingest::{Clock, Reason, Rejected};

use crate::support::{Bench, NOW_MS, frozen, reading, there_and_back};

fn told(bench: &Bench) -> Vec<(String, u32, String)> {
    let rows = bench.journal.reader().released_after(0, 100).unwrap();
    rows.into_iter().map(|row| (row.body.id, row.body.revision, row.status)).collect()
}

#[tokio::test]
async fn late_data_revises_under_the_same_id() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), frozen(), u64::MAX);
    let track = there_and_back();
    let sparse: Vec<_> = track[..40].iter().step_by(6).cloned().collect();
    bench.readings(&sparse).await;
    let first = told(&bench);
    assert_eq!((first.len(), first[0].1), (1, 0));
    bench.readings(&track[..40]).await;
    let then = told(&bench);
    assert_eq!(then.len(), 2, "{then:?}");
    assert_eq!(then[1], (first[0].0.clone(), 1, "revised".to_owned()));
}

#[tokio::test]
async fn a_crossing_that_never_was_is_withdrawn_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), frozen(), u64::MAX);
    let start_ms = NOW_MS - 3_600_000;
    // Two fixes far in Germany a hundred seconds apart, hours after one in the Netherlands …
    bench
        .readings(&[
            reading(start_ms, 0.0),
            reading(start_ms + 900_000, 9_000.0),
            reading(start_ms + 1_000_000, 9_000.0),
        ])
        .await;
    assert_eq!(told(&bench).len(), 1);
    // … but the device had been home in between the two.
    bench.readings(&[reading(start_ms + 950_000, 0.0)]).await;
    let said = told(&bench);
    assert_eq!(said.len(), 2);
    assert_eq!(
        (said[1].0.as_str(), said[1].1, said[1].2.as_str()),
        (said[0].0.as_str(), 1, "withdrawn")
    );
}

#[tokio::test]
async fn a_crossing_of_yesterday_is_recorded_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), frozen(), u64::MAX);
    let day_ms = 86_400_000;
    let old: Vec<_> = there_and_back()
        .into_iter()
        .map(|reading| ingest::Reading { time_ms: reading.time_ms - day_ms, ..reading })
        .collect();
    bench.readings(&old).await;
    assert_eq!(told(&bench), []);
    let counts = bench.journal.live().counts();
    assert_eq!((counts.triggers_expired, counts.triggers_released), (2, 0));
    assert_eq!(bench.journal.reader().events(bench.number()).unwrap().len(), 2);
}

#[tokio::test]
async fn a_dwell_completes_without_another_reading() {
    let dir = tempfile::tempdir().unwrap();
    // A thousand times as fast: the 20 s of dwell are over in 20 ms.
    let clock = Clock::scaled(NOW_MS, 1_000.0);
    let bench = Bench::start(dir.path(), clock, u64::MAX);
    let mut released = bench.journal.live().released();
    bench
        .readings(&[
            reading(NOW_MS - 600_000, 0.0),
            reading(NOW_MS, 9_000.0),
            reading(NOW_MS + 1_000, 9_030.0),
        ])
        .await;
    let deadline = std::time::Duration::from_secs(20);
    tokio::time::timeout(deadline, released.wait_for(|position| *position == 1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told(&bench).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_used_is_put_away_by_reason() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), frozen(), u64::MAX);
    let rejected = Rejected {
        reason: Reason::OutOfRange,
        detail: "speed_mps is 900".to_owned(),
        raw: Bytes::from_static(b"{\"speed_mps\":900}"),
    };
    bench.deliver(vec![vec![Ok(reading(NOW_MS, 0.0)), Err(rejected)]]).await;
    let rows = bench.journal.reader().quarantine(Default::default(), 10).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].reason, rows[0].payload.as_slice()),
        (Some(Reason::OutOfRange), b"{\"speed_mps\":900}".as_slice())
    );
    let counts = bench.journal.live().counts();
    assert_eq!((counts.received, counts.stored), (2, 1));
    assert!(counts.balance());
}
