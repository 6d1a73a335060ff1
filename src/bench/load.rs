//! What the made-up cars say.

use std::sync::Arc;
use std::time::Duration;

use super::server::NOON_MS;
use super::wire::Message;

/// Where one car drives: far from any border.
pub(super) fn reading(number: usize, time_ms: i64, seq: usize) -> Vec<u8> {
    let (lat, lon) = (46.0 + (number % 100) as f64 * 0.03, 2.0 + (number / 100 % 50) as f64 * 0.03);
    let lat = lat + (seq % 5_000) as f64 * 0.000_18;
    let speed = 20.0 + (seq % 90) as f64 * 0.1;
    let odometer = 48_213_077 + seq * 25;
    format!(
        r#"{{"ts":{time_ms},"seq":{seq},"lat":{lat:.7},"lon":{lon:.7},"accuracy_m":4.5,"speed_mps":{speed:.1},"course_deg":184.0,"odometer_m":{odometer}}}"#
    )
    .into_bytes()
}

pub(super) fn topic(prefix: &str, number: usize) -> Arc<str> {
    format!("telemetry/car/{prefix}{number:06}").into()
}

/// A reading after the other, a millisecond apart, for as long as somebody asks.
pub(super) fn as_they_come(number: usize) -> impl Iterator<Item = Message> + Send {
    let topic = topic("car-", number);
    (0..).map(move |seq| {
        let payload = reading(number, NOON_MS + seq as i64, seq);
        Message { due: None, topic: topic.clone(), payload }
    })
}

/// The value below which `share` of them lie, in ms; sorts them.
pub(super) fn percentile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::server::NOON_MS;
    use super::{percentile_ms, reading, topic};

    #[test]
    fn what_the_cars_say_is_a_reading() {
        let payload = Bytes::from(reading(7_123, NOON_MS, 99));
        let decoded = ingest::formats::decode(&topic("car-", 7_123), &payload, NOON_MS).unwrap();
        assert!(decoded.readings[0].is_ok() && decoded.unknown_names == 0);
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut times: Vec<_> = (1..=1_000).rev().map(Duration::from_millis).collect();
        assert!((percentile_ms(&mut times, 0.5) - 501.0).abs() < 1e-9);
        assert!((percentile_ms(&mut times, 0.99) - 991.0).abs() < 1e-9);
        assert!(percentile_ms(&mut [], 0.5).is_nan());
    }
}
