//! What a broker says to a collector, in MQTT 3.1.1 and 5.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ingest::collector::fuzz_packets(input));
