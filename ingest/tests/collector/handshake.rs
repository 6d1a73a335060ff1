//! What a collector tells a broker about itself, and what it makes of the answer.

use ingest::collector::{CollectorOptions, Protocol};
use ingest::source::{Source, Sources};

use crate::peer::{PUBACK, Peer};
use crate::rig::{Rig, options, reading};

#[test]
fn the_session_is_kept_and_what_is_in_flight_is_bounded() {
    let peer = Peer::listen();
    let login = Some(("collector".to_owned(), "secret".to_owned()));
    let five = CollectorOptions { login, ..options(peer.addr) };
    let _rig = Rig::start(std::slice::from_ref(&five));
    let line = peer.accept();
    assert_eq!(line.version, 5);
    let flags = line.hello[7];
    assert_eq!(flags & 0x02, 0, "clean start");
    assert_eq!(flags & 0xC0, 0xC0, "user name and password");
    let has = |bytes: &[u8]| line.hello.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&[0x11, 0, 9, 0x3A, 0x80]), "session expiry of 604800 s");
    assert!(has(&[0x21, 0x07, 0xD0]), "receive maximum of 2000");
    assert!(has(&[0x27, 0, 0x10, 0, 0]), "packets of at most 1 MiB");

    let peer = Peer::listen();
    let four = CollectorOptions { protocol: Protocol::V4, ..options(peer.addr) };
    let _rig = Rig::start(&[four]);
    let line = peer.accept();
    assert_eq!((line.version, line.hello[7] & 0x02), (4, 0), "3.1.1, not a clean session");
}

#[test]
fn a_broker_without_version_5_is_spoken_to_in_3_1_1() {
    // "Unacceptable protocol version" as 3.1.1 says it, and as version 5 does.
    for refusal in [&[0x20, 2, 0, 1][..], &[0x20, 3, 0, 0x84, 0]] {
        let peer = Peer::listen();
        let auto = CollectorOptions { protocol: Protocol::Auto, ..options(peer.addr) };
        let mut rig = Rig::start(&[auto]);
        let mut line = peer.accept();
        assert_eq!(line.version, 5);
        std::io::Write::write_all(&mut line.stream, refusal).unwrap();
        drop(line);
        let mut line = peer.serve(false);
        assert_eq!(line.version, 4);
        line.publish("telemetry/car/car-1", &reading(1), 1);
        assert_eq!(rig.settle(), "car-1 1");
        assert_eq!(line.expect(PUBACK).id(), 1);
    }
}

#[test]
fn it_subscribes_at_every_connection_and_asks_for_retained_messages_once() {
    let peer = Peer::listen();
    let share = Some("workers".to_owned());
    let sources =
        [Source { topic: "acme/{kind}/{device}/#".into(), ..Source::defaults().remove(0) }];
    let sources = Sources::of("datanaut", &sources).unwrap();
    let mut rig = Rig::start(&[CollectorOptions { share, sources, ..options(peer.addr) }]);
    // Sessions get lost at the broker, and the configuration changes.
    for session_present in [true, false] {
        let line = peer.serve(session_present);
        assert_eq!(line.filters, ["$share/workers/acme/+/+/#"]);
        rig.collecting();
        drop(line);
        rig.away("");
    }
    let mut line = peer.accept();
    line.connack(true);
    let subscribe = line.expect(crate::peer::SUBSCRIBE);
    let options = subscribe.body.last().unwrap();
    assert_eq!(options & 0x30, 0x10, "retained messages only with a new subscription");
}

#[test]
fn a_subscription_that_is_not_granted_is_said_and_tried_again() {
    for (protocol, code) in [(Protocol::V5, 0x87), (Protocol::V4, 0x80), (Protocol::V5, 0)] {
        let peer = Peer::listen();
        let mut rig = Rig::start(&[CollectorOptions { protocol, ..options(peer.addr) }]);
        let mut line = peer.accept();
        line.connack(false);
        line.grant(code);
        rig.away("does not grant telemetry/+/+ at QoS 1; check its access rules");
        assert!(line.read().is_none());
        let _granted = peer.serve(false);
        rig.collecting();
    }
}

#[test]
fn a_refused_login_is_said_plainly() {
    for (protocol, refusal) in
        [(Protocol::V5, &[0x20, 3, 0, 0x86, 0][..]), (Protocol::V4, &[0x20, 2, 0, 5])]
    {
        let peer = Peer::listen();
        let mut rig = Rig::start(&[CollectorOptions { protocol, ..options(peer.addr) }]);
        let mut line = peer.accept();
        std::io::Write::write_all(&mut line.stream, refusal).unwrap();
        rig.away("refuses the login; check username and password_file");
    }
}

#[test]
fn a_broker_that_wants_other_pings_gets_ours() {
    // Server keep-alives of never and of 18 hours.
    for asked in [0_u16, u16::MAX] {
        let peer = Peer::listen();
        let mut rig = Rig::start(&[options(peer.addr)]);
        let mut line = peer.accept();
        let [high, low] = asked.to_be_bytes();
        line.send(0x20, &[0, 0, 3, 0x13, high, low]);
        let mut pings = 0;
        loop {
            let packet = line.read_raw().expect("no flood of pings");
            match packet.kind {
                crate::peer::PINGREQ => {
                    pings += 1;
                    line.send(0xD0, &[]);
                }
                crate::peer::SUBSCRIBE => break,
                kind => panic!("packet {kind}"),
            }
        }
        line.send(0x90, &[0, 1, 0, 1, 1, 1]);
        rig.collecting();
        for id in 1..=20 {
            line.publish("telemetry/car/car-1", &reading(id.into()), id);
            rig.settle();
            loop {
                let packet = line.read_raw().expect("no flood of pings");
                if packet.kind == PUBACK {
                    break;
                }
                pings += 1;
                line.send(0xD0, &[]);
            }
        }
        assert!(pings <= 2, "{pings} pings");
    }
}
