//! The wire formats, one file each: payloads become [`Reading`](crate::Reading)s.
//!
//! [`native`] and [`owntracks`] (with [`greenwich`], its one line of CSV) read [`scalar`] values
//! into a [`draft`], which checks them and the [`time`]. What devices may send is documented in
//! docs/formats.md. [`report`] reads what insurers send, of docs/claims.md.

mod draft;
mod greenwich;
mod native;
mod owntracks;
pub(crate) mod report;
mod scalar;
mod time;

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use self::draft::{Draft, Problem};
use crate::source::{Outcome, Sources};
use crate::{Decoded, DeviceKind, Reason, Rejected};

/// Longest payload that is looked into: some 400 readings. What is longer waits on the device,
/// and the memory of one message stays bounded.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// How readings are written in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Native,
    OwnTracks,
}

/// [`Sources::decode`] with the default sources.
///
/// # Errors
/// See there.
pub fn decode(topic: &str, payload: &Bytes, now_ms: i64) -> Outcome {
    Sources::default().decode(topic, payload, now_ms)
}

/// Reads a message of `device`, or of the one device that it names.
pub(crate) fn read(
    format: Format,
    device: Option<Arc<str>>,
    kind: DeviceKind,
    payload: &Bytes,
    now_ms: i64,
) -> Outcome {
    let whole = |device, problem| Err((device, rejected(problem, payload.clone())));
    let mut drafts = match drafts(format, payload) {
        Ok(drafts) => drafts,
        Err(problem) => return whole(device, problem),
    };
    let device = match device {
        Some(device) => device,
        None => match named_device(&mut drafts) {
            Ok(device) => device,
            Err(problem) => return whole(None, problem),
        },
    };
    Ok(decoded(device, kind, drafts, payload, now_ms))
}

/// The device that the first reading names; readings of others cannot be used.
fn named_device(drafts: &mut [Draft]) -> Result<Arc<str>, Problem> {
    let named = drafts.iter().find_map(Draft::device).filter(|id| crate::access::is_id(id));
    let Some(device) = named.map(Arc::from) else {
        let detail = "neither the topic nor `device` names a device".to_owned();
        return Err(Problem::new(Reason::UnknownTopic, detail));
    };
    for draft in drafts {
        draft.must_name(&device);
    }
    Ok(device)
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
