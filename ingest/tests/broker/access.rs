//! Who may publish and subscribe to what.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use ingest::broker::{Account, BrokerError, BrokerOptions, Credentials, TokenHash};
use ingest::{Message, Reason, Sender};

use crate::rig::{Rig, demo, eventually, public};
use crate::wire::{PINGRESP, PUBACK, Wire, hello};

const NOT_AUTHORIZED: u8 = 0x87;
const FAILURE: u8 = 0x80;

#[test]
fn only_the_internal_sender_reaches_subscribers() {
    let mut rig = Rig::start(&public());
    let mut insurer = rig.connect(&hello(5, "insurer").login("acme", "pssst"));
    assert_eq!(insurer.subscribe("triggers/acme/#"), 1);
    let mut device = rig.connect(&hello(4, "device").login("car-1", "one"));

    for (id, topic) in [(1, "triggers/acme/travel/s"), (2, "errors/car-1"), (3, "triggers")] {
        device.publish(topic, b"forged", 1, id);
        assert_eq!(rig.arrivals.settle(), (topic.into(), Some(Reason::NotOwnTopic)));
        assert_eq!(device.expect(PUBACK).id(), id, "dealt with: counted and quarantined");
    }
    rig.internal("sender").publish("triggers/acme/travel/s", b"real", 1, 1);
    assert_eq!(insurer.message(), ("triggers/acme/travel/s".to_owned(), b"real".to_vec()));
    assert!(rig.arrivals.none_waiting());
}

#[test]
fn a_device_speaks_for_itself_only() {
    let mut rig = Rig::start(&public());
    let mut device = rig.connect(&hello(4, "device").login("car-1", "one"));
    device.publish("telemetry/car/car-1", b"", 1, 1);
    let own = rig.arrivals.next();
    assert_eq!(own.sender, Sender::Device("car-1".into()));
    assert!(own.decoded.readings().is_some());
    own.acknowledge.send(()).unwrap();
    device.expect(PUBACK);

    let large = vec![b' '; 70_000];
    for (topic, payload, reason) in [
        ("telemetry/car/car-2", &b"{}"[..], Reason::NotOwnTopic),
        ("telemetry/car/car-2", &large, Reason::NotOwnTopic),
        ("telemetry/car/car-1", &large, Reason::TooLarge),
        ("somewhere/else", b"{}", Reason::UnknownTopic),
    ] {
        device.publish(topic, payload, 1, 2);
        let arrival = rig.arrivals.next();
        let Message::Device(Err((held_against, rejected))) = arrival.decoded else {
            panic!("taken")
        };
        assert_eq!((held_against.as_deref(), rejected.reason), (Some("car-1"), reason));
        assert_eq!(rejected.raw, payload);
        arrival.acknowledge.send(()).unwrap();
        device.expect(PUBACK);
    }

    let mut insurer = rig.connect(&hello(4, "insurer").login("acme", "pssst"));
    insurer.publish("telemetry/car/car-1", b"{}", 1, 1);
    let arrival = rig.arrivals.next();
    assert_eq!(arrival.sender, Sender::Insurer("acme".into()));
    assert_eq!(arrival.decoded.rejected().unwrap().reason, Reason::NotOwnTopic);
}

