//! What arrives where: a topic leads to a format, a device and its kind.
//!
//! [`Source::defaults`] are the topics of docs/topics.md; a `[[source]]` table of the
//! configuration stands in their place.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Deserialize;

use crate::access::is_id;
use crate::formats::{self, Format};
use crate::report::ReportKind;
use crate::topic::{Captured, InvalidTopic, Topic};
use crate::{Decoded, DeviceKind, Message, Reason, Rejected};

/// Longest device id, in bytes: it is a key in the registry, the journal and other topics.
pub const MAX_DEVICE_ID: usize = 64;

/// The name of the embedded broker in [`Source::from`].
pub const EMBEDDED: &str = "embedded";

/// What Datanaut publishes itself: collected, it would answer its own answers.
const OWN_TOPICS: [&str; 2] = ["triggers/+/+/+", "errors/+"];

/// What insurers report on, which no device may be heard on.
const INSURERS_TOPICS: [&str; 3] = ["claims/+", "trips/+", "feedback/+"];

/// What a message says, or why it says nothing, with the device where that is known.
pub type Outcome = Result<Decoded, (Option<Arc<str>>, Rejected)>;

/// One `[[source]]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// An MQTT topic filter in which levels may be named: `{device}`, `{kind}`, `{user}`.
    pub topic: String,
    pub format: Format,
    /// Of all devices here, where the topic has no `{kind}`. OwnTracks devices are trackers
    /// unless it says otherwise.
    #[serde(default)]
    pub kind: Option<DeviceKind>,
    /// The devices that may be spoken for here: ids, or beginnings of ids that end in `*`.
    /// Empty: all.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The brokers it holds for: client ids of collectors, or [`EMBEDDED`]. Empty: all.
    #[serde(default)]
    pub from: Vec<String>,
}

/// Why a [`Source`] cannot be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    Topic(#[from] InvalidTopic),
    #[error("`{topic}` also covers {own}, what datanaut says itself; name the devices' topics")]
    Own { topic: String, own: &'static str },
    #[error("`{topic}` also covers {insurers}, what insurers report on; name the devices' topics")]
    Insurers { topic: String, insurers: &'static str },
    #[error("`{0}` says nothing of the kind; write {{kind}} for its level, or set kind")]
    NoKind(String),
    #[error("`{0}` has {{kind}}; leave kind out")]
    TwoKinds(String),
    #[error("`{0}` names no {{device}}; owntracks messages do not name theirs either")]
    NoDevice(String),
    #[error("`{0}` has {{user}} without {{device}}, or in another format than owntracks")]
    User(String),
    #[error("`{0}` is listed twice; the second would never be used")]
    Twice(String),
    #[error("`{0}` is no device id, nor the beginning of one before a `*`")]
    Devices(String),
}

impl Source {
    /// The topics of docs/topics.md.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let source = |topic: &str, format| Self {
            topic: topic.to_owned(),
            format,
            kind: None,
            devices: Vec::new(),
            from: Vec::new(),
        };
        vec![
            source("telemetry/{kind}/{device}", Format::Native),
            source("owntracks/{user}/{device}", Format::OwnTracks),
            source("owntracks/{user}/{device}/+", Format::OwnTracks),
        ]
    }

    fn check(&self) -> Result<Mapping, SourceError> {
        let topic: Topic = self.topic.parse()?;
        let text = || self.topic.clone();
        for own in OWN_TOPICS {
            if own.parse().is_ok_and(|own| topic.overlaps(&own)) {
                return Err(SourceError::Own { topic: text(), own });
            }
        }
        for insurers in INSURERS_TOPICS {
            if insurers.parse().is_ok_and(|insurers| topic.overlaps(&insurers)) {
                return Err(SourceError::Insurers { topic: text(), insurers });
            }
        }
        let names = topic.names();
        if names.user && !(names.device && self.format == Format::OwnTracks) {
            return Err(SourceError::User(text()));
        }
        if !names.device && self.format == Format::OwnTracks {
            return Err(SourceError::NoDevice(text()));
        }
        let kind = match (names.kind, self.kind, self.format) {
            (true, Some(_), _) => return Err(SourceError::TwoKinds(text())),
            (true, None, _) => None,
            (false, None, Format::Native) => return Err(SourceError::NoKind(text())),
            (false, None, Format::OwnTracks) => Some(DeviceKind::Tracker),
            (false, kind, _) => kind,
        };
        let no_id = |pattern: &&String| !is_id(pattern.strip_suffix('*').unwrap_or(pattern));
        if let Some(pattern) = self.devices.iter().find(no_id) {
            return Err(SourceError::Devices(pattern.clone()));
        }
        let devices = self.devices.iter().map(|pattern| pattern.as_str().into()).collect();
        Ok(Mapping { topic, format: self.format, kind, devices })
    }
}

