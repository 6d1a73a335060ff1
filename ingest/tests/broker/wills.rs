//! What a device wanted said when it goes.

use ingest::{Message, Reason, Sender};

use crate::rig::{Rig, demo, eventually, public};
use crate::wire::{Hello, PINGRESP, Will, hello};

const WILL: Will =
    Will { topic: "telemetry/car/car-1", payload: "gone", retain: true, delay_s: None };

#[test]
fn a_will_becomes_an_arrival_and_is_neither_routed_nor_retained() {
    let mut rig = Rig::start(&demo());
    let mut early = rig.connect(&hello(4, "early"));
    early.subscribe("#");
    for (version, delay_s) in [(4, None), (5, None), (5, Some(1))] {
        drop(rig.connect(&hello(version, "device").will(Will { delay_s, ..WILL })));
        let arrival = rig.arrivals.next();
        assert_eq!((&*arrival.topic, &*arrival.payload), (WILL.topic, &b"gone"[..]));
        assert_eq!(arrival.sender, Sender::Anonymous);
        assert!(arrival.decoded.readings().is_some());
    }
    outlast_the_delay(&rig);
    eventually("the devices' connections ended", || rig.broker.connected() == 1);
    let mut late = rig.connect(&hello(4, "late"));
    late.subscribe("#");
    for subscriber in [&mut early, &mut late] {
        subscriber.ping();
        subscriber.expect(PINGRESP);
    }
}

/// The broker drops a client with a keep-alive of one second after one and a half.
fn outlast_the_delay(rig: &Rig) {
    let mut silent = rig.connect(&Hello { keep_alive_s: 1, ..hello(4, "silent") });
    while silent.read().is_some() {}
}

#[test]
fn a_will_cannot_pose_as_a_trigger_or_as_another_device() {
    let mut rig = Rig::start(&public());
    let mut insurer = rig.connect(&hello(4, "insurer").login("acme", "pssst"));
    assert_eq!(insurer.subscribe("triggers/acme/#"), 1);
    let topics = ["triggers/acme/travel/x", "errors/car-2", "telemetry/car/car-2"];
    for topic in topics {
        let will = Will { topic, ..WILL };
        drop(rig.connect(&hello(4, "device").login("car-1", "one").will(will)));
        let arrival = rig.arrivals.next();
        assert_eq!(arrival.sender, Sender::Device("car-1".into()));
        let Message::Device(Err((device, rejected))) = arrival.decoded else { panic!("taken") };
        assert_eq!((device.as_deref(), rejected.reason), (Some("car-1"), Reason::NotOwnTopic));
    }
    eventually("the device's connections ended", || rig.broker.connected() == 1);
    insurer.ping();
    insurer.expect(PINGRESP);
}

#[test]
fn a_device_that_says_goodbye_has_no_will() {
    let mut rig = Rig::start(&demo());
    rig.connect(&hello(4, "device").will(WILL)).disconnect();
    eventually("the connection ended", || rig.broker.connected() == 0);
    assert!(rig.arrivals.none_waiting());
}

#[test]
fn a_stop_of_the_broker_is_not_the_devices_doing() {
    let mut rig = Rig::start(&demo());
    let mut device = rig.connect(&hello(4, "device").will(WILL));
    tokio::runtime::Runtime::new().unwrap().block_on(rig.broker.stop());
    assert!(device.read().is_none());
    assert!(rig.arrivals.none_waiting());
}
