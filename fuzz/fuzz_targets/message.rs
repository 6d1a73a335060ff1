//! What devices and insurers send: native JSON and CBOR, OwnTracks, claims, trips, feedback. The
//! first line is the topic.
#![no_main]

use bytes::Bytes;
use ingest::source::Sources;
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_790_000_000_000;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (topic, payload) = input.split_at(end);
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    let payload = Bytes::copy_from_slice(payload.get(1..).unwrap_or_default());
    let sources = Sources::default();
    drop(sources.decode(topic, &payload, NOW_MS));
    drop(sources.read(topic, &payload, NOW_MS));
});
