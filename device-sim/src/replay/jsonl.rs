//! JSON lines: one native reading (or array of readings) a line, or
//! `{"topic": …, "payload": …}` to publish under another topic.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::recording::{Body, Message, Recording};

#[derive(Deserialize)]
struct Addressed {
    topic: String,
    payload: Box<RawValue>,
}

/// `topic` is for the lines that name none.
pub(crate) fn read(text: &str, topic: &str) -> Recording {
    let mut recording = Recording::default();
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}", index + 1);
        if line.trim().is_empty() {
            recording.skipped += 1;
            continue;
        }
        match read_line(line.trim(), topic) {
            Ok(message) => recording.push(message, place),
            Err(why) => recording.unusable.add(format!("{place}: {why}")),
        }
    }
    recording
}

fn read_line(line: &str, topic: &str) -> Result<Message, String> {
    let Addressed { topic, payload } = match serde_json::from_str(line) {
        Ok(addressed) => addressed,
        Err(_) => Addressed {
            topic: topic.to_owned(),
            payload: RawValue::from_string(line.to_owned())
                .map_err(|error| format!("no JSON: {error}"))?,
        },
    };
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(format!("nothing can be published under the topic `{topic}`"));
    }
    let at_ms = json::time_ms(payload.get())?;
    Ok(Message { topic, at_ms, body: Body::Sent(payload) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_readings_of_the_device_or_say_their_topic() {
        let text = r#"{"ts":1,"indoor_c":20.5}
[{"ts":2,"indoor_c":21},{"ts":3,"indoor_c":21}]

{"topic":"owntracks/a/b","payload":{"_type":"location","tst":9}}
"#;
        let recording = read(text, "telemetry/thermostat/t-1");
        let sent: Vec<_> =
            recording.messages.iter().map(|m| (m.topic.as_str(), m.at_ms, m.payload(0))).collect();
        let own = "telemetry/thermostat/t-1";
        assert_eq!(
            sent,
            [
                (own, 1_000, r#"{"ts":1,"indoor_c":20.5}"#.to_owned()),
                (own, 3_000, r#"[{"ts":2,"indoor_c":21},{"ts":3,"indoor_c":21}]"#.to_owned()),
                ("owntracks/a/b", 9_000, r#"{"_type":"location","tst":9}"#.to_owned()),
            ]
        );
    }

    #[test]
    fn lines_that_cannot_be_used_are_noted_with_their_number() {
        let text = "{\"ts\":1}\nnonsense\n{\"lat\":1}\n{\"topic\":\"a/#\",\"payload\":{\"ts\":1}}";
        let recording = read(text, "t");
        assert_eq!(recording.messages.len(), 1);
        let notes = recording.unusable.first;
        assert!(notes[0].starts_with("line 2: no JSON"), "{notes:?}");
        assert!(notes[1].starts_with("line 3: no time"), "{notes:?}");
        assert!(notes[2].starts_with("line 4: nothing can be published"), "{notes:?}");
    }
}
