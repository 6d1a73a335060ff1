//! The page on made-up devices, to look at while it is worked on:
//! `cargo run -p dashboards --example preview`

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code)]

#[path = "../tests/http/site.rs"]
mod site;

use std::time::Duration;

use jiff::Timestamp;
use site::Site;

/// Latitude and longitude of towns on both sides of borders.
const TOWNS: [(f64, f64); 14] = [
    (52.37, 4.90),
    (51.92, 4.48),
    (50.85, 4.35),
    (50.94, 6.96),
    (51.23, 6.78),
    (48.86, 2.35),
    (49.61, 6.13),
    (53.55, 9.99),
    (52.52, 13.40),
    (50.08, 14.43),
    (48.21, 16.37),
    (47.38, 8.54),
    (45.46, 9.19),
    (55.68, 12.57),
];

/// Seconds of travel between two messages, so that borders are crossed while one looks.
const STRIDE_S: i64 = 60;

#[tokio::main]
async fn main() {
    let site = Site::start("127.0.0.1:8088").await;
    println!("http://{}", site.addr);
    let start_ms = Timestamp::now().as_millisecond() - 6 * 3_600_000;
    for step in 0.. {
        let ms = (start_ms + step * STRIDE_S * 1_000).min(Timestamp::now().as_millisecond());
        for number in 0..40 {
            travel(&site, "car", number, step, ms).await;
        }
        for number in 0..30 {
            travel(&site, "tracker", number, step, ms).await;
        }
        if step % 4 == 0 {
            stay(&site, step, ms).await;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

async fn travel(site: &Site, kind: &str, number: i64, step: i64, ms: i64) {
    let towns = TOWNS.len() as i64;
    let way = if kind == "car" { number } else { number * 3 + 2 };
    let (from, to) = (way * 5 % towns, (way * 5 + 1 + way % 6) % towns);
    let ((lat_a, lon_a), (lat_b, lon_b)) = (TOWNS[from as usize], TOWNS[to as usize]);
    let there = ((step as f64 / 150.0 + way as f64 * 0.37) % 2.0 - 1.0).abs();
    let bend = (there * std::f64::consts::PI).sin() * ((way % 7) as f64 - 3.0) * 0.12;
    let (lat, lon) = (lat_a + (lat_b - lat_a) * there + bend, lon_a + (lon_b - lon_a) * there);
    let speed = 25.0 + (step + number) as f64 % 9.0;
    let measures = match kind {
        "car" => format!(r#""speed_mps":{speed},"tyre":"summer","fuel_pct":{}"#, 90 - number),
        _ => format!(r#""steps":{},"battery_pct":{}"#, step * 9, 100 - number),
    };
    let payload = format!(
        r#"{{"ts":{ms},"seq":{step},"lat":{lat:.5},"lon":{lon:.5},"accuracy_m":5,{measures}}}"#
    );
    site.publish(&format!("telemetry/{kind}/{kind}-{number:02}"), &payload).await;
}

async fn stay(site: &Site, step: i64, ms: i64) {
    for number in 0..50_i64 {
        let (lat, lon) = TOWNS[(number * 3) as usize % TOWNS.len()];
        let (lat, lon) = (lat + 0.03 * (number % 9) as f64, lon - 0.05 * (number % 7) as f64);
        let (kind, device, measures) = match number {
            0..30 => {
                ("thermostat", format!("home-{number:02}"), r#""indoor_c":20.5,"mode":"heat""#)
            }
            _ => {
                ("product", format!("washer-{:02}", number - 30), r#""running":true,"power_w":740"#)
            }
        };
        let payload = format!(r#"{{"ts":{ms},"lat":{lat},"lon":{lon},{measures}}}"#);
        site.publish(&format!("telemetry/{kind}/{device}"), &payload).await;
    }
    site.publish("telemetry/car/car-07", &format!(r#"{{"ts":{ms},"speed_mps":900}}"#)).await;
    site.publish("telemetry/car/car-07", r#"{"speed_mps":9}"#).await;
    if step % 12 == 0 {
        site.publish("telemetry/car/stranger", &format!(r#"{{"ts":{ms},"speed_mps":9}}"#)).await;
    }
}
