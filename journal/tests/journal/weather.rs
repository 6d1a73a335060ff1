//! Events that wait for their weather, and rows that outlive a restart.

use std::path::Path;
use std::time::Duration;

use enrich::trigger::Weather;
use enrich::weather::{Cell, Feed, HOUR_MS, Hour, Reach, Rows, Series, Values};
use ingest::Clock;
use journal::WeatherAnswer;

use crate::support::{Bench, NOW_MS, frozen, options, reading, there_and_back};

fn start(dir: &Path, clock: Clock) -> Bench {
    let mut options = options(dir, clock, u64::MAX);
    let reach = Reach { source: "live".into(), past_ms: 24 * HOUR_MS, ahead_ms: 24 * HOUR_MS };
    options.world.weather = Feed::Rows(Rows::new(vec![reach]));
    options.weather = "live".to_owned();
    Bench::open(options)
}

/// At the border east of Venlo, in the hours about now.
fn answer() -> WeatherAnswer {
    let hour = |at: i64| Hour {
        valid_ms: NOW_MS + at * HOUR_MS,
        observed: at <= 0,
        values: Values { temperature_c: Some(-2.5), ..Values::default() },
    };
    let series = |west: i16| Series {
        cell: Cell { south: 513, west },
        source: "live".into(),
        lat: 51.35,
        lon: 6.25,
        elevation_m: Some(30.0),
        issued_ms: NOW_MS - 60_000,
        hours: (-3..3).map(hour).collect(),
    };
    WeatherAnswer {
        feed: "live".into(),
        series: (60..65).map(series).collect(),
        ledger: b"asked".to_vec(),
        whole: Some(b"the world".to_vec()),
    }
}

async fn answers(bench: &Bench) {
    let journal = bench.journal.clone();
    let sent = tokio::task::spawn_blocking(move || journal.blocking_weather(answer()));
    sent.await.unwrap().unwrap();
}

/// Id, status and temperature of each message.
fn said(bench: &Bench) -> Vec<(String, String, Option<f64>)> {
    let rows = bench.journal.reader().released_after(0, 100).unwrap();
    let temperature = |weather: &Weather| match weather {
        Weather::Known { temperature_c, .. } => *temperature_c,
        Weather::Missing => None,
    };
    rows.into_iter()
        .map(|row| {
            (
                row.body.id,
                row.status,
                temperature(&row.body.data.trigger().unwrap().evidence.weather),
            )
        })
        .collect()
}

async fn wait_for(bench: &Bench, messages: usize) -> Vec<(String, String, Option<f64>)> {
    let mut released = bench.journal.live().released();
    let come = released.wait_for(|released| *released >= messages as i64);
    tokio::time::timeout(Duration::from_secs(60), come).await.unwrap().unwrap();
    said(bench)
}

fn waits(bench: &Bench) -> usize {
    bench.journal.live().weather_wanted().borrow().len()
}

#[tokio::test]
async fn a_crossing_waits_for_its_weather_and_is_told_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), frozen());
    bench.readings(&there_and_back()[..40]).await;
    assert_eq!((said(&bench).len(), waits(&bench)), (0, 1));
    answers(&bench).await;
    let told = wait_for(&bench, 1).await;
    assert_eq!((told.len(), told[0].2), (1, Some(-2.5)));
    assert_eq!(waits(&bench), 0);
    drop(bench);
    // What was asked once is known for good: the way back waits for nothing.
    let bench = start(dir.path(), frozen());
    assert_eq!(bench.journal.reader().weather_ledger("live").unwrap(), Some(b"asked".to_vec()));
    bench.readings(&there_and_back()[40..]).await;
    let told = wait_for(&bench, 2).await;
    assert_eq!((told.len(), told[1].2), (2, Some(-2.5)));
}

