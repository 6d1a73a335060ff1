//! The values of an hour, each of them possibly not given, and what of them is believable.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Values that no weather on earth has, by name: how often they were dropped.
pub type Dropped = BTreeMap<&'static str, u64>;

/// Where there is no number.
const NOT_GIVEN: i16 = i16::MIN;

macro_rules! values {
    ($($(#[$doc:meta])* $name:ident $min:literal $max:literal $steps:literal,)*) => {
        /// What an hour is like. A value that the source did not give is not guessed.
        ///
        /// Numbers come in steps that fit 16 bits, so that they can be kept small and stay exactly
        /// what they are.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Values {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")]
            pub $name: Option<f64>,)*
            /// WMO code 4677 as Open-Meteo uses it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub code: Option<u8>,
            /// Present weather as a METAR has it, as in `-FZRA BR`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub present: Option<Arc<str>>,
        }

        impl Values {
            /// How many numbers there are.
            pub const NUMBERS: usize = [$(stringify!($name)),*].len();

            /// Drops what cannot be, which is counted, and rounds the rest to its steps.
            #[must_use]
            pub fn checked(mut self, dropped: &mut Dropped) -> Self {
                $(if let Some(value) = self.$name {
                    // Not a number is in no range.
                    self.$name = ($min..=$max).contains(&value).then(|| (value * $steps).round() / $steps);
                    if self.$name.is_none() {
                        *dropped.entry(stringify!($name)).or_default() += 1;
                    }
                })*
                if self.code.is_some_and(|code| code > 99) {
                    self.code = None;
                    *dropped.entry("code").or_default() += 1;
                }
                self
            }

            /// The numbers in steps, of [checked](Self::checked) values without loss.
            #[must_use]
            pub fn steps(&self) -> [i16; Self::NUMBERS] {
                [$(self.$name.map_or(NOT_GIVEN, |value| (value * $steps).round() as i16)),*]
            }

            /// The values with these numbers, code and present weather.
            #[must_use]
            pub fn of_steps(
                steps: &[i16; Self::NUMBERS],
                code: Option<u8>,
                present: Option<Arc<str>>,
            ) -> Self {
                let [$($name),*] = *steps;
                Self {
                    $($name: ($name != NOT_GIVEN).then(|| f64::from($name) / $steps),)*
                    code,
                    present,
                }
            }

            /// Whether the source said nothing at all.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.code.is_none() && self.present.is_none() $(&& self.$name.is_none())*
            }

            /// The names of the numbers.
            pub const NAMES: [&str; Self::NUMBERS] = [$(stringify!($name)),*];

            /// The number with this name, to be set.
            pub fn number_mut(&mut self, name: &str) -> Option<&mut Option<f64>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

// The ranges are a little wider than the records of the World Meteorological Organization
// (−89.2 and 56.7 °C, 305 mm in an hour, gusts of 113 m/s).
values! {
    temperature_c -95.0 60.0 100.0,
    dew_point_c -110.0 45.0 100.0,
    /// Of the ground.
    surface_temperature_c -95.0 95.0 100.0,
    /// Over the hour, as water.
    precipitation_mm 0.0 320.0 100.0,
    /// Fresh snow over the hour.
    snowfall_cm 0.0 60.0 100.0,
    snow_depth_m 0.0 30.0 100.0,
    wind_mps 0.0 120.0 100.0,
    /// The strongest of the hour.
    gust_mps 0.0 150.0 100.0,
    /// Sources that stop counting at some distance say that distance.
    visibility_m 0.0 300000.0 0.1,
}

#[cfg(test)]
mod tests {
    use super::{Dropped, Values};

    #[test]
    fn nonsense_is_dropped_by_name_and_the_rest_stays() {
        let mut dropped = Dropped::new();
        let values = Values {
            temperature_c: Some(200.0),
            dew_point_c: Some(-999.0),
            wind_mps: Some(f64::NAN),
            precipitation_mm: Some(0.104),
            snowfall_cm: Some(-0.001),
            code: Some(255),
            ..Values::default()
        };
        let values = values.checked(&mut dropped);
        let expected = Values { precipitation_mm: Some(0.1), ..Values::default() };
        assert_eq!(values, expected);
        let names = ["code", "dew_point_c", "snowfall_cm", "temperature_c", "wind_mps"];
        assert_eq!(Values::of_steps(&values.steps(), None, None), values);
        assert_eq!(dropped, names.map(|name| (name, 1)).into());
    }
}
