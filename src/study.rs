//! `datanaut study`: what the journal's history says about winter tyres.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use enrich::World;
use enrich::detect::tyres::Tyre;
use enrich::registry::{Known, Product, Registry};
use enrich::road::Condition;
use enrich::study::{Accident, Rate, Study, Tally, Walk};
use ingest::DeviceKind;
use ingest::report::Claim;
use journal::{Archive, RecordedFeed};
use serde_json::json;

use crate::cli::{StudyArgs, StudyCommand};
use crate::config::Config;

pub(crate) fn run(command: &StudyCommand) -> Result<ExitCode> {
    let StudyCommand::WinterTyres(args) = command;
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    let dir = args.data.as_ref().unwrap_or(&config.data.dir);
    let archive =
        Archive::open(dir).with_context(|| format!("no journal to read in {}", dir.display()))?;
    let mut world = crate::serve::world(&config)?;
    if args.config.is_none() {
        match journal::recorded_feed(dir).context("the weather in the journal")? {
            RecordedFeed::Known(feed) => world.weather = feed,
            RecordedFeed::Named(name) => bail!(
                "the weather was that of {name}, which is not in the journal: name the \
                 configuration with --config"
            ),
            RecordedFeed::None => {}
        }
    }
    journal::read_weather(dir, &mut world).context("the weather in the journal")?;
    let study = study(&archive, &world, args)?;
    match args.json {
        true => println!("{:#}", as_json(&study)),
        false => print(&study),
    }
    Ok(ExitCode::SUCCESS)
}

/// Car by car: what is in memory is a chunk of one car's readings, and the groups.
fn study(archive: &Archive, world: &World, args: &StudyArgs) -> Result<Study> {
    let since_ms = args.since.map_or(i64::MIN, |since| since.as_millisecond());
    let until_ms = args.until.map_or(i64::MAX, |until| until.as_millisecond());
    let registry = archive.registry();
    let mut claims = archive.claims()?;
    let mut study = Study::default();
    let cars = registry.devices().filter(|known| known.device.kind == DeviceKind::Car);
    for car in cars {
        let theirs = claims.remove(&car.number).unwrap_or_default();
        let allowed = |claim: &&Claim| allows(registry, car, claim.time_ms);
        let accidents = theirs.iter().filter(allowed);
        let accidents =
            accidents.map(|claim| Accident { time_ms: claim.time_ms, fix: claim.fix }).collect();
        let mut owner = None;
        let mut walk = Walk::new(world, &mut study, accidents, (since_ms, until_ms));
        archive.each_reading(car, |reading| {
            if !allows(registry, car, reading.time_ms) {
                return;
            }
            // A new owner's car starts unknown.
            let now = car.owner_at(reading.time_ms);
            if owner.is_some() && owner != now {
                walk.forget();
            }
            owner = now;
            walk.read(reading);
        })?;
        walk.finish();
    }
    Ok(study)
}

/// Whether its owner then had consented to the use for winter tyres.
fn allows(registry: &Registry, car: &Known, time_ms: i64) -> bool {
    let consents = car.owner_at(time_ms).map(|owner| registry.consents_of(owner));
    let mut consents = consents.into_iter().flatten();
    consents.any(|consent| consent.purpose == Product::WinterTyres && consent.span.holds(time_ms))
}

fn print(study: &Study) {
    let sums = study.by_tyre_and_road();
    println!("claims per million km, with exact 95 % intervals");
    println!("{:<11} {:<8} {:>12} {:>7} {:>9}  interval", "tyres", "road", "km", "claims", "rate");
    for ((tyre, road), tally) in &sums {
        let rate = Rate::of(tally.claims, tally.km);
        let (shown, interval) = match (rate.rate, rate.low, rate.high) {
            (Some(rate), Some(low), Some(high)) => {
                (format!("{rate:.2}"), format!("{low:.2} to {high:.2}"))
            }
            _ => ("-".to_owned(), "nothing driven".to_owned()),
        };
        println!(
            "{:<11} {:<8} {:>12.1} {:>7} {shown:>9}  {interval}",
            name(*tyre),
            road.name(),
            tally.km,
            tally.claims
        );
    }
    println!();
    match study.winter_to_summer() {
        Some(found) => println!(
            "winter to summer tyres on equal roads: {:.2} times the claims (95 %: {:.2} to {:.2})",
            found.ratio, found.low, found.high
        ),
        None => println!(
            "winter to summer tyres on equal roads: too few claims on roads that both drove on"
        ),
    }
    println!();
    println!("how it was driven");
    println!("{:<11} {:<8} {:>12} {:>20}", "tyres", "road", "mean km/h", "harsh per 1,000 km");
    for ((tyre, road), tally) in sums.iter().filter(|(_, tally)| tally.hours > 0.0) {
        println!("{:<11} {:<8} {:>12} {:>20}", name(*tyre), road.name(), kmh(tally), harsh(tally));
    }
    println!();
    println!("by country and month; --json has the roads as well");
    println!(
        "{:<8} {:<8} {:<11} {:>12} {:>7} {:>9}",
        "country", "month", "tyres", "km", "claims", "rate"
    );
    for ((country, month, tyre), tally) in study.by_country_and_month() {
        let country = country.map_or_else(|| "unknown".to_owned(), |country| country.to_string());
        let rate = Rate::of(tally.claims, tally.km).rate;
        let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"));
        let (km, claims) = (tally.km, tally.claims);
        let (month, tyre) = (shown(month), name(tyre));
        println!("{country:<8} {month:<8} {tyre:<11} {km:>12.1} {claims:>7} {rate:>9}");
    }
    println!();
    println!(
        "left out: {} distances that an odometer cannot have made, {} claims of cars not heard of \
         in the hour before",
        study.left_out.odometers_doubted, study.left_out.claims_without_readings
    );
}

fn as_json(study: &Study) -> serde_json::Value {
    let row = |tyre: Option<Tyre>, road: Condition, tally: &Tally| {
        json!({
            "tyre": name(tyre), "road": road.name(), "km": tally.km,
            "claims": Rate::of(tally.claims, tally.km),
            "hours": tally.hours, "mean_kmh": mean_kmh(tally), "harsh": tally.harsh,
        })
    };
    let sums: Vec<_> = study
        .by_tyre_and_road()
        .iter()
        .map(|((tyre, road), tally)| row(*tyre, *road, tally))
        .collect();
    let groups: Vec<_> = study
        .groups()
        .map(|(group, tally)| {
            let mut row = row(group.tyre, group.road, tally);
            row["country"] = json!(group.country);
            row["month"] = json!(shown(group.month));
            row
        })
        .collect();
    json!({
        "by_tyre_and_road": sums,
        "winter_to_summer": study.winter_to_summer(),
        "groups": groups,
        "left_out": study.left_out,
    })
}

fn name(tyre: Option<Tyre>) -> &'static str {
    tyre.map_or("unknown", Tyre::name)
}

fn shown((year, month): (i16, i8)) -> String {
    format!("{year}-{month:02}")
}

fn mean_kmh(tally: &Tally) -> Option<f64> {
    (tally.hours > 0.0).then(|| tally.km_at_speed / tally.hours)
}

fn kmh(tally: &Tally) -> String {
    mean_kmh(tally).map_or_else(|| "-".to_owned(), |kmh| format!("{kmh:.1}"))
}

fn harsh(tally: &Tally) -> String {
    match tally.km > 0.0 {
        true => format!("{:.2}", tally.harsh as f64 * 1_000.0 / tally.km),
        false => "-".to_owned(),
    }
}
