//! Towns with their time zones, from GeoNames: those with at least 5,000 inhabitants, in Europe 2,000. Of
//! large ones also what other languages call them.

use std::collections::HashMap;
use std::sync::LazyLock;

use ingest::Fix;
use rstar::RTree;
use rstar::primitives::GeomWithData;

use super::distance_m;
use super::exact::data::Reader;
use crate::Country;

pub(super) static TOWNS: LazyLock<Towns> = LazyLock::new(Towns::load);

const UNITS_A_DEGREE: f64 = 1e3;

pub(super) struct Town {
    pub(super) name: &'static str,
    pub(super) country: Country,
    pub(super) zone: &'static str,
    pub(super) lat: f64,
    pub(super) lon: f64,
}

pub(super) struct Towns {
    towns: Vec<Town>,
    /// What large ones are called in other languages, folded; sorted, with the town's number.
    others: Vec<(&'static str, u32)>,
    /// On the unit sphere, where the nearest in space is the nearest over the ground, also across
    /// the date line and the poles.
    places: RTree<GeomWithData<[f32; 3], u32>>,
    zones: HashMap<Country, Vec<&'static str>>,
}

impl Towns {
    #[expect(clippy::expect_used, reason = "the bytes are part of the program; a test reads them")]
    fn load() -> Self {
        Self::read(include_bytes!("../../data/towns.bin")).expect("the town data is whole")
    }

    /// `None` when the bytes are not whole town data.
    fn read(bytes: &'static [u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(b"DNTOWN02")?);
        let (mut towns, mut zones) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        for _ in 0..reader.count()? {
            let country = Country::from_code(reader.code()?)?;
            let zone = reader.text()?;
            zones.entry(country).or_default().push(zone);
            let mut at = [0i32; 2];
            for _ in 0..reader.count()? {
                at = [at[0].checked_add(reader.step()?)?, at[1].checked_add(reader.step()?)?];
                let [lon, lat] = at.map(|units| f64::from(units) / UNITS_A_DEGREE);
                towns.push(Town { name: reader.text()?, country, zone, lat, lon });
            }
        }
        let mut others = Vec::new();
        let mut number = 0u32;
        for _ in 0..reader.count()? {
            number = number.checked_add(u32::try_from(reader.count()?).ok()?)?;
            towns.get(number as usize)?;
            for _ in 0..reader.count()? {
                others.push((reader.text()?, number));
            }
        }
        others.sort_unstable();
        let places = (0..)
            .zip(&towns)
            .map(|(number, town)| GeomWithData::new(on_sphere(town.lat, town.lon), number))
            .collect();
        let places = RTree::bulk_load(places);
        reader.0.is_empty().then_some(Self { towns, others, places, zones })
    }

    pub(super) fn all(&self) -> &[Town] {
        &self.towns
    }

    /// The large towns that other languages call so; `name` is folded.
    pub(super) fn also_called(&self, name: &str) -> impl Iterator<Item = &Town> {
        let from = self.others.partition_point(|(other, _)| *other < name);
        let theirs = self.others[from..].iter().take_while(move |(other, _)| *other == name);
        theirs.filter_map(|(_, number)| self.towns.get(*number as usize))
    }

    /// All towns, the nearest first.
    pub(super) fn from(&self, lat: f64, lon: f64) -> impl Iterator<Item = &Town> {
        let places = self.places.nearest_neighbor_iter(on_sphere(lat, lon));
        places.filter_map(|place| self.towns.get(place.data as usize))
    }

    /// The time zones a country's towns have.
    pub(super) fn zones_of(&self, country: Country) -> &[&'static str] {
        self.zones.get(&country).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Town {
    pub(super) fn distance_m(&self, fix: &Fix) -> Option<f64> {
        Some(distance_m(fix, &Fix::new(self.lat, self.lon, None)?))
    }
}

impl Reader<'static> {
    pub(super) fn code(&mut self) -> Option<[u8; 2]> {
        let (code, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*code)
    }

    pub(super) fn text(&mut self) -> Option<&'static str> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

fn on_sphere(lat: f64, lon: f64) -> [f32; 3] {
    let ((sin_lat, cos_lat), (sin_lon, cos_lon)) =
        (lat.to_radians().sin_cos(), lon.to_radians().sin_cos());
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat].map(|part| part as f32)
}

#[cfg(test)]
mod tests {
    use super::Towns;

    #[test]
    fn damaged_data_is_noticed_and_never_panics() {
        let whole: &[u8] = include_bytes!("../../data/towns.bin");
        for end in [0, 8, 9, 500, 1 << 20, whole.len() - 1] {
            assert!(Towns::read(&whole[..end]).is_none(), "cut at {end}");
        }
        assert!(Towns::read(&whole[1..]).is_none(), "no header");
    }
}