#[test]
fn an_insurer_reports_in_its_own_name_and_waits_for_the_acknowledgement() {
    let mut rig = Rig::start(&public());
    let claim = br#"{"id":"C-1","policy":"P-1","time":1700000000,"kind":"collision"}"#;
    let mut insurer = rig.connect(&hello(4, "insurer").login("acme", "pssst"));
    insurer.publish("claims/acme", claim, 1, 1);
    let arrival = rig.arrivals.next();
    let Message::Insurer(said) = &arrival.decoded else { panic!("{arrival:?}") };
    assert_eq!((&*said.insurer, said.report.as_ref().unwrap().id()), ("acme", "C-1"));
    arrival.acknowledge.send(()).unwrap();
    assert_eq!(insurer.expect(PUBACK).id(), 1);
    for (topic, qos, reason) in [
        ("claims/other", 1, Reason::NotOwnTopic),
        ("claims/acme/x", 1, Reason::NotOwnTopic),
        ("errors/acme", 1, Reason::NotOwnTopic),
        ("claims/acme", 0, Reason::NeedsQos1),
    ] {
        insurer.publish(topic, claim, qos, 2);
        let arrival = rig.arrivals.next();
        let Message::Insurer(said) = &arrival.decoded else { panic!("{arrival:?}") };
        let rejected = said.report.as_ref().unwrap_err();
        assert_eq!((&*said.insurer, rejected.reason), ("acme", reason), "{topic}");
        arrival.acknowledge.send(()).unwrap();
        if qos == 1 {
            insurer.expect(PUBACK);
        }
    }
    let mut device = rig.connect(&hello(4, "device").login("car-1", "one"));
    device.publish("claims/acme", claim, 1, 1);
    let Message::Device(Err((device, rejected))) = rig.arrivals.next().decoded else { panic!() };
    assert_eq!((device.as_deref(), rejected.reason), (Some("car-1"), Reason::NotOwnTopic));
}

#[test]
fn subscribers_see_their_own_only() {
    let rig = Rig::start(&public());
    for (version, refused) in [(4, FAILURE), (5, NOT_AUTHORIZED)] {
        let mut insurer = rig.connect(&hello(version, "insurer").login("acme", "pssst"));
        let mut device = rig.connect(&hello(version, "device").login("car-1", "one"));
        for filter in ["#", "+/acme/#", "triggers/#", "triggers/other/#", "$share/g/#", "$SYS/#"] {
            assert_eq!(insurer.subscribe(filter), refused, "{filter}");
            assert_eq!(device.subscribe(filter), refused, "{filter}");
        }
        assert_eq!(insurer.subscribe("$share/g/triggers/acme/#"), 1);
        assert_eq!(device.subscribe("errors/car-1"), 1);
        assert_eq!(device.subscribe("errors/car-2"), refused);

        rig.internal("sender").publish("errors/car-1", b"why", 1, 1);
        assert_eq!(device.message().1, b"why");
        insurer.ping();
        insurer.expect(PINGRESP);
    }
}

#[test]
fn without_a_token_nobody_connects() {
    let rig = Rig::start(&public());
    let refusal = |hello| Wire::try_connect(rig.addr, &hello).err().expect("refused");
    for (version, bad_login) in [(4, 4), (5, 0x86)] {
        assert_eq!(refusal(hello(version, "a")), Some(bad_login));
        assert_eq!(refusal(hello(version, "a").login("car-1", "two")), Some(bad_login));
        assert_eq!(refusal(hello(version, "a").login("car-1", "")), Some(bad_login));
        assert_eq!(refusal(hello(version, "a").login("car-9", "one")), Some(bad_login));
        assert_eq!(refusal(hello(version, "a").login("$datanaut", "one")), Some(bad_login));
    }
    assert_eq!(rig.broker.connected(), 0);
}

#[test]
fn the_demo_sees_every_trigger_without_a_login() {
    let mut rig = Rig::start(&demo());
    let mut subscribed = rig.broker.subscribed();
    let mut viewer = rig.connect(&hello(4, "viewer"));
    assert_eq!(viewer.subscribe("triggers/#"), 1);
    assert_eq!(viewer.subscribe("telemetry/#"), FAILURE, "better than a silence");
    let mut heard = Vec::new();
    eventually("the subscription is reported", || {
        heard.extend(subscribed.try_recv().into_iter().flat_map(|news| news.filters));
        heard == ["triggers/#".into()]
    });
    rig.internal("sender").publish("triggers/acme/travel/s", b"real", 1, 1);
    assert_eq!(viewer.message().0, "triggers/acme/travel/s");

    let mut device = rig.connect(&hello(4, "device"));
    device.publish("telemetry/car/car-7", b"{}", 1, 1);
    let arrival = rig.arrivals.next();
    assert_eq!(arrival.sender, Sender::Anonymous);
    assert_eq!(&*arrival.decoded.readings().unwrap().device, "car-7");
}

