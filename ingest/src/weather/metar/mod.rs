//! METAR: what stations at airports see, from the cache or the API of aviationweather.gov.

mod token;

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Cell, Dropped, Fault, HOUR_MS, Hour, Series, Values};

pub use token::{Metar, code};

/// A station farther away says little about a place (our own choice; airports in Europe lie about
/// 50 km apart).
const FARTHEST_KM: f64 = 50.0;

/// A report, and where its station stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub station: String,
    pub observed_ms: i64,
    pub lat: f64,
    pub lon: f64,
    pub elevation_m: Option<f64>,
    pub values: Values,
}

/// The last report of each station, to answer for cells near one.
#[derive(Clone, Debug, Default)]
pub struct Stations {
    reports: Vec<Report>,
    by_degree: HashMap<(i16, i16), Vec<usize>>,
}

impl Stations {
    /// Reads a cache file (CSV) or an answer of the API (JSON).
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(body: &[u8], dropped: &mut Dropped) -> Result<Self, Fault> {
        let json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let reports = if json { from_json(body, dropped)? } else { from_csv(body, dropped)? };
        let mut stations = Self::default();
        for report in reports {
            let degree = (report.lat.floor() as i16, report.lon.floor() as i16);
            let near = stations.by_degree.entry(degree).or_default();
            let same = near.iter().find(|at| stations.reports[**at].station == report.station);
            match same.copied() {
                Some(at) if stations.reports[at].observed_ms < report.observed_ms => {
                    stations.reports[at] = report;
                }
                Some(_) => {}
                None => {
                    near.push(stations.reports.len());
                    stations.reports.push(report);
                }
            }
        }
        Ok(stations)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// What the nearest station says about a cell.
    #[must_use]
    pub fn series(&self, source: &str, cell: Cell) -> Option<Series> {
        let (lat, lon) = cell.centre();
        let report = self.nearest(lat, lon)?;
        // To the nearest hour: a report of ten to two is how it is at two.
        let valid_ms = (report.observed_ms + HOUR_MS / 2).div_euclid(HOUR_MS) * HOUR_MS;
        Some(Series {
            cell,
            source: source.into(),
            lat: report.lat,
            lon: report.lon,
            elevation_m: report.elevation_m,
            issued_ms: report.observed_ms,
            hours: vec![Hour { valid_ms, observed: true, values: report.values.clone() }],
        })
    }

    fn nearest(&self, lat: f64, lon: f64) -> Option<&Report> {
        // Wide enough for the distance at the latitude, and around the date line.
        let lons = (FARTHEST_KM / 111.2 / lat.to_radians().cos().max(0.05)).ceil() as i16;
        let (south, west) = (lat.floor() as i16, lon.floor() as i16);
        let degrees = (south - 1..=south + 1).flat_map(|south| {
            (west - lons..=west + lons).map(move |west| (south, (west + 180).rem_euclid(360) - 180))
        });
        let near = degrees.filter_map(|degree| self.by_degree.get(&degree)).flatten();
        near.map(|at| &self.reports[*at])
            .map(|report| (distance_km(lat, lon, report.lat, report.lon), report))
            .filter(|(km, _)| *km <= FARTHEST_KM)
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, report)| report)
    }
}

/// On a flat earth around the first point: good to some metres at these distances.
fn distance_km(lat: f64, lon: f64, other_lat: f64, other_lon: f64) -> f64 {
    let lons = (other_lon - lon + 540.0).rem_euclid(360.0) - 180.0;
    let east = lons * lat.to_radians().cos();
    (other_lat - lat).hypot(east) * 111.195
}

