//! `telemetry/{kind}/{device}`: JSON and CBOR.

use bytes::Bytes;
use ingest::formats::{MAX_PAYLOAD, decode};
use ingest::{DeviceKind, Reason};

use super::{CAR, NOW, check};

const TS: &str = r#""ts":1790000000"#;
const AT: &str = "2026-09-21T14:13:20Z";

#[test]
fn a_car_reports_position_and_measures() {
    check(
        CAR,
        r#"{"ts":"2026-09-21T16:13:20.5+02:00","seq":7,"lat":50.7753455,"lon":6.0838868,
            "accuracy_m":4.2,"tyre":"Winter","speed_mps":27.83,"ignition":true,"abs_active":0}"#,
        &["2026-09-21T14:13:20.5Z #7 50.7753455,6.0838868±4.2 \
           speed_mps=27.83 tyre=winter ignition=true abs_active=false"],
    );
}

#[test]
fn the_topic_names_kind_and_device_and_strange_names_are_counted() {
    let payload = Bytes::from(format!(r#"[{{{TS},"steps":1,"x":{{"y":[1]}}}},{{{TS},"z":null}}]"#));
    let decoded = decode("telemetry/product/kettle", &payload, NOW).unwrap();
    assert_eq!((&*decoded.device, decoded.kind), ("kettle", DeviceKind::Product));
    assert_eq!(decoded.unknown_names, 2);
}

#[test]
fn null_and_empty_text_count_as_not_sent() {
    check(
        "telemetry/thermostat/t",
        format!(r#"{{{TS},"indoor_c":19.5,"setpoint_c":null,"fault":"","lat":null,"lon":null}}"#),
        &[&format!("{AT} indoor_c=19.5")],
    );
}

#[test]
fn an_accuracy_of_zero_or_less_is_unknown() {
    for accuracy in ["0", "-1", "1e39", "null"] {
        check(
            CAR,
            format!(r#"{{{TS},"lat":50,"lon":6,"accuracy_m":{accuracy}}}"#),
            &[&format!("{AT} 50,6")],
        );
    }
}

#[test]
fn minus_zero_is_zero() {
    check(CAR, format!(r#"{{{TS},"ambient_c":-0.0}}"#), &[&format!("{AT} ambient_c=0")]);
}

#[test]
fn a_bad_reading_spoils_only_itself_and_is_kept_as_sent() {
    let payload = Bytes::from(format!(
        r#"[{{{TS},"speed_mps":1}}, {{{TS}, "speed_mps":1e400}} ,7,{{{TS},"speed_mps":-1}}]"#
    ));
    let decoded = decode(CAR, &payload, NOW).unwrap();
    let rejected: Vec<_> = decoded.readings.iter().filter_map(|one| one.as_ref().err()).collect();
    let reasons: Vec<_> = rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, [Reason::NotDecodable, Reason::NotDecodable, Reason::OutOfRange]);
    assert_eq!(rejected[0].raw, format!(r#"{{{TS}, "speed_mps":1e400}}"#));
    assert_eq!(rejected[1].raw, "7");
    assert_eq!(rejected[2].raw, format!(r#"{{{TS},"speed_mps":-1}}"#));
    assert!(decoded.readings[0].is_ok());
}

#[test]
fn cbor_says_the_same() {
    // {"ts": 1(1790000000), "lat": 50.5, "lon": 6, "speed_mps": 1.5_1}
    let map = b"\xa4\x62ts\xc1\x1a\x6a\xb1\x3b\x80\x63lat\xf9\x52\x50\x63lon\x06\
                \x69speed_mps\xf9\x3e\x00";
    let line = format!("{AT} 50.5,6 speed_mps=1.5");
    check(CAR, map, &[&line]);
    check(CAR, [b"\xd9\xd9\xf7", map.as_slice()].concat(), &[&line]);
    check(CAR, [b"\x82", map.as_slice(), map].concat(), &[&line, &line]);
    check(CAR, [b"\x9f", map.as_slice(), b"\xff"].concat(), &[&line]);
    // {_ "ts": 0("2026-09-21T14:13:20Z"), "steps": 2(h'05'), "fault": undefined}
    check(
        CAR,
        b"\xbf\x62ts\xc0\x742026-09-21T14:13:20Z\x65steps\xc2\x41\x05\x65fault\xf7\xff",
        &[&format!("{AT} steps=5")],
    );
}

#[test]
fn a_bad_cbor_reading_is_kept_as_sent() {
    // [{"steps": 1}, {1: 2}, {"ts": 1790000000, "steps": 1}]
    let payload = Bytes::from_static(
        b"\x83\xa1\x65steps\x01\xa1\x01\x02\xa2\x62ts\x1a\x6a\xb1\x3b\x80\x65steps\x01",
    );
    let decoded = decode(CAR, &payload, NOW).unwrap();
    let [Err(no_time), Err(no_text), Ok(_)] = decoded.readings.as_slice() else {
        panic!("{:?}", decoded.readings)
    };
    assert_eq!((no_time.reason, &no_time.raw[..]), (Reason::NoTime, &b"\xa1\x65steps\x01"[..]));
    assert_eq!((no_text.reason, &no_text.raw[..]), (Reason::NotDecodable, &b"\xa1\x01\x02"[..]));
}

/// Depth and lengths that a message only claims must cost neither stack nor memory.
#[test]
fn hostile_payloads_are_refused_cheaply() {
    let deep = |open: &[u8]| open.repeat(MAX_PAYLOAD / open.len());
    let hidden = format!(r#"{{{TS},"steps":1,"x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    check(CAR, hidden, &[&format!("{AT} steps=1")]);
    let claims: [&[u8]; 6] = [
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\xa0",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01",
        b"\xa1\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x62ts\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9c",
        b"\xa0\xa0",
    ];
    let deep = [deep(b"["), deep(br#"{"a":"#), deep(b"\x81"), deep(b"\xa1\x61a"), deep(b"\x9f")];
    let tags = [b"\xa1\x62ts".as_slice(), &b"\xc1".repeat(60_000)].concat();
    for payload in claims.into_iter().chain(deep.iter().map(Vec::as_slice)).chain([&tags[..]]) {
        let outcome = decode(CAR, &Bytes::copy_from_slice(payload), NOW);
        let (device, rejected) = outcome.expect_err("hostile");
        assert_eq!(rejected.reason, Reason::NotDecodable, "{}", rejected.detail);
        assert_eq!(device.as_deref(), Some("car-01"));
        assert_eq!(rejected.raw, payload, "kept as sent");
    }
}
