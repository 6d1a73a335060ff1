//! What insurers report, one JSON object a message.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::draft::{Problem, fix};
use super::scalar::Scalar;
use super::{MAX_PAYLOAD, rejected, time};
use crate::report::{Claim, Feedback, FromInsurer, Reaction, Report, ReportKind, Trip};
use crate::{Fix, Reason};

/// Longest id, place, kind or activity, in bytes: each is a key, or shown to people.
const LONGEST_TEXT: usize = 128;

/// Most activities of a trip: what is booked with one is a handful.
const MOST_ACTIVITIES: usize = 16;

/// Reads what `insurer` reports.
pub(crate) fn read(
    kind: ReportKind,
    insurer: Arc<str>,
    payload: &Bytes,
    now_ms: i64,
) -> FromInsurer {
    let mut fields = match Fields::of(payload) {
        Ok(fields) => fields,
        Err(problem) => {
            let report = Err(rejected(problem, payload.clone()));
            return FromInsurer { insurer, report, unknown_names: 0 };
        }
    };
    let report = match kind {
        ReportKind::Claim => claim(&mut fields, now_ms).map(Report::Claim),
        ReportKind::Trip => trip(&mut fields).map(Report::Trip),
        ReportKind::Feedback => feedback(&mut fields, now_ms).map(Report::Feedback),
    };
    // What was asked for is taken out, also where it was null.
    let unknown_names = if report.is_ok() { fields.0.len() as u32 } else { 0 };
    let report = report.map_err(|problem| rejected(problem, payload.clone()));
    FromInsurer { insurer, report, unknown_names }
}

fn claim(fields: &mut Fields, now_ms: i64) -> Result<Claim, Problem> {
    let claim = Claim {
        id: fields.needed("id")?,
        policy: fields.text("policy")?,
        device: fields.text("device")?,
        time_ms: fields.past("time", now_ms)?,
        fix: fields.fix()?,
        place: fields.text("place")?,
        kind: fields.needed("kind")?,
    };
    match claim.policy.is_some() || claim.device.is_some() {
        true => Ok(claim),
        false => Err(missing("neither policy nor device was sent")),
    }
}

fn trip(fields: &mut Fields) -> Result<Trip, Problem> {
    let trip = Trip {
        id: fields.needed("id")?,
        customer: fields.text("customer")?,
        policy: fields.text("policy")?,
        fix: fields.fix()?,
        place: fields.text("place")?,
        from_ms: fields.time("from")?,
        to_ms: fields.time("to")?,
        activities: fields.activities()?,
        cancelled: fields.flag("cancelled")?,
    };
    // Booked ahead is no clock that is ahead.
    time::plausible(trip.from_ms, trip.from_ms)?;
    if trip.customer.is_none() && trip.policy.is_none() {
        return Err(missing("neither customer nor policy was sent"));
    }
    if trip.fix.is_none() && trip.place.is_none() {
        return Err(missing("neither lat and lon nor place were sent"));
    }
    if trip.to_ms < trip.from_ms {
        return Err(Problem::new(Reason::OutOfRange, "to is before from"));
    }
    Ok(trip)
}

fn feedback(fields: &mut Fields, now_ms: i64) -> Result<Feedback, Problem> {
    let feedback = Feedback {
        trigger: fields.needed("trigger")?,
        reaction: fields.reaction()?,
        mark: fields.mark()?,
        time_ms: fields.past("time", now_ms)?,
    };
    match feedback.reaction.is_some() || feedback.mark.is_some() {
        true => Ok(feedback),
        false => Err(missing("neither reaction nor mark was sent")),
    }
}

