//! What insurers report, on trial.

use bytes::Bytes;
use enrich::registry::RegistryFile;
use ingest::source::Sources;
use ingest::{Arrival, Reason, Sender};

use super::rights::crossing;
use super::{NOW_MS, REGISTRY, Trial, arrival};
use crate::{Change, QuarantineFilter};

/// Anna's car is insured with alpina in winter, Bram's with boreal.
const MORE: &str = r#"
    [[policy]]
    id = "W-a"
    insurer = "alpina"
    customer = "anna"
    product = "winter_tyres"
    from = "2020-01-01T00:00:00Z"
    [[policy]]
    id = "W-b"
    insurer = "boreal"
    customer = "bram"
    product = "winter_tyres"
    from = "2020-01-01T00:00:00Z"
"#;

pub(super) fn insured() -> Trial {
    insured_with(u64::MAX)
}

pub(super) fn insured_with(log_readings: u64) -> Trial {
    insured_also(log_readings, "")
}

/// With further policies and the like.
pub(super) fn insured_also(log_readings: u64, more: &str) -> Trial {
    let mut trial = Trial::new(log_readings);
    let file = format!("{REGISTRY}{MORE}{more}");
    assert!(trial.change(Change::Import(RegistryFile::parse(&file).unwrap())));
    trial
}

pub(super) fn message(insurer: &str, topic: &str, payload: &str) -> Arrival {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    let decoded = Sources::default().with_insurers().read(topic, &payload, NOW_MS);
    let sender = Sender::Insurer(insurer.into());
    Arrival { topic: topic.into(), sender, payload, decoded, ..arrival("", &[]) }
}

