//! Events and the triggers they become, in the same transaction as the readings behind them.

use enrich::registry::{Known, Registry};
use enrich::relevance::{Asking, Verdict, Why};
use enrich::rules::{Fault, Firing, Occasion, RuleSet, Sort};
use enrich::trigger::{CloudEvent, FullEvidence, Key, RuleRef, Status, Subject, data};
use enrich::{Change, Event, World};
use rusqlite::{Connection, OptionalExtension, Result, Row};

use crate::Counts;
use crate::cause::Readings;
use crate::feedback::{marked_low, reception};
use crate::message::{Message, kind, sequence_text, timestamp};
use crate::said::{
    LastSaid, forget_held, last_said_of, next_sequence, said, says_the_same, told_around,
};
use crate::trips::booked;
use crate::waiting::{self, Wanted};

/// An event as the journal keeps it. Its cause is the one it was first found with.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    number: i64,
    pub(crate) event: Event,
}

/// The events of a device that became known in a stretch of its history, in that order.
pub(crate) fn events_between(
    connection: &Connection,
    device: u32,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<StoredEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, body FROM event
         WHERE device = ?1 AND known_ms >= ?2 AND known_ms < ?3 AND NOT withdrawn
         ORDER BY known_ms, number",
    )?;
    let rows = statement.query_map((device, from_ms, to_ms), |row| {
        Ok(StoredEvent { number: row.get(0)?, event: json(row, 1)? })
    })?;
    rows.collect()
}

/// A column that holds JSON of ours.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// JSON of a value of ours, which always has one.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// What turning changes into triggers needs.
pub(crate) struct Outbox<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) registry: &'a Registry,
    pub(crate) rules: &'a RuleSet,
    /// Where to find the reading behind an event.
    pub(crate) readings: Readings<'a>,
    pub(crate) world: &'a World,
    pub(crate) key: &'a Key,
    pub(crate) now_ms: i64,
    pub(crate) counts: &'a mut Counts,
    pub(crate) weather_wait_ms: i64,
    /// Events that begin or end to wait for weather, and how many more may.
    pub(crate) waiting: &'a mut Vec<(i64, Option<Wanted>)>,
    pub(crate) room: usize,
    /// How many more may wait for quiet hours to end.
    pub(crate) room_at_night: usize,
}

