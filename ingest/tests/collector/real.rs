//! The collector on a real Mosquitto, with the shipped configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use ingest::Sender;
use ingest::collector::{CollectorOptions, CollectorState, Protocol};

use crate::rig::{Mosquitto, Rig, options, publish, reading, said, seq};
use crate::wire::{DEADLINE, PUBACK};

const TOPIC: &str = "telemetry/car/car-1";

/// Acknowledges until all of these readings are there. What was acknowledged just before a
/// connection was lost comes again.
fn collect(rig: &mut Rig, seqs: std::ops::Range<u64>) {
    let mut missing: BTreeSet<u64> = seqs.collect();
    while !missing.is_empty() {
        let arrival = rig.next();
        missing.remove(&seq(&arrival));
        arrival.acknowledge.send(()).ok();
    }
}

#[test]
fn every_message_arrives_as_from_the_embedded_broker() {
    let mosquitto = Mosquitto::start();
    for protocol in [Protocol::Auto, Protocol::V4] {
        let client_id = format!("{protocol:?}").into();
        let options = CollectorOptions { protocol, client_id, ..options(mosquitto.addr) };
        let mut rig = Rig::start(&[options]);
        rig.collecting();
        let mut publisher = mosquitto.publisher();
        publisher.publish(TOPIC, reading(7).as_bytes(), 1, 1);
        let arrival = rig.next();
        assert_eq!((&*arrival.topic, &*arrival.payload), (TOPIC, reading(7).as_bytes()));
        assert_eq!((seq(&arrival), &arrival.sender), (7, &Sender::Anonymous));
        arrival.acknowledge.send(()).unwrap();

        let location = r#"{"_type":"location","tst":1790000000,"lat":50.77,"lon":6.08}"#;
        publisher.publish("owntracks/jane/phone", location.as_bytes(), 0, 0);
        assert_eq!(rig.settle(), "jane-phone 1");
        publisher.publish(TOPIC, b"\xff", 2, 3);
        publisher.pubrel(3);
        assert_eq!(rig.settle(), "not_decodable");
        publisher.publish("elsewhere/car/car-1", b"1", 1, 4);
        publisher.publish("telemetry/bicycle/car-1", b"1", 1, 5);
        assert_eq!(rig.settle(), "unknown_topic");
    }
}

#[test]
fn a_retained_message_keeps_its_own_time_or_has_none() {
    let mosquitto = Mosquitto::start();
    let mut publisher = mosquitto.publisher();
    publisher.publish_flagged(TOPIC, reading(7).as_bytes(), 0x03, 1);
    publisher.expect(PUBACK);
    publisher.publish_flagged("telemetry/car/car-2", br#"{"speed_mps":1}"#, 0x03, 2);
    publisher.expect(PUBACK);
    let mut rig = Rig::start(&[options(mosquitto.addr)]);
    let arrivals = rig.take(2);
    let (mut with, mut without) = (None, None);
    for arrival in &arrivals {
        let decoded = arrival.decoded.readings().unwrap();
        match &decoded.readings[0] {
            Ok(reading) => with = Some(reading.time_ms),
            Err(rejected) => without = Some(rejected.reason.name()),
        }
    }
    assert_eq!((with, without), (Some(1_790_000_000_000), Some("no_time")));
}

#[test]
fn what_was_not_acknowledged_comes_again_after_a_restart_of_either_side() {
    let mut mosquitto = Mosquitto::start();
    let mut rig = Rig::start(&[options(mosquitto.addr)]);
    rig.collecting();
    publish(&mut mosquitto.publisher(), TOPIC, 0..100);
    let held = rig.take(100);
    mosquitto.go_away();
    rig.away("");
    mosquitto.come_back();
    collect(&mut rig, 0..100);
    drop(held);

    // Ours goes without a word, and while it is away more is published.
    publish(&mut mosquitto.publisher(), TOPIC, 100..200);
    drop(rig.drop_connections());
    publish(&mut mosquitto.publisher(), TOPIC, 200..300);
    let mut rig = Rig::start(&[options(mosquitto.addr)]);
    collect(&mut rig, 100..300);
}

#[test]
fn a_group_shares_the_messages() {
    let mosquitto = Mosquitto::start();
    let member = |name: &str| CollectorOptions {
        client_id: name.into(),
        share: Some("workers".to_owned()),
        ..options(mosquitto.addr)
    };
    // A pipeline each, as if on two machines.
    let mut rigs = [Rig::start(&[member("one")]), Rig::start(&[member("two")])];
    rigs.iter_mut().for_each(Rig::collecting);
    publish(&mut mosquitto.publisher(), TOPIC, 0..1_000);
    let mut got = [Vec::new(), Vec::new()];
    while got[0].len() + got[1].len() < 1_000 {
        for (rig, got) in rigs.iter_mut().zip(&mut got) {
            while let Some(arrival) = rig.next_within(Duration::from_millis(20)) {
                got.push(seq(&arrival));
                arrival.acknowledge.send(()).ok();
            }
        }
    }
    assert!(!got[0].is_empty() && !got[1].is_empty());
    let together: BTreeSet<_> = got.iter().flatten().copied().collect();
    assert_eq!((together.len(), got[0].len() + got[1].len()), (1_000, 1_000), "each once");
}

#[test]
fn several_brokers_at_once_and_one_of_them_away() {
    let [one, mut other] = [Mosquitto::start(), Mosquitto::start()];
    let mut rig = Rig::start(&[options(one.addr), options(other.addr)]);
    rig.collecting();
    publish(&mut one.publisher(), TOPIC, 0..10);
    publish(&mut other.publisher(), TOPIC, 10..20);
    collect(&mut rig, 0..20);

    other.go_away();
    rig.wait_for("the loss", |states| {
        states[0] == CollectorState::Collecting && matches!(states[1], CollectorState::Away { .. })
    });
    publish(&mut one.publisher(), TOPIC, 20..30);
    collect(&mut rig, 20..30);
    other.come_back();
    rig.collecting();
    publish(&mut other.publisher(), TOPIC, 30..40);
    collect(&mut rig, 30..40);
}

#[test]
fn a_client_id_in_use_elsewhere_is_named_as_the_cause() {
    let mosquitto = Mosquitto::start();
    let mut first = Rig::start(&[options(mosquitto.addr)]);
    first.collecting();
    let mut second = Rig::start(&[options(mosquitto.addr)]);
    second.collecting();
    first.away("another client with this client_id");
}

#[test]
fn a_message_beyond_the_limit_is_left_out_and_holds_nobody_up() {
    // A broker that takes what we do not.
    let unlimited = crate::rig::shipped().replace("max_packet_size 1048576", "");
    let mosquitto = Mosquitto::with(&unlimited);
    let mut rig = Rig::start(&[options(mosquitto.addr)]);
    rig.collecting();
    let mut publisher = mosquitto.publisher();
    publisher.publish(TOPIC, &vec![b' '; 2 << 20], 1, 1);
    publisher.publish(TOPIC, reading(1).as_bytes(), 1, 2);
    assert_eq!(said(&rig.next_within(DEADLINE).unwrap()), "car-1 1");
}
