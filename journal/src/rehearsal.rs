//! What rules would have told whom, by the journal: its devices' events and booked trips are asked anew,
//! and what fires is played through with cooldowns, caps, quiet hours and the feedback that was given.

mod trips;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use enrich::feedback::{Given, REMEMBERED, Reception};
use enrich::rehearsal::{Besides, Fate, Fired, rehearse};
use enrich::relevance::Told;
use enrich::rules::{Fault, Occasion, Rule, RuleSet, Sort, Text, Value};
use enrich::{Cause, World};
use ingest::report::Report;
use rusqlite::Connection;

use crate::ReadError;
use crate::archive::Archive;
use crate::outbox::json;
use crate::trips::time_zone;
use crate::weather;

/// What one of the rules would have done.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// How many events it was asked about.
    pub events: u64,
    pub fired: Vec<Rehearsed>,
    /// How often it could not be evaluated, and why first.
    pub faults: u64,
    pub fault: String,
    /// Booked trips of which something was said, or held back, and which are not kept any more: they
    /// could not be asked about.
    pub trips_gone: u64,
}

/// What fired, and what became of it.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    pub policy: String,
    /// The device or the booked trip, by its id.
    pub about: String,
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
    policy: String,
    expires_ms: i64,
    of: Of,
    /// Of the rule that is asked about.
    shown: Option<Rehearsed>,
}

/// The event that something fired of.
#[derive(Clone, Copy)]
struct Of {
    about: About,
    customer: u32,
    cause: Cause,
    event_ms: i64,
    known_ms: i64,
}

/// What an event is about; trips come after devices, as in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Device(u32),
    /// By the number of its first report, and of the one that counted then.
    Trip {
        first: i64,
        report: i64,
    },
}

/// What a rehearsal is about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    rules: &'a RuleSet,
    by_id: &'a HashMap<&'a str, &'a Rule>,
    id: &'a str,
    since_ms: i64,
    /// How long before it what was said matters.
    lead_ms: i64,
    feedback: &'a Feedback,
}

/// When a report was received, and what it was.
type Feedback = HashMap<(u32, String), Vec<(i64, Given)>>;

