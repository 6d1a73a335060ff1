//! Rows from a file of one's own, CSV or JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Cell, Dropped, HOUR_MS, Hour, Parsed, Series, Values};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}; write CSV with the columns time, lat, lon and any of: {names}", names = Values::NAMES.join(", "))]
    Csv(String),
    #[error(
        "{0}; write a JSON array of objects with time, lat, lon and any of: {names}", names = Values::NAMES.join(", ")
    )]
    Json(serde_json::Error),
    #[error("line {line}: {what}")]
    Line { line: u64, what: String },
}

#[derive(Deserialize)]
struct JsonRow {
    time: Timestamp,
    issued: Option<Timestamp>,
    lat: f64,
    lon: f64,
    elevation_m: Option<f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// Reads a file's text: JSON when it begins with `[`, else CSV with names in the first line.
///
/// # Errors
/// When it is neither, or a line of it makes no sense. A value that cannot be is dropped instead.
pub fn parse(text: &str, source: &str) -> Result<Parsed, FileError> {
    let mut collected = Collected::default();
    match text.trim_start().starts_with('[') {
        true => json(text, &mut collected)?,
        false => csv(text, &mut collected)?,
    }
    Ok(collected.into_parsed(source))
}

/// Rows on their way into series: those of one cell, place and issue make one.
#[derive(Default)]
struct Collected {
    series: BTreeMap<(Cell, i64, i64, i64), Series>,
    dropped: Dropped,
}

/// One row, whatever it was written in.
struct Row {
    time: Timestamp,
    issued: Option<Timestamp>,
    lat: f64,
    lon: f64,
    elevation_m: Option<f64>,
    values: Values,
}

impl Collected {
    fn add(&mut self, row: Row) -> Result<(), String> {
        let (lat, lon) = (row.lat, row.lon);
        if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lon) {
            return Err(format!("{lat}, {lon} is no place on earth"));
        }
        let valid_ms = row.time.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
        // Without a time of issue it is what was observed.
        let issued_ms = row.issued.map_or(valid_ms, Timestamp::as_millisecond);
        let cell = Cell::of(lat, lon);
        let place = ((lat * 1e4) as i64, (lon * 1e4) as i64);
        let series = self.series.entry((cell, issued_ms, place.0, place.1));
        let series = series.or_insert_with(|| Series {
            cell,
            source: "".into(),
            lat,
            lon,
            elevation_m: row.elevation_m,
            issued_ms,
            hours: Vec::new(),
        });
        let values = row.values.checked(&mut self.dropped);
        series.hours.push(Hour { valid_ms, observed: issued_ms >= valid_ms, values });
        Ok(())
    }

    fn into_parsed(self, source: &str) -> Parsed {
        let named = |mut series: Series| {
            series.source = source.into();
            series.hours.sort_by_key(|hour| hour.valid_ms);
            series
        };
        Parsed { series: self.series.into_values().map(named).collect(), dropped: self.dropped }
    }
}

fn json(text: &str, collected: &mut Collected) -> Result<(), FileError> {
    let rows: Vec<JsonRow> = serde_json::from_str(text).map_err(FileError::Json)?;
    for (at, row) in rows.into_iter().enumerate() {
        let wrong = |what: String| FileError::Line { line: at as u64 + 1, what };
        let mut values = Values::default();
        for (name, value) in &row.rest {
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            set(&mut values, name, &text).map_err(wrong)?;
        }
        let JsonRow { time, issued, lat, lon, elevation_m, .. } = row;
        let row = Row { time, issued, lat, lon, elevation_m, values };
        collected.add(row).map_err(wrong)?;
    }
    Ok(())
}

