//! What the OwnTracks apps and trackers publish.

use bytes::Bytes;
use ingest::DeviceKind;
use ingest::formats::decode;

use super::{NOW, PHONE, check};

/// 2026-09-21T14:13:20Z, and how it is shown.
const TST: &str = r#""tst":1790000000"#;
const AT: &str = "2026-09-21T14:13:20Z";

#[test]
fn a_phone_reports_its_location() {
    check(
        PHONE,
        r#"{"bs":1,"p":100.28,"batt":94,"_type":"location","tid":"RO","topic":"owntracks/test/x",
            "alt":36,"lon":13.333,"t":"p","vel":5,"BSSID":"b0:f2:8:45:94:33","conn":"w",
            "SSID":"Home Wifi","vac":3,"cog":98,"acc":9,"tst":1709315162,"lat":52.226,"m":1,
            "inrids":["5f1d1b"],"inregions":["home"],"_http":true,"created_at":1709318940,
            "motionactivities":["stationary","automotive"]}"#,
        &["2024-03-01T17:46:02Z 52.226,13.333±9 speed_mps=1.389 course_deg=98 altitude_m=36 \
           battery_pct=94 activity=driving pressure_pa=100280"],
    );
}

#[test]
fn the_device_is_the_recorders_key_and_a_tracker() {
    let payload = Bytes::from(format!(r#"{{"_type":"location","lat":52.2,"lon":13.3,{TST}}}"#));
    let decoded = decode(PHONE, &payload, NOW).unwrap();
    assert_eq!((&*decoded.device, decoded.kind), ("jane-iphone-12-pro", DeviceKind::Tracker));
}

#[test]
fn negative_is_unknown_and_left_out_is_not_zero() {
    let line = format!("{AT} 52.2,13.3 altitude_m=-4");
    check(
        PHONE,
        format!(
            r#"{{"_type":"location","lat":52.2,"lon":13.3,{TST},"acc":-1,"vel":-1,"cog":-1,
                "batt":-100,"alt":-4,"motionactivities":["unknown"]}}"#
        ),
        &[&line],
    );
    check(
        PHONE,
        format!(r#"{{"_type":"location","lat":52.2,"lon":13.3,{TST},"alt":-4,"acc":0}}"#),
        &[&line],
    );
    check(
        PHONE,
        format!(r#"{{"_type":"location","lat":52.2,"lon":13.3,{TST},"alt":-4,"vel":0}}"#),
        &[&format!("{AT} 52.2,13.3 speed_mps=0 altitude_m=-4")],
    );
}

#[test]
fn numbers_may_be_texts() {
    check(
        PHONE,
        r#"{"_type":"location","lat":"52.2","lon":"13.3","tst":"1790000000","vel":36}"#,
        &[&format!("{AT} 52.2,13.3 speed_mps=10")],
    );
}

#[test]
fn a_queclink_tracker_knows_its_vehicle() {
    check(
        PHONE,
        format!(
            r#"{{"_type":"location","lat":52.2,"lon":13.3,{TST},"odometer":48211.537,"ign":true,
                "flvl":61.5,"vin":"WVWZZZ","rpm":1800,"ubatt":4.1,"temp_c-01":21.5,"t":"h"}}"#
        ),
        &[&format!("{AT} 52.2,13.3 odometer_m=48211537 ignition=true fuel_pct=61.5")],
    );
}

