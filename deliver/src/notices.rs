//! Tells a device or an insurer why its messages were not used: at most once a minute and reason.

use std::collections::HashMap;
use std::sync::Arc;

use ingest::Reason;
use journal::Notice;
use serde::Serialize;

const MINUTE_MS: i64 = 60_000;

/// How many device and reason pairs are remembered: when it is full, all are forgotten, and some
/// device hears the same thing twice in a minute.
const REMEMBERED: usize = 10_000;

/// The message on `errors/{device}` or `errors/{insurer}`.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation<'a> {
    reason: &'static str,
    advice: &'static str,
    detail: &'a str,
    at: String,
}

/// Remembers what was said when.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    said: HashMap<(Arc<str>, Reason), i64>,
}

impl Limiter {
    /// Whether it is time to say this again.
    pub(crate) fn may_say(&mut self, notice: &Notice) -> bool {
        let key = (notice.to.clone(), notice.reason);
        if self.said.get(&key).is_some_and(|said_ms| notice.at_ms - said_ms < MINUTE_MS) {
            return false;
        }
        if self.said.len() >= REMEMBERED {
            self.said.clear();
        }
        self.said.insert(key, notice.at_ms);
        true
    }
}

/// Topic and payload for a notice; `None` for somebody whose name cannot stand in a topic.
pub(crate) fn message(notice: &Notice) -> Option<(String, Vec<u8>)> {
    let usable = |c: char| !matches!(c, '/' | '+' | '#') && !c.is_control();
    if notice.to.is_empty() || !notice.to.chars().all(usable) {
        return None;
    }
    let at = jiff::Timestamp::from_millisecond(notice.at_ms).ok()?.to_string();
    let explanation = Explanation {
        reason: notice.reason.name(),
        advice: notice.reason.advice(),
        detail: &notice.detail,
        at,
    };
    let payload = serde_json::to_vec(&explanation).ok()?;
    Some((format!("errors/{}", notice.to), payload))
}

#[cfg(test)]
mod tests {
    use super::{Limiter, message};
    use ingest::Reason;
    use journal::Notice;

    fn notice(device: &str, reason: Reason, at_ms: i64) -> Notice {
        Notice { to: device.into(), reason, detail: "ts is missing".to_owned(), at_ms }
    }

    #[test]
    fn a_device_hears_a_reason_once_a_minute() {
        let mut limiter = Limiter::default();
        assert!(limiter.may_say(&notice("a", Reason::NoTime, 0)));
        assert!(!limiter.may_say(&notice("a", Reason::NoTime, 59_999)));
        assert!(limiter.may_say(&notice("a", Reason::OutOfRange, 59_999)));
        assert!(limiter.may_say(&notice("b", Reason::NoTime, 59_999)));
        assert!(limiter.may_say(&notice("a", Reason::NoTime, 60_000)));
    }

    #[test]
    fn the_explanation_names_reason_and_advice() {
        let (topic, payload) = message(&notice("car-1", Reason::NoTime, 0)).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(topic, "errors/car-1");
        assert_eq!(payload["reason"], "no_time");
        assert_eq!(payload["detail"], "ts is missing");
        assert!(payload["advice"].as_str().unwrap().contains("ts"));
        assert!(message(&notice("a/#", Reason::NoTime, 0)).is_none());
    }
}
