//! Whether drivers with winter tyres have fewer claims on the same roads, and whether they drive
//! otherwise: kilometres and claims by tyre, road, country and month.
//!
//! [`walk`] adds up what cars drove; [`poisson`] gives the intervals of rates, [`ratio`] compares
//! winter with summer tyres on equal roads. docs/winter-tyres.md explains it to insurers.

mod poisson;
mod ratio;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Country;
use crate::detect::tyres::Tyre;
use crate::road::Condition;

pub use poisson::interval;
pub use ratio::{Ratio, Stratum, ratio};
pub use walk::{Accident, Walk};

/// What is told apart. Tyres and country are absent where the car did not say, or was at sea.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Group {
    pub tyre: Option<Tyre>,
    pub road: Condition,
    pub country: Option<Country>,
    /// Year and month, by UTC.
    pub month: (i16, i8),
}

/// What was driven in a group, and what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    pub km: f64,
    pub claims: u64,
    /// While it moved and said how fast.
    pub hours: f64,
    /// Of these hours: the way at the speeds that were said.
    pub km_at_speed: f64,
    /// Harsh braking and acceleration, ABS and ESC.
    pub harsh: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.km += other.km;
        self.claims += other.claims;
        self.hours += other.hours;
        self.km_at_speed += other.km_at_speed;
        self.harsh += other.harsh;
    }
}

/// All of it. It grows with the number of groups, not of readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    groups: BTreeMap<Group, Tally>,
    pub left_out: LeftOut,
}

/// Country, year and month, and tyres.
pub type ByCountry = (Option<Country>, (i16, i8), Option<Tyre>);

/// What is in no comparison, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// Distances that an odometer cannot have made; none was counted.
    pub odometers_doubted: u64,
    /// Claims of cars that had not reported within the hour before.
    pub claims_without_readings: u64,
}

/// A rate with its exact 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    pub claims: u64,
    pub million_km: f64,
    /// Per million kilometres; absent where nothing was driven.
    pub rate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Rate {
    #[must_use]
    pub fn of(claims: u64, km: f64) -> Self {
        let million_km = km / 1e6;
        let (low, high) = interval(claims);
        let per = |count: f64| (million_km > 0.0).then(|| count / million_km);
        Self { claims, million_km, rate: per(claims as f64), low: per(low), high: per(high) }
    }
}

impl Study {
    pub fn add(&mut self, group: Group, tally: &Tally) {
        self.groups.entry(group).or_default().add(tally);
    }

    pub fn merge(&mut self, other: &Self) {
        other.groups.iter().for_each(|(group, tally)| self.add(*group, tally));
        self.left_out.odometers_doubted += other.left_out.odometers_doubted;
        self.left_out.claims_without_readings += other.left_out.claims_without_readings;
    }

    pub fn groups(&self) -> impl Iterator<Item = (&Group, &Tally)> {
        self.groups.iter()
    }

    /// Over all countries and months.
    #[must_use]
    pub fn by_tyre_and_road(&self) -> BTreeMap<(Option<Tyre>, Condition), Tally> {
        let mut sums: BTreeMap<_, Tally> = BTreeMap::new();
        for (group, tally) in &self.groups {
            sums.entry((group.tyre, group.road)).or_default().add(tally);
        }
        sums
    }

    /// Over all roads.
    #[must_use]
    pub fn by_country_and_month(&self) -> BTreeMap<ByCountry, Tally> {
        let mut sums: BTreeMap<_, Tally> = BTreeMap::new();
        for (group, tally) in &self.groups {
            sums.entry((group.country, group.month, group.tyre)).or_default().add(tally);
        }
        sums
    }

    /// Winter against summer tyres, on equal roads. Unknown tyres and roads are left out.
    #[must_use]
    pub fn winter_to_summer(&self) -> Option<Ratio> {
        let sums = self.by_tyre_and_road();
        let roads = [Condition::Dry, Condition::Wet, Condition::Snow, Condition::Ice];
        let strata = roads.map(|road| {
            let of = |tyre| sums.get(&(Some(tyre), road)).copied().unwrap_or_default();
            let (winter, summer) = (of(Tyre::Winter), of(Tyre::Summer));
            Stratum {
                exposed: winter.claims,
                exposed_time: winter.km,
                unexposed: summer.claims,
                unexposed_time: summer.km,
            }
        });
        ratio(&strata)
    }
}
