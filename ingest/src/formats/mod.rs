//! The wire formats, one file each: payloads become [`Reading`](crate::Reading)s.
//!
//! [`native`] and [`owntracks`] (with [`greenwich`], its one line of CSV) read [`scalar`] values
//! into a [`draft`], which checks them and the [`time`]. What devices may send is documented in
//! docs/formats.md.

mod draft;
mod greenwich;
mod native;
mod owntracks;
mod scalar;
mod time;

use std::sync::Arc;

use bytes::Bytes;

use self::draft::{Draft, Problem};
use crate::topic::{Route, route};
use crate::{Decoded, DeviceKind, Reason, Rejected};

/// Longest payload that is looked into: some 400 readings. What is longer waits on the device,
/// and the memory of one message stays bounded.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Decodes and validates a message that arrived on `topic` at `now_ms`.
///
/// A message without readings and without error (an OwnTracks type that carries none) decodes to
/// no readings: it is acknowledged and counts nothing.
///
/// # Errors
/// When the message as a whole is unusable, which counts as one reading; with the device, where
/// the topic names one. A bad reading among others is an error among [`Decoded::readings`].
pub fn decode(
    topic: &str,
    payload: &Bytes,
    now_ms: i64,
) -> Result<Decoded, (Option<Arc<str>>, Rejected)> {
    let whole = |problem: Problem| rejected(problem, payload.clone());
    let (device, kind, format) = match route(topic) {
        Route::Telemetry { kind, device } => (device, kind, Format::Native),
        Route::OwnTracks { device } => (device, DeviceKind::Tracker, Format::OwnTracks),
        Route::Unknown { device, detail } => {
            return Err((device, whole(Problem::new(Reason::UnknownTopic, detail))));
        }
    };
    match drafts(format, payload) {
        Ok(drafts) => Ok(decoded(device, kind, drafts, payload, now_ms)),
        Err(problem) => Err((Some(device), whole(problem))),
    }
}

#[derive(Clone, Copy)]
enum Format {
    Native,
    OwnTracks,
}

fn drafts(format: Format, payload: &Bytes) -> Result<Vec<Draft>, Problem> {
    if payload.len() > MAX_PAYLOAD {
        let detail = format!("{} bytes, of at most {MAX_PAYLOAD}", payload.len());
        return Err(Problem::new(Reason::TooLarge, detail));
    }
    match format {
        Format::Native => {
            let drafts = native::read(payload)?;
            if drafts.is_empty() {
                return Err(Problem::new(Reason::NothingMeasured, "the array is empty"));
            }
            Ok(drafts)
        }
        Format::OwnTracks => Ok(owntracks::read(payload)?.into_iter().collect()),
    }
}

fn decoded(
    device: Arc<str>,
    kind: DeviceKind,
    drafts: Vec<Draft>,
    payload: &Bytes,
    now_ms: i64,
) -> Decoded {
    let unknown_names = drafts.iter().map(|draft| draft.unknown_names).sum();
    let one = drafts.len() == 1;
    // Only looked for when a reading is bad: which bytes of the message it is.
    let mut parts = None;
    let mut raw = |at: usize| {
        let parts = parts.get_or_insert_with(|| native::split(payload));
        parts.get(at).unwrap_or(payload).clone()
    };
    let readings = drafts
        .into_iter()
        .enumerate()
        .map(|(at, draft)| {
            draft
                .finish(&device, now_ms)
                .map_err(|problem| rejected(problem, if one { payload.clone() } else { raw(at) }))
        })
        .collect();
    Decoded { device, kind, readings, unknown_names }
}

fn rejected(problem: Problem, raw: Bytes) -> Rejected {
    Rejected { reason: problem.reason, detail: problem.detail, raw }
}
