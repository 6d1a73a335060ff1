//! Whatever is sent, tried again and let go, under whatever registry and sources: every reading
//! has one outcome.

use bytes::Bytes;
use enrich::registry::{Registry, RegistryFile};
use ingest::source::{Source, Sources};
use ingest::{Arrival, Reason};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::{NOW_MS, REGISTRY, Trial, arrival};
use crate::quarantine::{Quarantine, let_go};
use crate::{CannotRetry, QuarantineFilter, QuarantineRow, SharedRegistry};

#[derive(Clone, Debug)]
enum Step {
    /// Messages, in one batch.
    Send(Vec<(usize, usize)>),
    /// Rows by their place in the quarantine; the same one may come twice.
    Retry(Vec<usize>),
    Drop(Vec<usize>),
    /// Carl consents to nothing any more, or does again.
    Consent(bool),
    /// The plant's format is known, or mistaken for another.
    Plant(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let places = || proptest::collection::vec(0..8_usize, 1..6);
    let message = (0..TOPICS.len(), 0..PAYLOADS.len());
    prop_oneof![
        6 => proptest::collection::vec(message, 1..6).prop_map(Step::Send),
        4 => places().prop_map(Step::Retry),
        1 => places().prop_map(Step::Drop),
        2 => any::<bool>().prop_map(Step::Consent),
        2 => any::<bool>().prop_map(Step::Plant),
        1 => Just(Step::Restart),
    ]
}

const TOPICS: [&str; 5] = [
    "telemetry/car/car-a",
    "telemetry/car/car-c",
    "telemetry/car/ghost",
    "telemetry/rocket/car-a",
    "plant/car-c",
];

/// TIME is now.
const PAYLOADS: [&str; 7] = [
    r#"{"ts":TIME,"speed_mps":1}"#,
    r#"[{"ts":TIME,"speed_mps":2},{"ts":TIME,"speed_mps":-2},{"speed_mps":3}]"#,
    r#"{"ts":TIME,"speed_mps":"fast"}"#,
    r#"{"ts":TIME,"speed_mps":5,"device":"car-b"}"#,
    "{",
    r#"{"_type":"lwt"}"#,
    r#"{"ts":0,"speed_mps":1}"#,
];

/// The plant's messages are native; whoever takes them for OwnTracks cannot read them.
fn sources(native: bool) -> Sources {
    let format = if native { "native" } else { "owntracks" };
    let plant = format!(r#"{{"topic":"plant/{{device}}","format":"{format}","kind":"car"}}"#);
    let mut list = Source::defaults();
    list.push(serde_json::from_str(&plant).unwrap());
    Sources::of("embedded", &list).unwrap()
}

fn registry(consent: bool) -> Registry {
    let mut registry = Registry::default();
    let withdrawn = "withdrawn = \"2026-01-15T12:10:00Z\"";
    let at_home = "purpose = \"home\"\n    given = \"2020-01-01T00:00:00Z\"";
    let text = match consent {
        true => REGISTRY.to_owned(),
        false => REGISTRY
            .replace(withdrawn, "withdrawn = \"2020-01-02T00:00:00Z\"")
            .replace(at_home, &format!("{at_home}\n    withdrawn = \"2020-01-02T00:00:00Z\"")),
    };
    RegistryFile::parse(&text).unwrap().into_iter().for_each(|entry| registry.apply(entry));
    registry
}

/// A trial with a quarantine that is worked on.
struct Clinic {
    trial: Trial,
    sources: Sources,
    registry: SharedRegistry,
}

impl Clinic {
    fn new() -> Self {
        let mut trial = Trial::new(u64::MAX);
        trial.at(NOW_MS);
        Self { trial, sources: sources(false), registry: SharedRegistry::new(registry(true)) }
    }

    fn rows(&self) -> Vec<QuarantineRow> {
        self.trial.reader().quarantine(QuarantineFilter::default(), usize::MAX >> 1).unwrap()
    }

    fn quarantine(&self) -> Quarantine {
        let sources = self.sources.clone();
        let decode = move |broker: &str, topic: &str, payload: &Bytes, now_ms| {
            (broker == "embedded").then(|| sources.read(topic, payload, now_ms))
        };
        Quarantine::new(&mpsc::channel(1).0, self.registry.clone(), decode)
    }

    fn attempts(&self, rows: &[QuarantineRow]) -> Vec<Arrival> {
        let quarantine = self.quarantine();
        rows.iter().map(|row| quarantine.attempt(row).unwrap()).collect()
    }

    fn message(&self, topic: &str, payload: &str) -> Arrival {
        let payload = Bytes::from(payload.replace("TIME", &NOW_MS.to_string()));
        let decoded = self.sources.read(topic, &payload, NOW_MS);
        Arrival { topic: topic.into(), payload, decoded, ..arrival("", &[]) }
    }

    fn send(&mut self, topic: &str, payload: &str) {
        let message = self.message(topic, payload);
        assert!(self.trial.try_commit(&[message]));
    }

    /// First where there is no room, which must change nothing; then in earnest.
    fn commit(&mut self, arrivals: &[Arrival]) {
        let before = (self.trial.counts().clone(), self.rows());
        self.trial.bound_pages(1);
        if !self.trial.try_commit(arrivals) {
            assert_eq!((self.trial.counts().clone(), self.rows()), before);
        }
        self.trial.bound_pages(1 << 30);
        assert!(self.trial.try_commit(arrivals));
    }

    fn retry_all(&mut self) {
        let attempts = self.attempts(&self.rows());
        assert!(self.trial.try_commit(&attempts));
    }

    fn take(&mut self, step: &Step) {
        let rows = self.rows();
        let chosen = |places: &[usize]| -> Vec<QuarantineRow> {
            places.iter().filter_map(|place| rows.get(*place).cloned()).collect()
        };
        match step {
            Step::Send(messages) => {
                let sent: Vec<_> = messages
                    .iter()
                    .map(|(topic, payload)| self.message(TOPICS[*topic], PAYLOADS[*payload]))
                    .collect();
                self.commit(&sent);
            }
            Step::Retry(places) => self.commit(&self.attempts(&chosen(places))),
            Step::Drop(places) => {
                self.commit(&chosen(places).iter().map(let_go).collect::<Vec<_>>());
            }
            Step::Consent(consent) => self.registry = SharedRegistry::new(registry(*consent)),
            Step::Plant(native) => self.sources = sources(*native),
            Step::Restart => self.trial.restart(),
        }
        self.trial.writer_mut().core.registry = self.registry.clone();
    }

    fn check(&self) {
        self.trial.check_totals();
        let counts = self.trial.counts();
        let rows = self.rows();
        let quarantined: u64 = counts.quarantined.values().sum();
        assert_eq!(rows.len() as u64, quarantined - counts.dropped);
        for (reason, most) in &counts.quarantined {
            let here = rows.iter().filter(|row| row.reason == Some(*reason)).count();
            assert!(here as u64 <= *most, "{reason:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_reading_has_one_outcome(steps in proptest::collection::vec(step(), 1..30)) {
        let mut clinic = Clinic::new();
        for step in &steps {
            clinic.take(step);
            clinic.check();
        }
        clinic.trial.check_recovery();
        // Now with everything known and allowed, what is left is what nobody could use.
        clinic.take(&Step::Consent(true));
        clinic.take(&Step::Plant(true));
        clinic.retry_all();
        clinic.check();
        for row in clinic.rows() {
            let still = clinic.quarantine().attempt(&row).unwrap().decoded;
            let some_are = still.readings().is_some_and(|d| d.readings.iter().any(Result::is_err));
            let unusable = still.rejected().is_some() || some_are;
            prop_assert!(unusable, "{row:?}");
        }
    }
}

#[test]
fn what_becomes_readable_is_stored_and_counted_as_what_it_holds() {
    let mut clinic = Clinic::new();
    clinic.send("telemetry/rocket/car-a", PAYLOADS[1]);
    let [row] = &clinic.rows()[..] else { panic!("one row") };
    assert_eq!(row.reason, Some(Reason::UnknownTopic));
    // As if a source had come that knows rockets.
    let moved = QuarantineRow { topic: "telemetry/car/car-a".into(), ..row.clone() };
    let attempt = clinic.attempts(&[moved]);
    assert!(clinic.trial.try_commit(&attempt));
    clinic.check();
    let counts = clinic.trial.counts().clone();
    assert_eq!((counts.received, counts.stored, counts.messages), (3, 1, 1));
    let reasons: Vec<_> = clinic.rows().iter().map(|row| (row.number, row.reason)).collect();
    assert_eq!(reasons, [(2, Some(Reason::NoTime)), (1, Some(Reason::OutOfRange))]);
    let bad = format!(r#"{{"ts":{NOW_MS},"speed_mps":-2}}"#);
    assert_eq!(clinic.rows()[1].payload, bad.as_bytes(), "only what is bad");
    // The same attempt once more finds that it was stored.
    assert!(clinic.trial.try_commit(&attempt));
    clinic.check();
    assert_eq!((clinic.trial.counts().stored, clinic.trial.counts().duplicate), (1, 1));
}

#[test]
fn without_consent_a_retry_leaves_nothing() {
    let mut clinic = Clinic::new();
    clinic.send("telemetry/car/car-c", "{");
    clinic.take(&Step::Consent(false));
    clinic.retry_all();
    clinic.check();
    assert_eq!(clinic.rows(), []);
    assert_eq!(clinic.trial.counts().refused, [(Reason::NoConsent, 1)].into());
}

#[test]
fn nobody_speaks_for_another_on_the_second_attempt() {
    let mut clinic = Clinic::new();
    let message = clinic.message("telemetry/car/car-b", PAYLOADS[0]);
    let rejected = || ingest::Rejected {
        reason: Reason::NotOwnTopic,
        detail: String::new(),
        raw: message.payload.clone(),
    };
    let sender = ingest::Sender::Device("car-a".into());
    let decoded = ingest::Message::Device(Err((Some("car-a".into()), rejected())));
    assert!(clinic.trial.try_commit(&[Arrival { sender, decoded, ..message }]));
    clinic.retry_all();
    clinic.check();
    assert_eq!(clinic.rows()[0].reason, Some(Reason::NotOwnTopic));
    assert_eq!(clinic.trial.counts().stored, 0);
}

#[test]
fn what_cannot_be_tried_again_says_why() {
    let mut clinic = Clinic::new();
    clinic.send("telemetry/rocket/car-a", &format!("[{}]", "5,".repeat(40_000)));
    let rows = clinic.rows();
    let error = |row| clinic.quarantine().attempt(&row).unwrap_err();
    assert_eq!(error(rows[0].clone()), CannotRetry::Cut { kept: 65_536, sent: 80_002 });
    let whole = QuarantineRow { sent_bytes: 65_536, ..rows[0].clone() };
    let elsewhere = QuarantineRow { broker: Some("plant".into()), ..whole.clone() };
    assert_eq!(error(elsewhere), CannotRetry::NoBroker("plant".into()));
    let point = QuarantineRow { broker: None, ..whole.clone() };
    assert_eq!(error(point), CannotRetry::Point);
    assert_eq!(error(QuarantineRow { device: Some(999), ..whole }), CannotRetry::NoDevice);
}
