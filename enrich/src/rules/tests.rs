use proptest::prelude::*;

use super::{Fault, Occasion, RuleSet};
use crate::places::Atlas;
use crate::registry::{Registry, RegistryFile};
use crate::trigger::data;
use crate::weather::{Feed, Synthetic};
use crate::{Booked, BorderCrossed, Cause, Country, Event, Happening, World};
use ingest::{DeviceKind, Fix, Measure, Reading, Value};

const SHIPPED: &str = include_str!("../../rules/travel-offer.toml");

static WORLD: std::sync::LazyLock<World> = std::sync::LazyLock::new(|| World {
    atlas: Atlas::load(),
    weather: Feed::Synthetic(Synthetic::new(1)),
});

fn registry() -> Registry {
    let text = r#"
        [[insurer]]
        id = "alpina"
        name = "Alpina"
        [[insurer]]
        id = "boreal"
        name = "Boreal"
        [[customer]]
        id = "anna"
        name = "Anna"
        [[policy]]
        id = "P-1"
        insurer = "alpina"
        customer = "anna"
        product = "travel"
        from = "2026-01-01T00:00:00Z"
        to = "2026-07-01T00:00:00Z"
        home = "NL"
        covers = ["DE"]
        [[policy]]
        id = "P-2"
        insurer = "boreal"
        customer = "anna"
        product = "travel"
        from = "2026-01-01T00:00:00Z"
        home = "NL"
        [[consent]]
        customer = "anna"
        insurer = "alpina"
        purpose = "travel"
        given = "2026-01-01T00:00:00Z"
        wording = "travel-1"
    "#;
    let mut registry = Registry::default();
    RegistryFile::parse(text).unwrap().into_iter().for_each(|entry| registry.apply(entry));
    registry
}

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn crossing(from: &str, to: &str, time: &str) -> Event {
    let time_ms = ms(time);
    Event {
        time_ms,
        known_ms: time_ms,
        cause: Cause { time_ms, seq: None, content: 0 },
        happening: Happening::BorderCrossed(BorderCrossed {
            from: Country::new(from).unwrap(),
            to: Country::new(to).unwrap(),
            after_ms: time_ms,
            before_ms: time_ms,
            lat: 51.0,
            lon: 6.0,
            past_border_m: Some(600.0),
            arrived: false,
            certainty: 0.98,
        }),
    }
}

/// What a set says of an event: for each firing the offer and the Dutch words.
fn said(
    rules: &RuleSet,
    event: &Event,
    reading: Option<&Reading>,
) -> (Vec<(String, String)>, usize) {
    let registry = registry();
    let now_ms = event.time_ms;
    let occasion = Occasion {
        event,
        reading,
        device: None,
        booked: &[],
        marked_low: &[],
        customer: 0,
        registry: &registry,
        world: &WORLD,
        now_ms,
    };
    let answer = rules.answer(&occasion);
    assert_eq!(answer.weather.is_some(), !answer.firings.is_empty());
    let said = answer.firings.iter().map(|firing| {
        assert_eq!(&*firing.policy.insurer, "alpina", "only who has consent");
        assert_eq!(firing.expires_ms, event.time_ms + 12 * 3_600_000);
        (firing.offer.to_owned(), firing.explanation.nl.clone())
    });
    (said.collect(), answer.faults.len())
}

