//! Frost and storm, from one hour's weather.

use serde::{Deserialize, Serialize};

use super::Inputs;

/// Uncovered pipes freeze from here on: 20 °F (University of Illinois, Building Research Council).
const SEVERE_FROST_C: f64 = -6.7;

/// With air no warmer than this, ground under a clear sky can be frozen: cars warn from here on.
pub(crate) const GROUND_FROST_AIR_C: f64 = 3.0;

/// How cold it is for what can freeze, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frost {
    None,
    /// The ground is at or below 0 °C, or may be: its own temperature is not known, the air is no
    /// warmer than 3 °C and its dew point is at or below 0 °C.
    Ground,
    /// The air 2 m above the ground is at or below 0 °C.
    Air,
    /// At or below −6.7 °C.
    Severe,
}

/// How hard the wind blows, in rising order. Lower limits on the Beaufort scale (WMO).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storm {
    None,
    /// Gusts of force 8, 17.2 m/s.
    Gusts,
    /// A mean wind of force 8 or gusts of force 10, 24.5 m/s.
    Gale,
    /// A mean wind of force 10 or gusts of force 12, 32.7 m/s.
    Storm,
}

/// `None` where the feed does not tell what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    pub frost: Option<Frost>,
    pub storm: Option<Storm>,
}

impl Flags {
    /// Mean wind and gusts in m/s.
    #[must_use]
    pub fn of(inputs: &Inputs, wind_mps: Option<f64>, gust_mps: Option<f64>) -> Self {
        Self { frost: frost(inputs), storm: storm(wind_mps, gust_mps) }
    }
}

impl Frost {
    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ground => "ground",
            Self::Air => "air",
            Self::Severe => "severe",
        }
    }
}

impl Storm {
    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gusts => "gusts",
            Self::Gale => "gale",
            Self::Storm => "storm",
        }
    }
}

/// The force of a mean wind on the Beaufort scale, 0 to 12.
#[must_use]
pub fn beaufort(wind_mps: f64) -> u8 {
    /// Where force 1, 2, … begin, in m/s (WMO).
    const BEGINS_MPS: [f64; 12] =
        [0.3, 1.6, 3.4, 5.5, 8.0, 10.8, 13.9, 17.2, 20.8, 24.5, 28.5, 32.7];
    BEGINS_MPS.iter().filter(|begins| wind_mps >= **begins).count() as u8
}

fn frost(inputs: &Inputs) -> Option<Frost> {
    let air_c = inputs.temperature_c;
    let ground = match (inputs.surface_temperature_c, inputs.dew_point_c) {
        (Some(surface_c), _) => surface_c <= 0.0,
        (None, Some(dew_point_c)) => {
            dew_point_c <= 0.0 && air_c.is_some_and(|air_c| air_c <= GROUND_FROST_AIR_C)
        }
        (None, None) => false,
    };
    match air_c {
        Some(air_c) if air_c <= SEVERE_FROST_C => Some(Frost::Severe),
        Some(air_c) if air_c <= 0.0 => Some(Frost::Air),
        _ if ground => Some(Frost::Ground),
        Some(_) => Some(Frost::None),
        None => inputs.surface_temperature_c.map(|_| Frost::None),
    }
}

fn storm(wind_mps: Option<f64>, gust_mps: Option<f64>) -> Option<Storm> {
    let mean = wind_mps.map(|wind_mps| match beaufort(wind_mps) {
        10.. => Storm::Storm,
        8.. => Storm::Gale,
        _ => Storm::None,
    });
    let gusts = gust_mps.map(|gust_mps| match beaufort(gust_mps) {
        12.. => Storm::Storm,
        10.. => Storm::Gale,
        8.. => Storm::Gusts,
        _ => Storm::None,
    });
    mean.max(gusts)
}

#[cfg(test)]
mod tests {
    use super::{Flags, Frost, Inputs, Storm, beaufort};

    #[test]
    fn frost_is_told_by_how_cold_it_is() {
        let check = |air_c, dew_c, surface_c, expect| {
            let inputs = Inputs {
                temperature_c: air_c,
                dew_point_c: dew_c,
                surface_temperature_c: surface_c,
                ..Inputs::default()
            };
            assert_eq!(Flags::of(&inputs, None, None).frost, expect, "{inputs:?}");
        };
        check(Some(-6.7), None, None, Some(Frost::Severe));
        check(Some(0.0), None, None, Some(Frost::Air));
        check(Some(2.0), Some(1.0), Some(-0.5), Some(Frost::Ground));
        check(Some(2.0), Some(-1.0), None, Some(Frost::Ground));
        check(Some(2.0), Some(-1.0), Some(1.0), Some(Frost::None));
        check(Some(4.0), Some(-1.0), None, Some(Frost::None));
        check(None, None, None, None);
    }

    #[test]
    fn storm_is_told_by_mean_wind_or_gusts() {
        let storm = |wind, gust| Flags::of(&Inputs::default(), wind, gust).storm;
        assert_eq!(storm(Some(8.0), Some(17.1)), Some(Storm::None));
        assert_eq!(storm(Some(8.0), Some(17.2)), Some(Storm::Gusts));
        assert_eq!(storm(Some(17.2), None), Some(Storm::Gale));
        assert_eq!(storm(None, Some(24.5)), Some(Storm::Gale));
        assert_eq!(storm(Some(24.5), Some(30.0)), Some(Storm::Storm));
        assert_eq!(storm(None, None), None);
        assert_eq!((beaufort(0.0), beaufort(13.9), beaufort(99.0)), (0, 7, 12));
    }
}
