//! What is asked over HTTP: bodies, forms, logins, links and moments; the first byte says which.
#![no_main]

use enrich::registry::{Registry, RegistryFile};
use enrich::trigger::Key;
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;

// By their paths, since the crates that they are part of bring a web server and the journal.
#[allow(dead_code)]
#[path = "../../dashboards/src/asked.rs"]
mod asked;
#[allow(dead_code)]
#[path = "../../journal/src/link.rs"]
mod link;

use asked::*;

const NOW_MS: i64 = 1_790_000_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((which, body)) = input.split_first() else { return };
    match which % 15 {
        0 => json::<Given>(body),
        1 => json::<Withdrawn>(body),
        2 => json::<Confirmed>(body),
        3 => json::<Good>(body),
        4 => json::<Devices>(body),
        5 => json::<Transferred>(body),
        6 => json::<Tested>(body),
        7 => json::<Rows>(body),
        8 => json::<Letters>(body),
        9 => {
            if let Ok(File { file }) = serde_json::from_slice(body) {
                drop(RegistryFile::parse_beside(&file, &Registry::default()));
            }
        }
        10 => drop(serde_urlencoded::from_bytes::<Decision>(body)),
        11 => drop(serde_urlencoded::from_bytes::<Link>(body)),
        text => {
            let Ok(body) = std::str::from_utf8(body) else { return };
            match text {
                12 => drop(password(body)),
                13 => drop((moment_ms(body), seconds(body))),
                _ => {
                    let links = link::Links::new(Key::new([7; 32]));
                    assert_eq!(links.customer(body, NOW_MS), None, "a forged link opens a page");
                }
            }
        }
    }
});

fn json<T: DeserializeOwned>(body: &[u8]) {
    drop(serde_json::from_slice::<T>(body));
}
