//! What crosses from the MQTT side into the pipeline.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{DeviceKind, Reading, Rejected};

/// Who published, as far as the connection proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Nobody said who they are: allowed on loopback only, and believed.
    Anonymous,
    /// A device that may speak for itself only.
    Device(Arc<str>),
    /// An insurer: it reads triggers and has no readings to send.
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
    /// The whole message may be unusable; then the device is known only if the topic names one.
    pub decoded: Result<Decoded, (Option<Arc<str>>, Rejected)>,
    /// The row of the quarantine that it is another attempt at.
    pub retry_of: Option<i64>,
    /// By the pipeline's clock.
    pub received_ms: i64,
    /// For latencies.
    pub received: Instant,
    pub acknowledge: Acknowledgement,
}
