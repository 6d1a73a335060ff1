//! What a topic means.

use std::sync::Arc;

use crate::DeviceKind;

/// Longest device id, in bytes: it is a key in the registry, the journal and other topics.
pub const MAX_DEVICE_ID: usize = 64;

/// What arrives on a topic, and from which device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `telemetry/{kind}/{device}`: native JSON or CBOR.
    Telemetry { kind: DeviceKind, device: Arc<str> },
    /// `owntracks/{user}/{device}` and one level below it. What the message is, its `_type` says.
    OwnTracks { device: Arc<str> },
    /// No device publishes there. The device is known when the topic names a usable id.
    Unknown { device: Option<Arc<str>>, detail: String },
}

/// Reads a topic that was published to (no wildcards).
#[must_use]
pub fn route(topic: &str) -> Route {
    let mut levels = topic.split('/');
    match (levels.next(), levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some("telemetry"), Some(kind), Some(device), None, None) => telemetry(kind, device),
        (Some("owntracks"), Some(user), Some(device), _, None) => owntracks(user, device),
        _ => Route::Unknown { device: None, detail: "no device publishes on this topic".into() },
    }
}

fn telemetry(kind: &str, device: &str) -> Route {
    if !is_device_id(device) {
        return Route::Unknown {
            device: None,
            detail: format!("the device id is not 1 to {MAX_DEVICE_ID} of A-Z a-z 0-9 . _ : -"),
        };
    }
    let device = Arc::from(device);
    match DeviceKind::from_name(kind) {
        Some(kind) => Route::Telemetry { kind, device },
        None => Route::Unknown {
            device: Some(device),
            detail: "the kind is none of thermostat, car, tracker, product".into(),
        },
    }
}

fn is_device_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=MAX_DEVICE_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// OwnTracks names are free text. `{user}-{device}` in lower case with '-' for blanks is the key
/// that its own recorder uses; other characters that an id may not have become '-' too.
fn owntracks(user: &str, device: &str) -> Route {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':') => c,
        _ => '-',
    };
    let id: String = user.chars().chain(['-']).chain(device.chars()).map(plain).collect();
    if user.is_empty() || device.is_empty() || id.len() > MAX_DEVICE_ID {
        return Route::Unknown {
            device: None,
            detail: format!("user and device are not 1 to {} characters", MAX_DEVICE_ID - 1),
        };
    }
    Route::OwnTracks { device: id.into() }
}

#[cfg(test)]
mod tests {
    use super::{Route, route};
    use crate::DeviceKind;

    fn owntracks_id(topic: &str) -> Option<String> {
        match route(topic) {
            Route::OwnTracks { device } => Some(device.to_string()),
            _ => None,
        }
    }

    fn known_device(topic: &str) -> Option<String> {
        match route(topic) {
            Route::Unknown { device, .. } => device.map(|device| device.to_string()),
            other => panic!("{topic} is routed to {other:?}"),
        }
    }

    #[test]
    fn a_native_topic_names_kind_and_device() {
        let route = route("telemetry/car/WVW:zz-1.2_3");
        let device = "WVW:zz-1.2_3".into();
        assert_eq!(route, Route::Telemetry { kind: DeviceKind::Car, device });
    }

    #[test]
    fn owntracks_names_become_the_key_its_recorder_uses() {
        assert_eq!(owntracks_id("owntracks/Jane/iPhone 12 Pro"), Some("jane-iphone-12-pro".into()));
        assert_eq!(owntracks_id("owntracks/jané/x+y/event"), Some("jan--x-y".into()));
        assert_eq!(owntracks_id("owntracks/jane/phone/some/thing"), None);
        assert_eq!(owntracks_id("owntracks/jane"), None);
        assert_eq!(owntracks_id("owntracks//phone"), None);
        assert_eq!(owntracks_id(&format!("owntracks/{}/phone", "j".repeat(60))), None);
    }

    #[test]
    fn an_unknown_topic_still_names_the_device_where_it_can() {
        assert_eq!(known_device("telemetry/bicycle/b-1"), Some("b-1".into()));
        let too_long = format!("telemetry/car/{}", "x".repeat(65));
        for topic in ["telemetry/car/", "telemetry/car/a b", "telemetry/car", "x", "", &too_long] {
            assert_eq!(known_device(topic), None, "{topic}");
        }
    }
}
