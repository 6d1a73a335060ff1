//! A journal that cannot commit, and other ends of a broker.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use ingest::broker::BrokerOptions;

use crate::rig::{Rig, demo, eventually};
use crate::wire::{PUBACK, Wire, hello};

#[test]
fn a_stalled_journal_drops_all_connections_and_starts_again_on_the_same_port() {
    let mut rig = Rig::start(&demo());
    let mut devices: Vec<Wire> = (0..50)
        .map(|_| {
            let mut device = rig.connect(&hello(4, ""));
            device.publish("telemetry/car/a", b"1", 1, 1);
            device
        })
        .collect();
    let blocked: Vec<_> = (0..50).map(|_| rig.arrivals.next()).collect();

    let started = Instant::now();
    rig.broker.drop_connections();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    for device in &mut devices {
        assert!(device.read().is_none(), "no PUBACK");
    }
    assert!(blocked.into_iter().all(|arrival| arrival.acknowledge.send(()).is_err()));

    let mut again = Rig::start(&BrokerOptions { listen: rig.addr, ..demo() });
    assert_eq!(again.addr, rig.addr);
    let mut device = again.connect(&hello(4, "device"));
    device.publish_flagged("telemetry/car/a", b"1", 0x0A, 1);
    again.arrivals.settle();
    assert_eq!(device.expect(PUBACK).id(), 1);
}

#[test]
fn a_blocked_connection_is_taken_over_at_once() {
    let mut rig = Rig::start(&demo());
    let mut first = rig.connect(&hello(4, "device"));
    first.publish("telemetry/car/a", b"1", 1, 1);
    let blocked = rig.arrivals.next();

    let mut second = rig.connect(&hello(4, "device"));
    second.publish_flagged("telemetry/car/a", b"1", 0x0A, 1);
    rig.arrivals.settle();
    assert_eq!(second.expect(PUBACK).id(), 1);
    blocked.acknowledge.send(()).unwrap();
}

#[test]
fn an_orderly_stop_lets_a_commit_under_way_finish() {
    let mut rig = Rig::start(&demo());
    let mut device = rig.connect(&hello(4, "device"));
    device.publish("telemetry/car/a", b"1", 1, 8);
    let arrival = rig.arrivals.next();
    let broker = rig.broker;
    let stopping = std::thread::spawn(|| {
        tokio::runtime::Runtime::new().unwrap().block_on(broker.stop());
    });
    eventually("nobody is let in", || TcpStream::connect(rig.addr).is_err());
    arrival.acknowledge.send(()).unwrap();
    assert_eq!(device.expect(PUBACK).id(), 8);
    assert!(device.read().is_none());
    stopping.join().unwrap();
}

#[test]
fn a_broker_may_start_and_go_inside_another_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sender, _arrivals) = tokio::sync::mpsc::channel(1);
    runtime.block_on(async {
        let decode = |_: &str, _: &bytes::Bytes, _| unreachable!("nobody publishes");
        let start = || {
            let clock = ingest::Clock::system();
            ingest::broker::Broker::start(&demo(), decode, clock, sender.clone()).unwrap()
        };
        start().drop_connections();
        drop(start());
        start().stop().await;
    });
}
