//! Open-Meteo: hourly values of many cells in one request.

use serde::Deserialize;

use super::{Cell, Dropped, Fault, HOUR_MS, Hour, Parsed, Series, Values};

const HOURLY: &str = "temperature_2m,dew_point_2m,soil_temperature_0cm,precipitation,snowfall,\
     snow_depth,wind_speed_10m,wind_gusts_10m,visibility,weather_code";

/// How far ahead it is asked, today included: so that two days before a booked trip its first two days
/// are in it. What lies further is asked again in time.
pub(super) const FORECAST_DAYS: i64 = 5;

/// The request for the hours of these cells, from `past_days` before today on.
#[must_use]
pub(super) fn url(base: &str, key: Option<&str>, cells: &[Cell], past_days: i64) -> String {
    let join = |part: fn(&Cell) -> f64| {
        cells.iter().map(|cell| format!("{:.2}", part(cell))).collect::<Vec<_>>().join(",")
    };
    let (lats, lons) = (join(|cell| cell.centre().0), join(|cell| cell.centre().1));
    let key = key.map_or_else(String::new, |key| format!("&apikey={key}"));
    format!(
        "{base}?latitude={lats}&longitude={lons}&hourly={HOURLY}&wind_speed_unit=ms\
         &timeformat=unixtime&timezone=GMT&past_days={past_days}&forecast_days={FORECAST_DAYS}{key}"
    )
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Many(Vec<Location>),
    One(Box<Location>),
}

#[derive(Deserialize)]
struct Location {
    latitude: f64,
    longitude: f64,
    elevation: Option<f64>,
    #[serde(default)]
    hourly_units: Units,
    hourly: Hourly,
}

#[derive(Default, Deserialize)]
struct Units {
    time: Option<String>,
    temperature_2m: Option<String>,
    precipitation: Option<String>,
    snowfall: Option<String>,
    wind_speed_10m: Option<String>,
    visibility: Option<String>,
}

type Column = Vec<Option<f64>>;

#[derive(Deserialize)]
struct Hourly {
    /// Seconds since the epoch.
    time: Vec<i64>,
    #[serde(default)]
    temperature_2m: Column,
    #[serde(default)]
    dew_point_2m: Column,
    #[serde(default)]
    soil_temperature_0cm: Column,
    #[serde(default)]
    precipitation: Column,
    #[serde(default)]
    snowfall: Column,
    #[serde(default)]
    snow_depth: Column,
    #[serde(default)]
    wind_speed_10m: Column,
    #[serde(default)]
    wind_gusts_10m: Column,
    #[serde(default)]
    visibility: Column,
    #[serde(default)]
    weather_code: Column,
}

/// Reads the answer to [`url`] for `cells`, which came at `now_ms`.
///
/// # Errors
/// When it is not of that shape, in other units, or about another number of places.
pub fn parse(body: &[u8], source: &str, cells: &[Cell], now_ms: i64) -> Result<Parsed, Fault> {
    let answer: Answer = serde_json::from_slice(body).map_err(Fault::shape)?;
    let locations = match answer {
        Answer::Many(locations) => locations,
        Answer::One(location) => vec![*location],
    };
    if locations.len() != cells.len() {
        let (given, asked) = (locations.len(), cells.len());
        return Err(Fault::NotUnderstood(format!("{given} places came for {asked} asked")));
    }
    let mut parsed = Parsed::default();
    for (location, cell) in locations.into_iter().zip(cells) {
        check_units(&location.hourly_units)?;
        let hours = hours(&location.hourly, now_ms, &mut parsed.dropped);
        parsed.series.push(Series {
            cell: *cell,
            source: source.into(),
            lat: location.latitude,
            lon: location.longitude,
            elevation_m: location.elevation,
            // The answer does not say when its model ran.
            issued_ms: now_ms,
            hours,
        });
    }
    Ok(parsed)
}

/// What was asked for is what must come: Fahrenheit would pass for a heat wave.
fn check_units(units: &Units) -> Result<(), Fault> {
    let expected = [
        ("time", &units.time, "unixtime"),
        ("temperature_2m", &units.temperature_2m, "°C"),
        ("precipitation", &units.precipitation, "mm"),
        ("snowfall", &units.snowfall, "cm"),
        ("wind_speed_10m", &units.wind_speed_10m, "m/s"),
        ("visibility", &units.visibility, "m"),
    ];
    for (name, unit, wanted) in expected {
        if let Some(unit) = unit.as_deref().filter(|unit| *unit != wanted && *unit != "undefined") {
            return Err(Fault::NotUnderstood(format!("{name} came in {unit}, not in {wanted}")));
        }
    }
    Ok(())
}

