//! Events and the triggers they become, in the same transaction as the readings behind them.

mod entry;
mod event;
mod say;
mod take_back;

use enrich::registry::{Known, Registry};
use enrich::rules::{Fault, Occasion, RuleSet};
use enrich::trigger::{FullEvidence, Key, RuleRef, data};
use enrich::{Change, Event, World};
use rusqlite::{Connection, Result};

use crate::Counts;
use crate::cause::Readings;
use crate::feedback::marked_low;
use crate::message::Message;
use crate::trips::booked;
use crate::waiting::{self, Wanted};

pub(crate) use entry::{Entry, Outcome};
use event::event;
pub(crate) use event::{StoredEvent, events_between, json, to_json};

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
}
