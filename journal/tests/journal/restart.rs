//! What was acknowledged is there after a restart, sealed or not, and so is what was known.

use crate::support::{Bench, frozen, there_and_back};

#[tokio::test]
async fn history_states_and_totals_survive_at_every_point() {
    let readings = there_and_back();
    for log_readings in [u64::MAX, 20] {
        let dir = tempfile::tempdir().unwrap();
        for part in readings.chunks(7) {
            let bench = Bench::start(dir.path(), frozen(), log_readings);
            bench.readings(part).await;
        }
        let bench = Bench::start(dir.path(), frozen(), log_readings);
        assert_eq!(bench.history(), readings);
        let events = bench.journal.reader().events(bench.number()).unwrap();
        assert_eq!(events.len(), 2, "a state that was lost would lose or double a crossing");
        let counts = bench.journal.live().counts();
        assert_eq!((counts.stored, counts.balance()), (80, true));
        bench.readings(&readings).await;
        assert_eq!(bench.journal.live().counts().duplicate, 80, "all of it is recognised again");
        assert_eq!(bench.journal.live().fleet().len(), 1);
    }
}

#[tokio::test]
async fn triggers_keep_their_ids_and_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let readings = there_and_back();
    let first = Bench::start(dir.path(), frozen(), u64::MAX);
    first.readings(&readings[..40]).await;
    let before = first.journal.reader().newest_triggers(10).unwrap();
    drop(first);
    let second = Bench::start(dir.path(), frozen(), u64::MAX);
    second.readings(&readings[40..]).await;
    let after = second.journal.reader().released_after(0, 10).unwrap();
    assert_eq!(after[0], before[0]);
    let sequences: Vec<&str> = after.iter().map(|row| row.body.sequence.as_str()).collect();
    assert_eq!(sequences, ["00000000000000000001", "00000000000000000002"]);
    assert_eq!(after[0].body.subject, after[1].body.subject, "the pseudonym stays");
}

#[tokio::test]
async fn cursors_survive() {
    let dir = tempfile::tempdir().unwrap();
    let first = Bench::start(dir.path(), frozen(), u64::MAX);
    first.journal.advance("mqtt", 7).await.unwrap();
    first.readings(&there_and_back()).await;
    drop(first);
    let second = Bench::start(dir.path(), frozen(), u64::MAX);
    assert_eq!(second.journal.reader().cursor("mqtt").unwrap(), 7);
    assert_eq!(second.journal.reader().cursor("other").unwrap(), 0);
}
