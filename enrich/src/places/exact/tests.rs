use std::path::PathBuf;
use std::sync::LazyLock;

use super::{Borders, Located};

static BORDERS: LazyLock<Borders> = LazyLock::new(Borders::load);

/// `NL`, `DE+LU` where two share the ground, `sea`.
fn name(located: &Located) -> String {
    let code = |code: [u8; 2]| String::from_utf8(code.to_vec()).unwrap();
    let codes: Vec<_> =
        [located.country, located.shared_with].into_iter().flatten().map(code).collect();
    if codes.is_empty() { "sea".to_owned() } else { codes.join("+") }
}

fn check(places: &[(f64, f64, &str)]) {
    let borders = &*BORDERS;
    for &(lat, lon, expect) in places {
        assert_eq!(name(&borders.locate(lat, lon, 1_000.0)), expect, "at {lat},{lon}");
    }
}

/// A file of the shared test data, where there is any (`DATANAUT_SHARED` names its folder).
fn shared(path: &str) -> Option<String> {
    let Some(root) = std::env::var_os("DATANAUT_SHARED") else {
        eprintln!("skipped: DATANAUT_SHARED is not set");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(root).join("data").join(path)).unwrap())
}

#[test]
fn enclaves_belong_to_their_country() {
    check(&[
        (51.4436, 4.9303, "NL"), // Baarle-Nassau, by the church of Our Lady
        (51.4409, 4.9327, "BE"), // Baarle-Hertog, Sint-Remigius
        (51.4470, 5.0500, "BE"), // around Baarle
        (42.4650, 1.9800, "ES"), // Llívia
        (42.4500, 1.9600, "FR"), // the road to it
        (47.6970, 8.6900, "DE"), // Büsingen
        (47.6960, 8.6350, "CH"), // Schaffhausen next to it
        (45.9690, 8.9710, "IT"), // Campione
        (46.0030, 8.9510, "CH"), // Lugano across the lake
        (43.7384, 7.4246, "MC"),
        (41.9029, 12.4534, "VA"),
        (43.9360, 12.4470, "SM"),
        (54.7100, 20.5100, "RU"), // Kaliningrad
        (36.1400, -5.3500, "GI"),
    ]);
}

#[test]
fn capitals_are_in_their_country() {
    check(&[
        (52.3728, 4.8936, "NL"),
        (50.8466, 4.3528, "BE"),
        (49.6116, 6.1319, "LU"),
        (48.1486, 17.1077, "SK"), // 4 km from Austria
        (59.4370, 24.7536, "EE"),
        (44.8125, 20.4612, "RS"),
        (21.0285, 105.8542, "VN"), // in Thailand's time zone
        (10.7769, 106.7009, "VN"),
        (13.7563, 100.5018, "TH"),
        (17.9757, 102.6331, "LA"), // on the Mekong, Thailand across
        (37.5665, 126.9780, "KR"),
        (-4.3224, 15.3070, "CD"), // Kinshasa and Brazzaville, a river apart
        (-4.2634, 15.2429, "CG"),
        (38.9072, -77.0369, "US"),
        (-34.6037, -58.3816, "AR"),
    ]);
}

#[test]
fn shared_and_disputed_ground_has_the_documented_answer() {
    check(&[
        (42.6629, 21.1655, "XK"), // Pristina
        (42.8900, 20.8660, "XK"), // Mitrovica
        (43.1367, 20.5122, "RS"), // Novi Pazar
        (44.9521, 34.1024, "UA"), // Simferopol
        (48.0159, 37.8028, "UA"), // Donetsk
        (35.1856, 33.3823, "CY"), // Nicosia, south
        (35.3400, 33.3190, "CY"), // Kyrenia, north
        (43.0010, 41.0230, "GE"), // Sukhumi
        (46.8403, 29.6433, "MD"), // Tiraspol
    ]);
}

#[test]
fn the_moselle_is_german_and_luxembourgish() {
    let borders = &*BORDERS;
    // From Wormeldange across the river, west to east.
    let names: Vec<_> = (0..400)
        .map(|step| name(&borders.locate(49.6115, 6.400 + f64::from(step) * 5e-5, 1_000.0)))
        .collect();
    let mut banks = names.clone();
    banks.dedup();
    assert_eq!(banks, ["LU", "DE+LU", "DE"]);
    let on_the_river = names.iter().position(|name| name == "DE+LU").unwrap();
    let there = borders.locate(49.6115, 6.400 + on_the_river as f64 * 5e-5, 1_000.0);
    let border = there.border.unwrap();
    assert_eq!((border.distance_m, border.other), (0.0, Some(*b"LU")), "never certain of one");
}

