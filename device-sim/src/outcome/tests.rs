use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Machine, Outcome, ServerSide};
use crate::compare;
use crate::faults::Faults;
use crate::report::{Latency, Report};
use crate::scenario::LimitSpec;
use crate::score::Score;
use crate::server::{Totals, Usage};
use crate::setup::Setup;
use crate::verify::Verdict;

fn latency(p99_ms: f64) -> Latency {
    Latency { p50_ms: 1.0, p90_ms: 1.5, p99_ms, p999_ms: p99_ms, max_ms: p99_ms }
}

fn setup() -> Setup {
    Setup {
        broker: "the server's own".into(),
        server: Some("0.1.0".into()),
        seconds: 60.0,
        processes: 1,
        groups: vec!["10 car: json, a reading every 1 s".into()],
        mqtt: "5".into(),
        qos: "1".into(),
        window: 50,
        faults: Faults::default(),
    }
}

/// A run in which all went well.
fn good() -> Outcome {
    let report = Report {
        devices: 10,
        connections: 10,
        seconds: 60.0,
        offered: 1_000,
        offered_per_s: 16.7,
        acknowledged: 1_000,
        acknowledged_per_s: 16.7,
        readings: 1_000,
        extra: 0,
        extra_answered: 0,
        refused: 0,
        unacknowledged: 0,
        unsent: 0,
        dropped: 0,
        connects: 10,
        refused_connects: 0,
        failed_connects: 0,
        lost_connections: 0,
        cut_connections: 0,
        last_error: None,
        unwritten: 0,
        latency: Some(latency(3.0)),
        lag: Some(latency(0.5)),
    };
    let score = Score {
        expected: 100,
        found: 100,
        precision: 1.0,
        recall: 1.0,
        latency: Some(latency(40.0)),
        ..Score::default()
    };
    let verdict = Verdict {
        passed: true,
        products: BTreeMap::from([("travel".to_owned(), score)]),
        unreadable: 0,
        first_unreadable: None,
        repeated: 0,
        contradictory: 0,
        gaps: 0,
        unjudged: 0,
        without_trigger: BTreeMap::new(),
    };
    let totals = Totals { received: 1_000.0, stored: 1_000.0, ..Totals::default() };
    let server = ServerSide { totals: Some(totals), balanced: Some(true), ..ServerSide::default() };
    Outcome {
        scenario: "smoke".into(),
        about: String::new(),
        passed: false,
        checks: Vec::new(),
        warnings: Vec::new(),
        started_at: Timestamp::UNIX_EPOCH,
        seed: 1,
        scale: 1.0,
        command: String::new(),
        machine: Machine { cores: 2, ..Machine::here() },
        setup: Some(setup()),
        warm_up_s: 0.0,
        report,
        verdict: Some(verdict),
        server: Some(server),
        seconds: Vec::new(),
        own_usage: Vec::new(),
        own_kb_per_connection: None,
    }
}

const LIMITS: LimitSpec = LimitSpec {
    puback_p99_ms: Some(100.0),
    trigger_p99_ms: Some(1_000.0),
    acknowledged: Some(1.0),
    lost_connections: Some(0),
    precision: Some(0.99),
    recall: Some(0.99),
};

type Spoil = fn(&mut Outcome);

/// What a run that was `spoilt` fails by.
fn fails(spoil: impl FnOnce(&mut Outcome)) -> Vec<String> {
    let mut outcome = good();
    spoil(&mut outcome);
    outcome.judge(&LIMITS);
    let failed: Vec<_> = outcome.checks.iter().filter(|check| !check.passed).collect();
    assert_eq!(outcome.passed, failed.is_empty());
    assert_eq!(outcome.to_string().contains("FAILED"), !outcome.passed);
    failed.into_iter().map(|check| check.what.clone()).collect()
}

fn travel(outcome: &mut Outcome) -> &mut Score {
    outcome.verdict.as_mut().unwrap().products.get_mut("travel").unwrap()
}

#[test]
fn each_threshold_decides_by_itself() {
    assert_eq!(fails(|_| {}), [""; 0]);
    let one: [(&str, Spoil); 12] = [
        ("connected to the broker", |o| o.report.connects = 0),
        ("share of messages acknowledged", |o| o.report.acknowledged = 999),
        ("connections lost", |o| o.report.lost_connections = 1),
        ("PUBACK, 99th percentile", |o| o.report.latency = Some(latency(100.1))),
        ("PUBACK, 99th percentile", |o| o.report.latency = None),
        ("publish to trigger, travel, 99th percentile", |o| {
            travel(o).latency = Some(latency(1_000.1));
        }),
        ("precision, travel", |o| travel(o).precision = 0.989),
        ("recall, travel", |o| travel(o).recall = 0.989),
        ("told under two ids, travel", |o| travel(o).doubled = 1),
        ("messages not as documented", |o| o.verdict.as_mut().unwrap().contradictory = 1),
        ("received = stored + duplicate + quarantined + refused", |o| {
            o.server.as_mut().unwrap().balanced = Some(false);
        }),
        ("readings acknowledged that the server has", |o| {
            o.server.as_mut().unwrap().totals.as_mut().unwrap().stored = 999.0;
        }),
    ];
    for (what, spoil) in one {
        assert_eq!(fails(spoil), [what]);
    }
}

