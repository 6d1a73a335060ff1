//! Where borders are hardest: enclaves, shared rivers, tunnels, and receivers that are often wrong.

use super::tests::{Seen, WORLD, at, check};

/// A fix every `step_s` seconds on the straight way through `stops`, `count` between two of them.
fn through(stops: &[(f64, f64)], count: u32, step_s: i64) -> Vec<Seen> {
    let mut places = vec![stops[0]];
    for pair in stops.windows(2) {
        places.extend((1..=count).map(|step| {
            let share = f64::from(step) / f64::from(count);
            let part = |from: f64, to: f64| from + (to - from) * share;
            (part(pair[0].0, pair[1].0), part(pair[0].1, pair[1].1))
        }));
    }
    places.into_iter().zip(0..).map(|(place, number)| at(number * step_s, place)).collect()
}

#[test]
fn a_corridor_between_a_country_and_its_exclave_is_abroad() {
    // Puigcerdà, through France, to Llívia.
    let track = through(&[(42.4317, 1.9281), (42.4650, 1.9800)], 60, 10);
    check(&track, &[("ES", "FR"), ("FR", "ES")]);
}

#[test]
fn a_village_of_another_country_is_entered_and_left() {
    // Schaffhausen, Büsingen, Dörflingen.
    let track = through(&[(47.6960, 8.6350), (47.6970, 8.6900), (47.7080, 8.7258)], 60, 10);
    check(&track, &[("CH", "DE"), ("DE", "CH")]);
    // By boat from Lugano to Campione, and back.
    let track = through(&[(46.0030, 8.9510), (45.9690, 8.9710), (46.0030, 8.9510)], 60, 10);
    check(&track, &[("CH", "IT"), ("IT", "CH")]);
}

#[test]
fn a_river_that_two_countries_share_is_crossed_once() {
    // Over the Moselle at Wormeldange, resting on the bridge for ten minutes.
    let shared = (0..400).map(|step| (49.6115, 6.400 + f64::from(step) * 5e-5)).find(|place| {
        let fix = ingest::Fix::new(place.0, place.1, None).unwrap();
        WORLD.atlas.border(&fix, 1.0).is_some_and(|border| border.shared)
    });
    let bridge = shared.unwrap();
    let mut track = through(&[(49.6115, 6.395), bridge], 30, 10);
    track.extend((1..60).map(|step| at(300 + step * 10, bridge)));
    let beyond = through(&[bridge, (49.6115, 6.425)], 30, 10);
    track.extend(beyond.into_iter().map(|(second, lat, lon, m)| (second + 900, lat, lon, m)));
    check(&track, &[("LU", "DE")]);
}

#[test]
fn a_tunnel_is_crossed_between_its_ends() {
    // The Mont Blanc tunnel: nothing for twelve minutes.
    let (chamonix, courmayeur) = ((45.9013, 6.8609), (45.8190, 6.9560));
    let track = [at(0, chamonix), at(60, chamonix), at(780, courmayeur), at(840, courmayeur)];
    let found = check(&track, &[("FR", "IT")]);
    assert_eq!((found[0].after_ms, found[0].before_ms), (60_000, 780_000));
    // The Channel tunnel.
    let (coquelles, folkestone) = ((50.922, 1.781), (51.097, 1.121));
    check(&[at(0, coquelles), at(2_100, folkestone), at(2_160, folkestone)], &[("FR", "GB")]);
}

#[test]
fn a_receiver_that_is_thrown_about_crosses_nothing() {
    let home = (51.370, 6.170);
    let wild = [(51.9, 6.9), (50.6, 6.9), (51.0, 5.0), (48.0, 7.0)];
    let track: Vec<Seen> = (0..400)
        .map(|second| match second % 5 {
            4 => at(second, wild[(second / 5 % 4) as usize]),
            _ => at(second, home),
        })
        .collect();
    check(&track, &[]);
}

#[test]
fn who_lives_on_the_border_crosses_it_as_often_as_they_do() {
    let (home, work) = ((51.370, 6.170), (51.440, 6.265));
    let day = |day: i64| {
        let morning = day * 86_400 + 28_800;
        [(0, home), (600, work), (660, work), (30_000, work), (30_600, home), (30_660, home)]
            .map(|(second, place)| at(morning + second, place))
    };
    let track: Vec<Seen> = (0..5).flat_map(day).collect();
    check(&track, &[("NL", "DE"), ("DE", "NL")].repeat(5));
}

#[test]
fn vague_fixes_beyond_the_border_decide_nothing_however_many() {
    let track: Vec<Seen> = std::iter::once(at(0, (51.370, 6.170)))
        .chain((1..200).map(|minute| (minute * 60, 51.440, 6.265, 5_000.0)))
        .collect();
    check(&track, &[]);
}
