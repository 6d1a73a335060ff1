//! How fast somebody may ask: by address, and by token wherever it comes from.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// At once, after a pause: a page with its files and many that look at it from one office.
const BURST: f64 = 1_000.0;
/// From then on. An answer costs a few milliseconds at most, of two cores.
const A_SECOND: f64 = 100.0;

/// Addresses and tokens remembered. When there are more, those are forgotten that have their burst
/// again; if none has, all are.
const REMEMBERED: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    /// A hash stands for it.
    Token(u64),
}

#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Rates {
    allowances: Mutex<HashMap<Whose, Allowance>>,
    tokens: RandomState,
}

impl Rates {
    /// Counts a request; false when it is one too many.
    pub(crate) fn allow(&self, from: IpAddr, token: Option<&[u8]>, now: Instant) -> bool {
        let token = token.map(|token| Whose::Token(self.tokens.hash_one(token)));
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let mut whose = [Some(Whose::Address(network(from))), token].into_iter().flatten();
        whose.all(|whose| take(&mut allowances, whose, now))
    }
}

/// A network of IPv6 has more addresses than anything here could remember.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn take(allowances: &mut HashMap<Whose, Allowance>, whose: Whose, now: Instant) -> bool {
    if allowances.len() >= REMEMBERED && !allowances.contains_key(&whose) {
        allowances.retain(|_, allowance| refilled(allowance, now) < BURST);
        if allowances.len() >= REMEMBERED {
            allowances.clear();
        }
    }
    let allowance = allowances.entry(whose).or_insert(Allowance { left: BURST, at: now });
    *allowance = Allowance { left: refilled(allowance, now), at: now };
    if allowance.left < 1.0 {
        return false;
    }
    allowance.left -= 1.0;
    true
}

fn refilled(allowance: &Allowance, now: Instant) -> f64 {
    let passed = now.saturating_duration_since(allowance.at).as_secs_f64();
    (allowance.left + passed * A_SECOND).min(BURST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(rates: &Rates, from: IpAddr, token: Option<&[u8]>, now: Instant) -> usize {
        (0..3_000).take_while(|_| rates.allow(from, token, now)).count()
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let (rates, now) = (Rates::default(), Instant::now());
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(asked(&rates, here, None, now), 1_000);
        assert_eq!(asked(&rates, there, None, now), 1_000);
        assert_eq!(asked(&rates, here, None, now + Duration::from_secs(2)), 200);
        assert_eq!(asked(&rates, here, None, now + Duration::from_secs(3_600)), 1_000);
    }

    #[test]
    fn a_token_is_held_to_it_wherever_it_comes_from() {
        let (rates, now) = (Rates::default(), Instant::now());
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let all: usize = (1..5).map(|last| asked(&rates, address(last), Some(b"token"), now)).sum();
        assert_eq!(all, 1_000);
        assert!(rates.allow(address(9), Some(b"another"), now));
    }

    #[test]
    fn its_memory_is_bounded_and_networks_count_as_one() {
        let (rates, now) = (Rates::default(), Instant::now());
        for number in 0..10_000_u32 {
            rates.allow(IpAddr::from(number.to_be_bytes()), None, now);
        }
        assert!(rates.allowances.lock().unwrap().len() <= REMEMBERED);
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        assert_eq!(asked(&rates, one, None, now), 1_000);
        assert!(!rates.allow(other, None, now));
    }
}