/// A claim of ten minutes ago.
pub(super) fn claim(insurer: &str, id: &str, about: &str) -> Arrival {
    let payload =
        format!(r#"{{"id":"{id}",{about},"time":{},"kind":"collision"}}"#, NOW_MS - 600_000);
    message(insurer, &format!("claims/{insurer}"), &payload)
}

impl Trial {
    pub(super) fn report(&mut self, arrival: Arrival) {
        assert!(self.try_commit(&[arrival]));
        assert!(self.counts().balance(), "{:?}", self.counts());
    }

    fn reported(&self, customer: &str) -> usize {
        let number = self.writer().core.registry.read().customer_number(customer).unwrap();
        self.reader().reports_of(number).unwrap().len()
    }
}

#[test]
fn a_claim_is_stored_once_and_corrected_under_its_id() {
    let mut trial = insured();
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    assert_eq!((trial.counts().stored, trial.counts().duplicate), (1, 1));
    trial.report(claim("alpina", "C-1", r#""policy":"W-a","place":"Venlo""#));
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    assert_eq!((trial.counts().stored, trial.counts().duplicate), (2, 2));
    // The same id at another insurer is another claim.
    trial.report(claim("boreal", "C-1", r#""policy":"W-b""#));
    assert_eq!((trial.reported("anna"), trial.reported("bram")), (2, 1));
    trial.restart();
    assert_eq!(trial.reported("anna"), 2);
}

#[test]
fn nobody_learns_of_anothers_customers() {
    let mut trial = insured();
    let mut notices = trial.writer().live.notices();
    for about in [
        r#""policy":"W-b""#,
        r#""policy":"nobody""#,
        r#""policy":"P-a""#,
        r#""device":"car-c""#,
        r#""device":"nobody""#,
        // Hers, but not covered by this policy.
        r#""policy":"W-a","device":"car-c""#,
    ] {
        trial.report(claim("alpina", "C-1", about));
        let notice = notices.try_recv().unwrap();
        assert_eq!(
            (&*notice.to, notice.reason, &*notice.detail),
            ("alpina", Reason::NotInsured, "C-1")
        );
    }
    assert_eq!(trial.counts().refused, [(Reason::NotInsured, 6)].into());
    // Bram sold car-b five minutes before the claim; ten minutes before it was his.
    trial.report(claim("boreal", "C-2", r#""device":"car-b""#));
    trial.report(claim("alpina", "C-2", r#""device":"car-a""#));
    assert_eq!(trial.counts().stored, 2);
    trial.report(message("ghost", "claims/ghost", "{}"));
    assert_eq!(trial.counts().refused[&Reason::UnknownInsurer], 1);
}

#[test]
fn feedback_is_on_a_trigger_that_the_insurer_was_sent() {
    let mut trial = insured();
    trial.send("car-a", &crossing(0));
    let id = trial.reader().newest_triggers(1).unwrap()[0].body.id.clone();
    let stored = trial.counts().stored;
    let opened = format!(r#"{{"trigger":"{id}","reaction":"opened","time":{NOW_MS}}}"#);
    let liked = format!(r#"{{"trigger":"{id}","mark":9,"time":{NOW_MS}}}"#);
    trial.report(message("alpina", "feedback/alpina", &opened));
    trial.report(message("alpina", "feedback/alpina", &liked));
    trial.report(message("boreal", "feedback/boreal", &opened));
    assert_eq!(trial.counts().stored, stored + 2);
    assert_eq!(trial.counts().refused, [(Reason::UnknownTrigger, 1)].into());
    let trip = r#""place":"Oslo","from":1790000000,"to":1790000000}"#;
    for (about, stored) in
        [("customer\":\"anna", true), ("policy\":\"P-a", true), ("customer\":\"bram", false)]
    {
        let before = trial.counts().stored;
        let payload = format!(r#"{{"id":"T-{stored}-{}","{about}",{trip}"#, about.len());
        trial.report(message("alpina", "trips/alpina", &payload));
        assert_eq!(trial.counts().stored - before, u64::from(stored), "{about}");
    }
}

#[test]
fn what_cannot_be_used_is_put_away_under_the_insurers_name_and_tried_again() {
    let mut trial = insured();
    trial.report(message("alpina", "claims/alpina", r#"{"id":"C-1"}"#));
    let rows = trial.reader().quarantine(QuarantineFilter::default(), 10).unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.device, row.insurer.as_deref()), (None, Some("alpina")));
    assert_eq!(row.reason, Some(Reason::NoTime));
    let registry = trial.writer().core.registry.clone();
    let decode = |_: &str, topic: &str, payload: &Bytes, now_ms| {
        Some(Sources::default().with_insurers().read(topic, payload, now_ms))
    };
    let quarantine = crate::Quarantine::new(&tokio::sync::mpsc::channel(1).0, registry, decode);
    trial.report(quarantine.attempt(row).unwrap());
    assert_eq!(trial.counts().quarantined, [(Reason::NoTime, 1)].into());
    assert_eq!((trial.counts().received, trial.counts().messages), (1, 1));
    trial.report(crate::quarantine::let_go(row));
    assert_eq!(trial.reader().quarantine(QuarantineFilter::default(), 10).unwrap(), []);
}

#[test]
fn a_withdrawal_leaves_reports_and_an_erasure_does_not() {
    let mut trial = insured();
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    trial.report(message("alpina", "claims/alpina", r#"{"id":"C-2","policy":"W-a"}"#));
    let (customer, insurer) = ("anna".into(), "alpina".into());
    let purpose = enrich::registry::Product::Travel;
    assert!(trial.change(Change::Withdraw { customer, insurer, purpose }));
    trial.purge_all();
    assert_eq!(trial.reported("anna"), 1);
    assert!(trial.change(Change::Erase { customer: "anna".into() }));
    trial.purge_all();
    let receipt = trial.reader().receipt(2).unwrap().unwrap();
    assert_eq!((receipt.reports, receipt.quarantined), (1, 1));
    for file in std::fs::read_dir(trial.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"W-a"));
    }
    // It is nobody's any more.
    trial.report(claim("alpina", "C-3", r#""policy":"W-a""#));
    assert_eq!(trial.counts().refused, [(Reason::NotInsured, 1)].into());
}