#[track_caller]
fn check(from: &str, to: &str, offer: &str, words: &str) {
    let event = crossing(from, to, "2026-03-01T12:00:00Z");
    let (said, faults) = said(&RuleSet::shipped().unwrap(), &event, None);
    let [(kind, nl)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((kind.as_str(), faults), (offer, 0));
    assert!(nl.contains(words), "{nl}");
}

#[test]
fn the_offer_follows_the_policy_and_only_a_consented_insurer_hears() {
    check("DE", "PL", "cover", "van Duitsland in Polen");
    check("NL", "DE", "covered", "geldt daar");
    check("DE", "NL", "home", "terug in Nederland");
}

/// What the insurer is told of a crossing by that device: the kinds, both texts and the facts.
fn arrival(
    (from, to, time): (&str, &str, &str),
    device: DeviceKind,
    booked: &[Booked],
) -> (Vec<String>, [String; 2], serde_json::Value) {
    let (rules, registry) = (RuleSet::shipped().unwrap(), registry());
    let event = crossing(from, to, time);
    let answer = rules.answer(&Occasion {
        event: &event,
        reading: None,
        device: Some(device),
        booked,
        marked_low: &[],
        customer: 0,
        registry: &registry,
        world: &WORLD,
        now_ms: event.time_ms,
    });
    let [firing] = answer.firings.as_slice() else { panic!("{answer:?}") };
    let data = data(&event, firing, answer.weather.as_ref(), "");
    let kinds = std::iter::once(data.offer.kind).chain(data.offer.also).collect();
    (kinds, [data.explanation.en, data.explanation.nl], serde_json::json!(data.facts))
}

#[test]
fn an_arrival_says_for_how_long_and_what_the_phone_costs() {
    let (kinds, [en, nl], facts) =
        arrival(("DE", "CH", "2026-03-01T12:00:00Z"), DeviceKind::Tracker, &[]);
    assert_eq!(kinds, ["cover", "until_back", "roaming_bundle"]);
    assert_eq!(
        en,
        "You have come from Germany into Switzerland, which your travel policy does not cover. You \
         can add cover from now on. It would run until you are back: we do not know when that is, \
         since nothing you booked with your insurer tells us. Using your phone there may cost extra: \
         a roaming bundle can save that."
    );
    assert_eq!(
        nl,
        "U bent van Duitsland in Zwitserland gekomen; daar geldt uw reisverzekering niet. U kunt \
         vanaf nu dekking toevoegen. Die loopt tot u terug bent: wanneer dat is weten wij niet, want \
         niets wat u bij uw verzekeraar boekte zegt dat. Bellen en internetten kan daar extra \
         kosten: een roamingbundel kan dat besparen."
    );
    assert_eq!(facts["place.covered"], false);
    assert_eq!(facts["place.roaming"], "extra");
    assert_eq!(facts["trip.to"], serde_json::Value::Null);
}

#[test]
fn a_booked_trip_says_until_when_to_the_insurer_it_was_booked_with() {
    let booked = |insurer: &str, to: &str| Booked {
        insurer: insurer.into(),
        from_ms: ms("2026-03-02T00:00:00Z"),
        to_ms: ms(to),
    };
    let trips = [
        booked("alpina", "2026-03-08T23:30:00Z"),
        booked("alpina", "2026-03-05T12:00:00Z"),
        booked("boreal", "2026-03-20T12:00:00Z"),
    ];
    // He set out the evening before.
    let there = ("DE", "PL", "2026-03-01T20:00:00Z");
    let (kinds, [en, nl], facts) = arrival(there, DeviceKind::Tracker, &trips);
    assert_eq!(kinds, ["cover", "until_trip_ends"]);
    assert!(en.ends_with(
        "You are back on 2026-03-08, by the trip you booked: cover until then is 8 days."
    ));
    assert!(nl.ends_with("bent u op 2026-03-08 terug: dekking tot dan is 8 dagen."), "{nl}");
    assert_eq!((&facts["trip.to"], &facts["trip.days_left"]), (&"2026-03-08".into(), &8.0.into()));
    assert_eq!(facts["place.roaming"], "like_at_home");
    for trips in [&trips[2..], &[]] {
        assert_eq!(arrival(there, DeviceKind::Tracker, trips).0, ["cover", "until_back"]);
    }
    // Over, or weeks ahead: it says nothing of this journey.
    for time in ["2026-02-20T12:00:00Z", "2026-03-09T00:00:00Z"] {
        let (kinds, ..) = arrival(("DE", "PL", time), DeviceKind::Tracker, &trips[..1]);
        assert_eq!(kinds, ["cover", "until_back"]);
    }
}

#[test]
fn who_comes_by_car_hears_of_winter_tyres_there_on_that_day() {
    let also = |to, time, device| arrival(("DE", to, time), device, &[]).0[1..].to_vec();
    let (car, tracker) = (DeviceKind::Car, DeviceKind::Tracker);
    assert_eq!(also("SI", "2026-02-01T12:00:00Z", car), ["until_back", "winter_tyres_required"]);
    assert_eq!(also("SI", "2026-02-01T12:00:00Z", tracker), ["until_back"]);
    assert_eq!(also("SI", "2026-05-01T12:00:00Z", car), ["until_back"]);
    assert_eq!(also("IT", "2026-02-01T12:00:00Z", car), ["until_back", "winter_tyres_by_sign"]);
    let (_, [en, nl], facts) = arrival(("DE", "SI", "2026-02-01T12:00:00Z"), car, &[]);
    assert!(en.ends_with("Winter tyres are required there now, with at least 3 mm of tread."));
    assert!(nl.ends_with("Winterbanden zijn daar nu verplicht, met minstens 3 mm profiel."));
    assert_eq!(facts["place.tyre_duty"], "required");
    // Where our sources on it are incomplete, it says so.
    assert_eq!(
        also("LV", "2026-02-01T12:00:00Z", car),
        ["until_back", "winter_tyres_required", "law_not_verified"]
    );
    assert_eq!(also("LV", "2026-05-01T12:00:00Z", car), ["until_back"]);
    // Austria asks on wintry roads only: on a day like that it is said, whatever the road is now.
    let (kinds, _, facts) = arrival(("DE", "AT", "2026-01-20T03:00:00Z"), car, &[]);
    assert_eq!(facts["place.snow_duty"], "required");
    assert!(kinds[2].starts_with("winter_tyres_"), "{kinds:?}");
}

#[test]
fn who_was_not_seen_to_cross_has_arrived() {
    for (from, to, words) in [
        ("DE", "PL", "aangekomen in Polen; daar geldt uw reisverzekering niet"),
        ("NL", "DE", "aangekomen in Duitsland; daarvoor was u in Nederland"),
        ("DE", "NL", "weer aangekomen in Nederland"),
    ] {
        let mut event = crossing(from, to, "2026-03-01T12:00:00Z");
        let Happening::BorderCrossed(crossed) = &mut event.happening else { panic!() };
        crossed.arrived = true;
        let (said, _) = said(&RuleSet::shipped().unwrap(), &event, None);
        assert!(said[0].1.contains(words), "{said:?}");
    }
}

#[test]
fn an_insurer_is_told_how_far_and_how_certain_and_not_where() {
    let event = crossing("NL", "DE", "2026-03-01T12:00:00Z");
    let told = event.happening.told();
    let names: Vec<_> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["arrived", "between", "certainty", "past_border_m", "place"]);
    assert_eq!((&told["past_border_m"], &told["certainty"]), (&600.0.into(), &0.98.into()));
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("lat") && !text.contains("51.0"), "{text}");
}

