//! A PUBACK means dealt with for good.

use crate::rig::{Rig, demo, eventually};
use crate::wire::{PINGRESP, PUBACK, PUBCOMP, PUBREC, Wire, hello};

#[test]
fn the_puback_waits_for_the_commit_and_nobody_else_does() {
    let mut rig = Rig::start(&demo());
    for version in [4, 5] {
        let mut waiting = rig.connect(&hello(version, "waiting"));
        waiting.publish("telemetry/car/a", b"1", 1, 77);
        let held = rig.arrivals.next();
        assert_eq!((&*held.topic, &*held.payload), ("telemetry/car/a", &b"1"[..]));

        // A whole exchange of another client: the broker had time to answer the first.
        let mut other = rig.connect(&hello(version, "other"));
        other.publish("telemetry/car/b", b"2", 1, 5);
        rig.arrivals.settle();
        assert_eq!(other.expect(PUBACK).id(), 5);
        assert!(!waiting.has_news());

        held.acknowledge.send(()).unwrap();
        assert_eq!(waiting.expect(PUBACK).id(), 77);
    }
}

#[test]
fn what_has_no_outcome_costs_the_connection_and_gets_no_puback() {
    let mut rig = Rig::start(&demo());
    for version in [4, 5] {
        for qos in [0, 1, 2] {
            let mut device = rig.connect(&hello(version, "device"));
            device.publish("telemetry/car/a", b"1", qos, 9);
            drop(rig.arrivals.next());
            assert!(device.read().is_none(), "no answer but the end of the connection");

            let mut again = rig.connect(&hello(version, "device"));
            again.publish_flagged("telemetry/car/a", b"1", 0x0A, 9);
            rig.arrivals.settle();
            assert_eq!(again.expect(PUBACK).id(), 9);
            again.disconnect();
        }
    }
    eventually("every connection left", || rig.broker.connected() == 0);
}

#[test]
fn a_closed_pipeline_acknowledges_nothing() {
    let rig = Rig::start(&demo());
    drop(rig.arrivals);
    let mut device = Wire::connect(rig.addr, &hello(4, "device"));
    device.publish("telemetry/car/a", b"1", 1, 9);
    assert!(device.read().is_none());
}

#[test]
fn qos_2_waits_too_and_a_duplicate_arrives_again_with_the_same_content() {
    let mut rig = Rig::start(&demo());
    for version in [4, 5] {
        let mut device = rig.connect(&hello(version, "device"));
        let mut subscriber = rig.connect(&hello(version, "subscriber"));
        subscriber.subscribe("#");
        device.publish_flagged("telemetry/car/a", b"once", 0x04, 3);
        let first = rig.arrivals.next();
        assert!(!device.has_news());
        first.acknowledge.send(()).unwrap();
        assert_eq!(device.expect(PUBREC).id(), 3);

        device.publish_flagged("telemetry/car/a", b"once", 0x0C, 3);
        let second = rig.arrivals.next();
        assert_eq!((second.topic, second.payload), (first.topic, first.payload));
        second.acknowledge.send(()).unwrap();
        assert_eq!(device.expect(PUBREC).id(), 3);

        device.pubrel(3);
        assert_eq!(device.expect(PUBCOMP).id(), 3);
        assert!(rig.arrivals.none_waiting(), "the PUBREL is no message");
        subscriber.ping();
        subscriber.expect(PINGRESP);
    }
}

#[test]
fn qos_0_is_held_back_in_the_senders_socket() {
    let mut rig = Rig::start(&demo());
    let mut device = rig.connect(&hello(4, "device"));
    for _ in 0..100 {
        device.publish("telemetry/car/a", b"x", 0, 0);
    }
    let first = rig.arrivals.next();
    let mut other = rig.connect(&hello(4, "other"));
    other.publish("telemetry/car/b", b"y", 0, 0);
    let second = rig.arrivals.next();
    assert_eq!(&*second.topic, "telemetry/car/b", "one of each connection is under way");
    first.acknowledge.send(()).unwrap();
    second.acknowledge.send(()).unwrap();
    for _ in 1..100 {
        assert_eq!(&*rig.arrivals.settle().0, "telemetry/car/a");
    }
    device.ping();
    device.expect(PINGRESP);
}

#[test]
fn nothing_a_device_publishes_is_routed_or_retained() {
    let mut rig = Rig::start(&demo());
    let mut early = rig.connect(&hello(4, "early"));
    early.subscribe("#");
    let mut device = rig.connect(&hello(5, "device"));
    for (id, qos) in [(1, 1), (2, 2)] {
        device.publish_flagged("telemetry/car/a", b"private", qos << 1 | 1, id);
        rig.arrivals.settle();
        device.read().unwrap();
        device.pubrel(2);
    }
    device.publish_flagged("telemetry/car/a", b"private", 1, 0);
    rig.arrivals.settle();
    let mut late = rig.connect(&hello(4, "late"));
    late.subscribe("#");
    for subscriber in [&mut early, &mut late] {
        subscriber.ping();
        subscriber.expect(PINGRESP);
    }
}
