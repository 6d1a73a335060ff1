//! What insurers ask over MQTT: the topic, the response topic (or none) and the payload, a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;

// By its path, since the crate that it is part of brings two HTTP clients and the journal with it.
#[allow(dead_code)]
#[path = "../../deliver/src/requests/question.rs"]
mod question;

use question::{Question, Refused, addressed};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let (Some(topic), Some(response_topic)) = (text(), text()) else { return };
    let response_topic = Some(response_topic).filter(|topic| !topic.is_empty());
    if let Some((insurer, reply_to)) = addressed(topic, response_topic) {
        assert!(reply_to.starts_with(&format!("replies/{insurer}/")));
        assert!(!reply_to.contains(['+', '#', '\0']));
    }
    match Question::read(lines.next().unwrap_or_default()) {
        Ok(question) => assert!((1..=200).contains(&question.limit)),
        Err(refused) => {
            assert!(Refused::NAMES.contains(&refused.name()));
            assert!(!refused.error().is_empty() && !refused.advice().is_empty());
        }
    }
});
