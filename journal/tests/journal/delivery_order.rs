//! Late, doubled and shuffled delivery ends in the same history and the same final events.

use enrich::{BorderCrossed, Happening};
use ingest::Reading;
use proptest::prelude::*;

use crate::support::{Bench, frozen, reading, there_and_back};

/// What must not depend on the order of delivery.
#[derive(Debug, PartialEq)]
struct End {
    history: Vec<Reading>,
    events: Vec<(i64, i64, BorderCrossed)>,
}

fn end(bench: &Bench) -> End {
    let events = bench.journal.reader().events(bench.number()).unwrap();
    End {
        history: bench.history(),
        events: events
            .into_iter()
            .filter(|row| !row.withdrawn)
            .map(|row| {
                let Happening::BorderCrossed(crossed) = row.event.happening else { panic!() };
                (row.event.time_ms, row.event.known_ms, crossed)
            })
            .collect(),
    }
}

/// Delivers `batches` and returns how it ended, what the totals say, and the ids of all triggers.
fn deliver(batches: &[Vec<Reading>], log_readings: u64) -> (End, journal::Counts, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::start(dir.path(), frozen(), log_readings);
    runtime.block_on(async {
        for batch in batches {
            bench.readings(batch).await;
        }
    });
    let triggers = bench.journal.reader().released_after(0, 1_000).unwrap();
    let ids = triggers.into_iter().map(|row| row.body.id).collect();
    let counts = bench.journal.live().counts();
    (end(&bench), counts, ids)
}

#[test]
fn in_order_there_are_two_crossings() {
    let (end, counts, ids) = deliver(&[there_and_back()], u64::MAX);
    let ways: Vec<(&str, &str)> =
        end.events.iter().map(|(_, _, crossed)| (crossed.from.code(), crossed.to.code())).collect();
    assert_eq!(ways, [("NL", "DE"), ("DE", "NL")]);
    assert_eq!((counts.stored, counts.received, ids.len()), (80, 80, 2));
    assert!(counts.balance());
}

#[test]
fn the_same_time_with_other_content_is_a_second_reading() {
    let (one, two) = (reading(1_768_000_000_000, 10.0), reading(1_768_000_000_000, 20.0));
    let (end, counts, _) =
        deliver(&[vec![one.clone()], vec![two.clone()], vec![one.clone()]], u64::MAX);
    assert_eq!((end.history.len(), counts.stored, counts.duplicate), (2, 2, 1));
}

/// A shuffled delivery: which readings go together, in which order, and which come twice.
fn shuffled() -> impl Strategy<Value = (Vec<Vec<Reading>>, u64)> {
    let readings = there_and_back();
    let count = readings.len();
    let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
    let twice = proptest::collection::vec(0..count, 0..20);
    // From wholly shuffled to shuffled in blocks only, as a phone that was offline sends it.
    (order, twice, 1..30_usize, 1..40_usize, 10..200_u64).prop_map(
        move |(order, twice, batch, block, log_readings)| {
            let mut order = order;
            if block > 4 {
                order.sort_by_key(|at| (order_of_block(*at / block), *at));
            }
            order.extend(twice);
            let picked: Vec<Reading> = order.into_iter().map(|at| readings[at].clone()).collect();
            (picked.chunks(batch).map(<[Reading]>::to_vec).collect(), log_readings)
        },
    )
}

fn order_of_block(block: usize) -> usize {
    block.wrapping_mul(7) % 11
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_ends_the_same((batches, log_readings) in shuffled()) {
        let (expect, ..) = deliver(&[there_and_back()], u64::MAX);
        let (end, counts, _) = deliver(&batches, log_readings);
        prop_assert_eq!(end, expect);
        prop_assert!(counts.balance());
        prop_assert_eq!(counts.stored, 80);
        prop_assert_eq!(counts.duplicate as usize, batches.iter().map(Vec::len).sum::<usize>() - 80);
    }
}