#[test]
fn the_demo_is_not_for_the_network() {
    let open = BrokerOptions { listen: "0.0.0.0:0".parse().unwrap(), ..demo() };
    let error = Rig::try_start(&open).err().expect("refused");
    assert!(matches!(error, BrokerError::AnonymousBeyondLoopback { .. }));
    assert!(error.to_string().contains("give every device a token"), "{error}");
    Rig::start(&BrokerOptions { listen: open.listen, ..public() });
}

#[test]
fn a_taken_port_says_what_to_do_or_is_stepped_over() {
    let first = Rig::start(&demo());
    let taken = BrokerOptions { listen: first.addr, ..demo() };
    let error = Rig::try_start(&taken).err().expect("refused");
    assert!(matches!(error, BrokerError::PortTaken { addr } if addr == first.addr));
    assert!(error.to_string().contains("--port auto"), "{error}");

    let next = Rig::start(&BrokerOptions { port_auto: true, ..taken });
    assert!(next.addr.port() > first.addr.port());
    next.connect(&hello(4, "device"));
}

#[test]
fn nobody_is_put_off_the_line_by_another_under_the_same_client_id() {
    let rig = Rig::start(&public());
    for (version, refused) in [(4, 2), (5, 0x85)] {
        let mut insurer = rig.connect(&hello(version, "office").login("acme", "pssst"));
        eventually("it is known", || rig.broker.connected() == 1);
        let intruder = hello(version, "office").login("car-1", "one");
        assert_eq!(Wire::try_connect(rig.addr, &intruder).err(), Some(Some(refused)));
        insurer.ping();
        insurer.expect(PINGRESP);

        let mut again = rig.connect(&hello(version, "office").login("acme", "pssst"));
        again.ping();
        again.expect(PINGRESP);
        again.disconnect();
        eventually("both are gone", || rig.broker.connected() == 0);
        rig.connect(&intruder).disconnect();
        eventually("it is free", || rig.broker.connected() == 0);
    }
}

#[test]
fn a_token_rotated_while_somebody_logs_in_with_the_old_one_ends_that_connection() {
    let looked_up = AtomicUsize::new(0);
    let credentials = Credentials::new(move |_| {
        let token: &[u8] = if looked_up.fetch_add(1, Relaxed) == 0 { b"one" } else { b"new" };
        Some((Account::Device("car-1".into()), Some(TokenHash::of(token))))
    });
    let rig = Rig::start(&BrokerOptions { anonymous: false, credentials, ..demo() });
    let mut late = rig.connect(&hello(4, "a").login("car-1", "one"));
    assert!(late.read().is_none(), "hung up, without anybody looking again");
    let mut renewed = rig.connect(&hello(4, "a").login("car-1", "new"));
    renewed.ping();
    renewed.expect(PINGRESP);
}

#[test]
fn a_rotated_token_ends_the_connection_and_the_old_one_is_refused() {
    let token = Arc::new(Mutex::new(TokenHash::of(b"one")));
    let now = Arc::clone(&token);
    let credentials = Credentials::new(move |id| match id {
        "car-1" => Some((Account::Device("car-1".into()), Some(*now.lock().unwrap()))),
        "car-2" => Some((Account::Device("car-2".into()), Some(TokenHash::of(b"two")))),
        _ => None,
    });
    let rig = Rig::start(&BrokerOptions { anonymous: false, credentials, ..demo() });
    let mut first = rig.connect(&hello(4, "a").login("car-1", "one"));
    let mut other = rig.connect(&hello(4, "b").login("car-2", "two"));
    *token.lock().unwrap() = TokenHash::of(b"new");
    rig.broker.recheck();
    assert!(first.read().is_none(), "hung up");
    other.ping();
    other.expect(PINGRESP);
    let refused = Wire::try_connect(rig.addr, &hello(4, "a").login("car-1", "one"));
    assert!(refused.is_err());
    rig.connect(&hello(4, "a").login("car-1", "new"));
}
