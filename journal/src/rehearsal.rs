//! What rules would have told whom, by the journal: its devices' events are asked anew, and what fires
//! is played through with cooldowns, caps, quiet hours and the feedback that was given.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use enrich::feedback::{Given, REMEMBERED, Reception};
use enrich::rehearsal::{Besides, Fate, Fired, rehearse};
use enrich::relevance::Told;
use enrich::rules::{Occasion, Rule, RuleSet, Sort, Text, Value};
use enrich::{Cause, World};
use ingest::report::Report;
use rusqlite::Connection;

use crate::ReadError;
use crate::archive::Archive;
use crate::outbox::json;

/// What one of the rules would have done.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// How many events it was asked about.
    pub events: u64,
    pub fired: Vec<Rehearsed>,
    /// How often it could not be evaluated, and why first.
    pub faults: u64,
    pub fault: String,
}

/// What fired, and what became of it.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    pub policy: String,
    pub device: String,
    pub cause: Cause,
    pub customer: u32,
    pub offer: String,
    pub explanation: Text,
    pub value: Option<Value>,
    pub fate: Fate,
}

/// What the rules fire, before it is known what is said of it.
struct Firing<'a> {
    rule: &'a Rule,
    sort: Sort,
    insurer: String,
    customer: u32,
    device: u32,
    cause: Cause,
    event_ms: i64,
    known_ms: i64,
    expires_ms: i64,
    /// Of the rule that is asked about.
    shown: Option<Rehearsed>,
}

/// What a rehearsal is about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    rules: &'a RuleSet,
    id: &'a str,
    since_ms: i64,
    /// How long before it what was said matters.
    lead_ms: i64,
    world: &'a World,
    feedback: &'a Feedback,
}

/// When a report was received, and what it was.
type Feedback = HashMap<(u32, String), Vec<(i64, Given)>>;

impl Archive {
    /// What the rule `id` of `rules` would have said of what became known from `since_ms` on, beside
    /// all the others.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn rehearse(
        &self,
        rules: &RuleSet,
        id: &str,
        since_ms: i64,
        world: &World,
    ) -> Result<Rehearsal, ReadError> {
        let mut rehearsal = Rehearsal::default();
        let reach = |rule| rules.relevance.reach_ms(rule, Reception::default());
        let lead_ms = rules.rules().map(reach).max().unwrap_or(0);
        let connection = self.reader()?;
        let (feedback, besides) = (feedback(&connection)?, besides(&connection)?);
        let asked = Asked { rules, id, since_ms, lead_ms, world, feedback: &feedback };
        let mut firings = self.fire(&asked, &mut rehearsal)?;
        firings.sort_by_key(|firing| (firing.known_ms, firing.device));
        let zone = |customer| {
            self.registry().customer(customer).map_or("UTC", |customer| &*customer.time_zone)
        };
        let mut event = 0;
        let mut before = None;
        let fired: Vec<Fired<'_>> = firings
            .iter()
            .map(|firing| {
                let this = (firing.device, firing.cause, firing.known_ms);
                event += usize::from(before.replace(this).is_some_and(|before| before != this));
                Fired {
                    rule: firing.rule,
                    sort: firing.sort,
                    customer: firing.customer,
                    insurer: &firing.insurer,
                    time_zone: zone(firing.customer),
                    event,
                    event_ms: firing.event_ms,
                    known_ms: firing.known_ms,
                    expires_ms: firing.expires_ms,
                }
            })
            .collect();
        let fates = rehearse(&rules.relevance, &fired, &besides, |fired, now_ms| {
            received(&feedback, (fired.customer, fired.insurer), &fired.rule.id, now_ms)
        });
        let shown =
            firings.into_iter().zip(fates).filter(|(firing, _)| firing.known_ms >= since_ms);
        rehearsal.fired =
            shown.filter_map(|(firing, fate)| Some(Rehearsed { fate, ..firing.shown? })).collect();
        Ok(rehearsal)
    }

    /// All that fires from `lead_ms` before `since_ms` on: what was said then may hold back what
    /// comes after.
    fn fire<'a>(
        &self,
        asked: &Asked<'a>,
        rehearsal: &mut Rehearsal,
    ) -> Result<Vec<Firing<'a>>, ReadError> {
        let Asked { rules, id, since_ms, lead_ms, world, feedback } = *asked;
        let on = rules.rule(id).map(|rule| rule.on.as_str());
        let by_id: HashMap<&str, &'a Rule> =
            rules.rules().map(|rule| (rule.id.as_str(), rule)).collect();
        let mut firings = Vec::new();
        for device in self.registry().devices() {
            for found in self.events(device, since_ms.saturating_sub(lead_ms), world)? {
                let event = &found.event;
                let counts = event.known_ms >= since_ms && on == Some(event.happening.name());
                rehearsal.events += u64::from(counts);
                let Some(customer) = device.owner_at(event.cause.time_ms) else { continue };
                let low = self.marked_low(feedback, customer, event.known_ms);
                let answer = rules.answer(&Occasion {
                    event,
                    reading: found.reading.as_ref(),
                    device: Some(device.device.kind),
                    booked: self.booked(customer),
                    marked_low: &low,
                    customer,
                    registry: self.registry(),
                    world,
                    now_ms: event.known_ms,
                });
                let faults = answer.faults.iter().filter(|fault| counts && fault.rule == id);
                for fault in faults {
                    if rehearsal.faults == 0 {
                        rehearsal.fault.clone_from(&fault.what);
                    }
                    rehearsal.faults += 1;
                }
                firings.extend(answer.firings.into_iter().filter_map(|firing| {
                    Some(Firing {
                        rule: by_id.get(firing.rule.id.as_str())?,
                        sort: firing.sort,
                        insurer: firing.policy.insurer.to_string(),
                        customer,
                        device: device.number,
                        cause: event.cause,
                        event_ms: event.time_ms,
                        known_ms: event.known_ms,
                        expires_ms: firing.expires_ms,
                        shown: (firing.rule.id == id).then(|| Rehearsed {
                            policy: firing.policy.id.to_string(),
                            device: device.device.id.to_string(),
                            cause: event.cause,
                            customer,
                            offer: firing.offer.to_owned(),
                            explanation: firing.explanation,
                            value: firing.rule.value.clone(),
                            fate: Fate::Expired,
                        }),
                    })
                }));
            }
        }
        Ok(firings)
    }
}

