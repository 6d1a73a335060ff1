//! Serves the simulated weather in Open-Meteo's shape, so that a server can be told what its
//! simulated devices feel.

use std::collections::BTreeSet;
use std::io::{self, Write};

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::geo::Position;
use crate::options::ClockStart;
use crate::places::{PLACES, ROADS};
use crate::roads::{Network, place};
use crate::surface::cell;
use crate::weather::{HOUR_MS, Weather, altitude_m, weather};

const DAY_MS: i64 = 24 * HOUR_MS;
/// As many as Open-Meteo gives at once.
const MOST_PLACES: usize = 1_000;
const MOST_DAYS: i64 = 92;

/// The clock that forecasts go by: what it showed, when, and how fast it runs.
#[derive(Clone, Copy, Debug)]
pub struct WeatherClock {
    pub at: ClockStart,
    pub speed: f64,
}

impl WeatherClock {
    fn now_ms(self) -> i64 {
        self.at.ms + (self.at.instant.elapsed().as_secs_f64() * 1e3 * self.speed) as i64
    }
}

/// Serves until `shutdown` completes, on any path.
///
/// # Errors
/// When the listener fails.
pub async fn serve_weather(
    listener: TcpListener,
    clock: WeatherClock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new().fallback(forecast).with_state(clock);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

#[derive(Deserialize)]
struct Asked {
    latitude: String,
    longitude: String,
    #[serde(default)]
    hourly: String,
    #[serde(default)]
    past_days: i64,
    #[serde(default = "week")]
    forecast_days: i64,
    timeformat: Option<String>,
    wind_speed_unit: Option<String>,
}

fn week() -> i64 {
    7
}

async fn forecast(State(clock): State<WeatherClock>, asked: Query<Asked>) -> Response {
    match answer(&asked, clock.now_ms()) {
        Ok(answer) => Json(answer).into_response(),
        Err(reason) => {
            let told = json!({"error": true, "reason": reason});
            (StatusCode::BAD_REQUEST, Json(told)).into_response()
        }
    }
}

fn answer(asked: &Asked, now_ms: i64) -> Result<Value, String> {
    let degrees = |name: &str, text: &str| {
        let numbers = text.split(',').map(|word| word.trim().parse::<f64>());
        numbers.collect::<Result<Vec<_>, _>>().map_err(|_| format!("{name}={text} are no degrees"))
    };
    let lats = degrees("latitude", &asked.latitude)?;
    let lons = degrees("longitude", &asked.longitude)?;
    if lats.len() != lons.len() || lats.len() > MOST_PLACES {
        return Err(format!("give as many latitudes as longitudes, at most {MOST_PLACES}"));
    }
    let days = 0..=MOST_DAYS;
    if !days.contains(&asked.past_days) || !days.contains(&asked.forecast_days) {
        return Err(format!("past_days and forecast_days are 0 to {MOST_DAYS}"));
    }
    let today_ms = now_ms.div_euclid(DAY_MS) * DAY_MS;
    let from_ms = today_ms - asked.past_days * DAY_MS;
    let hours = (asked.past_days + asked.forecast_days) * 24;
    let mut places = Vec::with_capacity(lats.len());
    for (&lat, &lon) in lats.iter().zip(&lons) {
        if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon) {
            return Err(format!("{lat}, {lon} is no place on earth"));
        }
        places.push(location(asked, Position::new(lat, lon), from_ms, hours)?);
    }
    Ok(if places.len() == 1 { places.remove(0) } else { Value::Array(places) })
}

fn location(asked: &Asked, at: Position, from_ms: i64, hours: i64) -> Result<Value, String> {
    let height_m = altitude_m(at);
    let times: Vec<_> = (0..hours).map(|hour| from_ms + hour * HOUR_MS).collect();
    let sky: Vec<_> = times.iter().map(|&time_ms| weather(at, height_m, time_ms)).collect();
    let unix = asked.timeformat.as_deref() == Some("unixtime");
    let shown = times.iter().map(|&time_ms| match unix {
        true => json!(time_ms / 1_000),
        false => json!(rfc3339(time_ms).get(..16)),
    });
    let (mut hourly, mut units) = (Map::new(), Map::new());
    hourly.insert("time".into(), shown.collect());
    units.insert("time".into(), json!(if unix { "unixtime" } else { "iso8601" }));
    let metres = asked.wind_speed_unit.as_deref() == Some("ms");
    for name in asked.hourly.split(',').filter(|name| !name.is_empty()) {
        let (unit, get) = column(name, metres).ok_or(format!("hourly={name} is not simulated"))?;
        let values = sky.iter().map(|sky| (get(sky) * 100.0).round() / 100.0);
        hourly.insert(name.into(), values.collect());
        units.insert(name.into(), json!(unit));
    }
    Ok(json!({
        "latitude": at.lat, "longitude": at.lon, "elevation": height_m, "utc_offset_seconds": 0,
        "timezone": "GMT", "timezone_abbreviation": "GMT", "generationtime_ms": 0.1,
        "hourly_units": units, "hourly": hourly,
    }))
}

