//! Files with the secrets of webhooks.
#![no_main]

use libfuzzer_sys::fuzz_target;

// By its path, since the crate that it is part of brings two HTTP clients and the journal with it.
#[allow(dead_code)]
#[path = "../../deliver/src/webhooks/sign.rs"]
mod sign;

fuzz_target!(|text: &str| {
    if let Ok(secrets) = sign::Secrets::parse(text) {
        let signature = secrets.sign("m", 1, text.as_bytes());
        assert!(signature.split(' ').all(|one| one.starts_with("v1,")));
    }
});
