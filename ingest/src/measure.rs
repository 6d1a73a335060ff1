//! The closed list of what devices may report: name, unit, range.
//!
//! A new measure is one line in [`measures!`] and one row in docs/formats.md.

use serde::{Deserialize, Serialize};

/// What a measure's values look like, and which of them are believable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A number in the unit that the measure's name ends in, from `min` to `max`.
    Number {
        min: f64,
        max: f64,
    },
    Flag,
    /// One of a fixed list of words, stored as its place in the list.
    Choice(&'static [&'static str]),
    /// Free text of at most this many bytes.
    Text {
        max_bytes: usize,
    },
}

/// A measured value. Numbers are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Number(f64),
    Flag(bool),
    Choice(u8),
    Text(Box<str>),
}

impl Value {
    pub(crate) fn sort_key(&self) -> (u8, u64, &str) {
        match self {
            Self::Number(number) => (0, number.to_bits(), ""),
            Self::Flag(flag) => (1, u64::from(*flag), ""),
            Self::Choice(choice) => (2, u64::from(*choice), ""),
            Self::Text(text) => (3, 0, text),
        }
    }
}

macro_rules! measures {
    ($($variant:ident $name:literal $shape:expr,)*) => {
        /// A documented measure. The order is part of the stored format: append only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Measure { $($variant,)* }

        impl Measure {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used on the wire and in the documentation.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            #[must_use]
            pub fn shape(self) -> Shape {
                match self { $(Self::$variant => $shape,)* }
            }
        }
    };
}

const fn number(min: f64, max: f64) -> Shape {
    Shape::Number { min, max }
}

measures! {
    SpeedMps "speed_mps" number(0.0, 340.0),
    CourseDeg "course_deg" number(0.0, 360.0),
    AltitudeM "altitude_m" number(-500.0, 20_000.0),
    BatteryPct "battery_pct" number(0.0, 100.0),
    OdometerM "odometer_m" number(0.0, 5e9),
    AccelerationMps2 "acceleration_mps2" number(-200.0, 200.0),
    Tyre "tyre" Shape::Choice(&["summer", "winter", "all_season"]),
    TreadMm "tread_mm" number(0.0, 25.0),
    AmbientC "ambient_c" number(-90.0, 70.0),
    Ignition "ignition" Shape::Flag,
    AbsActive "abs_active" Shape::Flag,
    EscActive "esc_active" Shape::Flag,
    FuelPct "fuel_pct" number(0.0, 100.0),
    Steps "steps" number(0.0, 1e9),
    HeartRateBpm "heart_rate_bpm" number(20.0, 260.0),
    Activity "activity" Shape::Choice(&["still", "walking", "running", "cycling", "driving", "flying"]),
    PressurePa "pressure_pa" number(10_000.0, 120_000.0),
    RegionEvent "region_event" Shape::Choice(&["enter", "leave"]),
    Region "region" Shape::Text { max_bytes: 128 },
    IndoorC "indoor_c" number(-60.0, 90.0),
    SetpointC "setpoint_c" number(-60.0, 90.0),
    HumidityPct "humidity_pct" number(0.0, 100.0),
    HeatingDemandPct "heating_demand_pct" number(0.0, 100.0),
    WindowOpen "window_open" Shape::Flag,
    Mode "mode" Shape::Choice(&["off", "heat", "cool", "auto", "away"]),
    PowerW "power_w" number(-1e6, 1e6),
    EnergyWh "energy_wh" number(0.0, 1e12),
    Running "running" Shape::Flag,
    Program "program" Shape::Text { max_bytes: 64 },
    SessionS "session_s" number(0.0, 1e8),
    Cycles "cycles" number(0.0, 1e9),
    Fault "fault" Shape::Text { max_bytes: 64 },
    ConsumablePct "consumable_pct" number(0.0, 100.0),
    StepsPeriodS "steps_period_s" number(0.0, 1e8),
}
