//! Whatever the order of arrival, the batches, the seals, the timers and the restarts: the same
//! history and the same events.

use ingest::Reading;
use proptest::prelude::*;

use super::follow::follower;
use super::{BELGIUM, GERMANY, HOME, NETHERLANDS, NOW_MS, Trial, reading};
use crate::log::Followers;

#[derive(Clone, Debug)]
enum Step {
    /// The next so many of what waits to be sent, in one batch.
    Send(usize),
    /// The last batch comes a second time.
    Again,
    Wait(i64),
    Restart,
    /// An output takes about so many readings, and its cursor hears of it or not.
    Follow(usize, bool),
    /// A batch that finds the disk full.
    Full(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..12_usize).prop_map(Step::Send),
        1 => Just(Step::Again),
        2 => (1..90_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => (1..12_usize).prop_map(Step::Full),
        2 => (1..40_usize, any::<bool>()).prop_map(|(limit, known)| Step::Follow(limit, known)),
    ]
}

/// A device, seconds, a place and a sequence number.
type Seen = (&'static str, i64, Place, Option<u64>);

#[derive(Clone, Copy, Debug)]
enum Place {
    Nl,
    De,
    Be,
    /// In areas that can be entered and left.
    Home,
    /// On the border, so that the country is not certain.
    Border,
    /// No fix, as indoors.
    Nowhere,
}

fn seen() -> impl Strategy<Value = Seen> {
    let device = prop_oneof![3 => Just("car-a"), 2 => Just("car-b")];
    let place = prop_oneof![
        4 => Just(Place::Nl), 4 => Just(Place::De), 2 => Just(Place::Be), 4 => Just(Place::Home),
        1 => Just(Place::Border), 1 => Just(Place::Nowhere),
    ];
    // Few enough instants for several readings to share one.
    let seconds = (0..120_i64).prop_map(|step| step * 5);
    (device, seconds, place, proptest::option::of(0..3_u64))
}

fn sent((device, seconds, place, seq): Seen) -> (&'static str, Reading) {
    let at = match place {
        Place::Nl | Place::Nowhere => NETHERLANDS,
        Place::De => GERMANY,
        Place::Be => BELGIUM,
        Place::Home => HOME,
        Place::Border => (50.7548, 6.0208),
    };
    let mut reading = Reading { seq, ..reading(seconds, at) };
    if matches!(place, Place::Nowhere) {
        reading.fix = None;
    }
    (device, reading)
}

fn deliver(log_readings: u64, followers: Followers, seen: Vec<Seen>, steps: &[Step]) {
    let mut left: Vec<_> = seen.into_iter().map(sent).collect();
    let mut trial = Trial::following(log_readings, followers);
    trial.at(NOW_MS - 300_000);
    let mut last = Vec::new();
    for step in steps {
        match step {
            Step::Send(count) => {
                last = left.drain(..(*count).min(left.len())).collect();
                assert!(trial.try_send(&messages(&last)));
            }
            Step::Again => assert!(trial.try_send(&messages(&last))),
            Step::Wait(ms) => {
                trial.at(trial.now_ms + ms);
                assert!(trial.try_send(&[]));
            }
            Step::Restart => trial.restart(),
            Step::Follow(limit, known) => trial.follow(*limit, *known),
            Step::Full(count) => {
                let batch: Vec<_> = left.iter().take(*count).cloned().collect();
                if trial.try_send_when_full(&messages(&batch)) {
                    left.drain(..batch.len());
                }
            }
        }
        trial.check();
    }
    for (device, reading) in left {
        trial.send(device, &[reading]);
    }
    trial.rest();
    trial.check();
    trial.check_events();
}

/// One message a reading, as most devices send.
fn messages(readings: &[(&'static str, Reading)]) -> Vec<(&'static str, Vec<Reading>)> {
    readings.iter().map(|(device, reading)| (*device, vec![reading.clone()])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: super::cases(), failure_persistence: None, max_shrink_iters: 2_000, max_shrink_time: 20_000, ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_and_any_interruption_end_the_same(
        log_readings in prop_oneof![Just(u64::MAX), 1..60_u64],
        followers in prop_oneof![
            Just(Followers::default()), Just(follower(u64::MAX)), (0..4_000_u64).prop_map(follower),
        ],
        seen in proptest::collection::vec(seen(), 1..90),
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        deliver(log_readings, followers, seen, &steps);
    }
}
