//! `datanaut rules backtest`: what a rule would have told whom, by the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use enrich::Cause;
use jiff::Timestamp;
use journal::{Archive, Rehearsal, Rehearsed};

use crate::cli::BacktestArgs;
use crate::config::{Config, duration};

pub(super) fn run(args: &BacktestArgs) -> Result<ExitCode> {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    let candidate = super::one(&args.rule, args.config.as_deref())?;
    let Some(rule) = candidate.rules().next() else {
        bail!("the rule is switched off: nothing to try");
    };
    let since_ms = since(&args.since)?;
    let dir = args.data.as_ref().unwrap_or(&config.data.dir);
    let archive =
        Archive::open(dir).with_context(|| format!("no journal to read in {}", dir.display()))?;
    let mut world = crate::serve::world(&config)?;
    world.atlas.set_geofences(archive.registry().geofences());
    let relevance = config.relevance.parsed()?;
    let mut in_force = match archive.rules() {
        Some(rules) => rules.clone(),
        None => super::load(config.rules.dir.as_deref(), relevance)?,
    };
    // The journal has the rules' texts; how much anybody hears is in the configuration.
    in_force.relevance = relevance;
    let then = in_force.clone().with_rule(rule.clone());
    let then = archive.rehearse(&then, &rule.id, since_ms, &mut world)?;
    let from = Timestamp::from_millisecond(since_ms)?;
    println!("rule      {} version {}", rule.id, rule.version);
    println!("since     {from}: {} events of {}", then.events, rule.on);
    if then.trips_gone > 0 {
        println!("          {} trips that were told of are not kept any more", then.trips_gone);
    }
    println!("fires     {}", summary(&then.fired));
    println!("would say {}", summary(then.said()));
    println!("          {}", not_said(&then));
    if then.faults > 0 {
        println!("          could not be evaluated {} times, first: {}", then.faults, then.fault);
    }
    if in_force.rule(&rule.id).is_none() {
        println!("live now  no rule of that id: all of it is new");
        return Ok(ExitCode::SUCCESS);
    }
    let now = archive.rehearse(&in_force, &rule.id, since_ms, &mut world)?;
    println!("live now  {}", summary(now.said()));
    println!("          {}", not_said(&now));
    println!("differs   {}", difference(&then, &now));
    Ok(ExitCode::SUCCESS)
}

fn since(text: &str) -> Result<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let back = duration(text).map_err(|advice| anyhow::anyhow!("--since: {advice}"))?;
    Ok(Timestamp::now().as_millisecond().saturating_sub(back.as_millis() as i64))
}

fn summary<'a>(triggers: impl IntoIterator<Item = &'a Rehearsed>) -> String {
    let mut count = 0_u64;
    let mut customers = BTreeSet::new();
    let mut worth: BTreeMap<&str, f64> = BTreeMap::new();
    let mut offers: BTreeMap<&str, u64> = BTreeMap::new();
    for told in triggers {
        count += 1;
        customers.insert(told.customer);
        if let Some(value) = told.value.as_ref().filter(|value| value.amount > 0.0) {
            *worth.entry(&value.currency).or_default() += value.amount;
        }
        *offers.entry(&told.offer).or_default() += 1;
    }
    let offers: Vec<String> =
        offers.iter().map(|(offer, count)| format!("{count} {offer}")).collect();
    let worth: Vec<String> =
        worth.iter().map(|(currency, amount)| format!("{amount:.2} {currency}")).collect();
    format!(
        "{count} triggers to {} customers, worth {}{}",
        customers.len(),
        if worth.is_empty() { "nothing stated".to_owned() } else { worth.join(" and ") },
        if offers.is_empty() { String::new() } else { format!(" ({})", offers.join(", ")) },
    )
}

fn not_said(rehearsal: &Rehearsal) -> String {
    let reasons = rehearsal.not_said();
    if reasons.is_empty() {
        return "nothing held back".to_owned();
    }
    let total: u64 = reasons.values().sum();
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!("{total} not said: {}", reasons.join(", "))
}

/// What makes two the same trigger: policy, device or trip and what caused it.
fn key(told: &Rehearsed) -> (&str, &str, i64, String) {
    let Cause { time_ms, seq, content } = told.cause;
    (&told.policy, &told.about, time_ms, format!("{seq:?} {content}"))
}

/// What is said otherwise than by the rule in force.
fn difference(then: &Rehearsal, now: &Rehearsal) -> String {
    let [then, now] =
        [then, now].map(|all| all.said().map(|told| (key(told), told)).collect::<BTreeMap<_, _>>());
    let new = then.keys().filter(|key| !now.contains_key(*key)).count();
    let gone = now.keys().filter(|key| !then.contains_key(*key)).count();
    let other = then.iter().filter(|(key, told)| {
        now.get(*key).is_some_and(|now| {
            (&now.offer, &now.explanation, &now.value)
                != (&told.offer, &told.explanation, &told.value)
        })
    });
    format!("{new} new, {gone} no longer, {} said otherwise", other.count())
}
