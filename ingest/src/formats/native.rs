//! Our own format: one object or an array of them, as JSON or CBOR.

use std::fmt;

use bytes::Bytes;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, EnumAccess, IgnoredAny, MapAccess, VariantAccess,
    Visitor,
};
use serde_json::value::RawValue;

use super::draft::{Draft, Field, Problem};
use super::scalar::Scalar;
use crate::Reason;

/// "This is CBOR" (RFC 8949, section 3.4.6), which some encoders put in front.
const CBOR_MARK: &[u8] = &[0xd9, 0xd9, 0xf7];

/// The encoding of a message and, after [`CBOR_MARK`], where it starts.
#[derive(Clone, Copy)]
enum Encoding {
    Json,
    Cbor { start: usize },
}

/// All readings in a message, or why nothing in it can be read.
pub(super) fn read(payload: &Bytes) -> Result<Vec<Draft>, Problem> {
    match encoding(payload)? {
        Encoding::Json => read_json(payload),
        Encoding::Cbor { start } => cbor_items(payload, start, |at| cbor_draft(payload, at)),
    }
    .map_err(|detail| Problem::new(Reason::NotDecodable, detail))
}

/// The bytes of each reading in a message that [`read`] could read: for quarantine, so that the
/// usual message pays nothing for it.
pub(super) fn split(payload: &Bytes) -> Vec<Bytes> {
    let parts = match encoding(payload) {
        Ok(Encoding::Json) => serde_json::from_slice::<Vec<&RawValue>>(payload)
            .map(|parts| {
                parts.iter().map(|part| payload.slice_ref(part.get().as_bytes())).collect()
            })
            .ok(),
        Ok(Encoding::Cbor { start }) => cbor_items(payload, start, |at| {
            let (IgnoredAny, end) = cbor_item(payload, at)?;
            Ok((payload.slice(at..end), end))
        })
        .ok(),
        Err(_) => None,
    };
    parts.unwrap_or_else(|| vec![payload.clone()])
}

/// JSON texts and CBOR maps and arrays share no first byte.
fn encoding(payload: &[u8]) -> Result<Encoding, Problem> {
    let start = if payload.starts_with(CBOR_MARK) { CBOR_MARK.len() } else { 0 };
    let detail = match payload.get(start) {
        Some(b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n') if start == 0 => {
            return Ok(Encoding::Json);
        }
        Some(0x80..=0xbf) => return Ok(Encoding::Cbor { start }),
        Some(byte) => {
            format!("starts with byte 0x{byte:02x}; neither JSON nor CBOR objects or arrays do")
        }
        None => "the payload is empty".into(),
    };
    Err(Problem::new(Reason::NotDecodable, detail))
}

fn read_json(payload: &[u8]) -> Result<Vec<Draft>, String> {
    // Checked once here, since values that are skipped are not checked by the parser.
    let text = std::str::from_utf8(payload).map_err(|error| format!("not UTF-8: {error}"))?;
    if !text.trim_ascii_start().starts_with('[') {
        let draft = serde_json::from_str(text).map_err(not_json)?;
        return Ok(vec![draft]);
    }
    serde_json::from_str(text).or_else(|_| {
        // One of them is no reading, or the whole is no JSON: look at each by itself.
        let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
        let draft = |part: &RawValue| {
            serde_json::from_str(part.get())
                .unwrap_or_else(|error| Draft::rejected(Reason::NotDecodable, error.to_string()))
        };
        Ok(parts.into_iter().map(draft).collect())
    })
}

fn not_json(error: serde_json::Error) -> String {
    format!("not JSON: {error}")
}

/// Each item of a top-level array, or the one top-level item. `item` reads the one at a place and
/// says where it ends.
///
/// Never allocates by a length that the message only claims.
fn cbor_items<T>(
    payload: &[u8],
    start: usize,
    item: impl Fn(usize) -> Result<(T, usize), String>,
) -> Result<Vec<T>, String> {
    let (mut count, mut at) = cbor_array(payload, start)?;
    let mut items = Vec::new();
    loop {
        match count {
            Some(0) => break,
            Some(left) => count = Some(left - 1),
            None if payload.get(at) == Some(&CBOR_BREAK) => {
                at += 1;
                break;
            }
            None => {}
        }
        let (item, end) = item(at)?;
        items.push(item);
        at = end;
    }
    if at == payload.len() { Ok(items) } else { Err(format!("CBOR goes on after byte {at}")) }
}

/// A reading, or its problem where the bytes are CBOR but no reading.
fn cbor_draft(payload: &[u8], at: usize) -> Result<(Draft, usize), String> {
    cbor_item(payload, at).or_else(|problem| {
        let (IgnoredAny, end) = cbor_item(payload, at)?;
        Ok((Draft::rejected(Reason::NotDecodable, problem), end))
    })
}

const CBOR_BREAK: u8 = 0xff;

/// How many items the message has (`None`: until a break) and where the first starts.
fn cbor_array(payload: &[u8], start: usize) -> Result<(Option<u64>, usize), String> {
    let head = payload.get(start).copied().unwrap_or(CBOR_BREAK);
    let width = match head {
        0x80..=0x97 => return Ok((Some(u64::from(head - 0x80)), start + 1)),
        0x98..=0x9b => 1 << (head - 0x98),
        0x9c..=0x9e => return Err(format!("CBOR is malformed at byte {start}")),
        0x9f => return Ok((None, start + 1)),
        _ => return Ok((Some(1), start)),
    };
    let length = payload.get(start + 1..start + 1 + width).ok_or("CBOR ends too early")?;
    let count = length.iter().fold(0, |count, byte| count << 8 | u64::from(*byte));
    Ok((Some(count), start + 1 + width))
}

/// One item and where it ends. ciborium recurses 256 levels deep at most and reads texts in
/// pieces, so a claimed length or depth costs nothing.
fn cbor_item<T: DeserializeOwned>(payload: &[u8], at: usize) -> Result<(T, usize), String> {
    use ciborium::de::Error;
    let mut rest = payload.get(at..).unwrap_or_default();
    let mut scratch = [0; 128];
    let item = ciborium::de::from_reader_with_buffer(&mut rest, &mut scratch);
    let item = item.map_err(|error| match error {
        Error::Io(_) => "CBOR ends too early".into(),
        Error::Syntax(offset) => format!("CBOR is malformed at byte {}", at + offset),
        Error::Semantic(_, why) => format!("not usable as CBOR: {why}"),
        Error::RecursionLimitExceeded => "CBOR is nested too deeply".into(),
    })?;
    Ok((item, payload.len() - rest.len()))
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DraftVisitor)
    }
}

struct DraftVisitor;

impl<'de> Visitor<'de> for DraftVisitor {
    type Value = Draft;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a reading as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        while let Some(Key(field)) = map.next_key()? {
            match field {
                Some(field) => draft.put(field, &map.next_value::<Scalar>()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    draft.unknown_names += 1;
                }
            }
        }
        Ok(draft)
    }

    /// A CBOR tag around a reading says nothing that we need.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Draft, A::Error> {
        let (IgnoredAny, draft) = tagged.variant()?;
        draft.newtype_variant()
    }
}

/// A name in a reading: `None` when it is no documented one.
struct Key(Option<Field>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text as name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(Key(Field::from_name(name)))
    }
}