#[test]
fn a_policy_that_has_ended_gets_nothing() {
    let event = crossing("NL", "DE", "2026-08-01T12:00:00Z");
    assert_eq!(said(&RuleSet::shipped().unwrap(), &event, None), (vec![], 0));
}

/// The shipped rule with a condition in front.
fn on_condition(when: &str) -> Result<RuleSet, super::RuleError> {
    let text =
        SHIPPED.replace("product = \"travel\"", &format!("when = '{when}'\nproduct = \"travel\""));
    RuleSet::alone("mine.toml", &text)
}

fn fast(speed_mps: f64) -> Reading {
    let measures = vec![
        (Measure::SpeedMps, Value::Number(speed_mps)),
        (Measure::Tyre, Value::Choice(0)),
        (Measure::Ignition, Value::Flag(true)),
    ];
    Reading { time_ms: 0, seq: None, fix: Fix::new(51.0, 6.0, None), measures }
}

#[test]
fn conditions_ask_about_everything_around_an_event() {
    let event = crossing("NL", "DE", "2026-03-01T12:00:00Z");
    let reading = fast(30.0);
    for (when, holds) in [
        ("reading.speed_mps > 20 && reading.tyre == \"summer\"", true),
        ("reading.speed_mps * 3.6 > 200.0", false),
        ("has(reading.tread_mm) && reading.tread_mm < 3", false),
        ("event.to in [\"AT\", \"DE\"] ? reading.ignition : false", true),
        ("weather.temperature_c < 60 && weather.age_s >= 0", true),
        ("place.country == \"DE\" || place.country == \"NL\"", true),
        ("customer.language.startsWith(\"e\") && size(policy.covers) == 1", true),
        (
            "place.road in [\"dry\", \"wet\", \"snow\", \"ice\"] && place.tyre_duty != \"required\"",
            true,
        ),
        ("place.least_tread_mm > 1.5 && size(place.road_reason) > 3", true),
        ("policy.insurer == \"boreal\"", false),
    ] {
        let rules = on_condition(when).unwrap_or_else(|error| panic!("{error}"));
        let (said, faults) = said(&rules, &event, Some(&reading));
        assert_eq!((said.len() == 1, faults), (holds, 0), "{when}");
    }
}

