//! OwnTracks recorder files (`.rec`): a line is ISO time, relative topic and JSON, with tabs or
//! blanks between. Locations and transitions go out again as the phone sent them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::recording::{Body, Message, Recording};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "_type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

/// `base` is the topic of locations, `owntracks/{user}/{device}`.
pub(crate) fn read(text: &str, base: &str) -> Recording {
    let mut recording = Recording::default();
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}", index + 1);
        match read_line(line.trim(), base) {
            Ok(Some(message)) => recording.push(message, place),
            Ok(None) => recording.skipped += 1,
            Err(why) => recording.unusable.add(format!("{place}: {why}")),
        }
    }
    recording
}

/// `None` for what is not replayed: empty lines, and all but locations and transitions.
fn read_line(line: &str, base: &str) -> Result<Option<Message>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let json_start = line.find('{').ok_or("no JSON object: want time, topic and JSON")?;
    let (head, payload) = line.split_at(json_start);
    match head.split_whitespace().nth(1) {
        Some("*" | "event") => {}
        Some(_) => return Ok(None),
        None => return Err("no topic: want time, topic and JSON".to_owned()),
    }
    let sent =
        RawValue::from_string(payload.to_owned()).map_err(|error| format!("no JSON: {error}"))?;
    let kind: Payload = serde_json::from_str(sent.get()).map_err(|_| "no `_type`")?;
    // By type, not by the recorded topic: the recorder files what came over HTTP under `*`.
    let topic = match kind.kind.as_ref() {
        "location" => base.to_owned(),
        "transition" => format!("{base}/event"),
        _ => return Ok(None),
    };
    let at_ms = json::time_ms(sent.get())?;
    Ok(Some(Message { topic, at_ms, body: Body::Sent(sent) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REC: &str = "2015-08-24T08:09:59Z\t*                 \t{\"tst\":1440403798,\"acc\":5,\"_type\":\"location\",\"vel\":35,\"lat\":51.26004282389884,\"lon\":12.71}
2015-08-24T05:55:14Z\t-                 \t{\"tst\":\"1440363922\",\"_type\":\"lwt\"}
2024-03-01T18:40:10Z event             {\"_type\":\"transition\",\"event\":\"enter\",\"lat\":52.2,\"lon\":13.3,\"tst\":1440403799}

2024-03-01T18:26:55Z\t*\t{\"_type\":\"transition\",\"event\":\"leave\",\"lat\":52.2,\"lon\":13.3,\"tst\":\"1440403790\"}
2024-03-01T18:26:55Z\twaypoints\t{\"_type\":\"waypoint\",\"tst\":1}
2024-03-01T18:26:55Z\t*\t{\"_type\":\"location\",\"lat\":52.2
2024-03-01T18:26:55Z\t*\t{\"_type\":\"location\",\"lat\":52.2,\"lon\":13.3}
garbage";

    #[test]
    fn locations_and_transitions_are_replayed_in_the_order_recorded() {
        let recording = read(REC, "owntracks/replay/phone");
        let sent: Vec<_> = recording.messages.iter().map(|m| (m.topic.as_str(), m.at_ms)).collect();
        assert_eq!(
            sent,
            [
                ("owntracks/replay/phone", 1_440_403_798_000),
                ("owntracks/replay/phone/event", 1_440_403_799_000),
                ("owntracks/replay/phone/event", 1_440_403_790_000),
            ]
        );
        assert_eq!((recording.skipped, recording.out_of_order.count), (3, 1));
        assert_eq!(recording.unusable.count, 3);
        assert!(recording.unusable.first[0].starts_with("line 7: no JSON: "));
        assert!(recording.unusable.first[1].starts_with("line 8: no time"));
        assert!(recording.unusable.first[2].starts_with("line 9: no JSON object"));
    }

    #[test]
    fn the_payload_goes_out_as_it_was_but_for_its_times() {
        let recording = read(REC, "owntracks/replay/phone");
        assert!(REC.contains(&recording.messages[0].payload(0)));
        let moved = recording.messages[0].payload(2_000);
        assert!(
            moved.contains(r#""tst":1440403800"#) && moved.contains("51.26004282389884"),
            "{moved}"
        );
    }
}
