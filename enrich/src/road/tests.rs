use proptest::prelude::*;

use super::{Condition, Inputs, Phenomena, Reason, Road};
use crate::weather::{Cell, HOUR_MS, Row, Synthetic, Values};

fn dry(temperature_c: f64) -> Inputs {
    Inputs {
        temperature_c: Some(temperature_c),
        dew_point_c: Some(temperature_c - 5.0),
        rain_mm: Some(0.0),
        snowfall_cm: Some(0.0),
        phenomena: Some(Phenomena::default()),
        ..Inputs::default()
    }
}

#[track_caller]
fn check(inputs: Inputs, condition: Condition, reason: Reason) {
    let road = Road::assess(&inputs);
    assert_eq!((road.condition, road.reason), (condition, reason), "{inputs:?}");
}

fn seen(code: u8) -> Option<Phenomena> {
    Some(Phenomena::from_wmo(code))
}

fn airport(groups: &str) -> Option<Phenomena> {
    Some(Phenomena::from_metar(groups))
}

#[test]
fn a_road_is_what_the_weather_makes_it() {
    use {Condition::*, Reason::*};
    check(dry(20.0), Dry, NothingFell);
    check(dry(-10.0), Dry, NothingFell);
    check(Inputs { rain_mm: Some(0.1), ..dry(8.0) }, Wet, Rain);
    check(Inputs { recent_rain_mm: Some(0.5), ..dry(8.0) }, Wet, NotYetDry);
    check(Inputs { recent_rain_mm: Some(0.5), ..dry(-1.0) }, Ice, WetRoadFroze);
    check(Inputs { rain_mm: Some(0.3), ..dry(-0.1) }, Ice, RainOnFrozenRoad);
    check(Inputs { snowfall_cm: Some(0.5), ..dry(-3.0) }, Snow, Snowfall);
    check(Inputs { snowfall_cm: Some(0.5), ..dry(2.5) }, Wet, MeltingSnow);
    check(Inputs { recent_snowfall_cm: Some(3.0), ..dry(-3.0) }, Snow, SnowLies);
    check(Inputs { dew_point_c: Some(-2.2), ..dry(-2.0) }, Ice, HoarFrost);
    check(
        Inputs { surface_temperature_c: Some(-1.0), dew_point_c: Some(-0.5), ..dry(2.0) },
        Ice,
        HoarFrost,
    );
}

#[test]
fn codes_of_feeds_and_airports_are_heard() {
    use {Condition::*, Reason::*};
    for code in [56, 57, 66, 67] {
        check(Inputs { phenomena: seen(code), ..dry(0.8) }, Ice, FreezingRain);
    }
    check(Inputs { phenomena: seen(48), ..dry(-4.0) }, Ice, FreezingFog);
    check(Inputs { phenomena: seen(45), ..dry(-4.0) }, Ice, FreezingFog);
    check(Inputs { phenomena: seen(45), ..dry(6.0) }, Dry, NothingFell);
    for code in [71, 73, 75, 77, 85, 86] {
        check(Inputs { phenomena: seen(code), ..dry(-1.0) }, Snow, Snowfall);
    }
    check(Inputs { phenomena: airport("-FZDZ"), ..Inputs::default() }, Ice, FreezingRain);
    check(Inputs { phenomena: airport("FZFG"), ..dry(0.0) }, Ice, FreezingFog);
    check(Inputs { phenomena: airport("PL"), ..dry(1.0) }, Ice, IcePellets);
    check(Inputs { phenomena: airport("TSGR"), ..dry(4.0) }, Ice, Hail);
    check(Inputs { phenomena: airport("TSGR"), ..dry(24.0) }, Wet, Hail);
    check(Inputs { phenomena: airport("-SN BR"), ..dry(-2.0) }, Snow, Snowfall);
    check(Inputs { phenomena: airport("FZRA"), ..dry(12.0) }, Wet, Rain);
}

#[test]
fn what_is_not_known_is_not_guessed() {
    use {Condition::*, Reason::*};
    check(Inputs::default(), Unknown, WeatherMissing);
    check(Inputs { temperature_c: Some(-3.0), ..Inputs::default() }, Unknown, PrecipitationMissing);
    check(Inputs { rain_mm: Some(2.0), ..Inputs::default() }, Unknown, TemperatureMissing);
    assert_eq!(Road::assess(&Inputs::default()).condition.wintry(), None);
}