/// A checked [`Source`].
#[derive(Clone, Debug)]
struct Mapping {
    topic: Topic,
    format: Format,
    /// `None`: the topic says it.
    kind: Option<DeviceKind>,
    devices: Vec<Box<str>>,
}

struct Route<'a> {
    mapping: &'a Mapping,
    /// `None`: the payload names it.
    device: Option<Arc<str>>,
    kind: DeviceKind,
}

/// The sources of one broker; the first that fits a topic holds.
#[derive(Clone, Debug)]
pub struct Sources {
    mappings: Arc<[Mapping]>,
    /// Whether insurers report here: on the broker that triggers go out on.
    insurers: bool,
}

impl Default for Sources {
    /// [`Source::defaults`].
    fn default() -> Self {
        static DEFAULTS: LazyLock<Sources> = LazyLock::new(|| {
            let checked = Source::defaults().into_iter().filter_map(|source| source.check().ok());
            Sources { mappings: checked.collect(), insurers: false }
        });
        DEFAULTS.clone()
    }
}

impl Sources {
    /// Those of `list` that hold for the broker `name`.
    ///
    /// # Errors
    /// Names the first that cannot be used, by its place in the list.
    pub fn of(name: &str, list: &[Source]) -> Result<Self, (usize, SourceError)> {
        let mut mappings: Vec<Mapping> = Vec::new();
        for (at, source) in list.iter().enumerate() {
            let mapping = source.check().map_err(|error| (at, error))?;
            if !source.from.is_empty() && source.from.iter().all(|from| from != name) {
                continue;
            }
            if mappings.iter().any(|other| other.topic.filter() == mapping.topic.filter()) {
                return Err((at, SourceError::Twice(source.topic.clone())));
            }
            mappings.push(mapping);
        }
        Ok(Self { mappings: mappings.into(), insurers: false })
    }

    /// The same on a broker that insurers report on.
    #[must_use]
    pub fn with_insurers(self) -> Self {
        Self { insurers: true, ..self }
    }

    /// Whether no device is heard here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// What to subscribe to, as MQTT writes it.
    pub fn filters(&self) -> impl Iterator<Item = String> {
        let reports = if self.insurers { &INSURERS_TOPICS[..] } else { &[] };
        let devices = self.mappings.iter().map(|mapping| mapping.topic.filter());
        devices.chain(reports.iter().map(|filter| (*filter).to_owned()))
    }

    /// Decodes and validates a message of anybody, a device or an insurer.
    #[must_use]
    pub fn read(&self, topic: &str, payload: &Bytes, now_ms: i64) -> Message {
        match ReportKind::of_topic(topic) {
            Some((kind, insurer)) if self.insurers && is_id(insurer) => {
                Message::Insurer(formats::report::read(kind, insurer.into(), payload, now_ms))
            }
            _ => Message::Device(self.decode(topic, payload, now_ms)),
        }
    }

    /// Decodes and validates a device's message that arrived on `topic` at `now_ms`.
    ///
    /// A message without readings and without error (an OwnTracks type that carries none) decodes
    /// to no readings: it is acknowledged and counts nothing.
    ///
    /// # Errors
    /// When the message as a whole is unusable, which counts as one reading. A bad reading among
    /// others is an error among [`Decoded::readings`].
    pub fn decode(&self, topic: &str, payload: &Bytes, now_ms: i64) -> Outcome {
        let rejected = |reason, detail: String| Rejected { reason, detail, raw: payload.clone() };
        let Route { mapping, device, kind } = self
            .route(topic)
            .map_err(|(device, detail)| (device, rejected(Reason::UnknownTopic, detail)))?;
        let decoded = formats::read(mapping.format, device, kind, payload, now_ms)?;
        if !mapping.may_speak_for(&decoded.device) {
            let detail = format!("nobody on {topic} may speak for {}", decoded.device);
            return Err((Some(decoded.device), rejected(Reason::NotOwnTopic, detail)));
        }
        Ok(decoded)
    }

    /// The source of a topic that was published to, with what the topic says; else what is
    /// wrong with it, and the device when it names a usable one.
    fn route(&self, topic: &str) -> Result<Route<'_>, (Option<Arc<str>>, String)> {
        let found = self
            .mappings
            .iter()
            .find_map(|mapping| Some((mapping, mapping.topic.captures(topic)?)));
        let Some((mapping, captured)) = found else {
            return Err((None, "no device publishes on this topic".to_owned()));
        };
        let device = device_id(&captured).map_err(|detail| (None, detail))?;
        match mapping.kind.or_else(|| captured.kind.and_then(DeviceKind::from_name)) {
            Some(kind) => Ok(Route { mapping, device, kind }),
            None => {
                let kinds = "the kind is none of thermostat, car, tracker, product".to_owned();
                Err((device, kinds))
            }
        }
    }
}

