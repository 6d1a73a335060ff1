//! A burst to a collector that acknowledges late.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::rig::{Mosquitto, Rig, options, publish, reading, seq, shipped};

const BURST: u64 = 20_000;

/// How many of the burst's readings arrive, when nothing is acknowledged until all is published.
fn survive(mosquitto: &Mosquitto) -> usize {
    let mut rig = Rig::with_queue(&[options(mosquitto.addr)], 65_536);
    rig.collecting();
    let mut publisher = mosquitto.publisher();
    publish(&mut publisher, "telemetry/car/car-1", 0..BURST);
    let mut seen = BTreeSet::new();
    // What arrives after the burst's remains comes last; until there is room for it, it is lost.
    while !seen.contains(&BURST) {
        match rig.next_within(Duration::from_millis(200)) {
            Some(arrival) => {
                seen.insert(seq(&arrival));
                arrival.acknowledge.send(()).unwrap();
            }
            None => publisher.publish("telemetry/car/car-1", reading(BURST).as_bytes(), 1, 60_000),
        }
    }
    seen.len() - 1
}

#[test]
fn the_shipped_configuration_loses_nothing_and_the_default_most_of_it() {
    let kept = survive(&Mosquitto::start());
    let kept_by_default =
        survive(&Mosquitto::with("listener 1883 127.0.0.1\nallow_anonymous true"));
    println!("of {BURST}: shipped configuration {kept}, default {kept_by_default}");
    assert_eq!(kept, BURST as usize);
    assert!(kept_by_default < BURST as usize / 5, "{kept_by_default} of {BURST}");
    assert!(shipped().contains("max_queued_messages 0"), "what makes the difference");
}
