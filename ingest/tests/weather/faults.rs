//! What feeds do wrong, over real sockets: each fault has its name, and the feed is asked again.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ingest::Clock;
use ingest::weather::{
    Brought, Cell, Desk, FeedOptions, FeedStatus, FeedStatuses, FeedThread, HOUR_MS, Kind, Needs,
};

use crate::server::{Reply, Server, reply};

const NOW_MS: i64 = 1_768_478_400_000;
const CELLS: [Cell; 2] = [Cell { south: 520, west: 51 }, Cell { south: 513, west: 62 }];

/// A back-off of minutes passes in milliseconds.
const FAST: f64 = 10_000.0;

fn location(lat: f64) -> String {
    format!(
        r#"{{"latitude":{lat},"longitude":5.14,"elevation":4.0,"hourly":{{"time":[1768478400,1768482000],
        "temperature_2m":[-1.2,null],"precipitation":[0.0,0.4]}}}}"#
    )
}

fn open_meteo(head: &str) -> Reply {
    let cells = head.split("latitude=").nth(1).unwrap().split('&').next().unwrap().split(',');
    let all: Vec<String> = cells.map(|lat| location(lat.parse().unwrap())).collect();
    let body = if all.len() == 1 { all[0].clone() } else { format!("[{}]", all.join(",")) };
    reply("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}

struct Table {
    needs: Arc<Mutex<Needs>>,
    brought: Sender<Brought>,
}

impl Desk for Table {
    fn needs(&self, _: i64) -> Needs {
        self.needs.lock().unwrap().clone()
    }

    fn take(&self, _: &Arc<str>, brought: Brought) -> bool {
        self.brought.send(brought).is_ok()
    }
}

struct Rig {
    feed: FeedThread,
    needs: Arc<Mutex<Needs>>,
    brought: Receiver<Brought>,
    statuses: FeedStatuses,
}

impl Rig {
    fn start(kind: Kind, url: String, speed: f64, ledger: Vec<u8>) -> Self {
        Self::resume(kind, url, speed, ledger, Vec::new())
    }

    fn resume(kind: Kind, url: String, speed: f64, ledger: Vec<u8>, whole: Vec<u8>) -> Self {
        let needs = Needs { ahead: CELLS.to_vec(), ..Needs::default() };
        let needs = Arc::new(Mutex::new(needs));
        let (sender, brought) = channel();
        let statuses = FeedStatuses::default();
        let options = FeedOptions {
            name: "feed".into(),
            kind,
            url,
            user_agent: "datanaut-test/1 me@example.org".to_owned(),
            key: Some("very-secret".to_owned()),
            limits: kind.limits(),
            timeout: Duration::from_secs(2),
            ledger,
            whole,
        };
        let desk = Table { needs: needs.clone(), brought: sender };
        let clock = Clock::scaled(NOW_MS, speed);
        let feed = FeedThread::start(options, clock, desk, statuses.clone()).unwrap();
        Self { feed, needs, brought, statuses }
    }

    fn next(&self) -> Brought {
        self.brought.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn until_rows(&self) -> Brought {
        loop {
            let brought = self.next();
            if !brought.series.is_empty() {
                return brought;
            }
        }
    }

    fn status(&self) -> FeedStatus {
        self.statuses.all()["feed"].clone()
    }
}

/// A feed that once answers wrongly, then well.
#[track_caller]
fn check(name: &'static str, wrong: impl Fn() -> Reply + Send + 'static) {
    let server = Server::start(move |number, head| match number {
        0 => wrong(),
        _ => open_meteo(head),
    });
    let rig = Rig::start(Kind::OpenMeteo, server.url(), FAST, Vec::new());
    let brought = rig.until_rows();
    assert_eq!(brought.series.len(), 2);
    assert_eq!(rig.status().faults, [(name, 1)].into());
}

#[test]
fn every_fault_has_its_name_and_is_got_over() {
    let json = "Content-Type: application/json\r\n";
    let cut = || {
        let body = location(52.0);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() * 2);
        Reply::Bytes([head.as_bytes(), body.as_bytes()].concat())
    };
    check("cut_short", cut);
    check("timeout", || Reply::Silence);
    check("server_error", || reply("503 Busy", "", b"try later"));
    check("throttled", || reply("429 Slow down", "Retry-After: 2\r\n", b""));
    check("forbidden", || reply("403 Forbidden", "", b"no"));
    check("refused", move || {
        reply("400 Bad", json, br#"{"error":true,"reason":"too many very-secret locations"}"#)
    });
    check("not_understood", || {
        reply("200 OK", "Content-Type: text/html\r\n", b"<html>login</html>")
    });
    check("not_understood", move || reply("200 OK", json, &[0, 159, 146, 150]));
    check("not_understood", || reply("200 OK", "Content-Encoding: gzip\r\n", b"not packed at all"));
    check("too_large", || reply("200 OK", "", &vec![b' '; 17 << 20]));
}

#[test]
fn a_server_that_is_away_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let rig = Rig::start(Kind::OpenMeteo, url, FAST, Vec::new());
    for _ in 0..3 {
        assert!(rig.next().series.is_empty());
    }
    assert!(rig.status().faults["unreachable"] >= 3);
}

#[test]
fn one_request_asks_for_all_and_a_restart_asks_nothing_twice() {
    let server = Server::start(|_, head| open_meteo(head));
    let rig = Rig::start(Kind::OpenMeteo, server.url(), 1.0, Vec::new());
    let brought = rig.next();
    assert_eq!(brought.series.iter().map(|series| series.cell).collect::<Vec<_>>(), {
        let mut cells = CELLS.to_vec();
        cells.sort();
        cells
    });
    let heads = server.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].contains("latitude=51.35,52.05&"), "{}", heads[0]);
    assert!(heads[0].to_lowercase().contains("user-agent: datanaut-test/1 me@example.org"));
    assert_eq!(rig.status().budget_left, 9_998);
    drop(rig);

    let rig = Rig::start(Kind::OpenMeteo, server.url(), 1.0, brought.ledger);
    assert_eq!(rig.status().budget_left, 9_998);
    // Something new is asked at once, and alone.
    rig.needs.lock().unwrap().waiting = vec![(Cell { south: 400, west: 10 }, NOW_MS)];
    rig.feed.wake();
    assert_eq!(rig.next().series.len(), 1);
    assert_eq!(server.heads().len(), 2);
    assert!(server.heads()[1].contains("latitude=40.05&longitude=1.05&"));
}

