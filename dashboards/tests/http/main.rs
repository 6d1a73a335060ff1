//! The HTTP API, the live stream and the page, over real sockets and a real journal.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub)]

mod api;
mod client;
mod garbage;
mod contracts;
mod metrics;
mod page;
mod site;
mod slow;
mod stream;

use ingest::Clock;
use serde_json::json;
use site::Site;

pub const MINUTE_MS: i64 = 60_000;

/// Drives `car` from Utrecht to Münster in half an hour, ending now: one crossing.
pub async fn drive_into_germany(site: &Site, car: &str) {
    let now_ms = Clock::system().now_ms();
    let utrecht = (52.09, 5.12);
    let muenster = (51.96, 7.63);
    let fixes = [(60, utrecht), (31, utrecht), (2, muenster), (1, muenster), (0, muenster)];
    for (minutes, (lat, lon)) in fixes {
        let ts = now_ms - minutes * MINUTE_MS;
        let reading = json!({ "ts": ts, "lat": lat, "lon": lon, "accuracy_m": 5, "speed_mps": 30 });
        site.publish(&format!("telemetry/car/{car}"), &reading.to_string()).await;
    }
}
