//! What a connection still owes: every message from the moment it is due until the broker has
//! acknowledged it, whatever happens to the session in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::options::Qos;

/// A message that is not yet acknowledged. Its content never changes: what is sent again is the
/// same message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) device: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) ts_ms: i64,
    pub(crate) seq: u64,
    pub(crate) what: Matter,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    /// When it ought to have been sent; latency counts from here.
    pub(crate) due: Instant,
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// So many readings that a server can use.
    Readings(u32),
    /// The same again.
    Again,
    /// Nothing that anybody can use.
    Rubbish,
}

/// The messages of one connection, in the order they were due.
///
/// Bounded by the window of [`Options`](crate::Options): nothing is added beyond it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Entry>,
    /// With their packet ids; 0 at QoS 0. At most a window long, so looking through it is quick.
    sent: VecDeque<(u16, Entry)>,
    last_id: u16,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.waiting.extend(entries);
    }

    /// Sends what waits under packet ids of its own, for as long as `send` takes it and at most
    /// `most` are unacknowledged.
    pub(crate) fn send(&mut self, most: usize, mut send: impl FnMut(&Entry, u16) -> bool) {
        while self.sent.len() < most
            && let Some(entry) = self.waiting.pop_front()
        {
            let id = if entry.qos == Qos::AtMostOnce { 0 } else { self.free_id() };
            if !send(&entry, id) {
                self.waiting.push_front(entry);
                return;
            }
            self.sent.push_back((id, entry));
        }
    }

    /// The window is far smaller than the number of ids, so one is soon found.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.sent.iter().all(|&(id, _)| id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Something was sent at QoS 0, of which nothing more will be heard once it has gone out.
    pub(crate) fn holds_written(&self) -> bool {
        self.sent.iter().any(|&(id, _)| id == 0)
    }

    /// The broker has dealt with the message of this packet id.
    pub(crate) fn settled(&mut self, id: u16) -> Option<Entry> {
        let index = self.sent.iter().position(|&(sent, _)| sent == id)?;
        self.sent.remove(index).map(|(_, entry)| entry)
    }

    /// The session is gone: everything unacknowledged is to be sent again, in order.
    pub(crate) fn rewind(&mut self) {
        while let Some((_, entry)) = self.sent.pop_back() {
            self.waiting.push_front(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::{Entry, Matter, Outbox};
    use crate::options::Qos;

    fn entry(seq: u64, qos: Qos) -> Entry {
        Entry {
            device: "d".into(),
            topic: "t".into(),
            ts_ms: 0,
            seq,
            what: Matter::Readings(1),
            payload: bytes::Bytes::new(),
            qos,
            due: Instant::now(),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(bool),
        Send(usize),
        Flush,
        Settle(usize),
        Lose,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(Step::Push),
            4 => (0..8usize).prop_map(Step::Send),
            1 => Just(Step::Flush),
            3 => (0..8usize).prop_map(Step::Settle),
            1 => Just(Step::Lose),
        ]
    }

    proptest! {
        /// Whatever happens, each message is settled once, and after a loss all that is not yet
        /// settled is sent again, oldest first.
        #[test]
        fn nothing_is_lost_or_settled_twice(steps in prop::collection::vec(step(), 0..200)) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut settled) = (0u64, Vec::new());
            let mut ids: Vec<u16> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(sure) => {
                        let qos = if sure { Qos::AtLeastOnce } else { Qos::AtMostOnce };
                        outbox.push(entry(pushed, qos));
                        pushed += 1;
                    }
                    Step::Send(most) => {
                        let mut last = None;
                        outbox.send(most, |entry, id| {
                            assert!(last < Some(entry.seq));
                            last = Some(entry.seq);
                            assert_eq!(id == 0, entry.qos == Qos::AtMostOnce);
                            assert!(!ids.contains(&id), "id {id} is in use");
                            if id != 0 {
                                ids.push(id);
                            }
                            true
                        });
                    }
                    Step::Flush => {
                        while outbox.holds_written() {
                            settled.push(outbox.settled(0).unwrap().seq);
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
            outbox.send(usize::MAX, |entry, _| {
                settled.push(entry.seq);
                true
            });
            settled.sort_unstable();
            prop_assert_eq!(settled, (0..pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_the_session_does_not_take_waits() {
        let mut outbox = Outbox::default();
        (0..3).for_each(|seq| outbox.push(entry(seq, Qos::AtLeastOnce)));
        outbox.send(9, |entry, _| entry.seq < 1);
        assert_eq!(outbox.settled(1).unwrap().seq, 0);
        let mut again = Vec::new();
        outbox.send(1, |entry, _| {
            again.push(entry.seq);
            true
        });
        assert_eq!(again, [1]);
    }
}
