//! Every reason for which a message or a reading is not used, with what the sender is told.

use std::collections::BTreeSet;

use bytes::Bytes;
use ingest::formats::{MAX_PAYLOAD, decode};
use ingest::{Decoded, Reason};

use super::{CAR, NOW, check};

/// Payloads on [`CAR`], with the line that [`check`] expects.
const CASES: &[(&str, &str)] = &[
    ("", "all: not_decodable: the payload is empty"),
    (
        "hello",
        "all: not_decodable: starts with byte 0x68; neither JSON nor CBOR objects or arrays do",
    ),
    (
        "{\"ts\":1790000000,\"steps\":NaN}",
        "all: not_decodable: not JSON: expected value at line 1 column 26",
    ),
    (
        "{\"ts\":1790000000",
        "all: not_decodable: not JSON: EOF while parsing an object at line 1 column 16",
    ),
    (
        r#"{"ts":1790000000,"steps":1}{}"#,
        "all: not_decodable: not JSON: trailing characters at line 1 column 28",
    ),
    (r#"{"ts":1790000000,"steps":1,"steps":2}"#, "not_decodable: steps was sent twice"),
    (r#"{"ts":1790000000,"ts":1790000000,"steps":1}"#, "not_decodable: ts was sent twice"),
    ("[]", "all: nothing_measured: the array is empty"),
    (
        r#"{"ts":1790000000,"speed":3}"#,
        "nothing_measured: no position, no measure, 1 unknown names",
    ),
    (r#"{"steps":1}"#, "no_time: no time was sent (ts; OwnTracks: tst)"),
    (
        r#"{"ts":"2026-09-21T14:13:20","steps":1}"#,
        "no_time: ts: \"2026-09-21T14:13:20\" is not a time",
    ),
    (r#"{"ts":[],"steps":1}"#, "no_time: ts: an array, object or byte string is not a time"),
    (
        r#"{"ts":1790000401,"steps":1}"#,
        "clock_ahead: the time is 2026-09-21T14:20:01Z, now is 2026-09-21T14:15:00Z",
    ),
    (
        r#"{"ts":0,"steps":1}"#,
        "clock_unset: the time is 1970-01-01T00:00:00Z, now is 2026-09-21T14:15:00Z",
    ),
    (
        r#"{"ts":-1,"steps":1}"#,
        "clock_unset: the time is 1969-12-31T23:59:59Z, now is 2026-09-21T14:15:00Z",
    ),
    (
        r#"{"ts":1170684900,"steps":1}"#,
        "gps_week_rollover: the time is 2007-02-05T14:15:00Z, now is 2026-09-21T14:15:00Z",
    ),
    (r#"{"ts":1790000000,"speed_mps":400}"#, "out_of_range: speed_mps: 400 is outside 0 to 340"),
    (
        r#"{"ts":1790000000,"tyre":"slick"}"#,
        "out_of_range: tyre: \"slick\" is none of summer, winter, all_season",
    ),
    (r#"{"ts":1790000000,"speed_mps":"3"}"#, "wrong_type: speed_mps: \"3\" is not a number"),
    (r#"{"ts":1790000000,"ignition":"on"}"#, "wrong_type: ignition: \"on\" is not true or false"),
    (r#"{"ts":1790000000,"ignition":2}"#, "wrong_type: ignition: 2 is not true or false"),
    (r#"{"ts":1790000000,"tyre":1}"#, "wrong_type: tyre: 1 is not a text"),
    (
        r#"{"ts":1790000000,"seq":-1,"steps":1}"#,
        "wrong_type: seq: -1.0 is not a whole number of 0 or more",
    ),
    (r#"{"ts":1790000000,"lat":"50","lon":6}"#, "wrong_type: lat: \"50\" is not a number"),
    (r#"{"ts":1790000000,"lat":50,"steps":1}"#, "no_valid_fix: lat was sent without lon"),
    (r#"{"ts":1790000000,"lon":6,"steps":1}"#, "no_valid_fix: lon was sent without lat"),
    (r#"{"ts":1790000000,"lat":91,"lon":6}"#, "no_valid_fix: lat 91, lon 6 is not on Earth"),
    (
        r#"{"ts":1790000000,"lat":0,"lon":-0.0,"steps":1}"#,
        "no_valid_fix: lat and lon are both 0; leave them out without a fix",
    ),
    (
        r#"{"ts":1790000000,"device":"car-02","steps":1}"#,
        "not_own_topic: device: \"car-02\" is not the topic's",
    ),
];

#[test]
fn the_sender_is_told_what_is_wrong() {
    for (payload, expected) in CASES {
        check(CAR, payload, &[expected]);
    }
    check(
        CAR,
        r#"{"ts":1790000000,"device":"car-01","steps":1}"#,
        &["2026-09-21T14:13:20Z steps=1"],
    );
    check(
        CAR,
        format!(r#"{{"ts":1790000000,"fault":"{}"}}"#, "x".repeat(65)),
        &[&format!("out_of_range: fault: {:?}… is longer than 64 bytes", "x".repeat(40))],
    );
    check(
        CAR,
        b"{\"ts\":1790000000,\"steps\":1,\"x\":\"\xff\"}",
        &["all: not_decodable: not UTF-8: invalid utf-8 sequence of 1 bytes from index 32"],
    );
    // {"ts": 1790000000, "speed_mps": NaN}
    check(
        CAR,
        b"\xa2\x62ts\x1a\x6a\xb1\x3b\x80\x69speed_mps\xf9\x7e\x00",
        &["not_decodable: speed_mps: NaN is no number"],
    );
    check(CAR, vec![b' '; MAX_PAYLOAD + 1], &["all: too_large: 65537 bytes, of at most 65536"]);
    check("telemetry/car", "{}", &["all: unknown_topic: no device publishes on this topic"]);
    check(
        "telemetry/bicycle/b-1",
        "{}",
        &["all: unknown_topic: the kind is none of thermostat, car, tracker, product"],
    );
    check(
        "telemetry/car/a b",
        "{}",
        &["all: unknown_topic: the device id is not 1 to 64 of A-Z a-z 0-9 . _ : -"],
    );
}

#[test]
fn every_reason_that_decoding_can_find_has_a_case() {
    let found = CASES.iter().map(|(payload, _)| (CAR, Bytes::from_static(payload.as_bytes())));
    let more = [
        (CAR, Bytes::from(vec![0; MAX_PAYLOAD + 1])),
        ("x", Bytes::new()),
        ("owntracks/jane/phone", Bytes::from_static(br#"{"_type":"encrypted","data":"QQ=="}"#)),
    ];
    let found: BTreeSet<Reason> = found
        .chain(more)
        .flat_map(|(topic, payload)| match decode(topic, &payload, NOW) {
            Ok(Decoded { readings, .. }) => readings.into_iter().filter_map(Result::err).collect(),
            Err((_, rejected)) => vec![rejected],
        })
        .map(|rejected| rejected.reason)
        .collect();
    let others = [
        Reason::UnknownDevice,
        Reason::NoOwner,
        Reason::NoConsent,
        Reason::RefusedByInflux,
        Reason::UnknownInsurer,
        Reason::Incomplete,
        Reason::NeedsQos1,
        Reason::NotInsured,
        Reason::UnknownTrigger,
        Reason::TooOld,
    ];
    let missing: Vec<_> =
        Reason::ALL.iter().filter(|reason| !found.contains(reason)).copied().collect();
    assert_eq!(missing, others, "those are decided further on, or are about reports");
}