#[tokio::test]
async fn a_crossing_that_waited_long_enough_is_told_without_weather_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), frozen());
    bench.readings(&there_and_back()[..40]).await;
    drop(bench);
    let early = start(dir.path(), Clock::scaled(NOW_MS + 4_999, 0.0));
    assert_eq!((said(&early).len(), waits(&early)), (0, 1));
    drop(early);
    let late = start(dir.path(), Clock::scaled(NOW_MS + 5_000, 0.0));
    let told = wait_for(&late, 1).await;
    assert_eq!((told.len(), told[0].2), (1, None));
    // Weather that comes now changes nothing that was said.
    answers(&late).await;
    late.readings(&there_and_back()[40..]).await;
    assert_eq!(wait_for(&late, 2).await.len(), 2);
}

#[tokio::test]
async fn the_id_is_the_same_whether_it_waited_or_not() {
    let (waited, at_once) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bench = start(at_once.path(), frozen());
    answers(&bench).await;
    bench.readings(&there_and_back()[..40]).await;
    let first = wait_for(&bench, 1).await;
    drop(bench);
    // The same journal's secret makes the same ids.
    let bench = start(waited.path(), frozen());
    drop(bench);
    copy_secret(at_once.path(), waited.path());
    let bench = start(waited.path(), frozen());
    bench.readings(&there_and_back()[..40]).await;
    assert_eq!(waits(&bench), 1);
    answers(&bench).await;
    assert_eq!(wait_for(&bench, 1).await, first);
}

fn copy_secret(from: &Path, to: &Path) {
    let open = |dir: &Path| rusqlite::Connection::open(dir.join("journal.sqlite")).unwrap();
    let secret: Vec<u8> = open(from)
        .query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))
        .unwrap();
    open(to).execute("UPDATE meta SET value = ?1 WHERE key = 'secret'", [secret]).unwrap();
}

#[tokio::test]
async fn a_crossing_that_never_was_stops_waiting_and_one_that_changed_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), frozen());
    let start_ms = NOW_MS - 3_600_000;
    bench
        .readings(&[
            reading(start_ms, 0.0),
            reading(start_ms + 900_000, 9_000.0),
            reading(start_ms + 1_000_000, 9_000.0),
        ])
        .await;
    assert_eq!(waits(&bench), 1);
    bench.readings(&[reading(start_ms + 950_000, 0.0)]).await;
    assert_eq!(waits(&bench), 0);
    answers(&bench).await;
    drop(bench);

    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), frozen());
    let track = there_and_back();
    let sparse: Vec<_> = track[..40].iter().step_by(6).cloned().collect();
    bench.readings(&sparse).await;
    bench.readings(&track[..40]).await;
    assert_eq!((said(&bench).len(), waits(&bench)), (0, 1));
    answers(&bench).await;
    let told = wait_for(&bench, 1).await;
    assert_eq!((told.len(), told[0].1.as_str(), told[0].2), (1, "fired", Some(-2.5)));
}

#[tokio::test]
async fn a_place_is_explained_by_the_rows_that_came_also_beside_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(dir.path(), frozen());
    let fix = ingest::Fix::new(51.37, 6.25, None).unwrap();
    let place = journal::Place { fix, altitude_m: Some(1_030.0), time_ms: Some(NOW_MS) };
    assert!(bench.journal.look(place).await.unwrap().weather.is_none());
    answers(&bench).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let here = loop {
        let here = bench.journal.look(place).await.unwrap();
        if here.weather.is_some() {
            break here;
        }
        assert!(std::time::Instant::now() < deadline, "the rows do not come");
        tokio::task::yield_now().await;
    };
    let joined = here.weather.unwrap();
    assert_eq!(joined.row.values.temperature_c, Some(-9.0), "a kilometre above its cell");
    assert_eq!(joined.altitude_correction_c, Some(-6.5));
    assert_eq!(here.country.unwrap().code(), "DE");
    assert_eq!(bench.journal.reader().weather_answer("live").unwrap().unwrap(), b"the world");
    let reach = Reach { source: "live".into(), past_ms: HOUR_MS, ahead_ms: HOUR_MS };
    let weather = Feed::Rows(Rows::new(vec![reach]));
    let mut world = enrich::World { atlas: enrich::places::Atlas::load(), weather };
    journal::read_weather(dir.path(), &mut world).unwrap();
    let read = world.weather.as_of(&fix, NOW_MS, i64::MAX).unwrap();
    assert_eq!(read.row.values.temperature_c, Some(-2.5));
}
