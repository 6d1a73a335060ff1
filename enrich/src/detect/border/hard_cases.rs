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
    assert!(!found[0].arrived, "there is one way through a mountain");
    // The Channel tunnel takes longer than the way is believed to be known.
    let (coquelles, folkestone) = ((50.922, 1.781), (51.097, 1.121));
    let track = [at(0, coquelles), at(2_100, folkestone), at(2_160, folkestone)];
    assert!(check(&track, &[("FR", "GB")])[0].arrived);
    // From Copenhagen under and over the Sound to Malmö: four minutes without a fix in the tunnel.
    let mut track = through(&[(55.6290, 12.6400), (55.6200, 12.6700)], 10, 10);
    let bridge = through(
        &[(55.5980, 12.7700), (55.5740, 12.8190), (55.5650, 12.9100), (55.6050, 13.0000)],
        30,
        10,
    );
    track.extend(bridge.into_iter().map(|(second, lat, lon, m)| (second + 340, lat, lon, m)));
    check(&track, &[("DK", "SE")]);
}

#[test]
fn a_flight_arrives_where_it_lands_and_nowhere_else() {
    let (schiphol, zurich, nice) = ((52.308, 4.764), (47.458, 8.555), (43.660, 7.205));
    // Along the runway and up, 230 m/s over Belgium, France and Germany, slower on the approach.
    let flight = |step_s: i64, to: (f64, f64)| -> Vec<Seen> {
        let ground = (0..300).step_by(step_s as usize).map(|second| at(second, schiphol));
        let metres = super::super::super::places::distance_m(
            &ingest::Fix::new(schiphol.0, schiphol.1, None).unwrap(),
            &ingest::Fix::new(to.0, to.1, None).unwrap(),
        );
        let (mut track, mut flown_m, mut second): (Vec<Seen>, f64, i64) =
            (ground.collect(), 0.0, 300);
        while flown_m < metres {
            let left_m = metres - flown_m;
            let speed_mps =
                if left_m < 40_000.0 { 75.0 } else { (60.0 + flown_m / 200.0).min(230.0) };
            flown_m += speed_mps * step_s as f64;
            let share = (flown_m / metres).min(1.0);
            let place = (
                schiphol.0 + (to.0 - schiphol.0) * share,
                schiphol.1 + (to.1 - schiphol.1) * share,
            );
            track.push(at(second, place));
            second += step_s;
        }
        track.extend((0..200).map(|step| at(second + step * step_s, to)));
        track
    };
    for step_s in [1, 5, 30] {
        for (to, code) in [(zurich, "CH"), (nice, "FR")] {
            let found = check(&flight(step_s, to), &[("NL", code)]);
            assert!(found[0].arrived && found[0].past_border_m.is_none(), "{found:?}");
        }
    }
    // Without a signal in the air.
    let mut track: Vec<Seen> = (0..60).map(|second| at(second, schiphol)).collect();
    track.extend((0..10).map(|step| at(9_000 + step * 60, nice)));
    assert!(check(&track, &[("NL", "FR")])[0].arrived);
}

#[test]
fn a_ship_that_passes_through_a_countrys_waters_has_not_been_there() {
    // From the Hook of Holland, off Zeebrugge and Dunkirk, to Calais.
    let stops =
        [(51.990, 4.050), (51.750, 3.500), (51.480, 2.900), (51.150, 1.950), (50.968, 1.860)];
    check(&through(&stops, 60, 30), &[("NL", "FR")]);
}

#[test]
fn a_fast_train_is_no_aeroplane() {
    // Over the border at Hazeldonk at 83 m/s, and on to Antwerp without slowing down.
    let track = through(&[(51.580, 4.740), (51.400, 4.660), (51.300, 4.570)], 40, 9);
    let found = check(&track, &[("NL", "BE")]);
    assert!(!found[0].arrived);
}

#[test]
fn a_jump_of_150_km_is_no_trip_however_it_is_repeated() {
    let (home, wild) = ((51.370, 6.170), (52.500, 7.400));
    let mut track = Vec::new();
    for round in 0..20 {
        track.extend((0..30).map(|second| at(round * 60 + second, home)));
        track.extend((30..60).map(|second| at(round * 60 + second, wild)));
    }
    check(&track, &[]);
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
