//! MET Norway's Locationforecast 2.0: one place a request, polite by its terms of service.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Cell, Dropped, Fault, Hour, Parsed, Series, Values};

/// The request for a cell. More than four decimals would be refused; a cell needs two.
#[must_use]
pub(super) fn url(base: &str, cell: &Cell) -> String {
    let (lat, lon) = cell.centre();
    format!("{base}?lat={lat:.2}&lon={lon:.2}")
}

#[derive(Deserialize)]
struct Forecast {
    geometry: Geometry,
    properties: Properties,
}

#[derive(Deserialize)]
struct Geometry {
    /// Longitude, latitude and, where it is known, height.
    coordinates: Vec<f64>,
}

#[derive(Deserialize)]
struct Properties {
    meta: Meta,
    timeseries: Vec<Step>,
}

#[derive(Deserialize)]
struct Meta {
    updated_at: Timestamp,
    #[serde(default)]
    units: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Step {
    time: Timestamp,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    instant: Instant,
    next_1_hours: Option<Period>,
}

#[derive(Deserialize)]
struct Instant {
    #[serde(default)]
    details: HashMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Period {
    summary: Option<Summary>,
    #[serde(default)]
    details: HashMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Summary {
    symbol_code: Option<String>,
}

/// Reads a forecast for `cell`.
///
/// # Errors
/// When it is not of that shape, or in other units.
pub fn parse(body: &[u8], source: &str, cell: Cell) -> Result<Parsed, Fault> {
    let forecast: Forecast = serde_json::from_slice(body).map_err(Fault::shape)?;
    let Properties { meta, timeseries } = forecast.properties;
    for (name, unit) in
        [("air_temperature", "celsius"), ("wind_speed", "m/s"), ("precipitation_amount", "mm")]
    {
        if let Some(other) = meta.units.get(name).filter(|given| *given != unit) {
            return Err(Fault::NotUnderstood(format!("{name} came in {other}, not in {unit}")));
        }
    }
    let [lon, lat, height @ ..] = &forecast.geometry.coordinates[..] else {
        return Err(Fault::NotUnderstood("the place has no coordinates".to_owned()));
    };
    let mut parsed = Parsed::default();
    let hours = timeseries.iter().map(|step| hour(step, &mut parsed.dropped)).collect();
    parsed.series.push(Series {
        cell,
        source: source.into(),
        lat: *lat,
        lon: *lon,
        elevation_m: height.first().copied(),
        issued_ms: meta.updated_at.as_millisecond(),
        hours,
    });
    Ok(parsed)
}

fn hour(step: &Step, dropped: &mut Dropped) -> Hour {
    let now = |name: &str| step.data.instant.details.get(name).copied().flatten();
    let next = step.data.next_1_hours.as_ref();
    let temperature_c = now("air_temperature");
    let humidity = now("relative_humidity");
    let symbol = next.and_then(|next| next.summary.as_ref()?.symbol_code.as_deref());
    let values = Values {
        temperature_c,
        // The compact product has no dew point, but all that it takes.
        dew_point_c: now("dew_point_temperature")
            .or_else(|| super::dew_point_c(temperature_c?, humidity?)),
        precipitation_mm: next
            .and_then(|next| next.details.get("precipitation_amount").copied().flatten()),
        wind_mps: now("wind_speed"),
        gust_mps: now("wind_speed_of_gust"),
        code: symbol.and_then(|symbol| code(symbol, temperature_c)),
        ..Values::default()
    };
    Hour { valid_ms: step.time.as_millisecond(), observed: false, values: values.checked(dropped) }
}

/// The WMO code for a weather symbol. There is no symbol for freezing rain: rain at or below 0 °C is
/// taken for it.
fn code(symbol: &str, temperature_c: Option<f64>) -> Option<u8> {
    // The day or night it is drawn for, and two misspelt names that are the real ones.
    let base = symbol.split('_').next()?.replacen("lightss", "lights", 1);
    let thunder = base.ends_with("andthunder");
    let base = base.trim_end_matches("andthunder");
    let showers = base.ends_with("showers");
    let (strength, kind) = match base.trim_end_matches("showers") {
        base if base.starts_with("light") => (0, &base[5..]),
        base if base.starts_with("heavy") => (2, &base[5..]),
        base => (1, base),
    };
    if thunder {
        return Some(95);
    }
    let freezing = temperature_c.is_some_and(|celsius| celsius <= 0.0);
    Some(match (kind, showers) {
        ("clearsky", _) => 0,
        ("fair", _) => 1,
        ("partlycloudy", _) => 2,
        ("cloudy", _) => 3,
        ("fog", _) if freezing => 48,
        ("fog", _) => 45,
        ("rain", _) if freezing => [66, 67, 67][strength],
        ("rain", true) => [80, 81, 82][strength],
        ("rain", false) => [61, 63, 65][strength],
        ("sleet", true) => [83, 84, 84][strength],
        ("sleet", false) => [68, 69, 69][strength],
        ("snow", true) => [85, 86, 86][strength],
        ("snow", false) => [71, 73, 75][strength],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{code, parse, url};
    use crate::weather::Cell;

    const CELL: Cell = Cell { south: 514, west: -1 };

    const COMPLETE: &str = r#"{"type":"Feature",
        "geometry":{"type":"Point","coordinates":[-0.05,51.45,42]},
        "properties":{"meta":{"updated_at":"2026-01-15T11:37:54Z",
            "units":{"air_temperature":"celsius","wind_speed":"m/s","precipitation_amount":"mm"}},
        "timeseries":[
        {"time":"2026-01-15T12:00:00Z","data":{"instant":{"details":{"air_temperature":-0.4,
            "dew_point_temperature":-1.1,"wind_speed":5.0,"wind_speed_of_gust":9.8}},
          "next_1_hours":{"summary":{"symbol_code":"lightrain"},
            "details":{"precipitation_amount":0.3}}}},
        {"time":"2026-01-15T13:00:00Z","data":{"instant":{"details":{"air_temperature":10.0,
            "relative_humidity":50.0,"wind_speed":null}}}}]}}"#;

    #[test]
    fn a_forecast_is_read_with_its_height_and_its_time_of_issue() {
        let parsed = parse(COMPLETE.as_bytes(), "met", CELL).unwrap();
        let series = &parsed.series[0];
        assert_eq!((series.elevation_m, series.issued_ms), (Some(42.0), 1_768_477_074_000));
        let [first, second] = &series.hours[..] else { panic!("{series:?}") };
        assert_eq!(first.values.precipitation_mm, Some(0.3));
        assert_eq!(first.values.code, Some(66), "rain in frost");
        assert_eq!(first.values.dew_point_c, Some(-1.1));
        let values = &second.values;
        assert_eq!((values.dew_point_c, values.wind_mps, values.code), (Some(0.04), None, None));
        assert!(parse(COMPLETE.replace("celsius", "F").as_bytes(), "met", CELL).is_err());
    }

    #[test]
    fn a_recorded_forecast_is_read_whole() {
        let Some(body) = crate::weather::recorded("metno/weather_forcast.json") else { return };
        let cell = Cell::of(51.4778, -0.0014);
        let parsed = parse(&body, "met", cell).unwrap();
        assert!(parsed.dropped.is_empty(), "{:?}", parsed.dropped);
        let series = &parsed.series[0];
        assert_eq!((series.hours.len(), series.elevation_m), (88, Some(42.0)));
        assert_eq!(series.issued_ms, 1_688_362_674_000);
        let first = &series.hours[0].values;
        assert_eq!((first.temperature_c, first.wind_mps), (Some(13.9), Some(5.0)));
        assert_eq!((first.precipitation_mm, first.code), (Some(0.0), Some(0)));
        // Humidity 75.3 % of air of 13.9 °C.
        assert!((first.dew_point_c.unwrap() - 9.6).abs() < 0.1, "{first:?}");
        // Those with a sum for their own hour have a code.
        let told = series.hours.iter().filter(|hour| hour.values.precipitation_mm.is_some());
        assert!(told.clone().all(|hour| hour.values.code.is_some()));
        assert_eq!(told.count(), 60);
    }

    #[test]
    fn symbols_have_their_codes_with_the_misspelt_ones() {
        let cases = [
            ("clearsky_polartwilight", 0),
            ("partlycloudy_day", 2),
            ("fog", 45),
            ("heavyrain", 65),
            ("lightrainshowers_night", 80),
            ("lightssnowshowersandthunder_day", 95),
            ("heavysnow", 75),
            ("sleet", 69),
            ("snowshowers_day", 86),
        ];
        for (symbol, expected) in cases {
            assert_eq!(code(symbol, Some(2.0)), Some(expected), "{symbol}");
        }
        assert_eq!(code("fog", Some(-1.0)), Some(48));
        assert_eq!(code("frogs", None), None);
    }

    #[test]
    fn a_place_has_two_decimals() {
        assert_eq!(
            url("https://met.example/complete", &CELL),
            "https://met.example/complete?lat=51.45&lon=-0.05"
        );
    }
}
