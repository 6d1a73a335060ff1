//! A message before it has its place in the outbox.

use enrich::trigger::{CloudEvent, DATASCHEMA, SOURCE, Status, Subject, TriggerData};
use jiff::Timestamp;

pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) subject: Subject,
    pub(crate) customer: u32,
    pub(crate) event: i64,
    pub(crate) data: TriggerData,
    pub(crate) evidence: String,
}

impl Message {
    pub(crate) fn event(
        &self,
        now_ms: i64,
        status: Status,
        revision: u32,
        sequence: Option<i64>,
    ) -> CloudEvent {
        CloudEvent {
            specversion: "1.0".to_owned(),
            id: self.id.clone(),
            source: SOURCE.to_owned(),
            kind: kind(status),
            subject: self.subject.subject.clone(),
            time: timestamp(now_ms),
            datacontenttype: "application/json".to_owned(),
            dataschema: DATASCHEMA.to_owned(),
            sequence: sequence.map_or_else(String::new, sequence_text),
            revision,
            data: self.data.clone(),
        }
    }
}

pub(crate) fn kind(status: Status) -> String {
    format!("io.datanaut.trigger.{}", status.name())
}

/// Zero-padded, so that text sorts as numbers do.
pub(crate) fn sequence_text(sequence: i64) -> String {
    format!("{sequence:020}")
}

pub(crate) fn timestamp(now_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
