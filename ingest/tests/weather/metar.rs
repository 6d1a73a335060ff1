//! Our reading of raw reports against the decoded columns of the same file.

use std::collections::BTreeSet;

use ingest::weather::metar::{Metar, Stations};
use ingest::weather::{Cell, Dropped};

/// How often both say something, and how often they agree.
#[derive(Debug, Default)]
struct Column {
    both: u32,
    agree: u32,
    only_theirs: u32,
}

impl Column {
    fn compare(&mut self, ours: Option<f64>, theirs: Option<f64>, tolerance: f64) {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                self.both += 1;
                self.agree += u32::from((ours - theirs).abs() <= tolerance);
            }
            (None, Some(_)) => self.only_theirs += 1,
            (_, None) => {}
        }
    }

    /// Of what they decoded, how much we read the same, in per cent.
    fn agreement(&self) -> f64 {
        100.0 * f64::from(self.agree) / f64::from(self.both + self.only_theirs)
    }
}

fn cache() -> Option<String> {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let Ok(shared) = std::env::var("DATANAUT_SHARED") else {
        assert!(!in_ci, "DATANAUT_SHARED is not set");
        return None;
    };
    std::fs::read_to_string(format!("{shared}/data/metar/metars_20141218T0758Z.csv")).ok()
}

/// What is in the groups, whatever their order: `-RADZ` is also written `-RA -DZ`.
fn phenomena(groups: &str) -> BTreeSet<String> {
    let groups = groups.split(' ').map(|group| group.trim_start_matches(['+', '-']));
    let pairs = groups.flat_map(|group| group.as_bytes().chunks(2));
    pairs.map(|pair| String::from_utf8_lossy(pair).into_owned()).collect()
}

#[test]
fn raw_reports_are_read_as_their_decoded_columns_say() {
    let Some(text) = cache() else {
        return println!("DATANAUT_SHARED is not set: left out");
    };
    let start = text.find("raw_text,").unwrap();
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(&text.as_bytes()[start..]);
    let names = reader.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|given| given == name).unwrap();
    let columns = [
        ("temp_c", 0.05),
        ("dewpoint_c", 0.05),
        ("wind_speed_kt", 0.51),
        ("wind_gust_kt", 0.51),
        ("visibility_statute_mi", 0.05),
    ];
    let mut found: [Column; 5] = Default::default();
    let (mut weather, mut same_weather) = (0, 0);
    for record in reader.records() {
        let record = record.unwrap();
        let metar = Metar::parse(&record[0]);
        let knots = |mps: Option<f64>| mps.map(|mps| mps * 3_600.0 / 1_852.0);
        let ours = [
            metar.temperature_c,
            metar.dew_point_c,
            knots(metar.wind_mps),
            knots(metar.gust_mps),
            metar.visibility_m.map(|metres| metres / 1_609.344),
        ];
        for ((name, tolerance), (ours, column)) in
            columns.iter().zip(ours.into_iter().zip(&mut found))
        {
            let theirs: Option<f64> = record.get(at(name)).and_then(|text| text.parse().ok());
            column.compare(ours, theirs, *tolerance);
        }
        let theirs = record.get(at("wx_string")).unwrap_or_default().trim();
        if !theirs.is_empty() {
            weather += 1;
            same_weather += i32::from(phenomena(&metar.present.join(" ")) == phenomena(theirs));
        }
    }
    for ((name, _), column) in columns.iter().zip(&found) {
        println!("{name}: {:.2} % of {}", column.agreement(), column.both + column.only_theirs);
        assert!(column.agreement() > 99.0, "{name}: {column:?}");
    }
    let share = 100.0 * f64::from(same_weather) / f64::from(weather);
    println!("wx_string: {share:.2} % of {weather}");
    assert!(share > 98.0);
}

#[test]
fn a_cache_of_the_world_answers_for_places_in_europe() {
    let Some(text) = cache() else {
        return println!("DATANAUT_SHARED is not set: left out");
    };
    let mut dropped = Dropped::new();
    let stations = Stations::parse(text.as_bytes(), &mut dropped).unwrap();
    assert!(stations.len() > 4_000, "{} {dropped:?}", stations.len());
    let series = stations.series("metar", Cell::of(52.3, 4.8)).unwrap();
    assert!(series.hours[0].values.temperature_c.is_some_and(|celsius| celsius > 5.0));
    assert_eq!(stations.series("metar", Cell::of(45.0, -30.0)), None, "in the Atlantic");
}
