//! `datanaut rules backtest`: what a rule would have told whom, by the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use enrich::World;
use enrich::registry::Known;
use enrich::rules::{Occasion, RuleSet};
use jiff::Timestamp;
use journal::{Archive, Found};

use crate::cli::BacktestArgs;
use crate::config::{Config, duration};

/// What a rule would have said, by what makes it the same trigger: policy, device and event.
type Said = BTreeMap<(String, String, i64, String), Told>;

struct Told {
    offer: String,
    words: String,
    customer: u32,
    amount: f64,
    currency: String,
}

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
    journal::read_weather(dir, &mut world).context("the weather in the journal")?;
    let live = archive.rules().and_then(|rules| rules.rule(&rule.id));
    let live = live.map(|live| RuleSet::alone("in force", &live.source)).transpose()?;
    let (mut then, mut now) = (Outcome::default(), Outcome::default());
    let mut events = 0_u64;
    for device in archive.registry().devices() {
        for found in archive.events(device, since_ms, &world)? {
            if found.event.happening.name() != rule.on {
                continue;
            }
            events += 1;
            then.ask(&candidate, &archive, device, &found, &world);
            if let Some(live) = &live {
                now.ask(live, &archive, device, &found, &world);
            }
        }
    }
    let from = Timestamp::from_millisecond(since_ms)?;
    println!("rule      {} version {}", rule.id, rule.version);
    println!("since     {from}: {events} events of {}", rule.on);
    println!("would say {}", then.summary());
    if then.faults > 0 {
        println!("          could not be evaluated {} times, first: {}", then.faults, then.fault);
    }
    match live {
        None => println!("live now  no rule of that id: all of it is new"),
        Some(_) => {
            println!("live now  {}", now.summary());
            println!("differs   {}", then.difference(&now));
        }
    }
    println!("Caps, cooldowns and quiet hours are not applied here.");
    Ok(ExitCode::SUCCESS)
}

fn since(text: &str) -> Result<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let back = duration(text).map_err(|advice| anyhow::anyhow!("--since: {advice}"))?;
    Ok(Timestamp::now().as_millisecond().saturating_sub(back.as_millis() as i64))
}

#[derive(Default)]
struct Outcome {
    said: Said,
    faults: u64,
    fault: String,
}

impl Outcome {
    fn ask(
        &mut self,
        rules: &RuleSet,
        archive: &Archive,
        device: &Known,
        found: &Found,
        world: &World,
    ) {
        let event = &found.event;
        let Some(customer) = device.owner_at(event.cause.time_ms) else { return };
        let answer = rules.answer(&Occasion {
            event,
            reading: found.reading.as_ref(),
            device: Some(device.device.kind),
            booked: archive.booked(customer),
            customer,
            registry: archive.registry(),
            world,
            now_ms: event.known_ms,
        });
        for fault in answer.faults {
            if self.faults == 0 {
                self.fault = fault.what;
            }
            self.faults += 1;
        }
        for firing in answer.firings {
            let cause = format!("{:?} {}", event.cause.seq, event.cause.content);
            let policy = firing.policy.id.to_string();
            let key = (policy, device.device.id.to_string(), event.cause.time_ms, cause);
            let value = firing.rule.value.as_ref();
            self.said.insert(
                key,
                Told {
                    offer: firing.offer.to_owned(),
                    words: firing.explanation.en,
                    customer,
                    amount: value.map_or(0.0, |value| value.amount),
                    currency: value.map_or(String::new(), |value| value.currency.clone()),
                },
            );
        }
    }

    fn summary(&self) -> String {
        let customers: BTreeSet<u32> = self.said.values().map(|told| told.customer).collect();
        let mut worth: BTreeMap<&str, f64> = BTreeMap::new();
        let mut offers: BTreeMap<&str, u64> = BTreeMap::new();
        for told in self.said.values() {
            if told.amount > 0.0 {
                *worth.entry(&told.currency).or_default() += told.amount;
            }
            *offers.entry(&told.offer).or_default() += 1;
        }
        let offers: Vec<String> =
            offers.iter().map(|(offer, count)| format!("{count} {offer}")).collect();
        let worth: Vec<String> =
            worth.iter().map(|(currency, amount)| format!("{amount:.2} {currency}")).collect();
        format!(
            "{} triggers to {} customers, worth {}{}",
            self.said.len(),
            customers.len(),
            if worth.is_empty() { "nothing stated".to_owned() } else { worth.join(" and ") },
            if offers.is_empty() { String::new() } else { format!(" ({})", offers.join(", ")) },
        )
    }

    /// What changes against `live`.
    fn difference(&self, live: &Self) -> String {
        let new = self.said.keys().filter(|key| !live.said.contains_key(*key)).count();
        let gone = live.said.keys().filter(|key| !self.said.contains_key(*key)).count();
        let other = self.said.iter().filter(|(key, told)| {
            live.said.get(*key).is_some_and(|now| {
                (&now.offer, &now.words) != (&told.offer, &told.words) || now.amount != told.amount
            })
        });
        format!("{new} new, {gone} no longer, {} said otherwise", other.count())
    }
}