impl Mapping {
    fn may_speak_for(&self, device: &str) -> bool {
        self.devices.is_empty()
            || self.devices.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(beginning) => device.starts_with(beginning),
                None => device == &**allowed,
            })
    }
}

/// `None`: the payload names it.
fn device_id(captured: &Captured) -> Result<Option<Arc<str>>, String> {
    match (captured.user, captured.device) {
        (Some(user), Some(device)) => of_user(user, device).map(Some),
        (_, Some(device)) if is_id(device) => Ok(Some(device.into())),
        (_, Some(_)) => {
            Err(format!("the device id is not 1 to {MAX_DEVICE_ID} of A-Z a-z 0-9 . _ : -"))
        }
        (_, None) => Ok(None),
    }
}

/// OwnTracks names are free text. `{user}-{device}` in lower case with '-' for blanks is the key
/// that its own recorder uses; other characters that an id may not have become '-' too.
fn of_user(user: &str, device: &str) -> Result<Arc<str>, String> {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':') => c,
        _ => '-',
    };
    let id: String = user.chars().chain(['-']).chain(device.chars()).map(plain).collect();
    if user.is_empty() || device.is_empty() || id.len() > MAX_DEVICE_ID {
        return Err(format!("user and device are not 1 to {} characters", MAX_DEVICE_ID - 1));
    }
    Ok(id.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Format, Outcome, Source, SourceError, Sources};
    use crate::{DeviceKind, Message, Reason};

    const NOW: i64 = 1_790_000_000_000;
    const READING: &str = r#"{"ts":1790000000,"speed_mps":1}"#;

    fn source(topic: &str) -> Source {
        let (kind, devices, from) = (Some(DeviceKind::Product), Vec::new(), Vec::new());
        Source { topic: topic.into(), format: Format::Native, kind, devices, from }
    }

    fn only(source: Source) -> Sources {
        Sources::of("plant", &[source]).unwrap()
    }

    fn decode(sources: &Sources, topic: &str, payload: &str) -> Outcome {
        sources.decode(topic, &Bytes::copy_from_slice(payload.as_bytes()), NOW)
    }

    /// The device and kind of a message by default.
    fn routed(topic: &str) -> Option<(String, DeviceKind)> {
        let payload = r#"{"_type":"lwt","ts":1790000000,"speed_mps":1}"#;
        let decoded = decode(&Sources::default(), topic, payload).ok()?;
        Some((decoded.device.to_string(), decoded.kind))
    }

    fn unknown(topic: &str) -> Option<String> {
        let (device, rejected) = decode(&Sources::default(), topic, READING).unwrap_err();
        assert_eq!(rejected.reason, Reason::UnknownTopic, "{topic}");
        device.map(|device| device.to_string())
    }

    #[test]
    fn a_native_topic_names_kind_and_device() {
        let routed = routed("telemetry/car/WVW:zz-1.2_3");
        assert_eq!(routed, Some(("WVW:zz-1.2_3".into(), DeviceKind::Car)));
    }

    #[test]
    fn owntracks_names_become_the_key_its_recorder_uses() {
        let tracker = |id: &str| Some((id.to_owned(), DeviceKind::Tracker));
        assert_eq!(routed("owntracks/Jane/iPhone 12 Pro"), tracker("jane-iphone-12-pro"));
        assert_eq!(routed("owntracks/jané/x+y/event"), tracker("jan--x-y"));
        assert_eq!(routed("owntracks/jane/phone/some/thing"), None);
        assert_eq!(routed("owntracks/jane"), None);
        assert_eq!(routed("owntracks//phone"), None);
        assert_eq!(routed(&format!("owntracks/{}/phone", "j".repeat(60))), None);
    }

    #[test]
    fn an_unknown_topic_still_names_the_device_where_it_can() {
        assert_eq!(unknown("telemetry/bicycle/b-1"), Some("b-1".into()));
        let too_long = format!("telemetry/car/{}", "x".repeat(65));
        for topic in ["telemetry/car/", "telemetry/car/a b", "telemetry/car", "x", "", &too_long] {
            assert_eq!(unknown(topic), None, "{topic}");
        }
    }

    #[test]
    fn the_defaults_are_subscribed_to_as_mqtt_writes_them() {
        let filters: Vec<_> = Sources::default().filters().collect();
        assert_eq!(filters, ["telemetry/+/+", "owntracks/+/+", "owntracks/+/+/+"]);
    }

    #[test]
    fn insurers_report_where_triggers_go_out_and_nowhere_else() {
        let (claim, here) = (Bytes::from_static(b"{}"), Sources::default().with_insurers());
        let filters: Vec<_> = here.filters().skip(3).collect();
        assert_eq!(filters, ["claims/+", "trips/+", "feedback/+"]);
        let read = |sources: &Sources, topic| sources.read(topic, &claim, NOW);
        let Message::Insurer(said) = read(&here, "claims/acme") else { panic!("a claim") };
        assert_eq!((&*said.insurer, said.report.unwrap_err().reason), ("acme", Reason::Incomplete));
        for (sources, topic) in
            [(&here, "claims/a b"), (&here, "claims"), (&Sources::default(), "claims/acme")]
        {
            assert_eq!(read(sources, topic).rejected().unwrap().reason, Reason::UnknownTopic);
        }
        let source = Source { topic: "claims/{device}".into(), ..source("x/{device}") };
        let error = Sources::of("plant", &[source]).unwrap_err().1;
        assert!(matches!(error, SourceError::Insurers { .. }), "{error}");
    }

    #[test]
    fn a_gateway_names_the_device_in_the_payload() {
        let gateway = only(source("gateways/+/up"));
        let sent = |payload| decode(&gateway, "gateways/g1/up", payload);
        let one = r#"{"device":"pump-1","ts":1790000000,"running":true}"#;
        let decoded = sent(one).unwrap();
        assert_eq!((&*decoded.device, decoded.kind), ("pump-1", DeviceKind::Product));
        assert!(decoded.readings[0].is_ok());

        let (device, rejected) = sent(READING).unwrap_err();
        assert_eq!((device, rejected.reason), (None, Reason::UnknownTopic));
        assert_eq!(sent(r#"{"device":"a b","ts":1}"#).unwrap_err().1.reason, Reason::UnknownTopic);

        let mixed =
            sent(&format!("[{one},{READING},{}]", one.replace("pump-1", "pump-2"))).unwrap();
        assert_eq!(&*mixed.device, "pump-1");
        let reasons: Vec<_> =
            mixed.readings.into_iter().map(|reading| reading.err().map(|r| r.reason)).collect();
        assert_eq!(reasons, [None, Some(Reason::NotOwnTopic), Some(Reason::NotOwnTopic)]);
    }

    #[test]
    fn a_source_speaks_for_its_own_devices_only() {
        let devices = vec!["acme-*".into(), "pump-1".into()];
        let acme = only(Source { devices, ..source("acme/{device}") });
        for (device, allowed) in
            [("acme-7", true), ("pump-1", true), ("pump-12", false), ("acm", false)]
        {
            let decoded = decode(&acme, &format!("acme/{device}"), READING);
            match decoded {
                Ok(_) => assert!(allowed, "{device}"),
                Err((whose, rejected)) => {
                    assert!(!allowed, "{device}");
                    assert_eq!(whose.as_deref(), Some(device));
                    assert_eq!(rejected.reason, Reason::NotOwnTopic);
                }
            }
        }
    }

    #[test]
    fn a_source_holds_for_the_brokers_it_names() {
        let there = Source { from: vec!["plant".into()], ..source("a/{device}") };
        let everywhere = source("b/{device}");
        let list = [there, everywhere];
        let filters = |name| Sources::of(name, &list).unwrap().filters().collect::<Vec<_>>();
        assert_eq!(filters("plant"), ["a/+", "b/+"]);
        assert_eq!(filters("embedded"), ["b/+"]);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let error = |source: Source| Sources::of("plant", &[source]).unwrap_err().1;
        for topic in ["#", "+/#", "+/+", "triggers/acme/#", "errors/{device}", "{device}/#"] {
            assert!(matches!(error(source(topic)), SourceError::Own { .. }), "{topic}");
        }
        let no_kind = Source { kind: None, ..source("a/{device}") };
        assert!(matches!(error(no_kind), SourceError::NoKind(_)));
        assert!(matches!(error(source("a/{kind}/{device}")), SourceError::TwoKinds(_)));
        assert!(matches!(error(source("a/{user}/{device}")), SourceError::User(_)));
        let owntracks = |topic| Source { format: Format::OwnTracks, ..source(topic) };
        assert!(matches!(error(owntracks("a/+")), SourceError::NoDevice(_)));
        assert!(matches!(error(owntracks("a/{user}")), SourceError::User(_)));
        let devices = Source { devices: vec!["a b*".into()], ..source("a/{device}") };
        assert!(matches!(error(devices), SourceError::Devices(_)));
        let twice = [source("a/{device}"), source("a/+")];
        let error = Sources::of("plant", &twice).unwrap_err();
        assert_eq!(error, (1, SourceError::Twice("a/+".into())));
    }
}
