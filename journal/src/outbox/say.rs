//! What is said, to whom, and what holds it back.

use enrich::registry::Known;
use enrich::relevance::{Asking, Verdict, Why};
use enrich::rules::{Firing, Sort};
use enrich::trigger::Status;
use rusqlite::Result;

use super::{Entry, Outbox, Outcome, to_json};
use crate::feedback::reception;
use crate::message::Message;
use crate::said::{next_sequence, said, says_the_same, told_around};
use crate::waiting::{self, Wanted};

impl Outbox<'_> {
    /// Says what a rule wants said, or what is new about it. What is about no device does not wait
    /// for the morning here.
    pub(crate) fn say(
        &mut self,
        device: Option<&Known>,
        firing: &Firing<'_>,
        mut message: Message,
    ) -> Result<()> {
        let expired = firing.expires_ms < self.now_ms;
        let said = said(self.connection, &message.id)?;
        if let Some(said) = said.as_ref().filter(|said| said.released) {
            // What is said again is about the one it was said of, by whatever name.
            message.subject = said.subject.clone();
        }
        match said {
            None if expired => self.release(firing, message, Status::Fired, 0, true),
            None => self.say_or_hold(device, firing, message, 0),
            // It was held back: it is asked anew.
            Some(said) if said.held && !expired => {
                self.connection
                    .prepare_cached("DELETE FROM trigger_out WHERE position = ?1")?
                    .execute([said.position])?;
                self.say_or_hold(device, firing, message, said.revision)
            }
            // An event that was withdrawn and turns out to have happened after all is said again.
            Some(said) if !said.withdrawn && says_the_same(said.data.as_ref(), &message.data) => {
                Ok(())
            }
            // Nobody was told and nobody needs to be: the record says how it was.
            Some(said) if !said.released && expired => {
                let event = message.event(self.now_ms, Status::Fired, said.revision, None);
                self.connection
                    .prepare_cached(
                        "UPDATE trigger_out SET body = ?2, evidence = ?3,
                             outcome = iif(outcome = 'waiting', 'expired', outcome)
                         WHERE position = ?1",
                    )?
                    .execute((said.position, to_json(&event)?, &message.evidence))?;
                Ok(())
            }
            // Its moment had passed by what was known, and has not by what is known now.
            Some(said) if !said.released => {
                self.release(firing, message, Status::Fired, said.revision + 1, false)
            }
            // Who was told something wrong is told what is right, however late.
            Some(said) => self.release(firing, message, Status::Revised, said.revision + 1, false),
        }
    }

    /// Says it, unless the customer has heard enough or is to be left alone.
    fn say_or_hold(
        &mut self,
        device: Option<&Known>,
        firing: &Firing<'_>,
        message: Message,
        revision: u32,
    ) -> Result<()> {
        let (outcome, reason) = match (self.judge(firing, &message)?, device) {
            (Verdict::Say, _) => {
                return self.release(firing, message, Status::Fired, revision, false);
            }
            (Verdict::Wait { until_ms }, Some(device)) if self.room_at_night > 0 => {
                let time_ms = message.data.happened_at.as_millisecond();
                let wanted = Wanted { device: device.number, fix: None, time_ms, due_ms: until_ms };
                waiting::keep(self.connection, message.event, &wanted)?;
                self.waiting.push((message.event, Some(wanted)));
                (Outcome::Waiting, Why::QuietHours)
            }
            (Verdict::Wait { .. }, _) => (Outcome::Suppressed, Why::QuietHours),
            (Verdict::Suppress(why), _) => (Outcome::Suppressed, why),
        };
        if outcome == Outcome::Suppressed {
            let name = reason.name().to_owned();
            *self.counts.triggers_suppressed.entry(name).or_default() += 1;
        }
        let event = message.event(self.now_ms, Status::Fired, revision, None);
        self.insert(Entry {
            message: &message,
            event: &event,
            status: Status::Fired,
            outcome,
            reason: Some(reason.name()),
            counts: false,
            insurer: &firing.policy.insurer,
            product: firing.rule.product.name(),
            purpose: firing.rule.purpose.name(),
            sequence: None,
            expires_ms: firing.expires_ms,
        })
    }

    fn judge(&self, firing: &Firing<'_>, message: &Message) -> Result<Verdict> {
        let (rule, relevance) = (firing.rule, &self.rules.relevance);
        let event_ms = message.data.happened_at.as_millisecond();
        let insurer = &firing.policy.insurer;
        let reception = reception(self.connection, message.customer, insurer, &rule.id)?;
        let reach_ms = relevance.reach_ms(rule, reception);
        let told = match reach_ms {
            0 => Vec::new(),
            _ => {
                let which = (message.id.as_str(), message.event);
                told_around(self.connection, message.customer, which, event_ms, reach_ms)?
            }
        };
        let customer = self.registry.customer(message.customer);
        let asking = Asking {
            rule,
            sort: firing.sort,
            event_ms,
            expires_ms: firing.expires_ms,
            now_ms: self.now_ms,
            time_zone: customer.map_or("UTC", |customer| &customer.time_zone),
            reception,
        };
        Ok(relevance.judge(&asking, &told))
    }

    /// Adds a message to the outbox; one whose moment has passed is recorded, not sent.
    fn release(
        &mut self,
        firing: &Firing<'_>,
        message: Message,
        status: Status,
        revision: u32,
        expired: bool,
    ) -> Result<()> {
        let insurer = &*firing.policy.insurer;
        let product = firing.rule.product.name();
        let sequence =
            if expired { None } else { Some(next_sequence(self.connection, insurer, product)?) };
        let event = message.event(self.now_ms, status, revision, sequence);
        self.insert(Entry {
            message: &message,
            event: &event,
            status,
            outcome: if expired { Outcome::Expired } else { Outcome::Released },
            reason: None,
            counts: firing.sort != Sort::Notice,
            insurer,
            product,
            purpose: firing.rule.purpose.name(),
            sequence,
            expires_ms: firing.expires_ms,
        })
    }
}
