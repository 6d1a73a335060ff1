//! Serves the simulated weather in Open-Meteo's shape, so that a server can be told what its
//! simulated devices feel.

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
use crate::places::{Country, PLACES};
use crate::weather::{Weather, altitude_m, weather};

const HOUR_MS: i64 = 3_600_000;
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
) -> std::io::Result<()> {
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

/// The simulated weather at all places that devices come by, hour by hour, as a JSON array.
#[must_use]
pub fn weather_rows(from: Timestamp, hours: u32) -> Value {
    let from_ms = from.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
    let mut rows = Vec::new();
    for place in PLACES.iter().filter(|place| place.country != Country::Border) {
        for hour in 0..i64::from(hours) {
            let time_ms = from_ms + hour * HOUR_MS;
            let sky = weather(place.position(), place.altitude_m, time_ms);
            let two = |value: f64| (value * 100.0).round() / 100.0;
            rows.push(json!({
                "time": rfc3339(time_ms), "lat": place.lat, "lon": place.lon,
                "elevation_m": place.altitude_m, "temperature_c": two(sky.air_c),
                "dew_point_c": two(sky.dew_point_c), "surface_temperature_c": two(sky.ground_c),
                "precipitation_mm": two(sky.precipitation_mm),
                "snowfall_cm": two(sky.snowfall_cm), "snow_depth_m": two(sky.snow_depth_m),
                "wind_mps": two(sky.wind_mps), "gust_mps": two(sky.gust_mps),
                "visibility_m": sky.visibility_m, "code": sky.code,
            }));
        }
    }
    Value::Array(rows)
}

fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::{Asked, answer};

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
}