#[test]
fn without_limits_a_run_has_only_to_be_whole() {
    let mut outcome = good();
    outcome.report.latency = Some(latency(60_000.0));
    travel(&mut outcome).recall = 0.0;
    outcome.judge(&LimitSpec::default());
    assert!(outcome.passed, "{outcome}");
}

#[test]
fn a_simulator_that_was_the_limit_says_so_and_one_that_was_not_does_not() {
    let warnings = |spoil: Spoil| {
        let mut outcome = good();
        spoil(&mut outcome);
        outcome.judge(&LIMITS);
        assert!(outcome.passed, "a warning, no failure");
        outcome.warnings.join("; ")
    };
    assert_eq!(warnings(|_| {}), "");
    let late = warnings(|o| o.report.lag = Some(latency(35.0)));
    assert!(
        late.contains("the simulator itself was the limit") && late.contains("35 ms"),
        "{late}"
    );
    let busy = warnings(|o| {
        o.own_usage = vec![Usage { cpu_pct: 120.0, resident_mb: 20.0 }; 20];
        let server = vec![Usage { cpu_pct: 75.0, resident_mb: 90.0 }; 20];
        o.server.as_mut().unwrap().usage = server;
    });
    assert!(busy.contains("slow each other down") && busy.contains("20 of 20 seconds"), "{busy}");
    assert!(warnings(|o| o.report.unwritten = 1).contains("holes"));
}

#[test]
fn what_is_compared_is_named_where_it_is_not_the_same() {
    let (a, mut b) = (good(), good());
    assert!(!compare(&a, &b).contains("warning"));
    b.report.latency = Some(latency(6.0));
    assert!(compare(&a, &b).contains("+100.0 %"));
    b.scenario = "soak".into();
    b.verdict = None;
    b.server = None;
    b.report.latency = None;
    let text = compare(&a, &b);
    assert!(text.contains("not runs of the same scenario"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("travel: recall") && line.contains('-')));
}

#[test]
fn runs_that_do_not_compare_say_in_what_they_differ() {
    let warned = |spoil: Spoil| {
        let (a, mut b) = (good(), good());
        spoil(&mut b);
        let warning = |line: &str| line.strip_prefix("warning: ").map(str::to_owned);
        compare(&a, &b).lines().filter_map(warning).collect::<Vec<_>>()
    };
    assert_eq!(warned(|_| {}), [""; 0]);
    let one: [(&str, Spoil); 14] = [
        ("not runs of the same scenario", |o| o.seed = 2),
        ("machine", |o| o.machine.memory_gb = 512.0),
        ("machine", |o| o.machine.cores = 64),
        ("simulator: A 0.", |o| o.machine.version = "9.9.9".into()),
        ("broker: A the server's own, B another than the server's", |o| {
            o.setup.as_mut().unwrap().broker = "another than the server's".into();
        }),
        ("server: A 0.1.0, B 0.2.0", |o| o.setup.as_mut().unwrap().server = Some("0.2.0".into())),
        ("server: A 0.1.0, B not asked", |o| o.setup.as_mut().unwrap().server = None),
        ("seconds: A 60, B 30", |o| o.setup.as_mut().unwrap().seconds = 30.0),
        ("processes: A 1, B 3", |o| o.setup.as_mut().unwrap().processes = 3),
        ("devices: A 10 car: json", |o| {
            o.setup.as_mut().unwrap().groups = vec!["9 car: cbor".into()]
        }),
        ("MQTT: A 5, B 5=3,3.1.1=1", |o| o.setup.as_mut().unwrap().mqtt = "5=3,3.1.1=1".into()),
        ("QoS: A 1, B 2", |o| o.setup.as_mut().unwrap().qos = "2".into()),
        ("window: A 50, B 10", |o| o.setup.as_mut().unwrap().window = 10),
        ("faults: A none, B duplicates 0.1", |o| {
            o.setup.as_mut().unwrap().faults.duplicates = 0.1;
        }),
    ];
    for (what, spoil) in one {
        let warnings = warned(spoil);
        assert!(warnings.len() == 1 && warnings[0].contains(what), "{what}: {warnings:?}");
    }
    let limited = warned(|o| o.report.lag = Some(latency(35.0)));
    assert!(
        limited.len() == 1 && limited[0].contains("B was limited by the simulator"),
        "{limited:?}"
    );
    let older = warned(|o| o.setup = None);
    assert!(older.len() == 1 && older[0].contains("B does not say"), "{older:?}");
}
