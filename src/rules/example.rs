//! `datanaut rules test`: one event, and what a rule makes of it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use enrich::places::Atlas;
use enrich::registry::{Consent, Customer, Entry, Insurer, Policy, Product, Registry, Span};
use enrich::rules::{Occasion, RuleSet};
use enrich::weather::{Feed, Synthetic};
use enrich::{Booked, Cause, Country, Event, Happening, World};
use ingest::DeviceKind;
use jiff::Timestamp;
use serde::Deserialize;

/// Who insures somebody of whom that is not said.
const INSURER: &str = "insurer";

/// An event with what is around it. What is left out is missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    time: Timestamp,
    event: Happening,
    /// The reading that caused it, as a device sends it; without `ts` it is of the event's time.
    reading: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    device: DevicePart,
    trip: Option<TripPart>,
    #[serde(default)]
    customer: CustomerPart,
    #[serde(default)]
    policy: PolicyPart,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicePart {
    kind: Option<DeviceKind>,
}

/// A journey that was booked with the policy's insurer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TripPart {
    from: Timestamp,
    to: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CustomerPart {
    language: String,
    time_zone: String,
}

impl Default for CustomerPart {
    fn default() -> Self {
        Self { language: "en".to_owned(), time_zone: "UTC".to_owned() }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyPart {
    insurer: Option<Arc<str>>,
    home: Option<Country>,
    covers: Vec<Country>,
}

pub(super) fn run(rules: &RuleSet, file: &Path) -> Result<ExitCode> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let example: Example = serde_json::from_str(&text).context(name)?;
    let Some(rule) = rules.rules().next() else {
        bail!("the rule is switched off: nothing to try");
    };
    let time_ms = example.time.as_millisecond();
    let reading =
        example.reading.clone().map(|reading| reading_of(reading, time_ms)).transpose()?;
    let cause = Cause {
        time_ms,
        seq: None,
        content: reading.as_ref().map_or(0, |reading| Cause::of(reading).content),
    };
    let event = Event { time_ms, known_ms: time_ms, cause, happening: example.event.clone() };
    let registry = registry(&example, rule.product, rule.purpose, time_ms);
    let world = World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) };
    let insurer = example.policy.insurer.as_deref().unwrap_or(INSURER);
    let booked = example.trip.iter().map(|trip| Booked {
        insurer: insurer.into(),
        from_ms: trip.from.as_millisecond(),
        to_ms: trip.to.as_millisecond(),
    });
    let booked: Vec<Booked> = booked.collect();
    let answer = rules.answer(&Occasion {
        event: &event,
        reading: reading.as_ref(),
        device: example.device.kind,
        booked: &booked,
        marked_low: &[],
        customer: 0,
        registry: &registry,
        world: &world,
        now_ms: time_ms,
    });
    for fault in &answer.faults {
        println!("{} cannot be evaluated: {}", fault.rule, fault.what);
    }
    for firing in &answer.firings {
        println!("{} says \"{}\"", rule.id, firing.offer);
        println!("  en  {}", firing.explanation.en);
        println!("  nl  {}", firing.explanation.nl);
        for (name, fact) in &firing.facts {
            println!("  {name}: {fact}");
        }
    }
    if answer.firings.is_empty() && answer.faults.is_empty() {
        match rule.on == event.happening.name() {
            true => println!("{} says nothing: its conditions do not hold", rule.id),
            false => println!(
                "{} says nothing: it is on {}, and this is {}",
                rule.id,
                rule.on,
                event.happening.name()
            ),
        }
    }
    Ok(if answer.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn reading_of(
    mut reading: serde_json::Map<String, serde_json::Value>,
    time_ms: i64,
) -> Result<ingest::Reading> {
    reading.entry("ts").or_insert_with(|| time_ms.into());
    let payload = Bytes::from(serde_json::to_vec(&reading)?);
    // A kind is needed, and none restricts what may be measured.
    match ingest::formats::decode("telemetry/car/example", &payload, time_ms) {
        Ok(mut decoded) => match decoded.readings.pop() {
            Some(Ok(reading)) => Ok(reading),
            Some(Err(rejected)) => bail!("the reading cannot be used: {}", rejected.detail),
            None => bail!("the reading is empty: leave it out"),
        },
        Err((_, rejected)) => bail!("the reading cannot be used: {}", rejected.detail),
    }
}

/// Somebody with the policy and the consent that the rule asks for.
fn registry(example: &Example, product: Product, purpose: Product, time_ms: i64) -> Registry {
    let insurer = example.policy.insurer.clone().unwrap_or_else(|| INSURER.into());
    let customer: Arc<str> = "customer".into();
    let span = Span { from_ms: time_ms - 1, to_ms: None };
    let mut registry = Registry::default();
    registry.apply(Entry::Insurer(Insurer {
        id: insurer.clone(),
        name: insurer.to_string(),
        token_sha256: None,
    }));
    registry.apply(Entry::Customer(Customer {
        id: customer.clone(),
        name: customer.to_string(),
        language: example.customer.language.as_str().into(),
        time_zone: example.customer.time_zone.as_str().into(),
    }));
    registry.apply(Entry::Policy(Policy {
        id: "policy".into(),
        insurer: insurer.clone(),
        customer: customer.clone(),
        product,
        span,
        home: example.policy.home,
        covers: example.policy.covers.clone(),
    }));
    registry.apply(Entry::Consent(Consent {
        customer,
        insurer,
        purpose,
        span,
        wording: "example".into(),
    }));
    registry
}
