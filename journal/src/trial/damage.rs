//! What the file has lost is noticed at the start, not passed over.

use super::{NETHERLANDS, Trial, open, reading};

#[track_caller]
fn check(damage: &str) {
    let mut trial = Trial::new(u64::MAX);
    trial.send("car-a", &[reading(0, NETHERLANDS), reading(10, NETHERLANDS)]);
    trial.writer().store.connection.execute_batch(damage).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in ["journal.sqlite", "journal.sqlite-wal"] {
        std::fs::copy(trial.dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let Err(error) = open(trial.options(copy.path())) else { panic!("it was taken") };
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
}

#[test]
fn a_log_with_bytes_missing_is_refused() {
    check("UPDATE batch SET rows = substr(rows, 1, length(rows) - 1)");
    check("UPDATE batch SET rows = x''");
    check("UPDATE batch SET states = substr(states, 1, length(states) - 1)");
}