#[test]
fn a_rule_that_fails_is_named_and_says_nothing() {
    let event = crossing("NL", "DE", "2026-03-01T12:00:00Z");
    let registry = registry();
    for (when, named) in [
        ("reading.speed_mps > 20", "reading.speed_mps is not known"),
        ("1 / (size(policy.covers) - 1) > 0", "zero"),
        ("1 % (size(policy.covers) - 1) > 0", "zero"),
        ("9223372036854775807 + size(policy.covers) > 0", "verflow"),
    ] {
        let rules = on_condition(when).unwrap();
        let occasion = Occasion {
            event: &event,
            reading: None,
            device: None,
            booked: &[],
            marked_low: &[],
            customer: 0,
            registry: &registry,
            world: &WORLD,
            now_ms: event.time_ms,
        };
        let answer = rules.answer(&occasion);
        assert!(answer.firings.is_empty());
        let [Fault { rule, what }] = answer.faults.as_slice() else { panic!("{answer:?}") };
        assert!(*rule == "travel-offer" && what.contains(named), "{when}: {what}");
    }
}

#[test]
fn odd_rules_are_refused_by_name_and_never_break_anything() {
    let refused = |rule: String| RuleSet::alone("odd.toml", &rule).unwrap_err().to_string();
    let with = |key: &str| SHIPPED.replacen("priority = 60", key, 1);
    for (key, reason) in [
        ("when = 5", "string"),
        ("when = \"\"", "when:"),
        ("when = \"event.to.matches('(a*)*b')\"", "matches"),
        ("when = \"policy.covers.all(c, c == 'NL')\"", "loops"),
        ("when = \"has(event)\"", "when:"),
        ("when = \"event.to == 1\"", "cannot be used"),
        ("when = \"{'a': 1}.a == 1\"", "two parts"),
        ("priority = 256", "256"),
        ("priority = -1", "-1"),
        ("priority = 60\npriority = 60", "duplicate"),
        ("cooldown = \"-1h\"", "longer than nothing"),
        ("surprise = 1", "surprise"),
    ] {
        let error = refused(with(key));
        assert!(error.starts_with("odd.toml:") && error.contains(reason), "{key}: {error}");
    }
    let unknown = SHIPPED.replacen("place.covered", "place.towns", 1);
    assert!(refused(unknown).contains("`place.towns` is not known"));
    let long = format!("when = \"event.to == '{}'\"", "x".repeat(2_000));
    assert!(refused(with(&long)).contains("longer than"), "a huge text");
    let also = "\n[[also]]\nkind = \"k\"\nwith = [\"never\"]\nen = \"\"\nnl = \"\"\n";
    assert!(refused(format!("{SHIPPED}{also}")).contains("no [[offer]] here is of kind \"never\""));
    let also = also.replace("with = [\"never\"]\n", "").repeat(17);
    assert!(refused(format!("{SHIPPED}{also}")).contains("at most 16"));
    let facts: Vec<&str> = vec!["\"place.town\""; 33];
    assert!(
        refused(SHIPPED.replacen("facts = [", &format!("facts = [{},", facts.join(",")), 1))
            .contains("at most 32")
    );
    for broken in ["", "[[", "id = \"x\"", "\0", "id = 1", &"[".repeat(100_000)] {
        assert!(RuleSet::alone("odd.toml", broken).is_err(), "{:.20}", broken);
    }
}

#[test]
fn of_equal_priority_the_first_name_is_asked_first() {
    let named = |id: &str| (format!("{id}.toml"), SHIPPED.replace("travel-offer", id));
    let rules = RuleSet::with(&[named("b"), named("c"), named("a")]).unwrap();
    let order: Vec<&str> = rules.rules().map(|rule| rule.id.as_str()).collect();
    let ours: Vec<&str> = order.into_iter().filter(|id| id.len() == 1).collect();
    assert_eq!(ours, ["a", "b", "c"]);
}