/// What was sent and has not been asked for yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(payload: &Bytes) -> Result<Self, Problem> {
        if payload.len() > MAX_PAYLOAD {
            let detail = format!("{} bytes, of at most {MAX_PAYLOAD}", payload.len());
            return Err(Problem::new(Reason::TooLarge, detail));
        }
        let not_json = |error| Problem::new(Reason::NotDecodable, format!("not JSON: {error}"));
        match serde_json::from_slice(payload).map_err(not_json)? {
            Value::Object(fields) => Ok(Self(fields)),
            _ => {
                Err(Problem::new(Reason::NotDecodable, "not an object: send one report a message"))
            }
        }
    }

    /// A null counts as not sent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<Box<str>>, Problem> {
        self.take(name).map(|value| text_of(name, &value)).transpose()
    }

    fn needed(&mut self, name: &str) -> Result<Box<str>, Problem> {
        self.text(name)?.ok_or_else(|| missing(format!("{name} was not sent")))
    }

    fn time(&mut self, name: &str) -> Result<i64, Problem> {
        match self.take(name) {
            Some(value) => time::parse(name, &scalar(&value)),
            None => Err(Problem::new(Reason::NoTime, format!("{name} was not sent"))),
        }
    }

    fn past(&mut self, name: &str, now_ms: i64) -> Result<i64, Problem> {
        let time_ms = self.time(name)?;
        time::plausible(time_ms, now_ms)?;
        Ok(time_ms)
    }

    /// What was not sent is false.
    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let Some(value) = self.take(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| wrong_type(name, &value, "true or false"))
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| wrong_type(name, &value, "a number"))
    }

    fn fix(&mut self) -> Result<Option<Fix>, Problem> {
        let (lat, lon) = (self.number("lat")?, self.number("lon")?);
        let accuracy_m = self.number("accuracy_m")?.map(|metres| metres as f32);
        fix(lat, lon, accuracy_m.filter(|metres| metres.is_finite() && *metres > 0.0))
    }

    fn activities(&mut self) -> Result<Vec<Box<str>>, Problem> {
        match self.take("activities") {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() > MOST_ACTIVITIES => {
                let detail = format!("activities: {} of at most {MOST_ACTIVITIES}", list.len());
                Err(Problem::new(Reason::OutOfRange, detail))
            }
            Some(Value::Array(list)) => {
                list.iter().map(|value| text_of("activities", value)).collect()
            }
            Some(value) => Err(wrong_type("activities", &value, "a list of texts")),
        }
    }

    fn reaction(&mut self) -> Result<Option<Reaction>, Problem> {
        let Some(value) = self.take("reaction") else { return Ok(None) };
        Reaction::deserialize(&value).map(Some).map_err(|_| {
            let sent = scalar(&value);
            let detail = format!("reaction: {sent} is none of opened, ignored, accepted");
            Problem::new(Reason::OutOfRange, detail)
        })
    }

    fn mark(&mut self) -> Result<Option<u8>, Problem> {
        let Some(value) = self.take("mark") else { return Ok(None) };
        let mark = value.as_u64().and_then(|mark| u8::try_from(mark).ok());
        match mark.filter(|mark| (1..=10).contains(mark)) {
            Some(mark) => Ok(Some(mark)),
            None => {
                let detail = format!("mark: {} is not 1 to 10", scalar(&value));
                Err(Problem::new(Reason::OutOfRange, detail))
            }
        }
    }
}

fn text_of(name: &str, value: &Value) -> Result<Box<str>, Problem> {
    let Value::String(text) = value else { return Err(wrong_type(name, value, "a text")) };
    if !(1..=LONGEST_TEXT).contains(&text.len()) || text.chars().any(char::is_control) {
        let detail = format!("{name}: not 1 to {LONGEST_TEXT} bytes of text");
        return Err(Problem::new(Reason::OutOfRange, detail));
    }
    Ok(text.as_str().into())
}

