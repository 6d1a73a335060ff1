//! The two halves of a connection, the one that makes messages and the one that drives the
//! session, meet here.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::options::Qos;
use crate::outbox::{Entry, Outbox};
use crate::report::Stats;
use crate::session::{Event, Sender};

/// What the two halves of a connection share.
pub(crate) struct Link {
    inner: Mutex<LinkState>,
    /// A place in the window has become free.
    room: Notify,
    qos: Qos,
    window: usize,
}

struct LinkState {
    sender: Option<Sender>,
    outbox: Outbox,
}

impl Link {
    pub(crate) fn new(qos: Qos, window: usize) -> Self {
        let inner = Mutex::new(LinkState { sender: None, outbox: Outbox::default() });
        Self { inner, room: Notify::new(), qos, window }
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owes(&self) -> usize {
        self.lock().outbox.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.owes() >= self.window
    }

    /// Completes when a message has been settled since the last call.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.outbox.push(entry);
        state.hand_over(self.qos);
    }

    /// A new session is up: it gets all that is owed, or, with `None`, the old one is gone.
    pub(crate) fn replace(&self, sender: Option<Sender>) {
        let mut state = self.lock();
        state.outbox.rewind();
        state.sender = sender;
        state.hand_over(self.qos);
    }

    /// Nothing more is to be sent.
    pub(crate) fn take_sender(&self) -> Option<Sender> {
        self.lock().sender.take()
    }

    /// Books what happened on the session.
    pub(crate) fn on(&self, event: Event, stats: &Stats) {
        let mut state = self.lock();
        let (settled, refused) = match event {
            Event::Written(packet_id) => (state.outbox.written(packet_id), false),
            Event::Acknowledged(packet_id) => (state.outbox.settled(packet_id), false),
            Event::Refused(packet_id) => (state.outbox.settled(packet_id), true),
            Event::Connected | Event::Disconnected | Event::Other => (None, false),
        };
        let Some(entry) = settled else { return };
        state.hand_over(self.qos);
        drop(state);
        if refused {
            stats.refused.fetch_add(1, Relaxed);
        } else {
            stats.acknowledged(&entry);
        }
        self.room.notify_one();
    }
}

impl LinkState {
    fn hand_over(&mut self, qos: Qos) {
        if let Some(sender) = &self.sender {
            self.outbox.hand_over(|entry| sender.publish(entry, qos));
        }
    }
}