fn csv(text: &str, collected: &mut Collected) -> Result<(), FileError> {
    let mut reader = ::csv::ReaderBuilder::new()
        .trim(::csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| FileError::Csv(error.to_string()))?.clone();
    for required in ["time", "lat", "lon"] {
        if !names.iter().any(|name| name == required) {
            return Err(FileError::Csv(format!("there is no column {required}")));
        }
    }
    for record in reader.records() {
        let record = record.map_err(|error| FileError::Csv(error.to_string()))?;
        let line = record.position().map_or(0, ::csv::Position::line);
        let wrong = |what: String| FileError::Line { line, what };
        let mut values = Values::default();
        let (mut time, mut issued) = (None, None);
        let (mut lat, mut lon, mut elevation_m) = (None, None, None);
        for (name, text) in names.iter().zip(&record) {
            match name {
                "time" => time = moment(text).map_err(wrong)?,
                "issued" => issued = moment(text).map_err(wrong)?,
                "lat" => lat = number(name, text).map_err(wrong)?,
                "lon" => lon = number(name, text).map_err(wrong)?,
                "elevation_m" => elevation_m = number(name, text).map_err(wrong)?,
                _ => set(&mut values, name, text).map_err(wrong)?,
            }
        }
        let (Some(time), Some(lat), Some(lon)) = (time, lat, lon) else {
            return Err(wrong("time, lat and lon are needed in each line".to_owned()));
        };
        let row = Row { time, issued, lat, lon, elevation_m, values };
        collected.add(row).map_err(wrong)?;
    }
    Ok(())
}

fn moment(text: &str) -> Result<Option<Timestamp>, String> {
    match text {
        "" => Ok(None),
        _ => {
            text.parse().map(Some).map_err(|_| format!("`{text}` is no RFC 3339 time with offset"))
        }
    }
}

fn number(name: &str, text: &str) -> Result<Option<f64>, String> {
    match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| format!("{name}: `{text}` is no number")),
    }
}

fn set(values: &mut Values, name: &str, text: &str) -> Result<(), String> {
    match name {
        "present" => values.present = (!text.is_empty()).then(|| text.into()),
        "code" => {
            let code = number(name, text)?;
            values.code = code.map(|code| code as u8);
        }
        _ => match values.number_mut(name) {
            Some(value) => *value = number(name, text)?,
            None => {
                let names = Values::NAMES.join(", ");
                return Err(format!("unknown name {name}; known are {names}, code and present"));
            }
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    const CSV: &str = "\
        time,lat,lon,elevation_m,temperature_c,code,issued\n\
        2026-01-15T12:00:00Z,51.37,6.22,20,-1.5,71,\n\
        2026-01-15T13:10:00Z,51.37,6.22,20,-999,,\n\
        # tomorrow\n\
        2026-01-16T12:00:00Z,51.37,6.22,20,3.5,3,2026-01-15T06:00:00Z\n";

    #[test]
    fn csv_and_json_say_the_same() {
        let csv = parse(CSV, "mine").unwrap();
        let hour = |observed: bool| {
            let mut hours = csv.series.iter().flat_map(|series| &series.hours);
            hours.find(|hour| hour.observed == observed && !hour.values.is_empty()).unwrap()
        };
        assert_eq!(hour(true).values.temperature_c, Some(-1.5));
        assert_eq!(hour(false).values.temperature_c, Some(3.5));
        assert!(csv.series.iter().all(|series| series.hours[0].valid_ms % 3_600_000 == 0));
        assert_eq!(csv.dropped, [("temperature_c", 1)].into());
        let json = r#"[{"time":"2026-01-15T12:00:00Z","lat":51.37,"lon":6.22,"elevation_m":20,
            "temperature_c":-1.5,"code":71},
            {"time":"2026-01-15T13:10:00Z","lat":51.37,"lon":6.22,"elevation_m":20,"temperature_c":-999},
            {"time":"2026-01-16T12:00:00Z","issued":"2026-01-15T06:00:00Z","lat":51.37,"lon":6.22,
            "elevation_m":20,"temperature_c":3.5,"code":3}]"#;
        assert_eq!(parse(json, "mine").unwrap(), csv);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let check = |text: &str, part: &str| {
            let error = parse(text, "mine").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("time,lat,temperature_c\n", "no column lon");
        check(&CSV.replace("-1.5", "cold"), "line 2: temperature_c: `cold` is no number");
        check(&CSV.replace("2026-01-15T13:10:00Z", "noon"), "line 3: `noon` is no RFC 3339");
        check(&CSV.replace("51.37,6.22", "91,6.22"), "is no place on earth");
        check(&CSV.replace("code", "weathercode"), "unknown name weathercode");
        check("[{\"time\":1}]", "JSON array");
    }
}
