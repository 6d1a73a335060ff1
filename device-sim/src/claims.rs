//! Planted accidents: how often they happen on which road with which tyres is known, so that what
//! somebody finds out from them can be checked.

use std::sync::Arc;

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::surface::Surface;
use crate::truth::{Truth, What};

/// How often cars have accidents. No statistics of real roads: rates that a short run shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRates {
    /// Who is told, on `claims/{insurer}`.
    pub insurer: String,
    /// On dry roads, whatever the tyres.
    pub per_million_km: f64,
    /// Times as often on such roads.
    #[serde(default = "one")]
    pub wet: f64,
    #[serde(default = "one")]
    pub snow: f64,
    #[serde(default = "one")]
    pub ice: f64,
    /// Times as often again with summer tyres on snow and ice.
    #[serde(default = "one")]
    pub summer_when_wintry: f64,
}

fn one() -> f64 {
    1.0
}

impl ClaimRates {
    fn per_m(&self, surface: Surface, tyre: &str) -> f64 {
        let road = match surface {
            Surface::Dry => 1.0,
            Surface::Wet => self.wet,
            Surface::Snow => self.snow,
            Surface::Ice => self.ice,
        };
        let tyres =
            if surface.wintry() && tyre == "summer" { self.summer_when_wintry } else { 1.0 };
        self.per_million_km * road * tyres / 1e9
    }
}

/// The accidents of one car, with a randomness of their own: it drives the same with and without.
#[derive(Clone, Debug)]
pub(crate) struct Accidents {
    rates: Arc<ClaimRates>,
    rng: Rng,
    count: u32,
}

impl Accidents {
    pub(crate) fn new(rates: Arc<ClaimRates>, rng: Rng) -> Self {
        Self { rates, rng, count: 0 }
    }

    /// What happens on so many metres of a road that may be taken for another.
    pub(crate) fn on(
        &mut self,
        metres: f64,
        (surface, or): (Surface, Option<Surface>),
        tyre: &str,
        speed_mps: f64,
    ) -> Option<What> {
        let likely = metres * self.rates.per_m(surface, tyre);
        if self.rng.f64() >= likely {
            return None;
        }
        self.count += 1;
        Some(What::ClaimReported {
            id: self.count.to_string(),
            tyre: tyre.to_owned(),
            road: surface.name().to_owned(),
            or_road: or.map(|or| or.name().to_owned()),
            speed_mps: (speed_mps * 10.0).round() / 10.0,
        })
    }
}

/// The message with which an insurer reports a claim, as a line that can be replayed; nothing for
/// other truths.
#[must_use]
pub fn claim_line(truth: &Truth, insurer: &str) -> Option<Value> {
    let What::ClaimReported { id, .. } = &truth.what else { return None };
    let payload = json!({
        "id": id, "device": truth.device, "time": truth.at, "lat": truth.lat, "lon": truth.lon,
        "kind": "collision",
    });
    Some(json!({"topic": format!("claims/{insurer}"), "payload": payload}))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Accidents, ClaimRates};
    use crate::surface::Surface;

    #[test]
    fn accidents_come_at_the_rates_that_were_planted() {
        let rates = ClaimRates {
            insurer: "alpina".into(),
            per_million_km: 1_000.0,
            wet: 1.5,
            snow: 4.0,
            ice: 6.0,
            summer_when_wintry: 1.5,
        };
        let mut accidents = Accidents::new(Arc::new(rates), fastrand::Rng::with_seed(1));
        let mut count = |surface, tyre| {
            let km = 0..1_000_000;
            km.filter(|_| accidents.on(1_000.0, (surface, None), tyre, 20.0).is_some()).count()
        };
        assert!((900..1_100).contains(&count(Surface::Dry, "summer")));
        assert!((3_800..4_200).contains(&count(Surface::Snow, "winter")));
        assert!((5_750..6_250).contains(&count(Surface::Snow, "summer")));
        assert!((8_700..9_300).contains(&count(Surface::Ice, "summer")));
    }
}
