//! CSV: a native reading a line, whose members are named in the first line. The names that others
//! use for time and place are understood.

use anyhow::{Context, Result, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::json;
use super::recording::{Body, Message, Recording};

/// Other names in the first line, in lower case, and what they are in a reading.
const NAMES: [(&str, &str); 10] = [
    ("time", "ts"),
    ("timestamp", "ts"),
    ("datetime", "ts"),
    ("latitude", "lat"),
    ("longitude", "lon"),
    ("lng", "lon"),
    ("altitude", "altitude_m"),
    ("ele", "altitude_m"),
    ("accuracy", "accuracy_m"),
    ("speed", "speed_mps"),
];

/// # Errors
/// When the first line names no time.
pub(super) fn read(text: &str, topic: &str) -> Result<Recording> {
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let names: Vec<_> = reader.headers().context("not CSV")?.iter().map(member).collect();
    ensure!(
        names.iter().any(|name| name == "ts"),
        "the first line names no time: it needs a column ts (or time, timestamp), and commas between columns"
    );
    let mut recording = Recording::default();
    for (index, record) in reader.records().enumerate() {
        let line = record.as_ref().ok().and_then(StringRecord::position).map(csv::Position::line);
        let place = format!("line {}", line.unwrap_or(index as u64 + 2));
        match record
            .map_err(|error| error.to_string())
            .and_then(|record| message(&names, &record, topic))
        {
            Ok(message) => recording.push(message, place),
            Err(why) => recording.unusable.add(format!("{place}: {why}")),
        }
    }
    Ok(recording)
}

fn member(name: &str) -> String {
    let lower = name.to_lowercase();
    let known = NAMES.iter().find(|(other, _)| *other == lower);
    known.map_or(lower, |(_, member)| (*member).to_owned())
}

fn message(names: &[String], record: &StringRecord, topic: &str) -> Result<Message, String> {
    let cells = names.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
    let reading: Map<_, _> = cells.map(|(name, cell)| (name.clone(), value(cell))).collect();
    let text = Value::Object(reading).to_string();
    let at_ms = json::time_ms(&text)?;
    let sent = RawValue::from_string(text).map_err(|error| error.to_string())?;
    Ok(Message { topic: topic.to_owned(), at_ms, body: Body::Sent(sent) })
}

/// Numbers and flags as such, all else as text.
fn value(cell: &str) -> Value {
    match cell {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match cell.parse::<Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(cell.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn columns_become_members_and_empty_cells_nothing() {
        let text = "time,latitude,Longitude,speed_mps,ignition,tyre\n\
            2026-01-15T12:00:00Z,51.4,6.2,12.5,true,winter\n\
            1768478401,51.4,6.2,,false,\n";
        let recording = read(text, "telemetry/car/car-01").unwrap();
        let sent: Vec<_> = recording.messages.iter().map(|m| (m.at_ms, m.payload(0))).collect();
        assert_eq!(
            sent,
            [
                (1_768_478_400_000, r#"{"ignition":true,"lat":51.4,"lon":6.2,"speed_mps":12.5,"ts":"2026-01-15T12:00:00Z","tyre":"winter"}"#.to_owned()),
                (1_768_478_401_000, r#"{"ignition":false,"lat":51.4,"lon":6.2,"ts":1768478401}"#.to_owned()),
            ]
        );
        assert!(recording.messages[1].payload(1_000).contains("2026-01-15T12:00:02Z"));
    }

    #[test]
    fn lines_that_cannot_be_used_are_noted_and_a_file_without_times_is_refused() {
        let recording = read("ts,lat\nnoon,1\n,2\n5,3\n5,3,9\n", "t").unwrap();
        assert_eq!(recording.messages.len(), 1);
        let notes = recording.unusable.first;
        assert!(notes[0].starts_with("line 2: `ts` is no time"), "{notes:?}");
        assert!(notes[1].starts_with("line 3: no time"), "{notes:?}");
        assert!(notes[2].starts_with("line 5: "), "{notes:?}");
        let error = read("lat,lon\n1,2\n", "t").unwrap_err();
        assert!(error.to_string().contains("names no time"), "{error}");
    }
}