impl Archive {
    /// What the rule `id` of `rules` would have said of what became known from `since_ms` on, beside
    /// all the others. The weather of `world` is that of the configuration: what the journal has is
    /// added to it for as long as this takes, and for booked trips as it became known.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn rehearse(
        &self,
        rules: &RuleSet,
        id: &str,
        since_ms: i64,
        world: &mut World,
    ) -> Result<Rehearsal, ReadError> {
        let mut rehearsal = Rehearsal::default();
        let reach = |rule| rules.relevance.reach_ms(rule, Reception::default());
        let lead_ms = rules.rules().map(reach).max().unwrap_or(0);
        let connection = self.reader()?;
        let (feedback, besides) = (feedback(&connection)?, besides(&connection)?);
        let by_id = rules.rules().map(|rule| (rule.id.as_str(), rule)).collect();
        let asked = Asked { rules, by_id: &by_id, id, since_ms, lead_ms, feedback: &feedback };
        let configured = world.weather.clone();
        let firings = self.fire(&asked, &connection, world, &mut rehearsal);
        world.weather = configured;
        let mut firings = firings?;
        firings.sort_by_key(|firing| (firing.of.known_ms, firing.of.about));
        let fired = self.in_order(&firings);
        let fates = rehearse(&rules.relevance, &fired, &besides, |fired, now_ms| {
            received(&feedback, (fired.customer, fired.insurer), &fired.rule.id, now_ms)
        });
        let shown = firings
            .into_iter()
            .zip(fates)
            .filter(|(firing, fate)| firing.of.known_ms >= since_ms && *fate != Fate::Again);
        rehearsal.fired =
            shown.filter_map(|(firing, fate)| Some(Rehearsed { fate, ..firing.shown? })).collect();
        Ok(rehearsal)
    }

    fn fire<'a>(
        &self,
        asked: &Asked<'a>,
        connection: &Connection,
        world: &mut World,
        rehearsal: &mut Rehearsal,
    ) -> Result<Vec<Firing<'a>>, ReadError> {
        let (mut firings, read) = self.fire_of_trips(asked, connection, world, rehearsal)?;
        weather::learn(connection, world, read, i64::MAX)?;
        self.fire_of_devices(asked, world, rehearsal, &mut firings)?;
        Ok(firings)
    }

    /// What was fired one after the other, as it is played through.
    fn in_order<'a>(&'a self, firings: &'a [Firing<'a>]) -> Vec<Fired<'a>> {
        let mut event = 0;
        let mut before = None;
        let mut of_trips = HashMap::new();
        let fired = firings.iter().enumerate().map(|(at, firing)| {
            let Of { about, customer, cause, event_ms, known_ms } = firing.of;
            let this = (about, cause, known_ms);
            event += usize::from(before.replace(this).is_some_and(|before| before != this));
            let again = match about {
                About::Device(_) => None,
                About::Trip { first, .. } => {
                    of_trips.insert((first, firing.rule.id.as_str(), firing.policy.as_str()), at)
                }
            };
            Fired {
                rule: firing.rule,
                sort: firing.sort,
                customer,
                insurer: &firing.insurer,
                time_zone: time_zone(self.registry(), customer),
                event,
                event_ms,
                known_ms,
                expires_ms: firing.expires_ms,
                waits: matches!(about, About::Device(_)),
                again,
            }
        });
        fired.collect()
    }

    /// All that devices' events fire from `lead_ms` before `since_ms` on: what was said then may hold
    /// back what comes after.
    fn fire_of_devices<'a>(
        &self,
        asked: &Asked<'a>,
        world: &World,
        rehearsal: &mut Rehearsal,
        firings: &mut Vec<Firing<'a>>,
    ) -> Result<(), ReadError> {
        let from_ms = asked.since_ms.saturating_sub(asked.lead_ms);
        for device in self.registry().devices() {
            for found in self.events(device, from_ms, world)? {
                let event = &found.event;
                let counts = asked.counts(event.happening.name(), event.known_ms);
                rehearsal.events += u64::from(counts);
                let Some(customer) = device.owner_at(event.cause.time_ms) else { continue };
                let low = self.marked_low(asked.feedback, customer, event.known_ms);
                let answer = asked.rules.answer(&Occasion {
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
                if counts {
                    rehearsal.count(&answer.faults, asked.id);
                }
                let of = Of {
                    about: About::Device(device.number),
                    customer,
                    cause: event.cause,
                    event_ms: event.time_ms,
                    known_ms: event.known_ms,
                };
                let id = &device.device.id;
                firings.extend(
                    answer.firings.into_iter().filter_map(|fired| asked.taken(fired, of, id)),
                );
            }
        }
        Ok(())
    }
}

impl<'a> Asked<'a> {
    /// Whether it is about such an event of that time.
    fn counts(&self, event: &str, known_ms: i64) -> bool {
        let on = self.by_id.get(self.id).map(|rule| rule.on.as_str());
        known_ms >= self.since_ms && on == Some(event)
    }

    fn taken(&self, fired: enrich::rules::Firing<'_>, of: Of, about: &str) -> Option<Firing<'a>> {
        let Of { customer, cause, .. } = of;
        let policy = fired.policy.id.to_string();
        let rule: &'a Rule = self.by_id.get(fired.rule.id.as_str())?;
        let shown = (rule.id == self.id).then(|| Rehearsed {
            policy: policy.clone(),
            about: about.to_owned(),
            cause,
            customer,
            offer: fired.offer.to_owned(),
            explanation: fired.explanation,
            value: rule.value.clone(),
            fate: Fate::Expired,
        });
        let insurer = fired.policy.insurer.to_string();
        Some(Firing {
            rule,
            sort: fired.sort,
            insurer,
            policy,
            expires_ms: fired.expires_ms,
            of,
            shown,
        })
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

/// What was said in answer to feedback, and of trips that cannot be asked about, which counts for caps.
fn besides(connection: &Connection) -> rusqlite::Result<Vec<Besides>> {
    let mut select = connection.prepare(
        "SELECT customer, said_ms, rule, happened_ms, counts FROM trigger_out
         WHERE event < 0 AND outcome = 'released' AND status = 'fired' AND counts
           AND (event = -1 OR NOT EXISTS (SELECT 1 FROM report WHERE number = -1 - event))",
    )?;
    let rows = select.query_map([], |row| {
        let (rule, event_ms, counts) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let told = Told { rule, event_ms, counts, same_event: false };
        Ok(Besides { customer: row.get(0)?, said_ms: row.get(1)?, told })
    })?;
    rows.collect()
}

impl Rehearsal {
    fn count(&mut self, faults: &[Fault<'_>], id: &str) {
        for fault in faults.iter().filter(|fault| fault.rule == id) {
            if self.faults == 0 {
                self.fault.clone_from(&fault.what);
            }
            self.faults += 1;
        }
    }

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
                Fate::Said | Fate::Again => continue,
                Fate::Expired => "expired",
                Fate::Suppressed(why) => why.name(),
            };
            *by_reason.entry(reason).or_default() += 1;
        }
        by_reason
    }
}
