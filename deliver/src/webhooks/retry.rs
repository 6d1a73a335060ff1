//! When a message is tried again, and when an endpoint is left in peace.

use journal::{EndpointState, Letter};
use sha2::{Digest, Sha256};

use super::post::Outcome;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// From one attempt at a message to the next, as the specification of Standard Webhooks advises:
/// three days in all. Then it is given up, and can be sent again by hand.
const DELAYS_MS: [i64; 9] = [
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];

/// After so many failures in a row it is the endpoint that fails, not a message: it gets one
/// attempt after each rest, until one succeeds.
const FAILURES: u32 = 5;

/// The first rest; it doubles with each failure after it, up to the longest.
const REST_MS: i64 = MINUTE_MS;
const LONGEST_REST_MS: i64 = HOUR_MS;

/// More than this an endpoint cannot ask for.
const LONGEST_WISH_MS: i64 = 24 * HOUR_MS;

/// How far a delay may be from what the table says, so that many do not come back at once.
const JITTER: f64 = 0.1;

/// The letter for a message after an attempt that failed.
pub(super) fn letter(position: i64, before: u32, error: String, now_ms: i64, seed: &str) -> Letter {
    let attempts = before + 1;
    let delay = DELAYS_MS.get(attempts as usize - 1);
    let next_ms =
        delay.map(|delay| now_ms + jittered(*delay, &format!("{seed} {position} {attempts}")));
    Letter { position, attempts, next_ms, error }
}

/// How an endpoint is doing after an attempt.
pub(super) fn state(before: &EndpointState, outcome: &Outcome, now_ms: i64) -> EndpointState {
    let mut state = EndpointState { url: before.url.clone(), ..EndpointState::default() };
    match outcome {
        Outcome::Taken => {}
        Outcome::Gone => {
            state.gone_since_ms = Some(now_ms);
            state.error = Some("it answered 410: nothing more is wanted there".to_owned());
        }
        Outcome::Failed { error, rest } => {
            state.failures = before.failures + 1;
            state.error = Some(error.clone());
            let seed = format!("{} {}", state.url, state.failures);
            let beyond = state.failures.saturating_sub(FAILURES).min(16);
            let usual = jittered((REST_MS << beyond).min(LONGEST_REST_MS), &seed);
            let wish = |s: u64| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
            let rest_ms = match rest {
                Some(Some(seconds)) => Some(wish(*seconds).min(LONGEST_WISH_MS)),
                Some(None) => Some(usual),
                None => (state.failures >= FAILURES).then_some(usual),
            };
            state.rest_until_ms = rest_ms.map(|rest_ms| now_ms + rest_ms);
        }
    }
    state
}

/// The delay, give or take a tenth: the same for the same seed, so that it can be computed again.
fn jittered(delay_ms: i64, seed: &str) -> i64 {
    let digest = Sha256::digest(seed.as_bytes());
    let share = f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
    (delay_ms as f64 * (1.0 + JITTER * (2.0 * share - 1.0))) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(rest: Option<Option<u64>>) -> Outcome {
        Outcome::Failed { error: "it answered 500".to_owned(), rest }
    }

    #[test]
    fn a_message_is_tried_for_three_days_and_then_given_up() {
        let (mut now_ms, mut attempts) = (0, 0);
        let last = loop {
            let letter = letter(7, attempts, "no".to_owned(), now_ms, "alpina");
            assert_eq!(letter.attempts, attempts + 1);
            attempts = letter.attempts;
            match letter.next_ms {
                Some(next_ms) => now_ms = next_ms,
                None => break letter,
            }
        };
        assert_eq!(last.attempts, 10);
        assert!((68 * HOUR_MS..84 * HOUR_MS).contains(&now_ms), "{now_ms}");
        let another = letter(8, 2, "no".to_owned(), 0, "alpina").next_ms;
        assert_ne!(another, letter(9, 2, "no".to_owned(), 0, "alpina").next_ms, "jitter");
    }

    #[test]
    fn an_endpoint_that_fails_again_and_again_is_left_in_peace_for_longer_and_longer() {
        let mut now = EndpointState::default();
        let mut rests = Vec::new();
        for _ in 0..14 {
            now = state(&now, &failed(None), 0);
            rests.push(now.rest_until_ms);
        }
        assert!(rests[..4].iter().all(Option::is_none));
        let rests: Vec<_> = rests[4..].iter().flatten().collect();
        assert_eq!(rests.len(), 10);
        assert!(
            (54_000..=66_000).contains(rests[0])
                && (54 * MINUTE_MS..=66 * MINUTE_MS).contains(rests[9])
        );
        assert_eq!(state(&now, &Outcome::Taken, 0), EndpointState::default());
    }

    #[test]
    fn an_endpoint_that_asks_for_a_rest_gets_it() {
        let before = EndpointState::default();
        let asked = |rest| state(&before, &failed(rest), 0).rest_until_ms;
        assert_eq!(asked(Some(Some(120))), Some(120_000));
        assert_eq!(asked(Some(Some(u64::MAX))), Some(LONGEST_WISH_MS));
        assert!(asked(Some(None)).is_some() && asked(None).is_none());
        assert_eq!(state(&before, &Outcome::Gone, 5).gone_since_ms, Some(5));
    }
}