#[test]
fn met_norway_is_told_what_it_said_and_obeyed() {
    let fixed = "Date: Thu, 15 Jan 2026 12:00:00 GMT\r\nExpires: Thu, 15 Jan 2026 12:31:00 GMT\r\n\
                 Last-Modified: Thu, 15 Jan 2026 11:37:54 GMT\r\n";
    let body = r#"{"geometry":{"coordinates":[5.15,52.05,3]},"properties":{
        "meta":{"updated_at":"2026-01-15T11:37:54Z"},"timeseries":[
        {"time":"2026-01-15T12:00:00Z","data":{"instant":{"details":{"air_temperature":1.5}}}}]}}"#;
    let server = Server::start(move |number, head| match number {
        0 => reply("422 Outside", "", b""),
        _ if head.to_lowercase().contains("if-modified-since") => {
            reply("304 Not Modified", fixed, b"")
        }
        _ => reply("203 Deprecated", fixed, body.as_bytes()),
    });
    let rig = Rig::start(Kind::MetNorway, server.url(), 1_000.0, Vec::new());
    let first = rig.until_rows();
    assert_eq!(first.series[0].hours[0].values.temperature_c, Some(1.5));
    // Half an hour later, which is two seconds.
    let again = rig.next();
    assert!(again.series.is_empty());
    let status = rig.status();
    assert_eq!((status.not_modified, &status.faults), (1, &[("outside_coverage", 1)].into()));
    let heads = server.heads();
    assert!(heads[2].to_lowercase().contains("if-modified-since: thu, 15 jan 2026 11:37:54 gmt"));
    assert!(heads.iter().all(|head| head.contains("lat=5") && !head.contains("very-secret")));
}

#[test]
fn a_packed_cache_of_stations_answers_for_the_cells_near_them() {
    let csv = "No errors\nraw_text,station_id,observation_time,latitude,longitude,elevation_m\n\
        EHAM 151150Z 24012KT 9999 -RA 02/01 Q1009,EHAM,2026-01-15T11:50:00Z,52.31,4.76,-3\n\
        EHXX 151150Z 24012KT 9999 99/01 Q1009,EHXX,2026-01-15T11:50:00Z,51.3,6.2,20\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, csv.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let server =
        Server::start(move |_, _| reply("200 OK", "Content-Type: application/gzip\r\n", &packed));
    let rig = Rig::start(Kind::Metar, server.url(), 1.0, Vec::new());
    let whole = rig.next().whole.unwrap();
    let brought = rig.until_rows();
    let hours = |series: &ingest::weather::Series| series.hours[0].clone();
    let here = brought.series.iter().find(|series| series.cell == CELLS[0]).unwrap();
    assert_eq!(hours(here).values.present.as_deref(), Some("-RA"));
    assert_eq!(hours(here).valid_ms, NOW_MS);
    assert_eq!(rig.status().dropped, [("temperature_c", 1)].into());
    // Somewhere else is answered from the same cache, without asking.
    rig.needs.lock().unwrap().waiting = vec![(Cell { south: 522, west: 49 }, NOW_MS)];
    rig.feed.wake();
    let last = rig.until_rows();
    assert_eq!((last.series.len(), last.whole), (1, None));
    assert_eq!(server.heads().len(), 1);
    // Also after a restart.
    let again = Rig::resume(Kind::Metar, server.url(), 1.0, last.ledger, whole);
    assert_eq!(again.until_rows().series, brought.series);
    assert_eq!(server.heads().len(), 1);
}

#[test]
fn a_past_hour_is_asked_with_the_days_before() {
    let server = Server::start(|_, head| open_meteo(head));
    let rig = Rig::start(Kind::OpenMeteo, server.url(), 1.0, Vec::new());
    rig.next();
    rig.needs.lock().unwrap().waiting = vec![(CELLS[0], NOW_MS - 3 * 24 * HOUR_MS)];
    rig.feed.wake();
    rig.next();
    let heads = server.heads();
    assert!(heads[0].contains("past_days=1&") && heads[1].contains("past_days=3&"), "{heads:?}");
}
