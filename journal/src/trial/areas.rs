//! Geofences and areas of risk: what is told of them, and what becomes of it when they are drawn
//! anew or their customer goes.

use enrich::registry::RegistryFile;
use ingest::Reading;

use super::{BELGIUM, HOME, NOW_MS, REGISTRY, Trial, reading};
use crate::Change;

/// From Belgium home, and out again.
fn visit(from_s: i64) -> Vec<Reading> {
    let at = |steps: std::ops::Range<i64>, place| {
        steps.map(move |step| reading(from_s + step * 30, place)).collect::<Vec<_>>()
    };
    [at(0..2, BELGIUM), at(2..6, HOME), at(6..10, BELGIUM)].concat()
}

fn events(trial: &Trial, device: &str) -> Vec<&'static str> {
    let rows = trial.reader().events(trial.number(device)).unwrap();
    rows.iter().filter(|row| !row.withdrawn).map(|row| row.event.happening.name()).collect()
}

fn offers(trial: &Trial) -> Vec<String> {
    let rows = trial.reader().released_after(0, 100).unwrap();
    rows.iter().filter_map(|row| Some(row.body.data.trigger()?.offer.kind.clone())).collect()
}

#[test]
fn a_visit_is_told_to_whom_it_concerns_and_to_nobody_else() {
    let mut trial = Trial::new(u64::MAX);
    trial.send("car-a", &visit(0));
    trial.rest();
    let mut found = events(&trial, "car-a");
    found.sort_unstable();
    assert_eq!(found, ["geofence_entered", "geofence_left", "risk_area_entered", "risk_area_left"]);
    assert_eq!(offers(&trial), ["premium_higher", "premium_usual"], "homes are nobody's business");
    let rows = trial.reader().released_after(0, 100).unwrap();
    let told = &rows[0].body.data.trigger().unwrap().told;
    let place = serde_json::json!({ "area": "quarry", "kind": "risk", "premium_factor": 1.5 });
    assert_eq!(told["place"], place);
    trial.check();
    trial.check_events();
}

#[test]
fn a_visit_that_never_was_is_taken_back() {
    let mut trial = Trial::new(4);
    trial.send("car-a", &visit(0));
    // Every other fix says that it was somewhere else all along.
    let late: Vec<Reading> = (2..6).map(|step| reading(step * 30 + 15, BELGIUM)).collect();
    trial.send("car-a", &late);
    trial.rest();
    assert_eq!(events(&trial, "car-a"), [""; 0]);
    let rows = trial.reader().released_after(0, 100).unwrap();
    let said: Vec<_> = rows.iter().map(|row| row.status.as_str()).collect();
    assert_eq!(said, ["fired", "fired", "withdrawn", "withdrawn"]);
    trial.check();
    trial.check_events();
}

#[test]
fn a_geofence_drawn_anew_holds_for_what_comes_after_and_over_a_restart() {
    let mut trial = Trial::new(u64::MAX);
    let moved = REGISTRY.replace(
        "lat = 50.690, lon = 5.950, radius_m = 300",
        "lat = 50.60, lon = 5.950, radius_m = 300",
    );
    let same = RegistryFile::parse(REGISTRY).unwrap();
    assert!(trial.change(Change::Import(same)));
    let version = trial.writer().core.registry.read().version;
    assert!(trial.change(Change::Import(RegistryFile::parse(&moved).unwrap())));
    assert_eq!(trial.writer().core.registry.read().version, version + 1);
    for restarted in [false, true] {
        if restarted {
            // With the file that draws it where it was.
            trial.restart();
        }
        trial.at(NOW_MS + i64::from(restarted) * 900_000);
        trial.send("car-a", &visit(i64::from(restarted) * 900));
        trial.rest();
        assert!(!events(&trial, "car-a").iter().any(|name| name.starts_with("geofence")));
    }
}

#[test]
fn the_geofences_of_who_is_erased_are_gone_with_them() {
    let mut trial = Trial::new(u64::MAX);
    trial.send("car-c", &visit(0));
    trial.rest();
    assert!(events(&trial, "car-c").contains(&"geofence_entered"));
    let theirs = |trial: &Trial| {
        let registry = trial.writer().core.registry.read();
        let drawn: Vec<_> = registry.geofences().map(|area| area.name.to_string()).collect();
        drawn.iter().any(|name| name == "carls own")
    };
    assert!(theirs(&trial));
    assert!(trial.change(Change::Erase { customer: "carl".into() }));
    while trial.purge() {}
    assert!(!theirs(&trial));
    assert_eq!(trial.query("SELECT count(*) FROM registry WHERE entry LIKE '%carls own%'"), 0);
    assert_eq!(trial.query("SELECT count(*) FROM event WHERE body LIKE '%carls own%'"), 0);
    trial.restart();
    assert!(!theirs(&trial), "nor do they come back with the file");
}