#[test]
fn regions_are_entered_and_left() {
    let topic = &format!("{PHONE}/event");
    check(
        topic,
        r#"{"lon":13.334,"acc":5,"wtst":1696359532,"event":"leave","rid":"5f1d1b","desc":"home",
            "lat":52.227,"t":"c","tst":1709317615,"tid":"RO","_type":"transition"}"#,
        &[r#"2024-03-01T18:26:55Z 52.227,13.334±5 region_event=leave region="home""#],
    );
    check(
        topic,
        format!(r#"{{"_type":"transition","event":"enter","rid":"5f1d1b","t":"b",{TST}}}"#),
        &[&format!(r#"{AT} region_event=enter region="5f1d1b""#)],
    );
    check(
        topic,
        format!(r#"{{"_type":"transition","event":"dwell",{TST}}}"#),
        &[r#"out_of_range: event: region_event "dwell" is none of enter, leave"#],
    );
    check(
        topic,
        format!(r#"{{"_type":"transition","lat":52.2,"lon":13.3,{TST}}}"#),
        &["all: nothing_measured: a transition without event"],
    );
}

#[test]
fn steps_are_counted_over_their_period() {
    let topic = &format!("{PHONE}/step");
    check(
        topic,
        r#"{"_type":"steps","tst":1790000000,"steps":8211,"from":1789948800,"to":1790000000}"#,
        &[&format!("{AT} steps=8211 steps_period_s=51200")],
    );
    check(
        topic,
        r#"{"_type":"steps","tst":1790000000,"steps":900,"from":1789948800,"to":1789952400}"#,
        &["2026-09-21T01:00:00Z steps=900 steps_period_s=3600"],
    );
    check(
        topic,
        r#"{"_type":"steps","tst":1790000000,"steps":8211,"from":1789948800,"to":1790035200}"#,
        &[&format!("{AT} steps=8211 steps_period_s=51200")],
    );
    check(topic, r#"{"_type":"steps","tst":1790000000,"steps":-1,"from":1,"to":2}"#, &[]);
}

#[test]
fn types_without_a_reading_are_no_error() {
    for (level, payload) in [
        ("", r#"{"_type":"lwt","tst":"1440363922"}"#),
        ("/info", r#"{"_type":"card","name":"Jane","tid":"JA","face":"iVBORw0KGgo="}"#),
        ("/waypoint", r#"{"_type":"waypoint","desc":"Home","lat":52,"lon":13,"rad":50,"tst":1}"#),
        ("/waypoints", r#"{"_type":"waypoints","waypoints":[{"_type":"waypoint"}]}"#),
        ("/cmd", r#"{"_type":"cmd","action":"reportLocation"}"#),
        ("/dump", r#"{"_type":"dump","configuration":{"_type":"configuration"}}"#),
        ("/status", r#"{"_type":"status","iOS":{"version":"18"}}"#),
        ("/beacon", r#"{"_type":"beacon","uuid":"CA27","major":1,"minor":2,"tst":1}"#),
        ("/new", r#"{"_type":"from a later version","tst":{}}"#),
    ] {
        check(&format!("{PHONE}{level}"), payload, &[]);
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    for (payload, expected) in [
        (r#"{"_type":"encrypted","data":"aGVsbG8="}"#, "all: encrypted: _type is encrypted"),
        (r#"{"lat":52,"lon":13,"tst":1}"#, "all: not_decodable: _type is missing"),
        (
            r#"{"_type":"location","batt":90,"tst":0}"#,
            "all: no_valid_fix: a location without lat and lon",
        ),
        (
            r#"{"_type":"location","lat":52,"lon":13}"#,
            "no_time: no time was sent (ts; OwnTracks: tst)",
        ),
        (
            r#"{"_type":"location","lat":52,"lon":13,"tst":1790000000,"vel":2000}"#,
            "out_of_range: vel: speed_mps 555.556 is outside 0 to 340",
        ),
        (
            r#"{"_type":"location","lat":52,"lat":53,"lon":13,"tst":1790000000}"#,
            "all: not_decodable: not OwnTracks: duplicate field `lat` at line 1 column 34",
        ),
        ("[]", "all: not_decodable: neither a JSON object nor a line of 10 columns"),
        ("", "all: not_decodable: neither a JSON object nor a line of 10 columns"),
    ] {
        check(PHONE, payload, &[expected]);
    }
}

#[test]
fn a_greenwich_tracker_sends_a_line() {
    check(
        PHONE,
        "X0,542A46AA,k,30365854,7575769,26,4,7,5,872",
        &["2014-09-30T05:59:06Z 30.365854,7.575769 speed_mps=1.111 course_deg=260 altitude_m=70"],
    );
    check(
        PHONE,
        "X0,542A46AA,k,30365854,x,26,4,7,5,872",
        &["all: not_decodable: LON is not a number"],
    );
    check(
        PHONE,
        "X0,542A46AA,k,30365854",
        &["all: not_decodable: neither a JSON object nor a line of 10 columns"],
    );
}

/// Every line of real recordings is used or skipped, none refused.
#[test]
fn real_recordings_are_understood() {
    let Ok(shared) = std::env::var("DATANAUT_SHARED") else {
        println!("DATANAUT_SHARED is not set: no recordings to read");
        return;
    };
    for (file, readings) in [("demo-iphone.rec", 23), ("dawarich_2024-03.rec", 11)] {
        let path = format!("{shared}/data/owntracks/{file}");
        let lines = std::fs::read_to_string(&path).expect("the recording is readable");
        let mut found = 0;
        for line in lines.lines() {
            let payload = &line[line.find('{').expect("each line has a message")..];
            let decoded = decode(PHONE, &Bytes::copy_from_slice(payload.as_bytes()), NOW);
            let decoded = decoded.expect("the message is understood");
            found += decoded.readings.len();
            for reading in decoded.readings {
                let reading = reading.expect("the reading is usable");
                assert!(
                    reading.fix.is_some()
                        && reading.number(ingest::Measure::SpeedMps) != Some(-1.0)
                );
            }
        }
        assert_eq!(found, readings, "{file}");
    }
}
