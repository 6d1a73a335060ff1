//! Makes the messages that are due, with what faults add to them.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;

use super::{Connection, KEPT_US, TIMER_US};
use crate::device::Message;
use crate::faults::{MessageFault, spoilt};
use crate::outbox::{Entry, Matter};
use crate::shared::Start;

impl Connection {
    pub(super) fn make(&mut self, start: Start) {
        let end_us = self.shared.end_us();
        let unpaced = self.fleet.is_unpaced();
        while !self.done && !self.is_full() {
            let now_us = start.now_us();
            let Some(due_us) = self.fleet.due_us() else {
                self.finish();
                return;
            };
            let at_us = if unpaced { now_us } else { due_us };
            if end_us.is_some_and(|end_us| at_us >= end_us) {
                self.finish();
                return;
            }
            if due_us > now_us {
                return;
            }
            if end_us.is_none() && now_us - due_us > KEPT_US {
                let dropped = self.fleet.skip_before(now_us - KEPT_US);
                self.shared.stats.dropped.fetch_add(dropped, Relaxed);
                continue;
            }
            let Some(message) = self.fleet.next(now_us) else { return };
            if unpaced || end_us.is_none() {
                self.shared.stats.offered.fetch_add(1, Relaxed);
            }
            let could_us = message.due_us.max(self.room_us).max(0);
            let lag = (!unpaced).then(|| start.real(now_us - could_us));
            self.shared.stats.made(start.real(message.due_us), lag);
            self.note(start, message.due_us);
            let entry = self.entry(message, start);
            self.post(entry);
        }
    }

    /// Writes down what happened with the message that was due at `due_us`.
    fn note(&mut self, start: Start, due_us: i64) {
        let mut truths = self.fleet.take_truths();
        if due_us < self.back_us
            && let Ok(back) = Timestamp::from_millisecond(start.ms + self.back_us / 1_000)
        {
            truths.iter_mut().for_each(|truth| truth.published_from = back);
        }
        self.shared.note(truths);
    }

    /// Queues a message, with what its faults add.
    fn post(&mut self, entry: Entry) {
        let overtaken = self.held.take();
        let mut hold = false;
        for fault in self.shared.options.faults.of_message(&mut self.rng) {
            let mut extra = entry.clone();
            match fault {
                MessageFault::Overtaken => {
                    hold = true;
                    continue;
                }
                MessageFault::Duplicate => extra.what = Matter::Again,
                MessageFault::Malformed | MessageFault::Oversized => {
                    extra.payload = spoilt(fault, &entry.payload);
                    extra.what = Matter::Rubbish;
                }
                MessageFault::WrongTopic => {
                    extra.topic = format!("{}/state", entry.topic).into();
                    extra.what = Matter::Rubbish;
                }
            }
            self.shared.stats.extra.fetch_add(1, Relaxed);
            self.outbox.push(extra);
        }
        if hold {
            self.held = Some(entry);
        } else {
            self.outbox.push(entry);
        }
        self.outbox.extend(overtaken);
    }

    fn entry(&mut self, message: Message, start: Start) -> Entry {
        let timer_us = (self.awake_us - message.due_us).clamp(0, TIMER_US);
        // What a device had kept was due when it could be sent: at the start, or when it was back.
        let due_us = message.due_us.max(self.back_us) + timer_us;
        let readings = if message.wrong_time { 0 } else { message.readings };
        Entry {
            device: message.device,
            topic: message.topic,
            ts_ms: message.ts_ms,
            seq: message.seq,
            what: Matter::Readings(readings),
            payload: message.payload.into(),
            qos: self.shared.options.qos.pick(&mut self.rng),
            due: start.at(due_us),
        }
    }
}
