//! Compares the look-up with the outlines it was made from, at random points near borders and
//! anywhere on land.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::chains::metres;
use crate::edges::Ground;
use crate::exact::{Borders, Located};
use crate::land::Mask;
use crate::zones::{NOBODY, Owners};

const POINTS: usize = 2_000_000;

/// Where thinning and rounding may still decide.
const ALLOWED_M: f64 = 6.0;

pub fn check(ground: &Ground, land: &Mask) -> Result<()> {
    let start = Instant::now();
    let borders = Borders::load();
    println!("loaded in {} ms", start.elapsed().as_millis());
    let (mut near, mut in_europe) = (Vec::new(), Vec::new());
    let mut edges = ground.edges();
    edges.retain(|edge| ground.is_border(edge));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut asked, mut wrong, mut far) = (0, 0, Vec::new());
    while asked < POINTS {
        let edge = edges[dice.below(edges.len())];
        // From 0.1 m to 10 km, each order of magnitude as often.
        let off = 10f64.powf(dice.unit() * 5.0 - 1.0) / 0.11;
        let angle = dice.unit() * std::f64::consts::TAU;
        let x = f64::from(edge.from[0])
            + angle.cos() * off / (f64::from(edge.from[1]) / 1e6).to_radians().cos();
        let y = f64::from(edge.from[1]) + angle.sin() * off;
        if x.abs() > 179.99e6 || y.abs() > 85e6 {
            continue;
        }
        asked += 1;
        let (located, truth) = (borders.locate(y / 1e6, x / 1e6, 20_000.0), ground.at(x, y));
        near.push((y / 1e6, x / 1e6));
        // Nobody's: the sea, or a gap between two outlines.
        if truth != NOBODY && owners(&located) != truth {
            wrong += 1;
            if located.border.is_none_or(|border| border.distance_m > ALLOWED_M) {
                far.push((x, y, located, truth));
            }
        }
    }
    println!(
        "near borders: {asked} points, {wrong} differ, {} of them not next to the line",
        far.len()
    );
    for (x, y, located, truth) in far.iter().take(40) {
        println!(
            "  {:.6},{:.6} {} not {}, {:?} m",
            y / 1e6,
            x / 1e6,
            text(owners(located)),
            text(*truth),
            located.border.map(|b| b.distance_m.round())
        );
    }
    let (mut asked, mut elsewhere) = (0, Vec::new());
    while asked < POINTS {
        let x = dice.unit() * 359.8e6 - 179.9e6;
        let y = dice.unit() * 140e6 - 58e6;
        if !land.at([x as i32, y as i32]) {
            continue;
        }
        asked += 1;
        let (located, truth) = (borders.locate(y / 1e6, x / 1e6, 0.0), ground.at(x, y));
        if (-10e6..30e6).contains(&x) && (36e6..60e6).contains(&y) {
            in_europe.push((y / 1e6, x / 1e6));
        }
        if truth != NOBODY && owners(&located) != truth {
            elsewhere.push((x, y, located, truth));
        }
    }
    println!("on land: {asked} points, {} differ", elsewhere.len());
    for (x, y, located, truth) in elsewhere.iter().take(40) {
        println!("  {:.6},{:.6} {} not {}", y / 1e6, x / 1e6, text(owners(located)), text(*truth));
    }
    let (beside, away): (Vec<_>, Vec<_>) = in_europe
        .into_iter()
        .partition(|&(lat, lon)| borders.locate(lat, lon, 6_000.0).border.is_some());
    for search_m in [100.0, 1_000.0, 5_000.0] {
        cost("within 10 km of a border", &borders, &near, search_m);
        cost("within 6 km of a border in Europe", &borders, &beside, search_m);
        cost("farther away in Europe", &borders, &away, search_m);
    }
    let length: f64 = edges.iter().map(|edge| metres(edge.from, edge.to)).sum();
    println!("{:.0} km of border", length / 1e3);
    ensure!(far.len() * 100_000 < POINTS, "the look-up and the outlines differ");
    Ok(())
}

fn owners(located: &Located) -> Owners {
    [located.country, located.shared_with]
}

fn text(owners: Owners) -> String {
    owners.iter().flatten().map(|code| String::from_utf8_lossy(code)).collect::<Vec<_>>().join("+")
}

/// Xorshift: the same points on every run.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }
}

/// What one look-up costs, in nanoseconds.
fn cost(what: &str, borders: &Borders, points: &[(f64, f64)], search_m: f64) {
    let start = Instant::now();
    for &(lat, lon) in points {
        black_box(borders.locate(black_box(lat), lon, search_m));
    }
    let each = start.elapsed().as_nanos() as usize / points.len().max(1);
    println!("{each} ns {what}, looking {search_m} m far ({} points)", points.len());
}