#[test]
fn a_wrong_rule_is_refused_with_its_line_and_reason() {
    let refused = |from: &str, to: &str| {
        assert!(SHIPPED.contains(from), "{from}");
        RuleSet::alone("mine.toml", &SHIPPED.replacen(from, to, 1)).unwrap_err()
    };
    let line = |text: &str| SHIPPED.lines().position(|line| line.contains(text)).unwrap() + 1;
    for (from, to, at, reason) in [
        ("{event.from}", "{event.form}", "en = \"You are back", "`event.form` is not known"),
        ("\"border_crossed\"", "\"border_seen\"", "on = \"", "no event \"border_seen\""),
        ("\"12h\"", "\"0s\"", "valid_for", "valid_for"),
        ("version = 1", "verison = 1", "version", "verison"),
        ("event.to == policy.home", "event.to = policy.home", "has(policy.home)", "no CEL"),
        (
            "event.to == policy.home",
            "event.to == 3",
            "has(policy.home)",
            "a text and a whole number",
        ),
        ("event.to in policy.covers", "weather.temp < 3", "event.to in", "weather.temperature_c"),
        (
            "event.to in policy.covers && !event.arrived",
            "event.to",
            "event.to in",
            "not true or false",
        ),
        (
            "event.to in policy.covers",
            "policy.covers.exists(c, c == event.to)",
            "event.to in",
            "no loops",
        ),
        ("event.to in policy.covers", "weather.wind_mps + 1 > 3.0", "event.to in", "write 1.0"),
        ("event.to in policy.covers", "event.to.matches('a')", "event.to in", "matches"),
        ("amount = 4.50", "amount = -1.0", "", "0 or more"),
    ] {
        let error = refused(from, to);
        assert!(error.what.contains(reason), "{to}: {error}");
        if !at.is_empty() {
            assert_eq!(error.line, line(at), "{to}: {error}");
        }
    }
}

#[test]
fn a_set_is_taken_whole_or_not_at_all_and_replaces_by_id() {
    let mine = |text: String| vec![("mine.toml".to_owned(), text)];
    let quieter = SHIPPED.replace("priority = 60", "priority = 7");
    let set = RuleSet::with(&mine(quieter.clone())).unwrap();
    assert_eq!(set.rule("travel-offer").unwrap().priority, 7);
    assert_ne!(set.name(), RuleSet::shipped().unwrap().name());
    let off = RuleSet::with(&mine(SHIPPED.replace("version = 1", "version = 1\nenabled = false")));
    assert!(off.unwrap().rule("travel-offer").is_none());
    let twice = [mine(quieter.clone()), vec![("other.toml".to_owned(), quieter)]].concat();
    let errors = RuleSet::with(&twice).unwrap_err();
    assert!(errors.len() == 1 && errors[0].to_string().contains("mine.toml already"), "{errors:?}");
}

#[test]
fn no_condition_is_too_much_for_the_parser() {
    for text in [
        "(".repeat(900),
        "[".repeat(999),
        format!("{}true", "!".repeat(900)),
        format!("{}1 > 0", "-".repeat(900)),
        vec!["1"; 400].join("+") + " > 0",
        vec!["true"; 180].join("?true:"),
        format!("event.to{} == 1", ".a".repeat(400)),
        format!("{}(", ">{".repeat(200)),
        "x".repeat(5_000),
    ] {
        // Refused, or harmless.
        if let Ok(rules) = on_condition(&text) {
            said(&rules, &crossing("NL", "DE", "2026-03-01T12:00:00Z"), None);
        }
    }
}

proptest! {
    /// Whatever is written as a condition: it is refused, or it runs to an end.
    #[test]
    fn any_condition_is_refused_or_runs(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("event.to"), Just("reading.speed_mps"), Just("policy.covers"), Just("1"),
                Just("0"), Just("-1"), Just("9223372036854775807"), Just("1e308"), Just("\"x\""),
                Just("true"), Just("["), Just("]"), Just("("), Just(")"), Just(","), Just("=="),
                Just("<"), Just("+"), Just("-"), Just("*"), Just("/"), Just("%"), Just("&&"),
                Just("||"), Just("!"), Just("?"), Just(":"), Just(" in "), Just("has("),
                Just("size("), Just("double("), Just(".contains("),
            ],
            0..14,
        ),
    ) {
        if let Ok(rules) = on_condition(&parts.join(" ")) {
            let event = crossing("NL", "DE", "2026-03-01T12:00:00Z");
            let (said, faults) = said(&rules, &event, Some(&fast(1.0)));
            prop_assert!(said.len() + faults <= 1);
        }
    }
}
