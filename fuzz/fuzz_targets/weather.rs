//! Answers of weather services; the first byte says whose.
#![no_main]

use ingest::weather::metar::Stations;
use ingest::weather::{Cell, Dropped, file, met_norway, open_meteo, openweather};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((whose, body)) = input.split_first() else { return };
    let cell = Cell::of(52.3, 4.9);
    match whose % 5 {
        0 => drop(met_norway::parse(body, "fuzz", cell)),
        1 => drop(openweather::parse(body, "fuzz", cell, 1_790_000_000_000)),
        2 => drop(open_meteo::parse(body, "fuzz", &[cell], 1_790_000_000_000)),
        3 => drop(Stations::parse(body, &mut Dropped::default())),
        _ => drop(std::str::from_utf8(body).map(|text| file::parse(text, "fuzz"))),
    }
});
