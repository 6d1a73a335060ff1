use std::collections::HashSet;

use jiff::civil::{Date, date};

use super::{Demand, Kind, RULES, duty};
use crate::Country;
use crate::road::Condition;

use Condition::{Dry, Ice, Snow, Unknown, Wet};
use Demand::{DependsOnRegion, DependsOnRoad, DependsOnSigns, NotRequired, Required};

#[track_caller]
fn check(country: &str, region: Option<&str>, on: Date, road: Condition, expect: Demand) {
    let duty = duty(Country::new(country).unwrap(), region, on, road);
    assert_eq!(duty.demand, expect, "{country} {region:?} {on} {road:?}");
}

/// The last day before the season, its first and last day, and the first day after it.
#[track_caller]
fn check_edges(country: &str, days: [Date; 4], road: Condition, expect: Demand) {
    let [before, first, last, after] = days;
    check(country, None, before, road, NotRequired);
    check(country, None, first, road, expect);
    check(country, None, date(2026, 1, 1), road, expect);
    check(country, None, last, road, expect);
    check(country, None, after, road, NotRequired);
}

fn days(from: (i8, i8), to: (i8, i8)) -> [Date; 4] {
    let (from, to) = (date(2025, from.0, from.1), date(2026, to.0, to.1));
    [from.yesterday().unwrap(), from, to, to.tomorrow().unwrap()]
}

#[test]
fn by_date_alone() {
    for (country, from, to) in [
        ("BA", (11, 15), (4, 15)),
        ("RS", (11, 1), (4, 1)),
        ("MK", (11, 15), (3, 15)),
        ("BG", (11, 15), (3, 1)),
        ("EE", (12, 1), (3, 1)),
        ("LV", (12, 1), (3, 1)),
        ("LT", (11, 10), (3, 31)),
    ] {
        check_edges(country, days(from, to), Dry, Required);
        check_edges(country, days(from, to), Unknown, Required);
    }
}

#[test]
fn by_date_on_wintry_roads() {
    for (country, from, to) in [
        ("AT", (11, 1), (4, 15)),
        ("CZ", (11, 1), (3, 31)),
        ("HR", (11, 15), (4, 15)),
        ("AD", (11, 1), (5, 15)),
        ("FI", (11, 1), (3, 31)),
        ("SE", (12, 1), (3, 31)),
    ] {
        check_edges(country, days(from, to), Snow, Required);
        check_edges(country, days(from, to), Unknown, DependsOnRoad);
        check(country, None, date(2026, 1, 15), Wet, NotRequired);
    }
}

#[test]
fn by_the_road_alone() {
    for country in ["DE", "SK", "RO", "LU", "DK"] {
        for on in [date(2026, 1, 15), date(2026, 7, 15)] {
            check(country, None, on, Ice, Required);
            check(country, None, on, Wet, NotRequired);
            check(country, None, on, Unknown, DependsOnRoad);
        }
    }
    check("ES", None, date(2026, 1, 15), Snow, DependsOnSigns);
    check("ES", None, date(2026, 1, 15), Dry, NotRequired);
}

#[test]
fn more_tread_is_asked_for_only_where_the_law_surely_asks_for_winter_tyres() {
    let least_mm = |country: &str, region, road| {
        duty(Country::new(country).unwrap(), region, date(2026, 1, 15), road).least_tread_mm
    };
    assert_eq!(least_mm("AT", None, Snow), 4.0);
    assert_eq!(least_mm("AT", None, Dry), 1.6);
    assert_eq!(least_mm("AT", None, Unknown), 1.6, "it may be dry");
    assert_eq!(least_mm("LV", None, Unknown), 4.0, "by date");
    for road in [Dry, Snow, Unknown] {
        assert_eq!(least_mm("FR", Some("FR-74"), road), 1.6, "a sign may say so");
        assert_eq!(least_mm("FR", None, road), 1.6);
    }
}

#[test]
fn slovenia_by_date_and_in_winter_weather_outside_it() {
    check_edges("SI", days((11, 15), (3, 15)), Dry, Required);
    check("SI", None, date(2026, 10, 20), Snow, Required);
    check("SI", None, date(2026, 10, 20), Unknown, DependsOnRoad);
}

#[test]
fn france_by_department() {
    let [before, first, last, after] = days((11, 1), (3, 31));
    for (region, expect) in
        [(Some("FR-74"), DependsOnSigns), (Some("FR-75"), NotRequired), (None, DependsOnRegion)]
    {
        check("FR", region, before, Dry, NotRequired);
        check("FR", region, first, Dry, expect);
        check("FR", region, last, Dry, expect);
        check("FR", region, after, Snow, NotRequired);
    }
}

