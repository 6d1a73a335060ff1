//! Clients that misbehave, and limits.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use ingest::Reason;
use ingest::broker::{BrokerOptions, MAX_PACKET};

use crate::rig::{Rig, demo, eventually};
use crate::wire::{PINGRESP, PUBACK, Wire, hello};

#[test]
fn half_open_connections_garbage_and_resets_harm_nobody_else() {
    let mut rig = Rig::start(&demo());
    let mut steady = rig.connect(&hello(4, "steady"));
    let mut silent = Vec::new();
    for round in 0_u8..50 {
        silent.push(TcpStream::connect(rig.addr).unwrap());
        let mut garbage = TcpStream::connect(rig.addr).unwrap();
        // Closing with the broker's answer unread sends a reset.
        garbage.write_all(&[0xFF, round, round.wrapping_mul(37), 0xFF, 0xFF, 0xFF, 0x7F]).ok();
        let mut device = rig.connect(&hello(5, ""));
        // A PUBLISH cut off in the middle, then more garbage.
        device.stream.write_all(&[0x32, 0x7F, 0x00, 0x40, b't']).unwrap();
        if round % 2 == 0 {
            device.stream.write_all(&[0xC3; 200]).unwrap();
        }
    }
    steady.publish("telemetry/car/a", b"1", 1, 1);
    assert_eq!(&*rig.arrivals.settle().0, "telemetry/car/a");
    assert_eq!(steady.expect(PUBACK).id(), 1);
    eventually("the others are gone", || rig.broker.connected() == 1);
}

#[test]
fn a_large_payload_is_counted_and_a_huge_one_ends_the_connection() {
    let mut rig = Rig::start(&demo());
    let mut steady = rig.connect(&hello(4, "steady"));
    for version in [4, 5] {
        let mut device = rig.connect(&hello(version, "device"));
        device.publish("telemetry/car/a", &vec![b'x'; MAX_PACKET - 100], 1, 1);
        assert_eq!(rig.arrivals.settle().1, Some(Reason::TooLarge));
        assert_eq!(device.expect(PUBACK).id(), 1);
        device.publish("telemetry/car/a", &vec![b'x'; MAX_PACKET], 1, 2);
        assert!(device.read().is_none_or(|answer| answer.kind != PUBACK));
        assert!(rig.arrivals.none_waiting());
    }
    steady.ping();
    steady.expect(PINGRESP);
}

#[test]
fn one_client_too_many_is_turned_away_and_the_next_fits_again() {
    let options = BrokerOptions { max_clients: Some(2), ..demo() };
    let rig = Rig::start(&options);
    assert_eq!(rig.broker.max_clients(), 2);
    let first = rig.connect(&hello(4, "first"));
    let _second = rig.connect(&hello(4, "second"));
    // The broker counts a client just after it has answered its CONNECT.
    eventually("both count", || rig.broker.connected() == 2);
    assert!(Wire::try_connect(rig.addr, &hello(4, "third")).is_err());
    drop(first);
    eventually("a place is free", || Wire::try_connect(rig.addr, &hello(4, "third")).is_ok());
}

#[test]
fn clients_are_bounded_below_the_open_file_limit() {
    let unbounded = BrokerOptions { max_clients: Some(usize::MAX), ..demo() };
    let rig = Rig::start(&unbounded);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    if let Some(Ok(open_files)) = line.split_whitespace().nth(3).map(str::parse::<usize>) {
        assert!(rig.broker.max_clients() < open_files);
    }
}

#[test]
fn a_silent_client_is_dropped_after_its_keep_alive_and_a_pinging_one_is_kept() {
    let rig = Rig::start(&demo());
    for version in [4, 5] {
        let mut brief = hello(version, "brief");
        brief.keep_alive_s = 1;
        let mut silent = rig.connect(&brief);
        let mut pinging = rig.connect(&hello(version, "pinging"));
        let started = Instant::now();
        while silent.read().is_some() {}
        assert!(started.elapsed().as_secs_f64() >= 1.0, "{:?}", started.elapsed());
        pinging.ping();
        pinging.expect(PINGRESP);
    }
}

#[test]
fn nothing_is_written_where_the_program_was_started() {
    let mut rig = Rig::start(&demo());
    let mut subscriber = hello(4, "subscriber");
    subscriber.clean = false;
    let mut subscriber = rig.connect(&subscriber);
    subscriber.subscribe("triggers/#");
    rig.internal("sender").publish_flagged("triggers/a/b/c", b"kept", 0x03, 1);
    subscriber.message();
    let mut device = rig.connect(&hello(4, "device"));
    device.publish_flagged("telemetry/car/a", b"1", 0x05, 1);
    rig.arrivals.settle();
    rig.broker.drop_connections();
    assert!(!Path::new("mqtt_storage").exists());
}
