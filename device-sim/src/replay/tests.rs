//! Publishing over real sockets to a small scripted broker, and the recordings of the shared
//! folder when `DATANAUT_SHARED` names it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use clap::Parser;
use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::args::At;
use super::*;

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    args: ReplayArgs,
}

pub(super) fn try_args(line: &str) -> Result<ReplayArgs, clap::Error> {
    let words = std::iter::once("replay").chain(line.split_whitespace());
    CommandLine::try_parse_from(words).map(|line| line.args)
}

pub(super) fn args(line: &str) -> ReplayArgs {
    try_args(line).unwrap()
}

/// A track of `count` fixes, one a second.
fn track(count: u64) -> Recording {
    let lines: Vec<_> =
        (0..count).map(|at| format!(r#"{{"ts":{},"seq":{at}}}"#, 1_000_000 + at)).collect();
    jsonl::read(&lines.join("\n"), "telemetry/car/car-01")
}

/// What to do with one connection.
#[derive(Clone, Copy)]
enum Script {
    Refuse(ConnectReturnCode),
    /// Acknowledge so many publishes, take in so many more, and drop the connection.
    Acknowledge {
        answered: usize,
        unanswered: usize,
    },
}

const ALL: Script = Script::Acknowledge { answered: usize::MAX, unanswered: 0 };
const NONE: Script = Script::Acknowledge { answered: 0, unanswered: usize::MAX };

/// A broker that serves one connection after the other by its script; returns the payloads that
/// each brought.
async fn broker(listener: TcpListener, scripts: Vec<Script>) -> Vec<Vec<String>> {
    let mut received = Vec::new();
    for script in scripts {
        let (stream, _) = listener.accept().await.unwrap();
        received.push(serve(stream, script).await);
    }
    received
}

async fn serve(mut stream: TcpStream, script: Script) -> Vec<String> {
    let (mut input, mut payloads) = (BytesMut::new(), Vec::new());
    loop {
        let mut output = BytesMut::new();
        match (Packet::read(&mut input, usize::MAX), script) {
            (Ok(Packet::Connect(_)), Script::Refuse(code)) => {
                ConnAck::new(code, false).write(&mut output).unwrap();
            }
            (Ok(Packet::Connect(_)), _) => {
                ConnAck::new(ConnectReturnCode::Success, false).write(&mut output).unwrap();
            }
            (Ok(Packet::Publish(publish)), Script::Acknowledge { answered, unanswered }) => {
                payloads.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                if payloads.len() <= answered && publish.qos == QoS::AtLeastOnce {
                    PubAck::new(publish.pkid).write(&mut output).unwrap();
                } else if payloads.len().saturating_sub(answered) >= unanswered.max(1) {
                    hang_up(stream).await;
                    return payloads;
                }
            }
            (Ok(Packet::Disconnect), _) => return payloads,
            (Ok(_), _) => {}
            (Err(_), _) if stream.read_buf(&mut input).await.unwrap_or(0) == 0 => return payloads,
            (Err(_), _) => {}
        }
        if stream.write_all(&output).await.is_err() {
            return payloads;
        }
    }
}

/// Ends the connection so that the client still gets all that was written: closing it with
/// something unread would reset it.
async fn hang_up(mut stream: TcpStream) {
    stream.shutdown().await.unwrap();
    while stream.read_buf(&mut BytesMut::with_capacity(4_096)).await.is_ok_and(|read| read > 0) {}
}

/// Publishes `recording` to a broker with these scripts.
async fn publish_to(
    recording: &Recording,
    scripts: Vec<Script>,
    flags: &str,
) -> (Report, Vec<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let flags = format!("t.jsonl --as car-01 --broker mqtt://127.0.0.1:{port} {flags}");
    let broker = tokio::spawn(broker(listener, scripts));
    let report = publish::publish(&recording.messages, &target(&args(&flags)).unwrap()).await;
    (report, broker.await.unwrap())
}

#[tokio::test]
async fn everything_is_published_in_order_and_acknowledged() {
    let recording = track(1_000);
    let (report, received) = publish_to(&recording, vec![ALL], "--speed max --at recorded").await;
    assert_eq!((report.published, report.acknowledged, report.resent), (1_000, 1_000, 0));
    assert!(report.gave_up.is_none());
    let expect: Vec<_> = recording.messages.iter().map(|message| message.payload(0)).collect();
    assert_eq!(received, [expect]);
}

#[tokio::test]
async fn what_a_lost_connection_left_unacknowledged_is_sent_again_unchanged() {
    let recording = track(300);
    let broken = Script::Acknowledge { answered: 40, unanswered: 25 };
    let (report, received) = publish_to(&recording, vec![broken, broken, ALL], "--speed max").await;
    assert_eq!((report.published, report.acknowledged), (300, 300));
    assert!(report.resent >= 50, "{report:?}");
    assert!(report.gave_up.is_none());
    let expect: Vec<_> = recording.messages.iter().map(|m| m.payload(report.shift_ms)).collect();
    assert_eq!(received[0], expect[..65]);
    assert_eq!(received[1], expect[40..105], "from the first that was not acknowledged");
    assert_eq!(received[2], expect[80..]);
}

#[tokio::test]
async fn a_broker_that_acknowledges_nothing_is_given_up_after_the_timeout() {
    let recording = track(500);
    let (report, received) =
        publish_to(&recording, vec![NONE], "--speed max --timeout 300ms").await;
    assert_eq!((report.published, report.acknowledged), (100, 0), "bounded in flight");
    assert_eq!(received[0].len(), 100);
    let why = report.gave_up.unwrap().to_string();
    assert!(why.contains("acknowledged nothing for 300ms"), "{why}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_given_up_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let flags = format!("t.jsonl --as car-01 --broker mqtt://127.0.0.1:{port} --timeout 250ms");
    let report = publish::publish(&track(3).messages, &target(&args(&flags)).unwrap()).await;
    assert_eq!(report.published, 0);
    let why = format!("{:#}", report.gave_up.unwrap());
    assert!(why.contains(&format!("mqtt://127.0.0.1:{port}")), "{why}");
}

#[tokio::test]
async fn a_refused_login_says_what_to_check() {
    let refused = Script::Refuse(ConnectReturnCode::NotAuthorized);
    let (report, _) = publish_to(&track(3), vec![refused], "--user car-01 --password no").await;
    let why = report.gave_up.unwrap().to_string();
    assert!(why.contains("check --user and --password"), "{why}");
}

#[tokio::test]
async fn without_acknowledgements_all_is_still_written() {
    let (report, received) = publish_to(&track(250), vec![ALL], "--speed max --qos 0").await;
    assert_eq!((report.acknowledged, received[0].len()), (250, 250));
}

#[tokio::test]
async fn fixes_go_out_at_their_pace_and_end_now() {
    let recording = track(5);
    let flags = "--speed 20";
    let started_ms = jiff::Timestamp::now().as_millisecond();
    let (report, received) = publish_to(&recording, vec![ALL], flags).await;
    let ended_ms = jiff::Timestamp::now().as_millisecond();
    assert!(report.took >= Duration::from_millis(200), "{:?}", report.took);
    let last_ms = json::time_ms(received[0].last().unwrap()).unwrap();
    assert!((started_ms..=ended_ms).contains(&last_ms));
    let first_ms = json::time_ms(&received[0][0]).unwrap();
    assert_eq!(last_ms - first_ms, 4_000, "intervals are kept");
}

#[test]
fn the_device_tells_the_topic() {
    assert_eq!(native_topic("car-07", None).unwrap(), "telemetry/car/car-07");
    assert_eq!(native_topic("anna", None).unwrap(), "telemetry/tracker/anna");
    assert_eq!(native_topic("anna", Some(Kind::Product)).unwrap(), "telemetry/product/anna");
    for device in ["", "a/b", "a b", "+", &"x".repeat(65)] {
        assert!(native_topic(device, None).is_err(), "{device}");
    }
    assert_eq!(owntracks_topic("anna/iPhone 12 Pro").unwrap(), "owntracks/anna/iPhone 12 Pro");
    assert_eq!(owntracks_topic("phone").unwrap(), "owntracks/replay/phone");
    for device in ["", "/", "a/", "/b", "a/b/c", "a/#", "+"] {
        assert!(owntracks_topic(device).is_err(), "{device}");
    }
}

#[test]
fn slower_than_recorded_cannot_end_now() {
    assert!(publish::check_speed(At::Now, "0.5".parse().unwrap()).is_err());
    assert!(publish::check_speed(At::Recorded, "0.5".parse().unwrap()).is_ok());
}

#[test]
fn the_recordings_of_the_shared_folder_are_read_whole() {
    let Some(shared) = std::env::var_os("DATANAUT_SHARED").map(PathBuf::from) else {
        println!("DATANAUT_SHARED is not set: the recordings there were not read");
        return;
    };
    let check = |file: &str, expect: [usize; 4]| {
        let file = shared.join("data").join(file);
        let recording = read(&args(&format!("{} --as car-01", path(&file)))).unwrap();
        let Recording { messages, unusable, out_of_order, skipped } = recording;
        assert_eq!(
            [messages.len(), out_of_order.count, unusable.count, skipped],
            expect,
            "{file:?}"
        );
    };
    check("tracks/car_2022-05-28a_DE-AT.gpx", [3_727, 0, 0, 0]);
    check("tracks/car_2023-07-01_DE-PL.gpx", [3_739, 15, 0, 0]);
    check("tracks/Car_Wroclaw_to_Praga.geojson", [12_031, 93, 0, 0]);
    check("owntracks/demo-iphone.rec", [23, 0, 0, 2]);
    check("owntracks/dawarich_2024-03.rec", [11, 3, 0, 2]);
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}
