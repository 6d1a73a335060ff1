use std::sync::Arc;

use super::Car;
use crate::geo::Position;
use crate::motion::Motion;
use crate::reading::{Reading, Value};
use crate::roads::{Network, place};
use crate::truth::What;

fn number(reading: &Reading, name: &str) -> f64 {
    match reading.measures.iter().find(|(measure, _)| *measure == name) {
        Some((_, Value::Number(number, _))) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_tunnel_takes_the_fixes_and_gives_them_back() {
    let network = Arc::new(Network::new());
    let way = ["Göschenen", "Airolo", "Bellinzona"].map(|name| place(name).unwrap());
    let mut rng = fastrand::Rng::with_seed(1);
    let mut car = Car::shuttle(network.path(&way), 0.0, &mut rng);
    car.motion = Motion::new(network.path(&way), 0.0, 0.0);
    let readings: Vec<_> =
        (0..1_800).map(|second| car.next(1_768_867_200_000 + second * 1_000, &mut rng)).collect();
    let dark = readings.iter().filter(|reading| reading.fix.is_none()).count();
    // 15.6 km in a straight line, at 80 km/h.
    assert!((600..1_000).contains(&dark), "{dark} s without a fix");
    assert!(readings.last().unwrap().fix.is_some());
    for pair in readings.windows(2).filter(|pair| pair[1].fix.is_none()) {
        assert!(number(&pair[1], "odometer_m") >= number(&pair[0], "odometer_m"));
    }
}

#[test]
fn trips_add_up_to_what_was_driven() {
    let network = Arc::new(Network::new());
    let mut rng = fastrand::Rng::with_seed(3);
    let mut car = Car::wanderer(network, false, &mut rng);
    for second in 0..86_400 {
        car.next(1_768_867_200_000 + second * 1_000, &mut rng);
    }
    let (mut trips_km, mut driven_km) = (0.0, 0.0);
    for found in car.found(true) {
        match found.what {
            What::TripEnded { lasted_s, km } => {
                assert!(km > 0.1 && km / lasted_s * 1e3 < 45.0, "{km} km in {lasted_s} s");
                trips_km += km;
            }
            What::Driven { dry_km, wet_km, snow_km, ice_km, .. } => {
                driven_km = dry_km + wet_km + snow_km + ice_km;
            }
            _ => {}
        }
    }
    // The last trip has not ended.
    let under_way_km = driven_km - trips_km;
    assert!(trips_km > 300.0 && (-0.1..700.0).contains(&under_way_km), "{under_way_km} km");
}

#[test]
fn a_day_at_the_wheel_is_physically_possible() {
    let network = Arc::new(Network::new());
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut car = Car::wanderer(Arc::clone(&network), false, &mut rng);
        let mut before: Option<Reading> = None;
        let mut seen: Option<(i64, Position)> = None;
        let mut driven_m = 0.0;
        for second in 0..86_400 {
            let now = car.next(1_768_867_200_000 + second * 1_000, &mut rng);
            assert!((0.0..45.0).contains(&number(&now, "speed_mps")));
            assert!((-9.0..3.0).contains(&number(&now, "acceleration_mps2")), "{now:?}");
            assert!((0.0..=100.0).contains(&number(&now, "fuel_pct")), "{now:?}");
            assert!((-30.0..40.0).contains(&number(&now, "ambient_c")));
            if let Some(fix) = now.fix {
                // Also over a tunnel.
                let (at, there) = seen.unwrap_or((second - 1, fix.position));
                let metres = there.distance_m(fix.position);
                assert!(metres < 60.0 * (second - at) as f64, "{metres} m, {now:?}");
                seen = Some((second, fix.position));
            }
            if let Some(before) = before {
                let step_m = number(&now, "odometer_m") - number(&before, "odometer_m");
                assert!(step_m >= 0.0);
                assert!(number(&now, "tread_mm") <= number(&before, "tread_mm"));
                driven_m += step_m;
            }
            before = Some(now);
        }
        assert!(driven_m > 500_000.0, "hardly drove: {driven_m} m");
    }
}
