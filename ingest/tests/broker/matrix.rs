//! Who × topic × action, by the rows that other brokers are held to as well.

use ingest::Reason;
use ingest::broker::{Account, BrokerOptions, Credentials, TokenHash};
use ingest::source::Sources;
use serde::Deserialize;

use crate::rig::{Rig, demo, eventually};
use crate::wire::{PUBACK, Wire, hello};

const ROWS: &str = include_str!("../../../tests/e2e/access.json");
/// What a device can say of itself, in either format.
const READING: &[u8] = br#"{"_type":"lwt","ts":1790000000,"speed_mps":1}"#;

#[derive(Deserialize)]
struct Matrix {
    publish: Vec<(String, String, bool)>,
    reports: Vec<(String, String)>,
    said: Vec<String>,
    own: Vec<(String, String, Vec<String>)>,
    wider: Vec<(String, String)>,
}

fn matrix() -> Matrix {
    serde_json::from_str(ROWS).unwrap()
}

fn rig() -> Rig {
    let token = |name: &str| Some(TokenHash::of(name.as_bytes()));
    let devices = ["car-1", "car-2", "anna-phone"];
    let devices = devices.map(|id| (Account::Device(id.into()), token(id)));
    let insurers = ["alpina", "boreal"].map(|id| (Account::Insurer(id.into()), token(id)));
    let credentials = Credentials::of(devices.into_iter().chain(insurers));
    let sources = Sources::default().with_insurers();
    Rig::with_decoder(
        &BrokerOptions { anonymous: false, credentials, ..demo() },
        move |topic, payload, now| sources.read(topic, payload, now),
    )
    .unwrap()
}

fn log_in(rig: &Rig, version: u8, who: &str, client_id: &'static str) -> Wire {
    rig.connect(&hello(version, client_id).login(who, who))
}

#[test]
fn who_is_heard() {
    for version in [4, 5] {
        let mut rig = rig();
        let mut itself = rig.internal("itself");
        itself.subscribe("requests/+/triggers");
        let mut insurer = log_in(&rig, version, "alpina", "subscriber");
        insurer.subscribe("triggers/alpina/#");
        insurer.subscribe("errors/alpina");
        let Matrix { publish, reports, .. } = matrix();
        let reports = reports.into_iter().map(|(who, topic)| (who, topic, true));
        for (who, topic, allowed) in publish.into_iter().chain(reports) {
            let mut peer = log_in(&rig, version, &who, "peer");
            peer.publish(&topic, READING, 1, 1);
            let routed = topic.starts_with("requests/") && allowed;
            if routed {
                assert_eq!(itself.message().0, topic);
            } else {
                let arrival = rig.arrivals.next();
                let reason = arrival.decoded.rejected().map(|rejected| rejected.reason);
                let heard = !matches!(reason, Some(Reason::NotOwnTopic | Reason::UnknownTopic));
                assert_eq!(heard, allowed, "{who} {topic}");
                arrival.acknowledge.send(()).unwrap();
            }
            peer.expect(PUBACK);
            peer.disconnect();
            eventually("it is gone", || rig.broker.connected() == 2);
        }
        itself.publish("triggers/alpina/travel/x", b"real", 1, 9);
        assert_eq!(insurer.message().1, b"real", "the first that it hears");
    }
}

#[test]
fn who_hears_what() {
    for version in [4, 5] {
        let rig = rig();
        let mut itself = rig.internal("itself");
        let mut say_all = |payload: &[u8]| {
            for said in matrix().said {
                itself.publish(&said, payload, 1, 1);
                itself.expect(PUBACK);
            }
        };
        for (who, filter, expected) in matrix().own {
            let mut peer = log_in(&rig, version, &who, "peer");
            assert_eq!(peer.subscribe(&filter), 1, "{who} {filter}");
            say_all(b"first");
            say_all(b"second");
            let heard: Vec<_> = (0..2 * expected.len()).map(|_| peer.message()).collect();
            let first = heard.iter().filter(|(_, payload)| payload == b"first");
            assert_eq!(first.map(|(topic, _)| topic.clone()).collect::<Vec<_>>(), expected);
            peer.disconnect();
            eventually("it is gone", || rig.broker.connected() == 1);
        }
        for (who, filter) in matrix().wider {
            let mut peer = log_in(&rig, version, &who, "peer");
            assert!(peer.subscribe(&filter) >= 0x80, "{who} {filter}");
            say_all(b"not for all");
            let own = format!("errors/{who}");
            assert_eq!(peer.subscribe(&own), 1);
            say_all(b"its own");
            assert_eq!(peer.message(), (own, b"its own".to_vec()), "{who} {filter}");
            peer.disconnect();
            eventually("it is gone", || rig.broker.connected() == 1);
        }
    }
}

#[test]
fn a_user_name_that_is_a_wildcard_is_nobodys() {
    let rig = rig();
    for name in ["+", "#", "car-1/x", "car-1/", "/car-1", "", "$datanaut", "car-1\u{0}"] {
        let named = hello(4, "odd").login(name, name);
        assert!(Wire::try_connect(rig.addr, &named).is_err(), "{name}");
    }
}

#[test]
fn a_client_without_an_id_is_given_one_and_is_who_it_logged_in_as() {
    let mut rig = rig();
    let mut first = log_in(&rig, 4, "car-1", "");
    let mut second = log_in(&rig, 4, "car-2", "");
    for (wire, other) in [(&mut first, "car-2"), (&mut second, "car-1")] {
        wire.publish(&format!("telemetry/car/{other}"), READING, 1, 1);
        let arrival = rig.arrivals.next();
        assert!(arrival.decoded.rejected().is_some());
        arrival.acknowledge.send(()).unwrap();
        wire.expect(PUBACK);
    }
    assert_eq!(rig.broker.connected(), 2, "neither put the other off the line");
}

#[test]
fn a_session_is_not_left_to_another() {
    let rig = rig();
    let mut away = hello(4, "office").login("alpina", "alpina");
    away.clean = false;
    let mut insurer = rig.connect(&away);
    insurer.subscribe("triggers/alpina/#");
    insurer.disconnect();
    eventually("it is away", || rig.broker.connected() == 0);
    let mut itself = rig.internal("itself");
    itself.publish("triggers/alpina/travel/x", b"secret", 1, 1);
    itself.expect(PUBACK);

    let mut intruder = hello(4, "office").login("car-1", "car-1");
    intruder.clean = false;
    const NOT_AUTHORIZED: u8 = 5;
    assert_eq!(Wire::try_connect(rig.addr, &intruder).err(), Some(Some(NOT_AUTHORIZED)));
    assert_eq!(rig.connect(&away).message().1, b"secret", "it was kept");
}