fn hours(hourly: &Hourly, now_ms: i64, dropped: &mut Dropped) -> Vec<Hour> {
    let at = |column: &Column, index: usize| column.get(index).copied().flatten();
    let mut hours = Vec::with_capacity(hourly.time.len());
    for (index, seconds) in hourly.time.iter().enumerate() {
        let valid_ms = seconds.saturating_mul(1_000);
        // Sums and gusts are given at the end of their hour.
        let ended = |column: &Column| {
            let next = hourly.time.get(index + 1)?.saturating_mul(1_000);
            at(column, index + 1).filter(|_| next == valid_ms + HOUR_MS)
        };
        let values = Values {
            temperature_c: at(&hourly.temperature_2m, index),
            dew_point_c: at(&hourly.dew_point_2m, index),
            surface_temperature_c: at(&hourly.soil_temperature_0cm, index),
            precipitation_mm: ended(&hourly.precipitation),
            snowfall_cm: ended(&hourly.snowfall),
            snow_depth_m: at(&hourly.snow_depth, index),
            wind_mps: at(&hourly.wind_speed_10m, index),
            gust_mps: ended(&hourly.wind_gusts_10m),
            visibility_m: at(&hourly.visibility, index),
            code: at(&hourly.weather_code, index).map(|code| code as u8),
            present: None,
        };
        let values = values.checked(dropped);
        if !values.is_empty() {
            hours.push(Hour { valid_ms, observed: valid_ms <= now_ms, values });
        }
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::{parse, url};
    use crate::weather::{Cell, Fault};

    const CELLS: [Cell; 2] = [Cell { south: 520, west: 51 }, Cell { south: -339, west: -1 }];

    const ONE: &str = r#"{"latitude":52.06,"longitude":5.14,"generationtime_ms":0.2,
        "utc_offset_seconds":0,"timezone":"GMT","elevation":4.0,
        "hourly_units":{"time":"unixtime","temperature_2m":"°C","wind_speed_10m":"m/s"},
        "hourly":{"time":[1768478400,1768482000,1768485600],
        "temperature_2m":[-1.24,null,-999.0],"precipitation":[9.0,0.4,null],
        "snowfall":[0.0,0.28,0.0],"wind_speed_10m":[3.0,3.5,4.0],"wind_gusts_10m":[1.0,7.5,8.0],
        "visibility":[24140.0,380.0,100.0],"weather_code":[3,73,null]}}"#;

    #[test]
    fn many_cells_go_into_one_request() {
        let url = url("https://api.example/v1/forecast", Some("k"), &CELLS, 1);
        assert!(url.starts_with(
            "https://api.example/v1/forecast?latitude=52.05,-33.85&longitude=5.15,-0.05&hourly="
        ));
        assert!(url.contains("&past_days=1&") && url.ends_with("&apikey=k"), "{url}");
    }

    #[test]
    fn sums_belong_to_the_hour_that_ended_and_nulls_are_not_given() {
        let now_ms = 1_768_480_000_000;
        let parsed = parse(ONE.as_bytes(), "om", &CELLS[..1], now_ms).unwrap();
        let series = &parsed.series[0];
        assert_eq!((series.cell, series.elevation_m), (CELLS[0], Some(4.0)));
        let [first, second, third] = &series.hours[..] else { panic!("{series:?}") };
        let values = &first.values;
        assert_eq!((values.temperature_c, values.precipitation_mm), (Some(-1.24), Some(0.4)));
        assert_eq!((values.gust_mps, values.snowfall_cm), (Some(7.5), Some(0.28)));
        assert!(first.observed && !second.observed);
        assert_eq!((second.values.temperature_c, second.values.code), (None, Some(73)));
        assert_eq!((third.values.temperature_c, third.values.precipitation_mm), (None, None));
        assert_eq!(parsed.dropped, [("temperature_c", 1)].into());
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        let check = |body: &str, cells: &[Cell], part: &str| {
            let fault = parse(body.as_bytes(), "om", cells, 0).unwrap_err();
            assert!(fault.to_string().contains(part), "{fault}");
            assert!(matches!(fault, Fault::NotUnderstood(_)));
        };
        check(ONE, &CELLS, "1 places came for 2 asked");
        check(&format!("[{ONE},{ONE},{ONE}]"), &CELLS, "3 places");
        check(&ONE.replace("m/s", "km/h"), &CELLS[..1], "wind_speed_10m came in km/h");
        check("<html>busy</html>", &CELLS, "expected value");
        check(&ONE[..300], &CELLS[..1], "");
        let two = format!("[{ONE},{ONE}]");
        assert_eq!(parse(two.as_bytes(), "om", &CELLS, 0).unwrap().series.len(), 2);
    }
}