#[test]
fn the_sea_is_no_country_and_a_ferry_leaves_and_arrives_once() {
    check(&[
        (55.0, 4.0, "sea"),
        (50.967, 1.860, "FR"),  // port of Calais
        (51.125, 1.333, "GB"),  // port of Dover
        (55.574, 12.819, "SE"), // Öresund bridge, east of the middle
        (55.598, 12.750, "DK"), // Peberholm
        (-85.0, 20.0, "AQ"),
        (90.0, 0.0, "sea"),
    ]);
    let borders = &*BORDERS;
    let ferry = |part: f64| borders.locate(50.967 + part * 0.158, 1.860 - part * 0.527, 1_000.0);
    let crossing: Vec<_> = (0..=1000).map(|step| ferry(f64::from(step) / 1000.0)).collect();
    let mut countries: Vec<_> = crossing.iter().map(name).collect();
    countries.dedup();
    assert_eq!(countries, ["FR", "GB"], "the territorial seas meet");
    assert!(crossing[500].offshore);
    assert!(!crossing[0].offshore && !crossing[1000].offshore);
}

#[test]
fn the_distance_to_the_border_is_that_over_the_ground() {
    let borders = &*BORDERS;
    // The border of Alaska and the Yukon follows a meridian; a tenth of a degree is 4,540 m there.
    let to_yukon = |lon| borders.locate(66.0, lon, 20_000.0).border.unwrap();
    let apart_m = to_yukon(-141.2).distance_m - to_yukon(-141.1).distance_m;
    assert!((apart_m - 4_540.0).abs() < 5.0, "{apart_m} m");
    assert_eq!(to_yukon(-141.1).other, Some(*b"CA"));
    assert_eq!(borders.locate(66.0, -141.1, 4_000.0).border, None, "farther than asked for");
    let utrecht = borders.locate(52.0907, 5.1214, 20_000.0);
    assert_eq!((name(&utrecht).as_str(), utrecht.border), ("NL", None));
}

#[test]
fn nonsense_and_the_edges_of_the_map_break_nothing() {
    check(&[
        (f64::NAN, 5.0, "sea"),
        (52.0, f64::INFINITY, "sea"),
        (91.0, 0.0, "sea"),
        (66.0, 179.9999, "RU"),
        (66.0, -179.9999, "RU"),
        (66.0, 180.0, "RU"),
    ]);
}

#[test]
fn damaged_data_is_noticed_and_never_panics() {
    let whole: &[u8] = include_bytes!("../../../data/borders.bin");
    assert!(Borders::read(whole).is_some());
    assert!(Borders::read(&whole[1..]).is_none(), "no header");
    for end in [0, 8, 9, 500, 1 << 20, whole.len() - 1] {
        assert!(Borders::read(&whole[..end]).is_none(), "cut at {end}");
    }
    assert!(Borders::read(&[whole, &[2]].concat()).is_none(), "too long");
}

#[test]
fn the_country_of_points_near_borders_is_right() {
    let Some(points) = shared("borders/points_near_border.csv") else { return };
    let borders = &*BORDERS;
    let (mut asked, mut close) = (0, 0);
    for line in points.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let located = borders.locate(fields[0].parse().unwrap(), fields[1].parse().unwrap(), 50.0);
        asked += 1;
        match (name(&located) == fields[2], located.border) {
            (true, _) => {}
            (false, Some(border)) if border.distance_m < 5.0 => close += 1,
            (false, border) => panic!("{line}: {} and {border:?}", name(&located)),
        }
    }
    assert!(asked > 2_000);
    assert!(close * 100 < asked, "{close} of {asked} points within 5 m on the wrong side");
}

#[test]
fn recorded_journeys_cross_where_they_crossed() {
    let Some(truth) = shared("tracks/crossings_truth.csv") else { return };
    let borders = &*BORDERS;
    for line in truth.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let track = shared(&format!("tracks/{}", fields[0])).unwrap();
        let mut crossings = Vec::new();
        let names: Vec<_> = track_points(&track)
            .iter()
            .map(|&(lat, lon)| name(&borders.locate(lat, lon, 0.0)))
            .collect();
        for (index, pair) in names.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]) {
            crossings.push((index + 1, pair[0].as_str(), pair[1].as_str()));
        }
        let expect = (fields[2].parse().unwrap(), fields[6], fields[7]);
        assert_eq!(crossings, [expect], "{}", fields[0]);
    }
}

fn track_points(track: &str) -> Vec<(f64, f64)> {
    if track.starts_with('{') {
        let track: serde_json::Value = serde_json::from_str(track).unwrap();
        let points = track["features"][0]["geometry"]["coordinates"].as_array().unwrap();
        return points.iter().map(|p| (p[1].as_f64().unwrap(), p[0].as_f64().unwrap())).collect();
    }
    let attribute = |tag: &str, name: &str| -> f64 {
        let value = tag.split_once(&format!("{name}=\"")).unwrap().1;
        value.split_once('"').unwrap().0.parse().unwrap()
    };
    let points = track.split("<trkpt").skip(1);
    points.map(|tag| (attribute(tag, "lat"), attribute(tag, "lon"))).collect()
}
