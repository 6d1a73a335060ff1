//! Topics of a `[[source]]`, against topics that are published to: two lines.
#![no_main]

use bytes::Bytes;
use ingest::DeviceKind;
use ingest::source::{Source, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (filter, topic) = input.split_once('\n').unwrap_or((input, ""));
    for kind in [None, Some(DeviceKind::Product)] {
        let source = Source { topic: filter.to_owned(), kind, ..Source::defaults().swap_remove(0) };
        if let Ok(sources) = Sources::of("broker", &[source]) {
            assert!(sources.filters().next().is_some());
            drop(sources.decode(topic, &Bytes::from_static(br#"{"device":"a","ts":1}"#), 1));
        }
    }
});