type Column = (&'static str, fn(&Weather) -> f64);

/// A variable by Open-Meteo's name: its unit and value.
fn column(name: &str, metres: bool) -> Option<Column> {
    Some(match (name, metres) {
        ("temperature_2m", _) => ("°C", |sky| sky.air_c),
        ("dew_point_2m", _) => ("°C", |sky| sky.dew_point_c),
        ("soil_temperature_0cm", _) => ("°C", |sky| sky.ground_c),
        ("precipitation", _) => ("mm", |sky| sky.precipitation_mm),
        ("snowfall", _) => ("cm", |sky| sky.snowfall_cm),
        ("snow_depth", _) => ("m", |sky| sky.snow_depth_m),
        ("wind_speed_10m", true) => ("m/s", |sky| sky.wind_mps),
        ("wind_speed_10m", false) => ("km/h", |sky| sky.wind_mps * 3.6),
        ("wind_gusts_10m", true) => ("m/s", |sky| sky.gust_mps),
        ("wind_gusts_10m", false) => ("km/h", |sky| sky.gust_mps * 3.6),
        ("visibility", _) => ("m", |sky| sky.visibility_m),
        ("weather_code", _) => ("wmo code", |sky| f64::from(sky.code)),
        _ => return None,
    })
}

/// In what shape rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    Json,
    Csv,
}

/// Columns of a row: what a server's file of weather may have.
const COLUMNS: [&str; 15] = [
    "time",
    "issued",
    "lat",
    "lon",
    "elevation_m",
    "temperature_c",
    "dew_point_c",
    "surface_temperature_c",
    "precipitation_mm",
    "snowfall_cm",
    "snow_depth_m",
    "wind_mps",
    "gust_mps",
    "visibility_m",
    "code",
];

/// Writes the simulated weather of each cell of a tenth of a degree that devices come by, hour by
/// hour, as it was forecast at the beginning.
///
/// # Errors
/// When it cannot be written.
pub fn write_weather(
    out: &mut impl Write,
    shape: Rows,
    from: Timestamp,
    hours: u32,
) -> io::Result<()> {
    let from_ms = from.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
    if shape == Rows::Csv {
        writeln!(out, "{}", COLUMNS.join(","))?;
    }
    let mut before = '[';
    for at in cells_come_by() {
        let height_m = altitude_m(at);
        for hour in 0..i64::from(hours) {
            let time_ms = from_ms + hour * HOUR_MS;
            let row = row(at, height_m, time_ms, from_ms);
            match shape {
                Rows::Csv => {
                    let cells = row.each_ref().map(|value| match value {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    });
                    writeln!(out, "{}", cells.join(","))?;
                }
                Rows::Json => {
                    let object: Map<_, _> =
                        COLUMNS.iter().map(ToString::to_string).zip(row).collect();
                    writeln!(out, "{before}{}", Value::Object(object))?;
                    before = ',';
                }
            }
        }
    }
    if shape == Rows::Json { writeln!(out, "]") } else { Ok(()) }
}

fn row(at: Position, height_m: f64, time_ms: i64, issued_ms: i64) -> [Value; COLUMNS.len()] {
    let sky = weather(at, height_m, time_ms);
    let two = |value: f64| json!((value * 100.0).round() / 100.0);
    [
        json!(rfc3339(time_ms)),
        json!(rfc3339(issued_ms)),
        two(at.lat),
        two(at.lon),
        json!(height_m),
        two(sky.air_c),
        two(sky.dew_point_c),
        two(sky.ground_c),
        two(sky.precipitation_mm),
        two(sky.snowfall_cm),
        two(sky.snow_depth_m),
        two(sky.wind_mps),
        two(sky.gust_mps),
        json!(sky.visibility_m),
        json!(sky.code),
    ]
}

