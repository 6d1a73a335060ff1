//! The output to InfluxDB against servers that are slow, strict, unwilling or away: nothing is
//! lost, and nothing else waits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it cannot go on")]

mod protocol;
mod server;
mod support;

use std::time::{Duration, Instant};

use deliver::influx::InfluxState;
use enrich::registry::Product;
use ingest::Reason;
use journal::{Change, Elsewhere};

use server::{Play, Strictness};
use support::{Bench, DEADLINE, KEPT_MS, NOW_MS, away, time_ms, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_in_requests_of_the_size_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::with_batches(dir.path(), 10).await;
    for part in 0..10 {
        bench.send("car-01", part * 7..part * 7 + 7).await;
        bench.send("car-02", part * 7..part * 7 + 7).await;
    }
    bench.all_arrive().await;
    // One commit with more than a request takes.
    bench.send("car-03", 0..95).await;
    bench.all_arrive().await;
    let shelf = bench.server.shelf();
    assert!(shelf.requests.iter().all(|lines| *lines <= 10), "{:?}", shelf.requests);
    let report = bench.report.borrow().clone();
    assert_eq!((report.points_written, report.points_refused, report.requests_failed), (235, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_fault_it_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    let faults = [
        Play::Answer(503, "Retry-After: 1\r\n", r#"{"code":"unavailable","message":"busy"}"#),
        Play::Answer(429, "Retry-After: 1\r\n", r#"{"code":"too many requests","message":"slow"}"#),
        Play::Answer(500, "", r#"{"code":"internal error","message":"timeout"}"#),
        Play::Answer(502, "", "<html>bad gateway</html>"),
        Play::Hang,
        Play::CloseInRequest,
        Play::CloseInAnswer,
    ];
    for (at, fault) in (0..).zip(faults) {
        bench.server.shelf().plays.push_back(fault.clone());
        bench.send("car-01", at * 30..at * 30 + 30).await;
        let fault = format!("{fault:?}");
        wait_for(&fault, || bench.report.borrow().requests_failed > at as u64).await;
        bench.all_arrive().await;
        assert_eq!(bench.report.borrow().state, InfluxState::Writing, "{fault}");
    }
    assert_eq!(bench.report.borrow().points_refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_delays_nothing_and_ends_with_everything_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::with_batches(dir.path(), 10).await;
    bench.server.shelf().always = Some(Play::Hang);
    for part in 0..40 {
        bench.send("car-01", part * 5..part * 5 + 5).await;
    }
    bench.state_becomes(away).await;
    assert!(bench.report.borrow().waiting_since_ms.is_some());
    let InfluxState::Away { error } = bench.report.borrow().state.clone() else { panic!() };
    assert_eq!(error, "no answer in time");
    assert!(bench.server.shelf().points.is_empty());
    // Nothing was recorded as written, so that a process that dies now begins at the beginning.
    assert_eq!(bench.cursor(), 0);
    bench.server.shelf().always = Some(Play::CloseInAnswer);
    let mut bench = bench.restart(NOW_MS).await;
    bench.send("car-02", 0..5).await;
    bench.server.shelf().always = None;
    bench.all_arrive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_writes_again_what_it_had_written_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::with_batches(dir.path(), 10).await;
    for round in 0..6 {
        bench.send("car-01", round * 40..round * 40 + 25).await;
        bench.send("car-02", round * 40..round * 40 + 3).await;
        let some = (round * 28 + round * 4) as usize;
        wait_for("some of it", || bench.server.shelf().points.len() >= some.min(140)).await;
        bench = bench.restart(NOW_MS).await;
    }
    bench.all_arrive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_is_put_away_and_the_others_are_written() {
    for strictness in [Strictness::Whole, Strictness::Partial] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::start(dir.path()).await;
        bench.server.shelf().bad =
            Some((strictness, |point| [time_ms(17), time_ms(60)].contains(&point.time_ms)));
        bench.send("car-01", 0..80).await;
        bench.all_arrive_but(2).await;
        let requests = bench.server.shelf().requests.len();
        assert!(requests < 40, "{requests} requests to find two lines");
        let rows = bench.put_away();
        assert_eq!(rows.len(), 2, "once each");
        for (row, seconds) in rows.iter().rev().zip([17, 60]) {
            assert_eq!(row.reason, Some(Reason::RefusedByInflux));
            let line = String::from_utf8_lossy(&row.payload);
            assert!(line.starts_with("car,device=car-01 speed_mps="), "{line}");
            assert!(line.ends_with(&time_ms(seconds).to_string()), "{line}");
            assert!(row.detail.contains("missing fields") || row.detail.contains("retention"));
            let registry = bench.journal.registry();
            let device = row.device.unwrap();
            assert_eq!(&*registry.read().device_by_number(device).unwrap().device.id, "car-01");
        }
        assert_eq!(bench.report.borrow().points_refused, 2);
        assert_eq!(bench.report.borrow().state, InfluxState::Writing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_all_refused_are_not_tried_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().bad = Some((Strictness::Partial, |_| true));
    bench.send("car-01", 0..90).await;
    bench.all_arrive_but(90).await;
    assert!(bench.server.shelf().requests.len() <= 2);
    assert_eq!(bench.put_away().len(), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_line_refused_costs_a_bounded_number_of_requests() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::with_batches(dir.path(), 2_000).await;
    bench.server.shelf().bad = Some((Strictness::Partial, |point| point.time_ms % 2_000 == 0));
    bench.send("car-01", -1_500..500).await;
    bench.all_arrive_but(1_000).await;
    let requests = bench.server.shelf().requests.len();
    assert!(requests < 600, "{requests} requests");
    wait_for("the count", || bench.report.borrow().points_refused == 1_000).await;
    let rows = bench.put_away();
    assert!(rows.iter().any(|row| row.detail.contains("points from this one on")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_halved_until_it_fits() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().most_lines = Some(7);
    bench.send("car-01", 0..90).await;
    bench.all_arrive().await;
    bench.server.shelf().most_lines = Some(0);
    bench.send("car-02", 0..2).await;
    bench.all_arrive_but(2).await;
    let rows = bench.put_away();
    assert!(rows.len() == 2 && rows[0].detail.contains("too large"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_to_put_right_is_said_plainly_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    let denials = [
        (401, r#"{"code":"unauthorized","message":"unauthorized access"}"#, "influx.token_file"),
        (404, r#"{"code":"not found","message":"bucket \"cars\" not found"}"#, "`cars and more`"),
        (
            404,
            r#"{"code":"not found","message":"organization name \"plant\" not found"}"#,
            "`plant`",
        ),
        (404, "<html>nothing here</html>", "influx.url"),
        (400, "Client sent an HTTP request to an HTTPS server.", "influx.url"),
        (301, "", "influx.url"),
        (200, "a web page", "influx.url"),
    ];
    for (at, (status, body, advised)) in (0..).zip(denials) {
        bench.server.shelf().always = Some(Play::Answer(status, "Location: /login\r\n", body));
        bench.send("car-01", at * 10..at * 10 + 10).await;
        let state = bench.state_becomes(|state| matches!(state, InfluxState::Denied { .. })).await;
        let InfluxState::Denied { error, advice } = state else { panic!() };
        assert!(
            error.contains(&status.to_string()) && advice.contains(advised),
            "{error} {advice}"
        );
        assert!(!format!("{error}{advice}").contains("secret"), "the token stays a secret");
        bench.server.shelf().always = None;
        bench.all_arrive().await;
    }
    assert!(bench.put_away().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_consents_to_any_more_does_not_go_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().always = Some(Play::Hang);
    bench.send("carl-car", 0..5).await;
    bench.send("car-01", 0..5).await;
    bench.state_becomes(away).await;
    // Two hours later Carl has withdrawn his consent.
    let bench = bench.restart(NOW_MS + 7_200_000).await;
    bench.server.shelf().always = None;
    bench.all_arrive_but(5).await;
    assert_eq!(bench.report.borrow().readings_withheld, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdraws_while_a_request_is_tried_again_is_not_in_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().always = Some(Play::Answer(503, "", ""));
    bench.send("carl-car", 0..5).await;
    bench.send("car-01", 0..5).await;
    bench.state_becomes(away).await;
    let withdraw = Change::Withdraw {
        customer: "carl".into(),
        insurer: "alpina".into(),
        purpose: Product::Travel,
    };
    bench.journal.change(withdraw).await.unwrap();
    bench.server.shelf().always = None;
    wait_for("the others", || bench.server.shelf().points.len() >= 5).await;
    wait_for("the cursor", || bench.cursor() > 0).await;
    let shelf = bench.server.shelf();
    assert!(shelf.points.keys().all(|(_, tags, _)| tags["device"] == "car-01"));
}

fn withdraw() -> Change {
    Change::Withdraw { customer: "carl".into(), insurer: "alpina".into(), purpose: Product::Travel }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_kept_is_deleted_there_too_also_after_an_outage_and_a_crash() {
    for change in [withdraw(), Change::Erase { customer: "carl".into() }] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::start(dir.path()).await;
        bench.send("carl-car", 0..5).await;
        bench.send("car-01", 0..5).await;
        bench.all_arrive().await;
        bench.server.shelf().always = Some(Play::Answer(503, "", ""));
        let number = bench.journal.change(change.clone()).await.unwrap().deletion.unwrap();
        let receipt = |bench: &Bench| bench.journal.reader().receipt(number).unwrap().unwrap();
        wait_for("the attempt", || bench.report.borrow().deletion_error.is_some()).await;
        assert_eq!(bench.report.borrow().deletions_pending, 1);
        assert_eq!(receipt(&bench).influx, Some(Elsewhere::Pending));
        assert_eq!(receipt(&bench).done_ms, None, "not before all is done");
        let bench = bench.restart(NOW_MS).await;
        assert_eq!(receipt(&bench).influx, Some(Elsewhere::Pending));
        bench.server.shelf().always = None;
        wait_for("the receipt", || receipt(&bench).done_ms.is_some()).await;
        assert_eq!(receipt(&bench).influx, Some(Elsewhere::Done { done_ms: NOW_MS }));
        let shelf = bench.server.shelf();
        assert_eq!(shelf.points.len(), 5);
        assert!(shelf.points.keys().all(|(_, tags, _)| tags["device"] == "car-01"));
        assert!(shelf.complaints.is_empty(), "{:?}", shelf.complaints);
        drop(shelf);
        if matches!(change, Change::Erase { .. }) {
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(8).any(|window| window == b"carl-car"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_consents_to_again_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.send("carl-car", 0..5).await;
    bench.all_arrive().await;
    bench.server.shelf().always = Some(Play::Answer(503, "", ""));
    bench.journal.change(withdraw()).await.unwrap();
    wait_for("the attempt", || bench.report.borrow().deletion_error.is_some()).await;
    let again = Change::Give {
        customer: "carl".into(),
        insurer: "alpina".into(),
        purpose: Product::Travel,
        wording: "travel-2".into(),
    };
    bench.journal.change(again).await.unwrap();
    let mut bench = bench.restart(NOW_MS + 60_000).await;
    bench.send("carl-car", 601..604).await;
    bench.server.shelf().always = None;
    wait_for("the deletion", || !bench.server.shelf().deleted.is_empty()).await;
    wait_for("what came since", || bench.server.shelf().points.len() == 3).await;
    let shelf = bench.server.shelf();
    assert!(shelf.points.keys().all(|(_, _, time_ms)| *time_ms > NOW_MS));
    assert_eq!(shelf.deleted[0].2, NOW_MS, "up to when it was given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_late_there_does_not_outlive_a_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().plays.push_back(Play::TakeAfterDelete);
    bench.send("carl-car", 0..5).await;
    bench.state_becomes(away).await;
    let number = bench.journal.change(withdraw()).await.unwrap().deletion.unwrap();
    let done = || bench.journal.reader().receipt(number).unwrap().unwrap().done_ms.is_some();
    wait_for("the receipt", done).await;
    let shelf = bench.server.shelf();
    assert!(shelf.taken_late && shelf.deleted.len() >= 2, "{:?}", shelf.deleted);
    assert!(shelf.points.is_empty(), "{:?}", shelf.points);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_the_process_ended_does_not_outlive_a_deletion() {
    let dir = tempfile::tempdir().unwrap();
    // Long enough for the next process to delete before it lets the deletion be done.
    let mut bench = Bench::with_timeout(dir.path(), Duration::from_secs(3)).await;
    bench.server.shelf().plays.push_back(Play::TakeAfterDelete);
    bench.send("carl-car", 0..5).await;
    wait_for("the request", || bench.server.shelf().held).await;
    let number = bench.journal.change(withdraw()).await.unwrap().deletion.unwrap();
    let bench = bench.restart(NOW_MS).await;
    let done = || bench.journal.reader().receipt(number).unwrap().unwrap().done_ms.is_some();
    wait_for("the receipt", done).await;
    let shelf = bench.server.shelf();
    assert!(shelf.taken_late && shelf.deleted.len() >= 2, "{:?}", shelf.deleted);
    assert!(shelf.points.is_empty(), "{:?}", shelf.points);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_no_longer_goes_there_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.send("car-01", 0..5).await;
    bench.all_arrive().await;
    let mut bench = bench.restart(NOW_MS + KEPT_MS).await;
    bench.server.shelf().plays.push_back(Play::Answer(503, "", ""));
    bench.send("car-01", KEPT_MS / 1_000..KEPT_MS / 1_000 + 3).await;
    wait_for("what is old to go", || {
        let shelf = bench.server.shelf();
        let times = || shelf.points.keys().map(|(_, _, time_ms)| *time_ms);
        times().count() == 3 && times().all(|time_ms| time_ms > NOW_MS)
    })
    .await;
    assert!(bench.server.shelf().complaints.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_at_once_whatever_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path()).await;
    bench.server.shelf().always = Some(Play::Hang);
    bench.send("car-01", 0..5).await;
    bench.state_becomes(away).await;
    let asked = Instant::now();
    bench.stop.send_replace(true);
    tokio::time::timeout(DEADLINE, &mut bench.running).await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(3));
}
