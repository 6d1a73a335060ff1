//! `datanaut where LAT LON`: what there is to say of a place and time.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result};
use enrich::places::NearestBorder;
use enrich::weather::Joined;
use enrich::{Certainty, Country, Here};
use ingest::Fix;
use jiff::Timestamp;

use crate::cli::WhereArgs;
use crate::config::Config;

pub(crate) fn run(args: &WhereArgs) -> Result<ExitCode> {
    let fix = Fix::new(args.lat, args.lon, Some(args.accuracy)).with_context(|| {
        format!(
            "{}, {} is no place: give degrees north (-90 to 90) and east (-180 to 180), and an \
             accuracy in metres",
            args.lat, args.lon
        )
    })?;
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let mut world = crate::serve::world(&config)?;
    let dir = args.data.as_ref().unwrap_or(&config.data.dir);
    if let Err(error) = journal::read_weather(dir, &mut world)
        && args.data.is_some()
    {
        return Err(error).with_context(|| format!("no journal to read in {}", dir.display()));
    }
    let now = Timestamp::now();
    let time_ms = args.at.unwrap_or(now).as_millisecond();
    let here = Here::look(&world, &fix, args.altitude, time_ms, now.as_millisecond());
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&here)?),
        false => print!("{}", text(&here)),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(here: &Here) -> String {
    let details = &here.details;
    let lines = [
        ("place", format!("{:.5}, {:.5}, within {} m", here.lat, here.lon, here.accuracy_m)),
        ("time", format!("{:.0}, there {:.0}", here.time, here.local_time)),
        ("country", country(here)),
        ("border", here.border.as_ref().map_or("none within 200 km".to_owned(), border)),
        (
            "region",
            details.region.map_or("not known".to_owned(), |region| match region.iso() {
                Some(code) => format!("{} ({code})", region.name),
                None => region.name.to_owned(),
            }),
        ),
        (
            "town",
            details.town.map_or("none".to_owned(), |town| {
                format!("{} ({}), {} away", town.name, town.country, metres(town.distance_m))
            }),
        ),
        ("time zone", details.time_zone.unwrap_or("none").to_owned()),
        ("risk", risks(here)),
        ("weather", here.weather.as_ref().map_or("missing".to_owned(), weather)),
        ("road", road(here)),
        ("frost", here.flags.frost.map_or("not known", |frost| frost.name()).to_owned()),
        ("storm", here.flags.storm.map_or("not known", |storm| storm.name()).to_owned()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        line(&mut text, name, &value);
    }
    if let Some(duty) = &here.tyres {
        line(&mut text, "tyres", &duty.explanation.en);
        let sources =
            if duty.sources.is_empty() { "none".to_owned() } else { duty.sources.join(", ") };
        line(&mut text, "", &format!("Sources: {sources}. No legal advice."));
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    writeln!(text, "{name:<10}{value}").ok();
}

fn country(here: &Here) -> String {
    let Some(country) = here.country else {
        return "none: the high seas".to_owned();
    };
    let certainty = match here.certainty {
        Certainty::Certain => "certain",
        Certainty::NearBorder => "not certain: so near the border the fix may lie beyond it",
        Certainty::TooVague => "not certain: the fix is too vague to decide anything",
    };
    let at_sea = if here.at_sea { ", at sea" } else { "" };
    format!("{}{at_sea}, {certainty}", named(country))
}

fn border(border: &NearestBorder) -> String {
    let with = border.with.map_or("ground that belongs to nobody".to_owned(), named);
    match border.shared {
        true => format!("shared with {with}, or claimed by both"),
        false => format!("{} to {with}", metres(border.distance_m)),
    }
}

fn risks(here: &Here) -> String {
    if here.risks.is_empty() {
        return "no area of risk".to_owned();
    }
    let risks =
        here.risks.iter().map(|risk| format!("{} (premium × {})", risk.name, risk.premium_factor));
    risks.collect::<Vec<_>>().join(", ")
}

fn weather(joined: &Joined) -> String {
    let values = &joined.row.values;
    let parts = [
        values.temperature_c.map(|value| format!("{value} °C")),
        values.dew_point_c.map(|value| format!("dew point {value} °C")),
        values.surface_temperature_c.map(|value| format!("ground {value} °C")),
        values.precipitation_mm.map(|value| format!("{value} mm")),
        values.snowfall_cm.map(|value| format!("{value} cm of snow")),
        values.wind_mps.map(|value| format!("wind {value} m/s")),
        values.gust_mps.map(|value| format!("gusts {value} m/s")),
        values.visibility_m.map(|value| format!("sight {}", metres(value))),
        values.code.map(|code| format!("code {code}")),
        values.present.as_ref().map(|present| present.to_string()),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let height = joined.altitude_correction_c.map_or(String::new(), |kelvin| {
        format!(", temperatures corrected by {kelvin} K for the height")
    });
    format!(
        "{} ({} of {}, {} min old, {} away{height})",
        parts.join(", "),
        if joined.row.observed { "observation" } else { "forecast" },
        joined.row.source,
        joined.age_ms / 60_000,
        metres(joined.distance_m),
    )
}

fn road(here: &Here) -> String {
    let estimated = match here.road.surface_estimated {
        true => " (by the temperature of the air; the road's own is not known)",
        false => "",
    };
    format!("{}: {}{estimated}", here.road.condition.name(), here.road.reason.text("en"))
}

fn named(country: Country) -> String {
    format!("{} ({country})", country.name("en"))
}

fn metres(metres: f64) -> String {
    match metres {
        ..1_000.0 => format!("{metres:.0} m"),
        ..10_000.0 => format!("{:.1} km", metres / 1e3),
        _ => format!("{:.0} km", metres / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use enrich::places::Atlas;
    use enrich::weather::{Feed, Synthetic};
    use enrich::{Here, World};
    use ingest::Fix;

    use super::text;

    #[test]
    fn a_place_is_told_in_lines() {
        let world = World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) };
        let time_ms = 1_768_478_400_000;
        let look = |lat, lon| {
            let fix = Fix::new(lat, lon, Some(8.0)).unwrap();
            text(&Here::look(&world, &fix, None, time_ms, time_ms))
        };
        let venlo = look(51.370, 6.170);
        for part in [
            "country   the Netherlands (NL), certain",
            "to Germany (DE)",
            "region    Limburg (NL-LI)",
            "town      Venlo (NL)",
            "time zone Europe/Amsterdam",
            "observation of synthetic",
            "tyres     The Netherlands: no duty",
        ] {
            assert!(venlo.contains(part), "{part:?} is not in\n{venlo}");
        }
        let sea = look(45.0, -30.0);
        assert!(sea.contains("none: the high seas") && !sea.contains("tyres"), "{sea}");
    }
}