fn missing(detail: impl Into<String>) -> Problem {
    Problem::new(Reason::Incomplete, detail)
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Problem {
    Problem::new(Reason::WrongType, format!("{name}: {} is not {wanted}", scalar(value)))
}

/// For showing, and for reading times as readings have them.
fn scalar(value: &Value) -> Scalar<'_> {
    Scalar::deserialize(value).unwrap_or(Scalar::Composite)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::read;
    use crate::report::{Reaction, Report, ReportKind};
    use crate::{Reason, Rejected};

    const NOW: i64 = 1_790_000_000_000;

    fn reported(kind: ReportKind, payload: &str) -> Result<Report, Rejected> {
        read(kind, "alpina".into(), &Bytes::copy_from_slice(payload.as_bytes()), NOW).report
    }

    #[test]
    fn a_claim_says_whose_when_and_what() {
        let sent = r#"{"id":"C-1","policy":"P-1","time":"2026-09-21T14:13:20Z","lat":52.0,"lon":5.1,
            "accuracy_m":200,"kind":"collision","adjuster":"Jo"}"#;
        let read = read(ReportKind::Claim, "alpina".into(), &Bytes::from(sent), NOW);
        let Ok(Report::Claim(claim)) = read.report else { panic!("{read:?}") };
        assert_eq!((&*claim.id, claim.policy.as_deref(), claim.device), ("C-1", Some("P-1"), None));
        assert_eq!((claim.time_ms, &*claim.kind), (NOW, "collision"));
        assert_eq!(claim.fix.unwrap().accuracy_m, Some(200.0));
        assert_eq!(read.unknown_names, 1, "the adjuster");
    }

    #[test]
    fn a_trip_may_lie_ahead() {
        let sent = r#"{"id":"T-1","customer":"anna","place":"Innsbruck","from":1800000000,
            "to":1800600000,"activities":["skiing"]}"#;
        let Ok(Report::Trip(trip)) = reported(ReportKind::Trip, sent) else { panic!("no trip") };
        assert_eq!((trip.from_ms, trip.place.as_deref()), (1_800_000_000_000, Some("Innsbruck")));
        assert_eq!(trip.activities, ["skiing".into()]);
        assert!(!trip.cancelled);
        let sent = sent.replace("\"activities\"", "\"cancelled\":true,\"activities\"");
        let Ok(Report::Trip(trip)) = reported(ReportKind::Trip, &sent) else { panic!("no trip") };
        assert!(trip.cancelled);
    }

    #[test]
    fn feedback_is_a_reaction_or_a_mark() {
        let sent = r#"{"trigger":"ab12","reaction":"accepted","time":1790000000}"#;
        let Ok(Report::Feedback(one)) = reported(ReportKind::Feedback, sent) else { panic!() };
        assert_eq!((one.reaction, one.mark), (Some(Reaction::Accepted), None));
        let sent = r#"{"trigger":"ab12","mark":9,"time":1790000000}"#;
        let Ok(Report::Feedback(other)) = reported(ReportKind::Feedback, sent) else { panic!() };
        assert_eq!((other.reaction, other.mark), (None, Some(9)));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        use ReportKind::{Claim, Feedback, Trip};
        for (kind, sent, reason, detail) in [
            (Claim, "{", Reason::NotDecodable, "not JSON"),
            (Claim, "[]", Reason::NotDecodable, "one report a message"),
            (Claim, "{}", Reason::Incomplete, "id"),
            (Claim, r#"{"id":"C","time":1,"kind":"x"}"#, Reason::ClockUnset, "1970"),
            (Claim, r#"{"id":"C","policy":"P","kind":"x"}"#, Reason::NoTime, "time"),
            (Claim, r#"{"id":"C","time":1790000000,"kind":"x"}"#, Reason::Incomplete, "policy"),
            (Claim, r#"{"id":"C","policy":"P","time":1790000000}"#, Reason::Incomplete, "kind"),
            (
                Claim,
                r#"{"id":"C","policy":"P","time":1790400000,"kind":"x"}"#,
                Reason::ClockAhead,
                "now",
            ),
            (
                Claim,
                r#"{"id":"C","policy":"P","time":1790000000,"kind":"x","lat":91,"lon":5}"#,
                Reason::NoValidFix,
                "Earth",
            ),
            (Claim, r#"{"id":7}"#, Reason::WrongType, "id: 7"),
            (Claim, r#"{"id":""}"#, Reason::OutOfRange, "id"),
            (
                Trip,
                r#"{"id":"T","policy":"P","from":1790000000,"to":1790000000}"#,
                Reason::Incomplete,
                "place",
            ),
            (
                Trip,
                r#"{"id":"T","policy":"P","place":"x","from":1790000001,"to":1790000000}"#,
                Reason::OutOfRange,
                "to",
            ),
            (
                Trip,
                r#"{"id":"T","policy":"P","place":"x","from":1790000000,"to":1790000000,
                    "activities":"skiing"}"#,
                Reason::WrongType,
                "activities",
            ),
            (Feedback, r#"{"trigger":"x","time":1790000000}"#, Reason::Incomplete, "mark"),
            (Feedback, r#"{"trigger":"x","mark":11,"time":1790000000}"#, Reason::OutOfRange, "11"),
            (
                Feedback,
                r#"{"trigger":"x","reaction":"laughed","time":1790000000}"#,
                Reason::OutOfRange,
                "laughed",
            ),
        ] {
            let rejected = reported(kind, sent).unwrap_err();
            assert_eq!(rejected.reason, reason, "{sent}: {}", rejected.detail);
            assert!(rejected.detail.contains(detail), "{sent}: {}", rejected.detail);
        }
    }

    #[test]
    fn a_topic_names_kind_and_insurer() {
        assert_eq!(ReportKind::of_topic("claims/alpina"), Some((ReportKind::Claim, "alpina")));
        assert_eq!(ReportKind::of_topic("feedback/a"), Some((ReportKind::Feedback, "a")));
        for topic in ["claims", "claims/a/b", "claim/a", "telemetry/car/x", ""] {
            assert_eq!(ReportKind::of_topic(topic), None, "{topic}");
        }
    }

    proptest! {
        /// Whatever is sent has an outcome, and what can be used is kept in a form that says the same.
        #[test]
        fn nothing_breaks_the_decoder(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in ReportKind::ALL {
                let bytes = Bytes::copy_from_slice(&payload);
                if let Ok(report) = read(kind, "a".into(), &bytes, NOW).report {
                    prop_assert_eq!(report.kind(), kind);
                }
            }
        }

        #[test]
        fn a_claim_is_kept_as_it_was_sent(
            id in "[a-z0-9]{1,20}", time in 1_700_000_000..1_790_000_000_i64,
            lat in -89.0..89.0_f64, lon in 1.0..179.0_f64,
        ) {
            let sent = format!(
                r#"{{"id":"{id}","device":"car-1","time":{time},"kind":"glass","lat":{lat},"lon":{lon}}}"#
            );
            let report = reported(ReportKind::Claim, &sent).unwrap();
            prop_assert_eq!(report.id(), id);
            let kept = serde_json::to_string(&report).unwrap();
            prop_assert_eq!(serde_json::from_str::<Report>(&kept).unwrap(), report);
        }
    }
}
