//! How often somebody may guess.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After so many wrong logins under a name within a minute, from one address, that name waits there
/// for the rest of it. By name, because whole fleets share an address, and one device with an old
/// token must not put off the others.
const ATTEMPTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Names remembered; when there are more, all are forgotten: tokens are too long to be guessed in
/// whatever that allows.
const REMEMBERED: usize = 4_096;

#[derive(Default)]
pub(super) struct Attempts {
    wrong: Mutex<HashMap<Key, (Instant, u32)>>,
    keys: RandomState,
}

/// A hash stands for the name, which may be long.
type Key = (IpAddr, u64);

impl Attempts {
    pub(super) fn must_wait(&self, from: IpAddr, name: &str, now: Instant) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(&self.key(from, name))
            .is_some_and(|(since, times)| *times >= ATTEMPTS && now.duration_since(*since) < WINDOW)
    }

    pub(super) fn was_wrong(&self, from: IpAddr, name: &str, now: Instant) {
        let key = self.key(from, name);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= REMEMBERED && !wrong.contains_key(&key) {
            wrong.clear();
        }
        let (since, times) = wrong.entry(key).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *times) = (now, 0);
        }
        *times += 1;
    }

    fn key(&self, from: IpAddr, name: &str) -> Key {
        (from, self.keys.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_has_an_end_for_that_name_at_that_address() {
        let attempts = Attempts::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let now = Instant::now();
        for _ in 0..ATTEMPTS {
            assert!(!attempts.must_wait(here, "car-1", now));
            attempts.was_wrong(here, "car-1", now);
        }
        assert!(attempts.must_wait(here, "car-1", now));
        assert!(
            !attempts.must_wait(here, "car-2", now) && !attempts.must_wait(there, "car-1", now)
        );
        assert!(!attempts.must_wait(here, "car-1", now + WINDOW));
    }

    #[test]
    fn its_memory_is_bounded() {
        let attempts = Attempts::default();
        let (here, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for name in 0..2 * REMEMBERED {
            attempts.was_wrong(here, &name.to_string(), now);
        }
        assert!(attempts.wrong.lock().unwrap().len() <= REMEMBERED);
    }
}