impl Archive {
    /// The insurers that a customer had given a low mark by then.
    fn marked_low(&self, feedback: &Feedback, customer: u32, now_ms: i64) -> Vec<Arc<str>> {
        if feedback.is_empty() {
            return Vec::new();
        }
        let insurers = self.registry().policies_of(customer).iter().map(|policy| &policy.insurer);
        let low = insurers.filter(|insurer| {
            received(feedback, (customer, insurer), "", now_ms).refuses(Sort::Offer)
        });
        low.cloned().collect()
    }
}

/// What a customer had told an insurer by then of what a rule said.
fn received(
    feedback: &Feedback,
    (customer, insurer): (u32, &str),
    rule: &str,
    now_ms: i64,
) -> Reception {
    let Some(all) = feedback.get(&(customer, insurer.to_owned())) else {
        return Reception::default();
    };
    let known = all.iter().filter(|(received_ms, _)| *received_ms <= now_ms);
    let given: Vec<Given> = known.map(|(_, given)| given.clone()).take(REMEMBERED).collect();
    Reception::of(rule, &given)
}

/// All feedback, the newest first.
fn feedback(connection: &Connection) -> rusqlite::Result<Feedback> {
    let mut select = connection.prepare(
        "SELECT customer, insurer, received_ms, body,
             coalesce((SELECT rule FROM trigger_out WHERE id = report.id LIMIT 1), '')
         FROM report WHERE kind = 'feedback'
         ORDER BY json_extract(body, '$.time_ms') DESC, digest DESC",
    )?;
    let mut all = Feedback::default();
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Report::Feedback(feedback) = json(row, 3)? {
            let given = Given { rule: row.get(4)?, feedback };
            all.entry((row.get(0)?, row.get(1)?)).or_default().push((row.get(2)?, given));
        }
    }
    Ok(all)
}

/// What was said of trips and in answer to feedback, which counts for caps.
fn besides(connection: &Connection) -> rusqlite::Result<Vec<Besides>> {
    let mut select = connection.prepare(
        "SELECT customer, said_ms, rule, happened_ms, counts FROM trigger_out
         WHERE event < 0 AND outcome = 'released' AND status = 'fired' AND counts",
    )?;
    let rows = select.query_map([], |row| {
        let (rule, event_ms, counts) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let told = Told { rule, event_ms, counts, same_event: false };
        Ok(Besides { customer: row.get(0)?, said_ms: row.get(1)?, told })
    })?;
    rows.collect()
}

impl Rehearsal {
    /// What would have been said.
    pub fn said(&self) -> impl Iterator<Item = &Rehearsed> {
        self.fired.iter().filter(|fired| fired.fate == Fate::Said)
    }

    /// How much would not have been, by reason.
    #[must_use]
    pub fn not_said(&self) -> BTreeMap<&'static str, u64> {
        let mut by_reason = BTreeMap::new();
        for fired in &self.fired {
            let reason = match fired.fate {
                Fate::Said => continue,
                Fate::Expired => "expired",
                Fate::Suppressed(why) => why.name(),
            };
            *by_reason.entry(reason).or_default() += 1;
        }
        by_reason
    }
}
