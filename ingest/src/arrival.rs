//! What crosses from the MQTT side into the pipeline.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

#[cfg(any(feature = "broker", feature = "collector"))]
use crate::Reason;
use crate::report::FromInsurer;
use crate::source::Outcome;
use crate::{DeviceKind, Reading, Rejected};

/// Who published, as far as the connection proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Nobody said who they are: allowed on loopback only, and believed.
    Anonymous,
    /// A device that may speak for itself only.
    Device(Arc<str>),
    /// An insurer: it reads triggers, and reports claims and the like.
    Insurer(Arc<str>),
}

/// What a message says, before anybody asked whether we may keep it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub device: Arc<str>,
    pub kind: DeviceKind,
    /// In the order they were sent.
    pub readings: Vec<Result<Reading, Rejected>>,
    /// Names in the message that are no documented measure.
    pub unknown_names: u32,
}

/// A message, by who says such things.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A device's. All of it may be unusable; then the device is known only if the topic names one.
    Device(Outcome),
    Insurer(FromInsurer),
}

impl Message {
    /// What a device said, if anything of it can be read.
    #[must_use]
    pub fn readings(&self) -> Option<&Decoded> {
        match self {
            Self::Device(Ok(decoded)) => Some(decoded),
            Self::Device(Err(_)) | Self::Insurer(_) => None,
        }
    }

    /// Why nothing of it can be used.
    #[must_use]
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Device(Err((_, rejected))) => Some(rejected),
            Self::Insurer(FromInsurer { report: Err(rejected), .. }) => Some(rejected),
            Self::Device(Ok(_)) | Self::Insurer(_) => None,
        }
    }

    /// What an insurer reports is worth an acknowledgement: without one it is not taken.
    #[cfg(any(feature = "broker", feature = "collector"))]
    pub(crate) fn acknowledged(mut self, acknowledged: bool, payload: &Bytes) -> Self {
        if let (false, Self::Insurer(FromInsurer { report: report @ Ok(_), .. })) =
            (acknowledged, &mut self)
        {
            let detail = "it came at QoS 0".to_owned();
            *report = Err(Rejected { reason: Reason::NeedsQos1, detail, raw: payload.clone() });
        }
        self
    }

    #[must_use]
    pub fn unknown_names(&self) -> u32 {
        match self {
            Self::Device(outcome) => outcome.as_ref().map_or(0, |decoded| decoded.unknown_names),
            Self::Insurer(message) => message.unknown_names,
        }
    }
}

impl From<Outcome> for Message {
    fn from(outcome: Outcome) -> Self {
        Self::Device(outcome)
    }
}

/// Fires when everything in the message has a durable outcome. Dropped unfired when it has not:
/// then the PUBACK must not be sent.
pub type Acknowledgement = oneshot::Sender<()>;

/// One MQTT message on its way into the journal.
#[derive(Debug)]
pub struct Arrival {
    /// The broker it came through: a collector's client id, or
    /// [`EMBEDDED`](crate::source::EMBEDDED).
    pub broker: Arc<str>,
    pub topic: Arc<str>,
    pub sender: Sender,
    pub payload: Bytes,
    pub decoded: Message,
    /// The row of the quarantine that it is another attempt at.
    pub retry_of: Option<i64>,
    /// By the pipeline's clock.
    pub received_ms: i64,
    /// For latencies.
    pub received: Instant,
    pub acknowledge: Acknowledgement,
}
