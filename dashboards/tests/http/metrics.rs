use std::collections::HashMap;

use crate::client::{get, wait_for};
use crate::site::Site;

/// Reads the text format as strictly as promtool does; returns samples by name and labels.
fn parse(text: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    let mut families: HashMap<&str, &str> = HashMap::new();
    let mut helped = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !families.contains_key(name), "{line}");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped, "HELP comes first");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            families.insert(name, kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert_eq!(name, helped, "samples stand under their heading");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            let value = value.parse().unwrap();
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} twice");
        }
    }
    assert!(text.ends_with('\n'));
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_totals() {
    let site = Site::start("127.0.0.1:0").await;
    site.publish("telemetry/car/car-01", r#"{"ts":1700000000,"speed_mps":1}"#).await;
    site.publish("telemetry/car/car-01", r#"{"speed_mps":1}"#).await;
    site.publish("telemetry/car/stranger", r#"{"ts":1700000000,"speed_mps":1}"#).await;
    wait_for(site.addr, "/v1/status", |json| json["counts"]["received"] == 3).await;

    let answer = get(site.addr, "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let samples = parse(&answer.body);
    let expected = [
        ("datanaut_readings_received_total", 3.0),
        ("datanaut_readings_stored_total", 1.0),
        ("datanaut_readings_quarantined_total{reason=\"no_time\"}", 1.0),
        ("datanaut_readings_quarantined_total{reason=\"clock_ahead\"}", 0.0),
        ("datanaut_readings_refused_total{reason=\"unknown_device\"}", 1.0),
        ("datanaut_fleet_devices{kind=\"car\"}", 1.0),
        ("datanaut_registered_devices", 120.0),
        ("datanaut_balanced", 1.0),
        ("datanaut_ready", 1.0),
        ("datanaut_build_info{version=\"1.2.3\"}", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }

    let documentation = include_str!("../../../docs/http.md");
    for sample in samples.keys() {
        let name = sample.split('{').next().unwrap();
        assert!(
            documentation.contains(&format!("`{name}`")),
            "docs/http.md says nothing of {name}"
        );
    }
    site.stop().await;
}
