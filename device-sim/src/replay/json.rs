//! Times in JSON that a device once sent: reading them, and moving them without touching anything
//! else in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::recording::rfc3339;

/// Values stay as they were written, to the last digit.
type Object<'a> = BTreeMap<&'a str, &'a RawValue>;

const TIMES: [&str; 3] = ["ts", "tst", "time"];

/// The time of a native reading (`ts`; of several in an array, the latest), an OwnTracks message
/// (`tst`) or an insurer's (`time`, of a booked trip `from`), in milliseconds since 1970.
///
/// # Errors
/// When it has none, or none that can be read.
pub(crate) fn time_ms(json: &str) -> Result<i64, String> {
    if json.trim_start().starts_with('[') {
        let readings: Vec<&RawValue> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let times = readings.iter().map(|reading| time_ms(reading.get()));
        return times.collect::<Result<Vec<_>, _>>()?.into_iter().max().ok_or("empty array".into());
    }
    let object: Object =
        serde_json::from_str(json).map_err(|error| format!("no JSON object: {error}"))?;
    let (key, time) = TIMES
        .iter()
        .chain(&["from"])
        .find_map(|key| object.get_key_value(key))
        .ok_or("no time: `ts` (OwnTracks: `tst`) is missing")?;
    value_ms(time.get()).ok_or_else(|| format!("`{key}` is no time: {}", time.get()))
}

/// The same JSON with its times moved by `shift_ms` (`from` and `to` where they are all it has); `tst`
/// and `created_at` come out in seconds, the others in RFC 3339, rounded down so that nothing lies ahead of its time.
pub(crate) fn shifted(json: &str, shift_ms: i64) -> String {
    if shift_ms == 0 {
        return json.to_owned();
    }
    if json.trim_start().starts_with('[') {
        let readings: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        let moved: Vec<_> =
            readings.iter().map(|reading| shifted(reading.get(), shift_ms)).collect();
        return format!("[{}]", moved.join(","));
    }
    let object: Object = serde_json::from_str(json).unwrap_or_default();
    let is_trip = !TIMES.iter().any(|key| object.contains_key(key));
    let members: Vec<_> = object
        .iter()
        .map(|(key, value)| match (is_trip, *key) {
            (true, "from" | "to") => format!("{key:?}:{}", moved("time", value.get(), shift_ms)),
            _ => format!("{key:?}:{}", moved(key, value.get(), shift_ms)),
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn moved(key: &str, value: &str, shift_ms: i64) -> String {
    let time = || value_ms(value).map(|ms| ms.saturating_add(shift_ms));
    let moved = match key {
        "ts" | "time" => time().map(|ms| format!("\"{}\"", rfc3339(ms))),
        "tst" | "created_at" => time().map(|ms| ms.div_euclid(1_000).to_string()),
        _ => None,
    };
    moved.unwrap_or_else(|| value.to_owned())
}

/// RFC 3339, or an epoch as a number or a numeric string: below 10¹¹ in seconds, else in
/// milliseconds.
pub(crate) fn value_ms(value: &str) -> Option<i64> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Time {
        Number(f64),
        Text(String),
    }
    let number = match serde_json::from_str(value).ok()? {
        Time::Number(number) => number,
        Time::Text(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                return text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            }
        },
    };
    let ms = if number.abs() < 1e11 { number * 1e3 } else { number };
    let known = Timestamp::MIN.as_millisecond() as f64..=Timestamp::MAX.as_millisecond() as f64;
    known.contains(&ms).then(|| ms.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_653_739_200_000;

    #[test]
    fn every_way_to_write_a_time_is_read() {
        for ts in [
            r#""2022-05-28T12:00:00Z""#,
            r#""2022-05-28T14:00:00+02:00""#,
            "1653739200",
            "1653739200.0",
            "1653739200000",
            r#""1653739200""#,
        ] {
            assert_eq!(time_ms(&format!(r#"{{"ts":{ts}}}"#)), Ok(NOON_MS), "{ts}");
        }
        assert_eq!(time_ms(r#"{"_type":"lwt","tst":"1653739200"}"#), Ok(NOON_MS));
        assert_eq!(time_ms(r#"[{"ts":1},{"ts":1653739200},{"ts":2}]"#), Ok(NOON_MS));
    }

    #[test]
    fn json_without_a_time_says_what_is_missing() {
        for (json, expect) in [
            ("{}", "no time"),
            ("[]", "empty array"),
            ("7", "no JSON object"),
            (r#"{"ts":"noon"}"#, "`ts` is no time: \"noon\""),
            (r#"{"ts":1e300}"#, "`ts` is no time"),
            (r#"{"ts":null}"#, "`ts` is no time"),
            (r#"{"ts":"2022-05-28T12:00:00"}"#, "`ts` is no time"),
        ] {
            let error = time_ms(json).unwrap_err();
            assert!(error.contains(expect), "{json}: {error}");
        }
    }

    #[test]
    fn only_times_change() {
        let json = r#"{ "lat":52.0000000000000001, "ts":1653739200,"note":"a \"b\"" }"#;
        assert_eq!(
            shifted(json, 250),
            r#"{"lat":52.0000000000000001,"note":"a \"b\"","ts":"2022-05-28T12:00:00.25Z"}"#
        );
        assert_eq!(shifted(json, 0), json);
        assert_eq!(
            shifted(r#"{"_type":"location","tst":100,"created_at":"160"}"#, 10_999),
            r#"{"_type":"location","created_at":170,"tst":110}"#
        );
        assert_eq!(
            shifted(r#"[{"ts":1},{"ts":2}]"#, 1_000),
            r#"[{"ts":"1970-01-01T00:00:02Z"},{"ts":"1970-01-01T00:00:03Z"}]"#
        );
        // A booked trip moves as a whole; where something has another time, `from` may be anything.
        let trip = r#"{"from":"2026-01-14T12:00:00Z","id":"T-1","to":"2026-01-21T12:00:00Z"}"#;
        assert_eq!(time_ms(trip), Ok(1_768_392_000_000));
        assert_eq!(
            shifted(trip, 86_400_000),
            trip.replace("01-14", "01-15").replace("01-21", "01-22")
        );
        let other = r#"{"from":"2026-01-14T12:00:00Z","ts":1}"#;
        assert!(shifted(other, 1_000).contains("2026-01-14T12:00:00Z"));
    }
}