fn report(
    raw: &str,
    station: String,
    observed_ms: i64,
    place: [Option<f64>; 3],
    dropped: &mut Dropped,
) -> Option<Report> {
    let [lat, lon, elevation_m] = place;
    // −99.99 stands for not known; no station is at that latitude.
    let lat = lat.filter(|lat| (-90.0..=90.0).contains(lat))?;
    let lon = lon.filter(|lon| (-180.0..=180.0).contains(lon))?;
    let values = Metar::parse(raw).values().checked(dropped);
    let elevation_m = elevation_m.filter(|height| (-500.0..9_000.0).contains(height));
    (!values.is_empty()).then_some(Report { station, observed_ms, lat, lon, elevation_m, values })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Observation {
    icao_id: String,
    /// Seconds since the epoch.
    obs_time: i64,
    raw_ob: String,
    lat: Option<f64>,
    lon: Option<f64>,
    elev: Option<f64>,
}

fn from_json(body: &[u8], dropped: &mut Dropped) -> Result<Vec<Report>, Fault> {
    let observations: Vec<Observation> = serde_json::from_slice(body).map_err(Fault::shape)?;
    let read = |seen: Observation| {
        let place = [seen.lat, seen.lon, seen.elev];
        report(&seen.raw_ob, seen.icao_id, seen.obs_time.saturating_mul(1_000), place, dropped)
    };
    Ok(observations.into_iter().filter_map(read).collect())
}

fn from_csv(body: &[u8], dropped: &mut Dropped) -> Result<Vec<Report>, Fault> {
    let wrong = |what: String| Fault::NotUnderstood(what);
    // A few lines about the file come before the names of the columns.
    let start = body
        .windows(9)
        .position(|window| window == b"raw_text,")
        .ok_or_else(|| wrong("there is no column raw_text".to_owned()))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&body[start..]);
    let names = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| {
        let at = names.iter().position(|given| given == name);
        at.ok_or_else(|| wrong(format!("there is no column {name}")))
    };
    let [raw, station, time, lat, lon, elevation] =
        ["raw_text", "station_id", "observation_time", "latitude", "longitude", "elevation_m"]
            .map(column);
    let (raw, station, time) = (raw?, station?, time?);
    let place = [lat?, lon?, elevation?];
    let mut reports = Vec::new();
    for record in reader.records() {
        // A line that cannot be read is one station less.
        let Ok(record) = record else {
            *dropped.entry("line").or_default() += 1;
            continue;
        };
        let number = |at: usize| record.get(at).and_then(|text| text.parse().ok());
        let observed = record.get(time).and_then(|text| text.parse::<Timestamp>().ok());
        let (Some(raw), Some(station), Some(observed)) =
            (record.get(raw), record.get(station), observed)
        else {
            *dropped.entry("line").or_default() += 1;
            continue;
        };
        let observed_ms = observed.as_millisecond();
        reports.extend(report(raw, station.to_owned(), observed_ms, place.map(number), dropped));
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::Stations;
    use crate::weather::{Cell, Dropped, Fault, HOUR_MS};

    const JSON: &str = r#"[
        {"icaoId":"EHAM","obsTime":1768481400,"temp":2,"lat":52.31,"lon":4.76,"elev":-3,
         "rawOb":"METAR EHAM 151250Z 24012KT 9999 -RA FEW012 02/01 Q1009 NOSIG"},
        {"icaoId":"EHAM","obsTime":1768479600,"lat":52.31,"lon":4.76,"elev":-3,
         "rawOb":"METAR EHAM 151220Z 24010KT 8000 FEW012 01/01 Q1009 NOSIG"},
        {"icaoId":"XXXX","obsTime":1768479600,"lat":-99.99,"lon":-99.99,"elev":0,
         "rawOb":"METAR XXXX 151220Z 24010KT 9999 01/01 Q1009"}]"#;

    #[test]
    fn the_newest_report_of_the_nearest_station_answers_for_cells_around_it() {
        let stations = Stations::parse(JSON.as_bytes(), &mut Dropped::new()).unwrap();
        assert_eq!(stations.len(), 1);
        let series = stations.series("metar", Cell::of(52.09, 5.12)).unwrap();
        assert_eq!(series.issued_ms, 1_768_481_400_000);
        let hour = &series.hours[0];
        assert_eq!(hour.valid_ms, 1_768_482_000_000, "ten to two is how it is at two");
        assert_eq!(hour.valid_ms % HOUR_MS, 0);
        assert_eq!(hour.values.present.as_deref(), Some("-RA"));
        assert_eq!((series.lat, series.elevation_m), (52.31, Some(-3.0)));
        assert_eq!(stations.series("metar", Cell::of(51.0, 4.8)), None, "more than 50 km");
    }

    #[test]
    fn what_is_no_cache_is_said_to_be_none() {
        for body in ["<html></html>", "", "station_id,x\n", "[{]"] {
            let fault = Stations::parse(body.as_bytes(), &mut Dropped::new()).unwrap_err();
            assert!(matches!(fault, Fault::NotUnderstood(_)), "{body}");
        }
    }
}