/// The middles of the cells along all roads, and of those around the places.
fn cells_come_by() -> Vec<Position> {
    const STEP_M: f64 = 100.0;
    /// A road that cuts a corner of a cell is in it for a moment, and receivers err.
    const BESIDE_M: f64 = 150.0;
    /// As far from a place as anybody lives or works.
    const AROUND_M: f64 = 7_000.0;
    let network = Network::new();
    let mut cells = BTreeSet::new();
    let mut come_by = |at: Position| {
        let middle = cell(at);
        cells.insert(((middle.lat * 100.0).round() as i64, (middle.lon * 100.0).round() as i64));
    };
    for (from, to, _) in ROADS {
        let (Some(from), Some(to)) = (place(from), place(to)) else { continue };
        let path = network.path(&[from, to]);
        let steps = (path.length_m() / STEP_M).ceil() as u32;
        for step in 0..=steps {
            let at = path.at(f64::from(step) * STEP_M).0;
            for (east, north) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                come_by(at.moved(east * BESIDE_M, north * BESIDE_M));
            }
        }
    }
    for place in PLACES {
        for (east, north) in [(0.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
            come_by(place.position().moved(east * AROUND_M, north * AROUND_M));
        }
    }
    let degrees = |hundredths: i64| hundredths as f64 / 100.0;
    cells.into_iter().map(|(lat, lon)| Position::new(degrees(lat), degrees(lon))).collect()
}

fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::{Asked, Rows, answer, cells_come_by, write_weather};
    use crate::geo::Position;
    use crate::places::PLACES;
    use crate::surface::cell;

    fn asked(lats: &str, lons: &str, hourly: &str) -> Asked {
        Asked {
            latitude: lats.into(),
            longitude: lons.into(),
            hourly: hourly.into(),
            past_days: 1,
            forecast_days: 3,
            timeformat: Some("unixtime".into()),
            wind_speed_unit: Some("ms".into()),
        }
    }

    const NOW_MS: i64 = 1_768_867_200_000 + 5 * 3_600_000;

    #[test]
    fn one_place_is_an_object_and_several_are_an_array() {
        let one = answer(&asked("48.57", "7.8", "temperature_2m,wind_speed_10m"), NOW_MS).unwrap();
        assert_eq!(one["hourly_units"]["wind_speed_10m"], "m/s");
        let times = one["hourly"]["time"].as_array().unwrap();
        assert_eq!((times.len(), &times[24]), (96, &1_768_867_200.into()));
        assert_eq!(one["hourly"]["temperature_2m"].as_array().unwrap().len(), 96);
        let two = answer(&asked("48.57,47.01", "7.8,11.48", "temperature_2m"), NOW_MS).unwrap();
        // The Brenner is 1,374 m high.
        let at_noon = |place: usize| two[place]["hourly"]["temperature_2m"][36].as_f64().unwrap();
        assert!(at_noon(1) < at_noon(0) - 5.0);
        assert_eq!(two[1]["elevation"], 1374.0);
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        assert!(answer(&asked("48.57,1", "7.8", "temperature_2m"), NOW_MS).is_err());
        assert!(answer(&asked("north", "7.8", "temperature_2m"), NOW_MS).is_err());
        let unknown = answer(&asked("48.57", "7.8", "pollen"), NOW_MS).unwrap_err();
        assert!(unknown.contains("pollen"));
    }

    #[test]
    fn a_file_says_the_same_in_both_shapes_and_as_the_service() {
        let from = Timestamp::from_millisecond(NOW_MS).unwrap();
        let written = |shape| {
            let mut bytes = Vec::new();
            write_weather(&mut bytes, shape, from, 2).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let rows: Vec<Value> = serde_json::from_str(&written(Rows::Json)).unwrap();
        let csv = written(Rows::Csv);
        let mut lines = csv.lines();
        let names: Vec<_> = lines.next().unwrap().split(',').collect();
        assert_eq!(rows.len(), lines.clone().count());
        for (row, line) in rows.iter().zip(lines) {
            for (name, text) in names.iter().zip(line.split(',')) {
                let value = row[*name].as_str().map_or_else(|| row[*name].to_string(), Into::into);
                assert_eq!(value, text, "{name}");
            }
        }
        let (lat, lon) = (rows[0]["lat"].to_string(), rows[0]["lon"].to_string());
        let told = answer(&asked(&lat, &lon, "temperature_2m,snowfall"), NOW_MS).unwrap();
        // The service begins a day before midnight, the file at five.
        for (row, hour) in rows[..2].iter().zip([29, 30]) {
            assert_eq!(row["temperature_c"], told["hourly"]["temperature_2m"][hour]);
            assert_eq!(row["snowfall_cm"], told["hourly"]["snowfall"][hour]);
        }
    }

    #[test]
    fn every_place_has_its_weather_in_the_file() {
        let cells = cells_come_by();
        assert!((500..2_500).contains(&cells.len()), "{}", cells.len());
        let near = |one: Position, other: Position| one.distance_m(other) < 1.0;
        for place in PLACES {
            let wanted = cell(place.position());
            assert!(cells.iter().any(|&cell| near(cell, wanted)), "{}", place.name);
        }
    }
}
