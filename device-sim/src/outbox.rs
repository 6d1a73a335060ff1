//! What a connection still owes: every message from the moment it is due until the broker has
//! acknowledged it, whatever happens to the session in between.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

/// A message that is not yet acknowledged. Its content never changes: what is sent again is the
/// same message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) device: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) ts_ms: i64,
    pub(crate) seq: u64,
    pub(crate) payload: Bytes,
    /// When it ought to have been sent; latency counts from here.
    pub(crate) due: Instant,
}

/// The messages of one connection, in the order they were due.
///
/// The client library gives packet ids when it writes, in the order in which it was handed
/// messages, so a message goes from `waiting` to `handed` to `sent`. Bounded by the window of
/// [`Options`](crate::Options): the feeder adds nothing beyond it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<(u64, Entry)>,
    handed: VecDeque<(u64, Entry)>,
    sent: HashMap<u16, (u64, Entry)>,
    next: u64,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.handed.len() + self.sent.len()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.waiting.push_back((self.next, entry));
        self.next += 1;
    }

    /// Hands over what waits, for as long as `hand` takes it.
    pub(crate) fn hand_over(&mut self, mut hand: impl FnMut(&Entry) -> bool) {
        while let Some((order, entry)) = self.waiting.pop_front() {
            if !hand(&entry) {
                self.waiting.push_front((order, entry));
                return;
            }
            self.handed.push_back((order, entry));
        }
    }

    /// The client wrote the next message, under this packet id. With id 0 (QoS 0) nothing more
    /// will be heard of it, so it is returned.
    pub(crate) fn written(&mut self, packet_id: u16) -> Option<Entry> {
        let (order, entry) = self.handed.pop_front()?;
        if packet_id == 0 {
            return Some(entry);
        }
        self.sent.insert(packet_id, (order, entry));
        None
    }

    /// The broker has dealt with the message of this packet id.
    pub(crate) fn settled(&mut self, packet_id: u16) -> Option<Entry> {
        self.sent.remove(&packet_id).map(|(_, entry)| entry)
    }

    /// The session is gone: everything unacknowledged is to be sent again, in order.
    pub(crate) fn rewind(&mut self) {
        let mut all: Vec<_> = self.sent.drain().map(|(_, entry)| entry).collect();
        all.extend(self.handed.drain(..));
        all.extend(self.waiting.drain(..));
        all.sort_unstable_by_key(|&(order, _)| order);
        self.waiting = all.into();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::{Entry, Outbox};

    fn entry(seq: u64) -> Entry {
        Entry {
            device: "d".into(),
            topic: "t".into(),
            ts_ms: 0,
            seq,
            payload: bytes::Bytes::new(),
            due: Instant::now(),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        HandOver,
        Write,
        Settle(usize),
        Lose,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            4 => Just(Step::HandOver),
            4 => Just(Step::Write),
            3 => (0..8usize).prop_map(Step::Settle),
            1 => Just(Step::Lose),
        ]
    }

    proptest! {
        /// Whatever happens, each message is settled once, and after a loss all that is not yet
        /// settled is handed over again, oldest first.
        #[test]
        fn nothing_is_lost_or_settled_twice(steps in prop::collection::vec(step(), 0..200)) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut settled) = (0u64, Vec::new());
            let mut ids: Vec<u16> = Vec::new();
            let mut next_id = 1u16;
            for step in steps {
                match step {
                    Step::Push => {
                        outbox.push(entry(pushed));
                        pushed += 1;
                    }
                    Step::HandOver => {
                        let mut last = None;
                        outbox.hand_over(|entry| {
                            assert!(last < Some(entry.seq));
                            last = Some(entry.seq);
                            true
                        });
                    }
                    Step::Write => {
                        let before = outbox.sent.len();
                        prop_assert!(outbox.written(next_id).is_none());
                        if outbox.sent.len() > before {
                            ids.push(next_id);
                            next_id += 1;
                        }
                    }
                    Step::Settle(nth) if !ids.is_empty() => {
                        let id = ids.remove(nth % ids.len());
                        settled.push(outbox.settled(id).unwrap().seq);
                        prop_assert!(outbox.settled(id).is_none());
                    }
                    Step::Settle(_) => {}
                    Step::Lose => {
                        outbox.rewind();
                        ids.clear();
                    }
                }
                prop_assert_eq!(outbox.len() + settled.len(), pushed as usize);
            }
            outbox.rewind();
            outbox.hand_over(|entry| {
                settled.push(entry.seq);
                true
            });
            settled.sort_unstable();
            prop_assert_eq!(settled, (0..pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_the_client_does_not_take_waits() {
        let mut outbox = Outbox::default();
        (0..3).for_each(|seq| outbox.push(entry(seq)));
        outbox.hand_over(|entry| entry.seq < 1);
        assert_eq!(outbox.written(0).unwrap().seq, 0);
        assert!(outbox.written(0).is_none());
        outbox.hand_over(|_| true);
        assert_eq!(outbox.written(0).unwrap().seq, 1);
    }
}
