//! A duty in words.

use jiff::civil::Date;

use super::season::{Day, Season};
use super::{Demand, Kind, Marking, Rule};
use crate::Country;
use crate::rules::Text;

pub(super) fn explain(
    country: Country,
    rule: Option<&'static Rule>,
    region: Option<&str>,
    date: Date,
    demand: Demand,
) -> Text {
    let say = |language| {
        let mut parts = vec![format!(
            "{}: {}.",
            capital(country.name(language)),
            rule.map_or_else(
                || unknown(language).to_owned(),
                |rule| law(rule, rule.season_in(region), date, language),
            )
        )];
        parts.extend(now(demand, date, language));
        parts.extend(rule.and_then(|rule| rule.remark.as_ref()).map(|remark| match language {
            "nl" => remark.nl.clone(),
            _ => remark.en.clone(),
        }));
        let doubts = rule.map_or(&[][..], |rule| &rule.not_verified);
        if !doubts.is_empty() {
            parts.push(match language {
                "nl" => "Niet alles hiervan is in een primaire bron gevonden.".to_owned(),
                _ => format!("Not verified: {}.", doubts.join("; ")),
            });
        }
        parts.join(" ")
    };
    Text { en: say("en"), nl: say("nl") }
}

fn law(rule: &Rule, season: Option<&Season>, date: Date, language: &str) -> String {
    let dutch = language == "nl";
    let between = season.map_or(String::new(), |season| {
        let to = day(season.to, season.end_near(date), language);
        let from = day(season.from, season.from.of(date.year()), language);
        if dutch { format!("van {from} tot en met {to}") } else { format!("from {from} to {to}") }
    });
    let tread = rule.tread_mm.map_or(String::new(), |mm| {
        if dutch {
            format!("ten minste {mm} mm profiel")
        } else {
            format!("at least {mm} mm of tread")
        }
    });
    let (roads, tyres) = match dutch {
        true => ("bij sneeuw, sneeuwbrij, ijs of rijp", "winterbanden"),
        false => ("on snow, slush, ice or frost", "winter tyres"),
    };
    let (by_sign, by_order) = match dutch {
        true => ("waar een bord dat zegt", "waar een bord of besluit dat zegt"),
        false => ("where a road sign says so", "where a road sign or an order says so"),
    };
    let also = if dutch { "daarbuiten" } else { "outside these dates" };
    let and = if dutch { "en" } else { "and" };
    let what = match rule.kind {
        Kind::Unknown => return unknown(language).to_owned(),
        Kind::None if dutch => return "geen winterbandenplicht".to_owned(),
        Kind::None => return "no duty to use winter tyres".to_owned(),
        Kind::SeasonTread if dutch => {
            return format!("geen winterbandenplicht, wel {tread} {between}");
        }
        Kind::SeasonTread => return format!("no duty to use winter tyres, but {tread} {between}"),
        Kind::Season => format!("{tyres} {between}"),
        Kind::Wintry => format!("{tyres} {roads}"),
        Kind::SeasonAndWintry => format!("{tyres} {roads} {between}"),
        Kind::SeasonOrWintry => format!("{tyres} {between}, {and} {roads} {also}"),
        Kind::SeasonSigned => format!("{tyres} {between} {by_order}"),
        Kind::WintrySigned => format!("{tyres} {roads} {by_sign}"),
    };
    let marks: Vec<_> = rule.markings.iter().map(|marking| marking.name()).collect();
    let marks = (!marks.is_empty()).then(|| {
        let or = if dutch { " of " } else { " or " };
        format!("{} {}", if dutch { "met het teken" } else { "marked" }, marks.join(or))
    });
    let tread = Some(tread).filter(|tread| !tread.is_empty());
    std::iter::once(what).chain(marks).chain(tread).collect::<Vec<_>>().join(", ")
}

fn unknown(language: &str) -> &'static str {
    match language {
        "nl" => "de regel voor winterbanden is niet bekend",
        _ => "the rule on winter tyres is not known",
    }
}

fn now(demand: Demand, date: Date, language: &str) -> Option<String> {
    let (english, dutch) = match demand {
        Demand::Required => ("they are required", "zijn ze verplicht"),
        Demand::NotRequired => ("they are not required", "zijn ze niet verplicht"),
        Demand::DependsOnRoad => (
            "it depends on the road, which is not known",
            "hangt het van de weg af; die is niet bekend",
        ),
        Demand::DependsOnSigns => ("it depends on road signs", "hangt het van borden af"),
        Demand::DependsOnRegion => (
            "it depends on the region, which is not known",
            "hangt het van de regio af; die is niet bekend",
        ),
        Demand::Unknown => return None,
    };
    let on = format!("{} {}", day_of_month(date, language), date.year());
    Some(if language == "nl" { format!("Op {on} {dutch}.") } else { format!("On {on} {english}.") })
}

fn day(day: Day, on: Date, language: &str) -> String {
    let written = day_of_month(on, language);
    match (day, language) {
        (Day::Fixed { .. }, _) => written,
        (Day::AfterEaster, "nl") => format!("de eerste zondag na tweede paasdag ({written})"),
        (Day::AfterEaster, _) => format!("the first Sunday after Easter Monday ({written})"),
    }
}

fn day_of_month(date: Date, language: &str) -> String {
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DUTCH: [&str; 12] = [
        "januari",
        "februari",
        "maart",
        "april",
        "mei",
        "juni",
        "juli",
        "augustus",
        "september",
        "oktober",
        "november",
        "december",
    ];
    let months = if language == "nl" { DUTCH } else { ENGLISH };
    format!("{} {}", date.day(), months[(date.month() - 1) as usize])
}

/// "the Netherlands" begins a sentence as "The Netherlands".
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

impl Marking {
    fn name(self) -> &'static str {
        match self {
            Self::MudAndSnow => "M+S",
            Self::Alpine => "3PMSF",
        }
    }
}
