//! What a recording holds, whatever file it came from.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::json;

/// The messages of a file in the order they were recorded, and what was wrong with the rest.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) messages: Vec<Message>,
    /// Points and lines without a time or not readable: not published.
    pub(crate) unusable: Notes,
    /// Messages not later than the one before: published all the same, as devices do send them.
    pub(crate) out_of_order: Notes,
    /// Lines that are fine and of a kind that is not replayed.
    pub(crate) skipped: usize,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    /// When it was recorded, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Fix(Fix),
    /// JSON as a device sent it.
    Sent(Box<RawValue>),
}

/// A point of a track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fix {
    /// Counts the points of the track from 1.
    pub(crate) seq: u64,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    /// Tracks record none; what the command line says.
    pub(crate) accuracy_m: f64,
    pub(crate) altitude_m: Option<f64>,
    pub(crate) speed_mps: Option<f64>,
}

/// Remarks about a file: all counted, the first few kept for people to read.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) count: usize,
    pub(crate) first: Vec<String>,
}

/// More lines than this say nothing new about what is wrong with a file.
const NOTES_KEPT: usize = 20;

impl Notes {
    pub(crate) fn add(&mut self, note: impl std::fmt::Display) {
        self.count += 1;
        if self.first.len() < NOTES_KEPT {
            self.first.push(note.to_string());
        }
    }
}

impl Recording {
    /// Adds a message; `place` says where it stands in the file.
    pub(crate) fn push(&mut self, message: Message, place: impl std::fmt::Display) {
        if let Some(before) = self.messages.last().filter(|before| message.at_ms <= before.at_ms) {
            let by_ms = before.at_ms - message.at_ms;
            self.out_of_order.add(match by_ms {
                0 => format!("{place}: same time as the one before"),
                _ => format!("{place}: {} s earlier than the one before", by_ms as f64 / 1e3),
            });
        }
        self.messages.push(message);
    }
}

impl Message {
    /// What goes out, with every time moved by `shift_ms`.
    pub(crate) fn payload(&self, shift_ms: i64) -> String {
        match &self.body {
            Body::Fix(fix) => fix.payload(self.at_ms.saturating_add(shift_ms)),
            Body::Sent(sent) => json::shifted(sent.get(), shift_ms),
        }
    }
}

impl Fix {
    fn payload(&self, at_ms: i64) -> String {
        #[derive(serde::Serialize)]
        struct Payload<'a> {
            ts: &'a str,
            seq: u64,
            lat: f64,
            lon: f64,
            accuracy_m: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            altitude_m: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            speed_mps: Option<f64>,
        }
        let Self { seq, lat, lon, accuracy_m, altitude_m, speed_mps } = *self;
        let ts = &rfc3339(at_ms);
        let payload = Payload { ts, seq, lat, lon, accuracy_m, altitude_m, speed_mps };
        serde_json::to_string(&payload).unwrap_or_default()
    }

    /// Whether it lies on Earth.
    pub(crate) fn is_valid(&self) -> bool {
        (-90.0..=90.0).contains(&self.lat) && (-180.0..=180.0).contains(&self.lon)
    }
}

pub(crate) fn rfc3339(at_ms: i64) -> String {
    let clamped = at_ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    Timestamp::from_millisecond(clamped).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_becomes_a_native_reading() {
        let fix = Fix {
            seq: 7,
            lat: 47.547253,
            lon: 9.735835,
            accuracy_m: 10.0,
            altitude_m: Some(409.7),
            speed_mps: None,
        };
        let at_ms = 1_653_723_889_000;
        let message = Message { topic: String::new(), at_ms, body: Body::Fix(fix) };
        assert_eq!(
            message.payload(1_500),
            r#"{"ts":"2022-05-28T07:44:50.5Z","seq":7,"lat":47.547253,"lon":9.735835,"accuracy_m":10.0,"altitude_m":409.7}"#
        );
    }

    #[test]
    fn late_and_doubled_messages_are_noted_and_kept() {
        let mut recording = Recording::default();
        for (place, at_ms) in [(1, 5_000), (2, 5_000), (3, 3_500), (4, 9_000)] {
            let sent = RawValue::from_string("{}".to_owned()).unwrap();
            recording.push(Message { topic: String::new(), at_ms, body: Body::Sent(sent) }, place);
        }
        assert_eq!(recording.messages.len(), 4);
        assert_eq!(recording.out_of_order.count, 2);
        assert_eq!(
            recording.out_of_order.first,
            ["2: same time as the one before", "3: 1.5 s earlier than the one before"]
        );
    }
}