fn row(valid_ms: i64) -> Row {
    Synthetic::new(1).row(Cell::of(52.0, 5.0), valid_ms, i64::MAX)
}

#[test]
fn the_hours_before_count_as_long_as_a_road_takes_to_dry() {
    let with = |hour: i64, precipitation_mm: f64, snowfall_cm: f64| Row {
        valid_ms: hour * HOUR_MS,
        values: Values {
            temperature_c: Some(6.0),
            dew_point_c: Some(1.0),
            precipitation_mm: Some(precipitation_mm),
            snowfall_cm: Some(snowfall_cm),
            code: Some(3),
            ..Values::default()
        },
        ..row(hour * HOUR_MS)
    };
    let now = with(20, 0.0, 0.0);
    let assess = |before: &[Row]| Road::assess(&Inputs::of(&now, before)).condition;
    assert_eq!(assess(&[with(17, 1.0, 0.0)]), Condition::Wet);
    assert_eq!(assess(&[with(16, 1.0, 0.0), with(20, 1.0, 0.0)]), Condition::Dry);
    let inputs = Inputs::of(&now, &[with(19, 2.9, 2.0), with(10, 1.4, 1.0)]);
    assert_eq!((inputs.recent_rain_mm, inputs.recent_snowfall_cm), (Some(0.0), Some(3.0)));
}

fn amount() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(Some(0.0)), (0.0..5.0).prop_map(Some)]
}

fn phenomena() -> impl Strategy<Value = Option<Phenomena>> {
    proptest::sample::select(vec![
        "", "RA", "DZ", "SN", "FZRA", "FZDZ", "FZFG", "FG", "PL", "GR", "RASN", "BLSN", "TSGRRA",
    ])
    .prop_map(airport)
}

prop_compose! {
    /// Inputs in which all is told that one feed or another tells.
    fn inputs()(
        temperature_c in -20.0..20.0,
        spread_k in 0.0..8.0,
        warmer_k in proptest::option::of(-5.0..5.0),
        rain in [amount(), amount()],
        snow in [amount(), amount()],
        phenomena in phenomena(),
    ) -> Inputs {
        Inputs {
            temperature_c: Some(temperature_c),
            dew_point_c: Some(temperature_c - spread_k),
            surface_temperature_c: warmer_k.map(|warmer_k: f64| temperature_c + warmer_k),
            rain_mm: rain[0],
            recent_rain_mm: rain[1],
            snowfall_cm: snow[0],
            recent_snowfall_cm: snow[1],
            phenomena,
            elevation_m: None,
        }
    }
}

proptest! {
    #[test]
    fn colder_is_never_less_icy(warm in inputs(), by_k in 0.0..30.0) {
        let colder = |celsius: Option<f64>| celsius.map(|celsius| celsius - by_k);
        let cold = Inputs {
            temperature_c: colder(warm.temperature_c),
            surface_temperature_c: colder(warm.surface_temperature_c),
            ..warm
        };
        prop_assert!(Road::assess(&cold).condition >= Road::assess(&warm).condition);
    }

    #[test]
    fn more_moisture_is_never_less_slippery(
        some in inputs(), rain in [0.0..5.0, 0.0..5.0], snow in [0.0..5.0, 0.0..5.0], moist in 0.0..5.0,
    ) {
        let plus = |sum: Option<f64>, more: f64| sum.map(|sum| sum + more);
        let more = Inputs {
            dew_point_c: plus(some.dew_point_c, moist),
            rain_mm: plus(some.rain_mm, rain[0]),
            recent_rain_mm: plus(some.recent_rain_mm, rain[1]),
            snowfall_cm: plus(some.snowfall_cm, snow[0]),
            recent_snowfall_cm: plus(some.recent_snowfall_cm, snow[1]),
            ..some
        };
        prop_assert!(Road::assess(&more).condition >= Road::assess(&some).condition);
    }

    #[test]
    fn what_all_is_told_about_is_never_unknown(inputs in inputs()) {
        prop_assert_ne!(Road::assess(&inputs).condition, Condition::Unknown);
    }

    #[test]
    fn no_number_breaks_it(
        temperature_c in proptest::num::f64::ANY, rain_mm in proptest::num::f64::ANY,
    ) {
        let road = Road::assess(&Inputs {
            temperature_c: Some(temperature_c), rain_mm: Some(rain_mm), ..Inputs::default()
        });
        prop_assert!(road.surface_estimated);
    }
}