#[test]
fn italy_by_signs_and_a_month_earlier_in_aosta() {
    let [before, first, last, after] = days((11, 15), (4, 15));
    check("IT", Some("IT-TO"), before, Dry, NotRequired);
    check("IT", None, first, Dry, DependsOnSigns);
    check("IT", None, last, Dry, DependsOnSigns);
    check("IT", None, after, Dry, NotRequired);
    let (october, november) = (date(2025, 10, 15), date(2025, 11, 14));
    check("IT", Some("IT-AO"), october.yesterday().unwrap(), Dry, NotRequired);
    check("IT", Some("IT-AO"), october, Dry, DependsOnSigns);
    check("IT", Some("IT-TO"), november, Dry, NotRequired);
    check("IT", None, november, Dry, DependsOnRegion);
}

#[test]
fn norway_asks_for_tread_until_the_sunday_after_easter() {
    let tread = |region, on| duty(Country::new("NO").unwrap(), region, on, Snow).least_tread_mm;
    let oslo = Some("NO-03");
    // Easter Sunday is on 5 April 2026 and on 20 April 2025.
    assert_eq!(tread(oslo, date(2026, 4, 12)), 3.0);
    assert_eq!(tread(oslo, date(2026, 4, 13)), 1.6);
    assert_eq!(tread(oslo, date(2025, 4, 27)), 3.0);
    assert_eq!(tread(oslo, date(2025, 4, 28)), 1.6);
    assert_eq!(tread(oslo, date(2025, 10, 31)), 1.6);
    assert_eq!(tread(oslo, date(2025, 11, 1)), 3.0);
    let nordland = Some("NO-18");
    assert_eq!(tread(nordland, date(2025, 10, 15)), 1.6);
    assert_eq!(tread(nordland, date(2025, 10, 16)), 3.0);
    assert_eq!(tread(nordland, date(2026, 4, 30)), 3.0);
    assert_eq!(tread(nordland, date(2026, 5, 1)), 1.6);
    check("NO", None, date(2026, 1, 15), Snow, NotRequired);
    check("NO", None, date(2025, 10, 20), Snow, DependsOnRegion);
}

#[test]
fn where_there_is_no_duty_or_no_source() {
    let none = ["CH", "PL", "HU", "GR", "CY", "MT", "IE", "IS", "PT", "NL", "BE"];
    let unknown = ["GB", "TR", "UA", "AL", "ME", "XK", "BR"];
    for country in none {
        check(country, None, date(2026, 1, 15), Ice, NotRequired);
    }
    for country in unknown {
        check(country, None, date(2026, 1, 15), Ice, Demand::Unknown);
    }
}

#[test]
fn every_country_has_one_row_with_a_source_or_says_that_there_is_none() {
    let mut codes = HashSet::new();
    for rule in RULES.iter() {
        assert!(codes.insert(rule.code), "{} twice", rule.code);
        assert_eq!(rule.sources.is_empty(), rule.kind == Kind::Unknown, "{}", rule.code);
        let dated =
            !matches!(rule.kind, Kind::Wintry | Kind::WintrySigned | Kind::None | Kind::Unknown);
        assert_eq!(rule.season.is_some(), dated, "{}", rule.code);
    }
    assert_eq!(codes.len(), 40);
}

#[test]
fn a_duty_is_told_in_words() {
    let say = |country, region, on, road| {
        duty(Country::new(country).unwrap(), region, on, road).explanation
    };
    let austria = say("AT", None, date(2026, 1, 3), Ice);
    assert_eq!(
        austria.en,
        "Austria: winter tyres on snow, slush, ice or frost from 1 November to 15 April, marked M+S \
         or 3PMSF, at least 4 mm of tread. On 3 January 2026 they are required. The tread is that of \
         radial tyres."
    );
    assert!(austria.nl.starts_with("Oostenrijk: winterbanden bij sneeuw"), "{}", austria.nl);
    let norway = say("NO", Some("NO-03"), date(2025, 12, 1), Ice).en;
    assert!(norway.contains("the first Sunday after Easter Monday (12 April)"), "{norway}");
    let bosnia = say("BA", None, date(2025, 12, 1), Ice).en;
    assert!(bosnia.contains("Not verified: whether the dates alone oblige"), "{bosnia}");
}
