use std::time::{Duration, Instant};

use ingest::Clock;
use serde_json::json;

use crate::client::{Watcher, get, wait_for};
use crate::drive_into_germany;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_starts_with_how_things_stand_and_tells_what_follows() {
    let site = Site::start("127.0.0.1:0").await;
    let publish = async |device: &str, celsius: f64| {
        let reading = json!({ "ts": Clock::system().now_ms(), "indoor_c": celsius }).to_string();
        site.publish(&format!("telemetry/thermostat/{device}"), &reading).await;
    };
    publish("home-01", 20.0).await;
    publish("home-02", 21.0).await;
    wait_for(site.addr, "/v1/fleet", |json| json["heard"] == 2).await;

    let mut watcher = Watcher::open(site.addr).await;
    let status = watcher.next("status").await.unwrap();
    assert_eq!(status["counts"]["received"], 2);
    let fleet = watcher.next("fleet").await.unwrap();
    assert_eq!((&fleet["all"], &fleet["heard"]), (&json!(true), &json!(2)));
    assert_eq!(fleet["devices"].as_array().unwrap().len(), 2);

    publish("home-02", 22.5).await;
    let news = watcher.next("fleet").await.unwrap();
    assert_eq!(news["all"], false);
    let devices = news["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "only what changed: {news}");
    assert_eq!(devices[0]["device"], "home-02");
    assert_eq!(devices[0]["indoor_c"], 22.5);

    let later = watcher.next("status").await.unwrap();
    assert_eq!(later["counts"]["received"], 3);
    assert!(later["rates"]["received"].is_number());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_reaches_all_who_watch_as_the_insurer_gets_it() {
    let site = Site::start("127.0.0.1:0").await;
    let mut watchers = [Watcher::open(site.addr).await, Watcher::open(site.addr).await];
    drive_into_germany(&site, "car-07").await;
    let stored = get(site.addr, "/v1/triggers").await.json();
    for watcher in &mut watchers {
        let trigger = watcher.next("trigger").await.unwrap();
        assert_eq!(trigger, stored["triggers"][0]);
        assert_eq!(trigger["message"]["data"]["offer"]["kind"], "cover");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_do_not_hold_up_the_shutdown() {
    let site = Site::start("127.0.0.1:0").await;
    let mut watcher = Watcher::open(site.addr).await;
    let began = Instant::now();
    site.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "it waited for a watcher");
    assert_eq!(watcher.next("never").await, None, "the stream has an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_end_to_how_many_may_watch() {
    let site = Site::start("127.0.0.1:0").await;
    let mut watchers = Vec::new();
    for _ in 0..100 {
        watchers.push(Watcher::open(site.addr).await);
    }
    get(site.addr, "/v1/stream").await.refusal(503);
    watchers.pop();
    // The server notices with the next frame.
    let streams = async {
        while get(site.addr, "/metrics").await.body.contains("datanaut_streams 100") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), streams).await.expect("a place becomes free");
    watchers.push(Watcher::open(site.addr).await);
    site.stop().await;
}