impl Outbox<'_> {
    /// Records what changed in the events of a device and tells whom it concerns. `before` is the
    /// list the changes refer to.
    pub(crate) fn record(
        &mut self,
        device: &Known,
        before: &[StoredEvent],
        changes: Vec<Change>,
    ) -> Result<()> {
        for change in changes {
            match change {
                Change::New(mut event) => {
                    self.tell_apart(device, &mut event)?;
                    let number = self.insert_event(device, &event)?;
                    self.tell_or_wait(device, number, &event)?;
                }
                Change::Revised(at, mut event) => {
                    let stored = &before[at];
                    // Ids derive from the cause it was first found with.
                    event.cause = stored.event.cause;
                    if event != stored.event {
                        self.connection
                            .prepare_cached(
                                "UPDATE event SET known_ms = ?2, time_ms = ?3, body = ?4,
                                     revision = revision + 1 WHERE number = ?1",
                            )?
                            .execute((
                                stored.number,
                                event.known_ms,
                                event.time_ms,
                                to_json(&event)?,
                            ))?;
                        self.tell_or_wait(device, stored.number, &event)?;
                    }
                }
                Change::Withdrawn(at) => self.withdraw(before[at].number)?,
            }
        }
        Ok(())
    }

    fn insert_event(&self, device: &Known, event: &Event) -> Result<i64> {
        let customer = device.owner_at(event.cause.time_ms);
        self.connection
            .prepare_cached(
                "INSERT INTO event (device, customer, known_ms, time_ms, revision, withdrawn, cause, body)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6)",
            )?
            .execute((
                device.number,
                customer.map_or(-1, i64::from),
                event.known_ms,
                event.time_ms,
                to_json(&event.cause)?,
                to_json(event)?,
            ))?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Another event that stands may have kept the identity of this one's cause, which it was
    /// first found by: then this one takes the next that is free.
    fn tell_apart(&self, device: &Known, event: &mut Event) -> Result<()> {
        let mut taken = self.connection.prepare_cached(
            "SELECT 1 FROM event WHERE device = ?1 AND cause = ?2 AND NOT withdrawn",
        )?;
        while taken.exists((device.number, to_json(&event.cause)?))? {
            event.cause.content = event.cause.content.wrapping_add(1);
        }
        Ok(())
    }

    /// Says an event, unless it is to wait for its weather.
    fn tell_or_wait(&mut self, device: &Known, number: i64, event: &Event) -> Result<()> {
        let Some(wanted) = self.wants_weather(device, number, event)? else {
            self.stop_waiting(number)?;
            let ids = self.tell(device, number, event)?;
            // Who would not be told of it as it is now is not left with what it was.
            return self.take_back(number, &ids);
        };
        waiting::keep(self.connection, number, &wanted)?;
        self.waiting.push((number, Some(wanted)));
        Ok(())
    }

    /// Says an event that has waited, as it stands now.
    pub(crate) fn tell_again(&mut self, device: &Known, number: i64) -> Result<()> {
        let Some(event) = event(self.connection, number)? else {
            return Ok(());
        };
        let ids = self.tell(device, number, &event)?;
        self.take_back(number, &ids)
    }

    /// Whether somebody would hear of the event in time, and its weather is not there and may
    /// still come. What waits already does not wait longer for having changed.
    fn wants_weather(&self, device: &Known, number: i64, event: &Event) -> Result<Option<Wanted>> {
        let now_ms = self.now_ms;
        let may_come = self.weather_wait_ms > 0
            && self.waiting.len() < self.room
            && self.world.weather.may_come(event.time_ms, now_ms);
        let Some(fix) = event.happening.place().filter(|_| may_come) else {
            return Ok(None);
        };
        if self.world.weather.as_of(&fix, event.time_ms, now_ms).is_some() {
            return Ok(None);
        }
        let Some(customer) = device.owner_at(event.cause.time_ms) else {
            return Ok(None);
        };
        let (registry, world) = (self.registry, self.world);
        let occasion = Occasion {
            event,
            reading: None,
            device: None,
            booked: &[],
            marked_low: &[],
            customer,
            registry,
            world,
            now_ms,
        };
        let due_ms =
            waiting::due_of(self.connection, number)?.unwrap_or(now_ms + self.weather_wait_ms);
        let wanted =
            Wanted { device: device.number, fix: Some(fix), time_ms: event.time_ms, due_ms };
        Ok((due_ms > now_ms && self.rules.concern(&occasion)).then_some(wanted))
    }

    fn stop_waiting(&mut self, number: i64) -> Result<()> {
        if waiting::end(self.connection, number)? {
            self.waiting.push((number, None));
        }
        Ok(())
    }

    /// Says an event to everybody whose rule and policy it concerns, or what is new about it.
    /// Returns the ids it was said under.
    fn tell(&mut self, device: &Known, number: i64, event: &Event) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let Some(customer) = device.owner_at(event.cause.time_ms) else {
            return Ok(ids);
        };
        let Some(customer_id) = self.registry.customer(customer).map(|customer| &customer.id)
        else {
            return Ok(ids);
        };
        let (rules, registry) = (self.rules, self.registry);
        let reading = match rules.asks_reading(event.happening.name()) {
            true => self.readings.find(self.connection, device.number, &event.cause)?,
            false => None,
        };
        let booked = booked(self.connection, customer)?;
        let marked_low = marked_low(self.connection, registry, customer)?;
        let answer = rules.answer(&Occasion {
            event,
            reading: reading.as_ref(),
            device: Some(device.device.kind),
            booked: &booked,
            marked_low: &marked_low,
            customer,
            registry,
            world: self.world,
            now_ms: self.now_ms,
        });
        self.count_faults(&answer.faults);
        for firing in answer.firings {
            let rule = firing.rule;
            let evidence = FullEvidence {
                device: device.device.id.to_string(),
                customer: customer_id.to_string(),
                policy: firing.policy.id.to_string(),
                event: event.clone(),
                reading: reading.clone(),
                booked: booked
                    .iter()
                    .filter(|booked| *booked.insurer == *firing.policy.insurer)
                    .filter(|booked| booked.holds(event.time_ms))
                    .cloned()
                    .collect(),
                weather: answer.weather.clone(),
                rule: RuleRef { id: rule.id.clone(), version: rule.version },
                registry_version: registry.version,
                now_ms: self.now_ms,
            };
            let evidence_json = evidence.to_json();
            let data = data(event, &firing, evidence.weather.as_ref(), &evidence_json);
            let id =
                self.key.trigger_id(&rule.id, &firing.policy.id, &device.device.id, &event.cause);
            ids.push(id.clone());
            let subject = self.key.subject(&firing.policy.insurer, customer_id);
            let message =
                Message { id, subject, customer, event: number, data, evidence: evidence_json };
            self.say(Some(device), &firing, message)?;
        }
        Ok(ids)
    }

    pub(crate) fn count_faults(&mut self, faults: &[Fault<'_>]) {
        for Fault { rule, what } in faults {
            tracing::warn!(rule, what, "a rule could not be evaluated");
            *self.counts.rule_faults.entry((*rule).to_owned()).or_default() += 1;
        }
    }

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

    /// Takes back what was said about an event that never happened.
    fn withdraw(&mut self, number: i64) -> Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE event SET withdrawn = 1, revision = revision + 1 WHERE number = ?1",
            )?
            .execute([number])?;
        self.stop_waiting(number)?;
        self.take_back(number, &[])
    }

    /// Takes back what was said about an event, but for what was said under `kept`. An insurer
    /// that may not hear of the customer any more hears nothing.
    pub(crate) fn take_back(&mut self, number: i64, kept: &[String]) -> Result<()> {
        forget_held(self.connection, number, kept)?;
        for last in last_said_of(self.connection, number)? {
            if !kept.contains(&last.event.id) && self.may_hear(&last) {
                self.withdraw_said(last, number)?;
            }
        }
        Ok(())
    }

    /// Takes back what was said of an event.
    pub(crate) fn withdraw_said(&mut self, last: LastSaid, number: i64) -> Result<()> {
        let sequence = next_sequence(self.connection, &last.insurer, &last.product)?;
        let mut event = last.event;
        event.revision += 1;
        event.kind = kind(Status::Withdrawn);
        event.time = timestamp(self.now_ms);
        event.sequence = sequence_text(sequence);
        let message = Message {
            id: event.id.clone(),
            subject: Subject { subject: event.subject.clone(), key_version: last.key_version },
            customer: last.customer,
            event: number,
            data: event.data.clone(),
            evidence: last.evidence,
        };
        self.insert(Entry {
            message: &message,
            event: &event,
            status: Status::Withdrawn,
            outcome: Outcome::Released,
            reason: None,
            counts: false,
            insurer: &last.insurer,
            product: &last.product,
            purpose: &last.purpose,
            sequence: Some(sequence),
            expires_ms: last.expires_ms,
        })
    }

    fn may_hear(&self, last: &LastSaid) -> bool {
        let now_ms = self.now_ms;
        let rule = self.rules.rule(&last.event.data.rule.id);
        rule.is_none_or(|rule| {
            self.registry.may_tell(last.customer, &last.insurer, rule.purpose, now_ms, now_ms)
        })
    }

    pub(crate) fn insert(&mut self, row: Entry<'_>) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO trigger_out (id, revision, status, outcome, reason, event, rule, counts,
                     happened_ms, insurer, product, purpose, sequence, customer, subject,
                     key_version, said_ms, expires_ms, body, evidence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                     ?17, ?18, ?19, ?20)",
            )?
            .execute(rusqlite::params![
                row.event.id,
                row.event.revision,
                row.status.name(),
                row.outcome.name(),
                row.reason,
                row.message.event,
                row.event.data.rule.id,
                row.counts,
                row.event.data.happened_at.as_millisecond(),
                row.insurer,
                row.product,
                row.purpose,
                row.sequence,
                row.message.customer,
                row.event.subject,
                row.message.subject.key_version,
                self.now_ms,
                row.expires_ms,
                to_json(row.event)?,
                row.message.evidence,
            ])?;
        match row.outcome {
            Outcome::Released => self.counts.triggers_released += 1,
            Outcome::Expired => self.counts.triggers_expired += 1,
            Outcome::Waiting | Outcome::Suppressed => {}
        }
        Ok(())
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Released,
    Expired,
    Waiting,
    Suppressed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Waiting => "waiting",
            Self::Suppressed => "suppressed",
        }
    }
}

pub(crate) struct Entry<'a> {
    pub(crate) message: &'a Message,
    pub(crate) event: &'a CloudEvent,
    pub(crate) status: Status,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<&'static str>,
    /// For the customer's cap.
    pub(crate) counts: bool,
    pub(crate) insurer: &'a str,
    pub(crate) product: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) sequence: Option<i64>,
    pub(crate) expires_ms: i64,
}

/// An event that stands, by its number.
fn event(connection: &Connection, number: i64) -> Result<Option<Event>> {
    connection
        .prepare_cached("SELECT body FROM event WHERE number = ?1 AND NOT withdrawn")?
        .query_row([number], |row| json(row, 0))
        .optional()
}
