//! What is acknowledged, when, in which order, and on which connection.

use std::io::Write;

use ingest::collector::{CollectorOptions, Protocol};

use crate::peer::{DISCONNECT, PUBACK, Peer};
use crate::rig::{Rig, options, reading, seq};

const TOPIC: &str = "telemetry/car/car-1";

fn both(peer: &Peer) -> [CollectorOptions; 2] {
    [Protocol::V5, Protocol::V4].map(|protocol| CollectorOptions { protocol, ..options(peer.addr) })
}

#[test]
fn pubacks_go_out_in_the_order_of_receipt() {
    let peer = Peer::listen();
    for options in both(&peer) {
        let mut rig = Rig::start(&[options]);
        let mut line = peer.serve(false);
        for id in 1..=5 {
            line.publish(TOPIC, &reading(id.into()), id);
        }
        let mut arrivals = rig.take(5);
        assert_eq!(arrivals.iter().map(seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        while let Some(last) = arrivals.pop_back() {
            last.acknowledge.send(()).unwrap();
        }
        for id in 1..=5 {
            assert_eq!(line.expect(PUBACK).id(), id);
        }
    }
}

#[test]
fn an_acknowledgement_never_reaches_another_connection_than_its_own() {
    let peer = Peer::listen();
    for options in both(&peer) {
        // However the first connection ends: closed, or with what nobody can read behind messages
        // that can be read, so that the client still holds some of them.
        for garbage in [false, true] {
            let mut rig = Rig::start(std::slice::from_ref(&options));
            let mut first = peer.serve(false);
            let mut bytes: Vec<u8> =
                (1..=3).flat_map(|id| first.publish_packet(TOPIC, b"{}", id)).collect();
            if garbage {
                bytes.extend([0xF0, 0x00, 0xFF]);
            }
            first.stream.write_all(&bytes).unwrap();
            let mut stale = rig.take(if garbage { 0 } else { 3 });
            drop(first);

            let mut second = peer.serve(true);
            while let Some(arrival) = rig.next_within(std::time::Duration::from_millis(50)) {
                stale.push_back(arrival);
            }
            second.publish(TOPIC, &reading(9), 9);
            let fresh = rig.next();
            for arrival in stale {
                arrival.acknowledge.send(()).ok();
            }
            fresh.acknowledge.send(()).unwrap();
            assert_eq!(second.expect(PUBACK).id(), 9, "and not one of 1 to 3");
        }
    }
}

#[test]
fn what_has_no_outcome_ends_the_connection_without_a_puback() {
    let peer = Peer::listen();
    for options in both(&peer) {
        let mut rig = Rig::start(&[options]);
        let mut line = peer.serve(false);
        line.publish(TOPIC, &reading(1), 1);
        line.publish(TOPIC, &reading(2), 2);
        let arrivals = rig.take(2);
        for (at, arrival) in arrivals.into_iter().enumerate() {
            if at == 1 {
                arrival.acknowledge.send(()).ok();
            }
        }
        assert!(line.read().is_none(), "neither 1, nor 2 after it");
        rig.away("sends again");

        let mut again = peer.serve(true);
        again.publish(TOPIC, &reading(1), 1);
        rig.settle();
        assert_eq!(again.expect(PUBACK).id(), 1);
    }
}

#[test]
fn a_full_pipeline_holds_up_no_acknowledgement() {
    let peer = Peer::listen();
    for options in both(&peer) {
        let mut rig = Rig::with_queue(&[options], 1);
        let mut line = peer.serve(false);
        for id in 1..=100 {
            line.publish(TOPIC, &reading(id.into()), id);
        }
        for id in 1..=100 {
            rig.settle();
            assert_eq!(line.expect(PUBACK).id(), id);
        }
    }
}

#[test]
fn more_than_any_channel_holds_may_be_acknowledged_at_once() {
    let peer = Peer::listen();
    let [_, options] = both(&peer);
    let receive_maximum = std::num::NonZeroU16::MAX;
    // As many as there are packet ids: a 3.1.1 broker without limit.
    let mut rig = Rig::with_queue(&[CollectorOptions { receive_maximum, ..options }], 65_536);
    let mut line = peer.serve(false);
    let packets: Vec<u8> =
        (1..=u16::MAX).flat_map(|id| line.publish_packet(TOPIC, b"{}", id)).collect();
    line.stream.write_all(&packets).unwrap();
    for arrival in rig.take(u16::MAX.into()) {
        arrival.acknowledge.send(()).unwrap();
    }
    for id in 1..=u16::MAX {
        assert_eq!(line.expect(PUBACK).id(), id);
    }
}

#[test]
fn a_stop_acknowledges_what_is_committed_and_takes_leave() {
    let peer = Peer::listen();
    for options in both(&peer) {
        let mut rig = Rig::start(&[options]);
        let mut line = peer.serve(false);
        line.publish(TOPIC, &reading(1), 1);
        let under_way = rig.next();
        rig.stop(|arrivals| {
            std::thread::scope(|scope| {
                line.publish(TOPIC, &reading(2), 2);
                under_way.acknowledge.send(()).unwrap();
                // Whether it comes before or after the word to stop: no PUBACK without a commit.
                scope.spawn(|| {
                    while let Some(late) = arrivals.blocking_recv() {
                        late.acknowledge.send(()).ok();
                    }
                });
                assert_eq!(line.expect(PUBACK).id(), 1);
                let mut next = line.read().unwrap();
                if next.kind == PUBACK {
                    assert_eq!(next.id(), 2);
                    next = line.read().unwrap();
                }
                assert_eq!(next.kind, DISCONNECT);
                assert!(line.read().is_none());
            });
        });
    }
}
