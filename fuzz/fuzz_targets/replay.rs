//! Recordings that are replayed: GPX, GeoJSON, CSV, OwnTracks, JSON lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| device_sim::fuzz_replay(text));
