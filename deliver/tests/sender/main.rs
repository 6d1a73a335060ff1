//! The sender of triggers against brokers that are slow, out of order, unwilling or away.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod peer;
mod support;
mod webhooks;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::PubAckReason::{NoMatchingSubscribers, QuotaExceeded, Success};

use peer::{DEADLINE, Peer};
use support::Bench;

const JUST_NOW: Duration = Duration::from_secs(60);
const YESTERDAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_backlog_goes_out_in_order_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..350, JUST_NOW).await;
    let sender = bench.sender();
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    let mut ids = Vec::new();
    for _ in 0..350 {
        let (packet, id) = peer.trigger().await.unwrap();
        ids.push(id);
        peer.acknowledge(packet, NoMatchingSubscribers).await;
    }
    assert_eq!(ids, bench.ids());
    bench.cursor_reaches(350).await;
    bench.stop();
    tokio::time::timeout(DEADLINE, sender).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_cursor_waits_for_what_is_on_its_way_and_that_goes_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..30, JUST_NOW).await;
    let ids = bench.ids();
    let _sender = bench.sender();
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    let mut packets = Vec::new();
    for _ in 0..30 {
        packets.push(peer.trigger().await.unwrap().0);
    }
    // The eleventh is acknowledged never, the others in reverse.
    for packet in packets.iter().enumerate().filter(|(at, _)| *at != 10).map(|(_, p)| *p).rev() {
        peer.acknowledge(packet, Success).await;
    }
    bench.cursor_reaches(10).await;
    drop(peer);
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    for id in &ids[10..] {
        let (packet, again) = peer.trigger().await.unwrap();
        assert_eq!(again, *id);
        peer.acknowledge(packet, Success).await;
    }
    bench.cursor_reaches(30).await;
}

#[tokio::test]
async fn what_has_expired_is_passed_over_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..5, JUST_NOW).await;
    bench.cross(5..8, YESTERDAY).await;
    let _sender = bench.sender();
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    for _ in 0..5 {
        let (packet, _) = peer.trigger().await.unwrap();
        peer.acknowledge(packet, Success).await;
    }
    bench.cursor_reaches(8).await;
    bench.cross(8..10, YESTERDAY).await;
    bench.cursor_reaches(10).await;
}

#[tokio::test]
async fn a_trigger_that_is_refused_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..3, JUST_NOW).await;
    let _sender = bench.sender();
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    let (packet, first) = peer.trigger().await.unwrap();
    peer.acknowledge(packet, QuotaExceeded).await;
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    assert_eq!(peer.trigger().await.unwrap().1, first);
    assert_eq!(bench.cursor(), 0);
}

#[tokio::test]
async fn sending_again_while_some_are_on_their_way_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..150, JUST_NOW).await;
    let _sender = bench.sender();
    let mut peer = Peer::accept(&bench.listener, Duration::ZERO).await;
    let (mut seen, mut waiting, mut acknowledged) = (BTreeSet::new(), Vec::new(), 0);
    // 100 may be on their way: with forty acknowledged, the rest of those wait.
    for _ in 0..100 {
        let (packet, id) = peer.trigger().await.unwrap();
        seen.insert(id);
        waiting.push(packet);
    }
    bench.resend(20);
    let since = Instant::now();
    while bench.cursor() < 150 {
        assert!(since.elapsed() < DEADLINE);
        if let Some(packet) = waiting.pop() {
            peer.acknowledge(packet, Success).await;
            acknowledged += 1;
        }
        let next = tokio::time::timeout(Duration::from_millis(50), peer.trigger()).await;
        if let Ok(Some((packet, id))) = next {
            seen.insert(id);
            waiting.push(packet);
        }
    }
    assert_eq!(seen, bench.ids().into_iter().collect());
    assert!(acknowledged >= 230, "130 of them twice: {acknowledged}");
}

#[tokio::test]
async fn a_flood_of_explanations_does_not_keep_it_from_connecting() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    bench.cross(0..1, JUST_NOW).await;
    let flood = async {
        loop {
            bench.send("stranger", vec![strange()]).await.await.unwrap();
        }
    };
    let sent = async {
        let _sender = bench.sender();
        let mut peer = Peer::accept(&bench.listener, Duration::from_millis(300)).await;
        peer.trigger().await.unwrap()
    };
    tokio::select! {
        _ = sent => {}
        () = flood => unreachable!(),
    }
}

fn strange() -> ingest::Reading {
    ingest::Reading { time_ms: 1, seq: None, fix: None, measures: Vec::new() }
}
