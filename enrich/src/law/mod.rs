//! Winter-tyre law: what a country asks of a private car on a day, on a road. (And [`Roaming`]: what a
//! phone may cost there.)
//!
//! The rules are data, `enrich/law/winter-tyres.toml`, with their sources and with marks on what was
//! not found in a primary one. They are no legal advice.

mod roaming;
mod season;
mod words;

use std::sync::LazyLock;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::Country;
use crate::road::Condition;
use crate::rules::Text;
pub use roaming::Roaming;
use season::Season;

/// Everywhere in the EU, all year.
const LEAST_TREAD_MM: f64 = 1.6;

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(shipped);

/// What the law asks for at a place and time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Duty {
    pub country: Country,
    /// The ISO 3166-2 code it was asked for.
    pub region: Option<String>,
    pub demand: Demand,
    /// What a tyre must have left, winter tyre or not.
    pub least_tread_mm: f64,
    /// What makes a tyre a winter tyre there: either of them. Empty: not known.
    pub markings: &'static [Marking],
    pub explanation: Text,
    pub sources: &'static [String],
    /// What was not found in a primary source, or what sources differ in.
    pub not_verified: &'static [String],
}

/// Whether winter tyres are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    Required,
    NotRequired,
    /// On wintry roads only, and this one's state is not known.
    DependsOnRoad,
    /// Where a road sign or an order says so.
    DependsOnSigns,
    /// It differs within the country, and the region is not known.
    DependsOnRegion,
    /// We found no source for the country.
    Unknown,
}

/// What is written on a tyre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Marking {
    /// Mud and snow: the maker's declaration.
    #[serde(rename = "M+S")]
    MudAndSnow,
    /// Three peaks and a snowflake, the Alpine symbol: tested (UNECE R117).
    #[serde(rename = "3PMSF")]
    Alpine,
}

/// A country's row of the file, which explains the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    code: Country,
    kind: Kind,
    season: Option<Season>,
    tread_mm: Option<f64>,
    #[serde(default)]
    markings: Vec<Marking>,
    sources: Vec<String>,
    #[serde(default)]
    not_verified: Vec<String>,
    #[serde(default)]
    only_in: Vec<String>,
    remark: Option<Text>,
    #[serde(default)]
    elsewhere: Vec<Elsewhere>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    regions: Vec<String>,
    season: Season,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Season,
    Wintry,
    SeasonAndWintry,
    SeasonOrWintry,
    SeasonSigned,
    WintrySigned,
    SeasonTread,
    None,
    Unknown,
}

/// What the law of `country` asks for on `date`. `region` is an ISO 3166-2 code where it is known.
#[must_use]
pub fn duty(country: Country, region: Option<&str>, date: Date, road: Condition) -> Duty {
    let rule = RULES.iter().find(|rule| rule.code == country);
    let (demand, least_tread_mm) =
        rule.map_or((Demand::Unknown, LEAST_TREAD_MM), |rule| rule.ask(region, date, road));
    Duty {
        country,
        region: region.map(str::to_owned),
        demand,
        least_tread_mm,
        markings: rule.map_or(&[], |rule| &rule.markings),
        explanation: words::explain(country, rule, region, date, demand),
        sources: rule.map_or(&[], |rule| &rule.sources),
        not_verified: rule.map_or(&[], |rule| &rule.not_verified),
    }
}

impl Demand {
    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::NotRequired => "not_required",
            Self::DependsOnRoad => "depends_on_road",
            Self::DependsOnSigns => "depends_on_signs",
            Self::DependsOnRegion => "depends_on_region",
            Self::Unknown => "unknown",
        }
    }
}

impl Rule {
    fn ask(&self, region: Option<&str>, date: Date, road: Condition) -> (Demand, f64) {
        if let Some(region) = region {
            return match self.only_in.is_empty() || self.only_in.iter().any(|only| only == region) {
                true => self.ask_in(self.season_in(Some(region)), date, road),
                false => (Demand::NotRequired, LEAST_TREAD_MM),
            };
        }
        let answer = self.ask_in(self.season.as_ref(), date, road);
        let elsewhere = self.elsewhere.iter().map(|there| Some(&there.season));
        let mut others: Vec<_> = elsewhere.map(|season| self.ask_in(season, date, road)).collect();
        if !self.only_in.is_empty() {
            others.push((Demand::NotRequired, LEAST_TREAD_MM));
        }
        match others.iter().all(|other| *other == answer) {
            true => answer,
            // What holds everywhere.
            false => {
                let least_mm =
                    others.iter().fold(answer.1, |least_mm, other| least_mm.min(other.1));
                (Demand::DependsOnRegion, least_mm)
            }
        }
    }

    fn season_in(&self, region: Option<&str>) -> Option<&Season> {
        self.elsewhere
            .iter()
            .find(|elsewhere| {
                region.is_some_and(|region| elsewhere.regions.iter().any(|one| one == region))
            })
            .map(|elsewhere| &elsewhere.season)
            .or(self.season.as_ref())
    }

    fn ask_in(&self, season: Option<&Season>, date: Date, road: Condition) -> (Demand, f64) {
        let in_season = season.is_none_or(|season| season.holds(date));
        let on_road = |wintry: Demand| match road.wintry() {
            Some(true) => wintry,
            Some(false) => Demand::NotRequired,
            None => Demand::DependsOnRoad,
        };
        let demand = match self.kind {
            Kind::Unknown => Demand::Unknown,
            Kind::None | Kind::SeasonTread => Demand::NotRequired,
            Kind::Wintry => on_road(Demand::Required),
            Kind::WintrySigned => on_road(Demand::DependsOnSigns),
            Kind::SeasonOrWintry if !in_season => on_road(Demand::Required),
            _ if !in_season => Demand::NotRequired,
            Kind::Season | Kind::SeasonOrWintry => Demand::Required,
            Kind::SeasonAndWintry => on_road(Demand::Required),
            Kind::SeasonSigned => Demand::DependsOnSigns,
        };
        // What may not be asked at all does not ask for more tread either.
        let deeper = match self.kind {
            Kind::SeasonTread => in_season,
            _ => demand == Demand::Required,
        };
        (demand, self.tread_mm.filter(|_| deeper).unwrap_or(LEAST_TREAD_MM))
    }
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a test reads it")]
fn shipped() -> Vec<Rule> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        country: Vec<Rule>,
    }
    let text = include_str!("../../law/winter-tyres.toml");
    toml::from_str::<File>(text).expect("the law is as expected").country
}

#[cfg(test)]
mod tests;
