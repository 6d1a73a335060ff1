//! OpenWeather's One Call: now and 48 hours of one place a request.

use serde::Deserialize;

use super::{Cell, Dropped, Fault, HOUR_MS, Hour, Parsed, Series, Values};

/// The request for a cell, always in metric units.
#[must_use]
pub(super) fn url(base: &str, key: &str, cell: &Cell) -> String {
    let (lat, lon) = cell.centre();
    format!(
        "{base}?lat={lat:.2}&lon={lon:.2}&units=metric&exclude=minutely,daily,alerts&appid={key}"
    )
}

#[derive(Deserialize)]
struct OneCall {
    lat: f64,
    lon: f64,
    current: Option<Moment>,
    #[serde(default)]
    hourly: Vec<Moment>,
}

#[derive(Deserialize)]
struct Moment {
    /// Seconds since the epoch.
    dt: i64,
    temp: Option<f64>,
    dew_point: Option<f64>,
    visibility: Option<f64>,
    wind_speed: Option<f64>,
    wind_gust: Option<f64>,
    rain: Option<Fallen>,
    snow: Option<Fallen>,
    #[serde(default)]
    weather: Vec<Condition>,
}

#[derive(Deserialize)]
struct Fallen {
    #[serde(rename = "1h")]
    hour_mm: Option<f64>,
}

#[derive(Deserialize)]
struct Condition {
    id: u16,
}

/// Reads the answer to [`url`], which came at `now_ms`.
///
/// # Errors
/// When it is not of that shape.
pub fn parse(body: &[u8], source: &str, cell: Cell, now_ms: i64) -> Result<Parsed, Fault> {
    let answer: OneCall = serde_json::from_slice(body).map_err(Fault::shape)?;
    let mut parsed = Parsed::default();
    let mut series = Series {
        cell,
        source: source.into(),
        lat: answer.lat,
        lon: answer.lon,
        elevation_m: None,
        issued_ms: now_ms,
        hours: Vec::with_capacity(answer.hourly.len()),
    };
    let current = answer.current.iter().map(|moment| (moment, true));
    for (moment, observed) in current.chain(answer.hourly.iter().map(|moment| (moment, false))) {
        let valid_ms = moment.dt.saturating_mul(1_000).div_euclid(HOUR_MS) * HOUR_MS;
        let values = values(moment, &mut parsed.dropped);
        match series.hours.iter_mut().find(|hour| hour.valid_ms == valid_ms) {
            // The forecast of the running hour says how much falls, the present how it is.
            Some(hour) => {
                let missing = &mut hour.values;
                missing.precipitation_mm = missing.precipitation_mm.or(values.precipitation_mm);
            }
            None => series.hours.push(Hour { valid_ms, observed, values }),
        }
    }
    parsed.series.push(series);
    Ok(parsed)
}

fn values(moment: &Moment, dropped: &mut Dropped) -> Values {
    let fallen = |fallen: &Option<Fallen>| fallen.as_ref().and_then(|fallen| fallen.hour_mm);
    let (rain_mm, snow_mm) = (fallen(&moment.rain), fallen(&moment.snow));
    let id = moment.weather.first().map(|condition| condition.id);
    let values = Values {
        temperature_c: moment.temp,
        dew_point_c: moment.dew_point,
        // It leaves out what did not fall.
        precipitation_mm: id.map(|_| rain_mm.unwrap_or(0.0) + snow_mm.unwrap_or(0.0)),
        // Ten millimetres of water make about seven centimetres of snow (Open-Meteo).
        snowfall_cm: id.map(|_| snow_mm.unwrap_or(0.0) * 0.7),
        wind_mps: moment.wind_speed,
        gust_mps: moment.wind_gust,
        visibility_m: moment.visibility,
        code: id.and_then(|id| code(id, moment.temp)),
        ..Values::default()
    };
    values.checked(dropped)
}

/// The WMO code for a condition's id.
fn code(id: u16, temperature_c: Option<f64>) -> Option<u8> {
    Some(match id {
        200..=299 => 95,
        300 | 310 => 51,
        301 | 311 | 313 | 321 => 53,
        302 | 312 | 314 => 55,
        500 => 61,
        501 => 63,
        502..=504 => 65,
        511 => 66,
        520 => 80,
        521 => 81,
        522 | 531 => 82,
        600 => 71,
        601 => 73,
        602 => 75,
        611..=616 => 68,
        620 => 85,
        621 | 622 => 86,
        741 if temperature_c.is_some_and(|celsius| celsius <= 0.0) => 48,
        741 => 45,
        800 => 0,
        801 => 1,
        802 => 2,
        803 | 804 => 3,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, url};
    use crate::weather::{Cell, HOUR_MS};

    const CELL: Cell = Cell { south: 514, west: -1 };

    const ANSWER: &str = r#"{"lat":51.45,"lon":-0.05,"timezone":"Europe/London","timezone_offset":0,
        "current":{"dt":1768479000,"temp":-0.46,"dew_point":-2.0,"visibility":10000,
          "wind_speed":3.1,"weather":[{"id":600,"main":"Snow","description":"light snow"}],
          "snow":{"1h":0.5}},
        "hourly":[
          {"dt":1768478400,"temp":-0.4,"rain":{"1h":0.2},"weather":[{"id":804}]},
          {"dt":1768482000,"temp":999,"wind_gust":8.5,"weather":[{"id":511}]}]}"#;

    #[test]
    fn the_present_is_observed_and_the_hours_are_forecast() {
        let parsed = parse(ANSWER.as_bytes(), "ow", CELL, 1_768_479_100_000).unwrap();
        let [now, next] = &parsed.series[0].hours[..] else { panic!("{parsed:?}") };
        assert!(now.observed && !next.observed);
        assert_eq!(next.valid_ms - now.valid_ms, HOUR_MS);
        let values = &now.values;
        assert_eq!((values.temperature_c, values.code), (Some(-0.46), Some(71)));
        assert_eq!((values.precipitation_mm, values.snowfall_cm), (Some(0.5), Some(0.35)));
        assert_eq!((next.values.temperature_c, next.values.code), (None, Some(66)));
        assert_eq!(next.values.precipitation_mm, Some(0.0));
        assert_eq!(parsed.dropped, [("temperature_c", 1)].into());
    }

    #[test]
    fn the_key_goes_along_and_units_are_metric() {
        let url = url("https://ow.example/onecall", "secret", &CELL);
        assert!(url.contains("units=metric") && url.ends_with("appid=secret"), "{url}");
    }

    #[test]
    fn answers_of_the_older_api_are_not_taken_for_this_one() {
        for file in ["rain_response_weather_111", "weather_response_weather_2643743"] {
            let path = format!("openweathermap/{file}.json");
            let Some(body) = crate::weather::recorded(&path) else { return };
            let fault = parse(&body, "ow", CELL, 0).unwrap_err();
            assert!(matches!(fault, crate::weather::Fault::NotUnderstood(_)), "{fault}");
        }
    }
}
