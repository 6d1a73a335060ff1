//! What the broker has sent and not yet seen acknowledged.

use std::collections::VecDeque;
use std::future::pending;

use tokio::sync::oneshot;

/// Payloads in memory. What has no room waits in the broker: then nothing is read from the
/// connection.
const MAX_BYTES: usize = 64 << 20;

/// Messages beyond the receive maximum, which QoS 0 does not know. They wait here like all others,
/// so that a flood of them is held back in the broker's socket.
const BEYOND: usize = 1_024;

/// Messages of one connection in the order of receipt, each with what fires when it has a durable
/// outcome and `T`, what acknowledges it.
pub(super) struct Ledger<T> {
    waiting: VecDeque<(oneshot::Receiver<()>, usize, T)>,
    bytes: usize,
    most: usize,
}

impl<T> Ledger<T> {
    pub(super) fn new(receive_maximum: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, most: receive_maximum + BEYOND }
    }

    pub(super) fn push(&mut self, outcome: oneshot::Receiver<()>, bytes: usize, message: T) {
        self.bytes += bytes;
        self.waiting.push_back((outcome, bytes, message));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another message may be read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < self.most && self.bytes < MAX_BYTES
    }

    /// The oldest message, once it has a durable outcome; `None` when it has none and never will.
    /// Waits for ever when there is no message. Nothing is lost when the future is dropped.
    pub(super) async fn settled(&mut self) -> Option<T> {
        let Some((outcome, ..)) = self.waiting.front_mut() else { return pending().await };
        outcome.await.ok()?;
        let (_, bytes, message) = self.waiting.pop_front()?;
        self.bytes -= bytes;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;
    use tokio::sync::oneshot;

    use super::{BEYOND, Ledger, MAX_BYTES};

    /// What is settled now.
    fn settled(ledger: &mut Ledger<usize>) -> Poll<Option<usize>> {
        pin!(ledger.settled()).poll(&mut Context::from_waker(Waker::noop()))
    }

    proptest! {
        #[test]
        fn acknowledged_in_the_order_of_receipt_and_never_early(
            order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut ledger = Ledger::new(100);
            let mut fire: Vec<_> = (0..40)
                .map(|number| {
                    let (fire, outcome) = oneshot::channel();
                    ledger.push(outcome, 1, number);
                    Some(fire)
                })
                .collect();
            let mut released = 0;
            for number in order {
                fire[number].take().unwrap().send(()).unwrap();
                while let Poll::Ready(Some(next)) = settled(&mut ledger) {
                    prop_assert_eq!(next, released);
                    prop_assert!(fire[next].is_none(), "{} was not committed", next);
                    released += 1;
                }
            }
            prop_assert_eq!(released, 40);
            prop_assert!(ledger.is_empty());
        }
    }

    #[test]
    fn one_without_outcome_stops_all_that_came_after_it() {
        let mut ledger = Ledger::new(100);
        let (first, second) = (oneshot::channel(), oneshot::channel());
        ledger.push(first.1, 1, 1);
        ledger.push(second.1, 1, 2);
        second.0.send(()).unwrap();
        assert_eq!(settled(&mut ledger), Poll::Pending);
        drop(first.0);
        assert_eq!(settled(&mut ledger), Poll::Ready(None));
    }

    #[test]
    fn memory_is_bounded_in_messages_and_in_bytes() {
        let mut ledger = Ledger::new(10);
        for number in 0..10 + BEYOND {
            assert!(ledger.has_room());
            ledger.push(oneshot::channel().1, 1, number);
        }
        assert!(!ledger.has_room());

        let mut ledger = Ledger::new(10);
        let (fire, outcome) = oneshot::channel();
        ledger.push(outcome, MAX_BYTES, 1);
        assert!(!ledger.has_room());
        fire.send(()).unwrap();
        assert_eq!(settled(&mut ledger), Poll::Ready(Some(1)));
        assert!(ledger.has_room());
    }
}
