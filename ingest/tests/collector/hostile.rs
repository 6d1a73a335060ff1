//! Brokers that are slow, silent, broken or send too much.

use std::io::Write;

use ingest::collector::{CollectorOptions, MAX_PACKET, Protocol};

use crate::peer::{PUBACK, Peer, packet};
use crate::rig::{Rig, free_address, options, reading, said};

const TOPIC: &str = "telemetry/car/car-1";

#[test]
fn a_silent_broker_is_left_and_tried_again() {
    // Both at once: it takes two keep-alives.
    let peers = [Peer::listen(), Peer::listen()];
    let rigs = [(Protocol::V5, &peers[0]), (Protocol::V4, &peers[1])]
        .map(|(protocol, peer)| Rig::start(&[CollectorOptions { protocol, ..options(peer.addr) }]));
    let silent = [peers[0].serve(false), peers[1].serve(false)];
    for (mut rig, peer) in rigs.into_iter().zip(&peers) {
        // Neither pings nor anything else are answered, nor is the connection closed.
        let mut line = peer.serve(true);
        line.publish(TOPIC, &reading(1), 1);
        assert_eq!(rig.settle(), "car-1 1");
        assert_eq!(line.expect(PUBACK).id(), 1);
    }
    drop(silent);
}

#[test]
fn a_broker_that_never_answers_the_connect_is_tried_again() {
    let peer = Peer::listen();
    let mut rig = Rig::start(&[options(peer.addr)]);
    let silent = peer.accept();
    rig.away("does not answer");
    let _second = peer.serve(false);
    rig.collecting();
    drop(silent);
}

#[test]
fn messages_are_taken_up_to_a_mebibyte() {
    let peer = Peer::listen();
    for protocol in [Protocol::V5, Protocol::V4] {
        let mut rig = Rig::start(&[CollectorOptions { protocol, ..options(peer.addr) }]);
        let mut line = peer.serve(false);
        // Beyond the client library's own limit, and beyond ours for a payload.
        line.publish(TOPIC, &format!("[{}]", vec![reading(1); 400].join(",")), 1);
        assert_eq!(rig.settle(), "car-1 400");
        line.publish(TOPIC, &" ".repeat(MAX_PACKET - 100), 2);
        assert_eq!(rig.settle(), "too_large");
        assert_eq!([line.expect(PUBACK).id(), line.expect(PUBACK).id()], [1, 2]);

        let mut head = packet(0x32, &vec![0; MAX_PACKET + 1]);
        head.truncate(100);
        line.stream.write_all(&head).unwrap();
        rig.away("limit the packets it takes");
    }
}

#[test]
fn bytes_that_are_no_mqtt_end_one_connection_and_nothing_else() {
    let peer = Peer::listen();
    for protocol in [Protocol::V5, Protocol::V4] {
        for bytes in [
            &[0x00, 0x00][..],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x32, 0x02, 0xFF, 0xFF],
            &[0x32, 0x00],
            &[0x34, 0x07, 0x00, 0x01, b'a', 0x00, 0x01, 0xFF, 0x7F],
            &[0x90, 0x00],
            &[0x62, 0x02, 0x00, 0x09],
            &[0x20, 0x01, 0x00],
        ] {
            let mut rig = Rig::start(&[CollectorOptions { protocol, ..options(peer.addr) }]);
            let mut line = peer.serve(false);
            line.stream.write_all(bytes).unwrap();
            line.stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut line = peer.serve(true);
            line.publish(TOPIC, &reading(1), 1);
            loop {
                let arrival = rig.next();
                let good = said(&arrival) == "car-1 1";
                // Nobody waits for what came on the first connection.
                arrival.acknowledge.send(()).ok();
                if good {
                    break;
                }
            }
            assert_eq!(line.expect(PUBACK).id(), 1);
        }
    }
}

#[test]
fn a_client_takes_kilobytes_not_megabytes() {
    let resident_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    let peer = Peer::listen();
    let names = (0..20).map(|number| format!("collector-{number}").into());
    let options: Vec<_> =
        names.map(|client_id| CollectorOptions { client_id, ..options(peer.addr) }).collect();
    let before = resident_kib();
    let mut rig = Rig::start(&options);
    let lines: Vec<_> = options.iter().map(|_| peer.serve(false)).collect();
    rig.collecting();
    // The library's default is 13.9 MB each. Other tests run in this process.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1_024, "{grown} KiB for {} clients", lines.len());
}

#[test]
fn a_broker_that_is_not_there_is_waited_for() {
    let mut rig = Rig::start(&[options(free_address())]);
    rig.away("refused");
}
