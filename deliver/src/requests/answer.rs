//! What is asked, and what is answered.

use bytes::Bytes;
use enrich::privacy::Content;
use enrich::trigger::CloudEvent;
use journal::{ReadError, Reader};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde::Serialize;

use super::question::{Question, Refused, addressed};

/// The triggers in an answer together: half of the largest packet of the embedded broker.
const MOST_BYTES: usize = 512 << 10;

/// A request, as far as its packet says what it is.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) insurer: String,
    pub(super) reply_to: String,
    pub(super) correlation: Option<Bytes>,
    pub(super) question: Bytes,
}

impl Asked {
    /// `None` when the answer would go where others could read it, or nowhere.
    pub(super) fn read(publish: &Publish) -> Option<Self> {
        let topic = std::str::from_utf8(&publish.topic).ok()?;
        let properties = publish.properties.as_ref();
        let response_topic = properties.and_then(|properties| properties.response_topic.as_deref());
        let (insurer, reply_to) = addressed(topic, response_topic)?;
        Some(Self {
            insurer,
            reply_to,
            correlation: properties.and_then(|properties| properties.correlation_data.clone()),
            question: publish.payload.clone(),
        })
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    insurer: &'a str,
    product: &'a str,
    after: i64,
    /// The messages as they went out, in the order of their sequence numbers.
    triggers: Vec<CloudEvent<Content>>,
    /// Whether there are more behind these.
    more: bool,
    /// The highest sequence number given so far.
    newest: i64,
}

/// The answer to a question, in JSON.
pub(super) fn answer(reader: &Reader, insurer: &str, question: &[u8]) -> Result<Vec<u8>, Refused> {
    let question = Question::read(question)?;
    page(reader, insurer, &question).map_err(|error| {
        tracing::warn!(%error, "a request for triggers could not be answered");
        Refused::Unavailable
    })
}

fn page(reader: &Reader, insurer: &str, question: &Question) -> Result<Vec<u8>, ReadError> {
    let Question { product, after, limit } = *question;
    let product = product.name();
    // First what is newest: then nothing that is counted is missing behind the rows.
    let newest = reader.newest_sequence(insurer, product)?;
    let rows = reader.triggers_after(insurer, product, after, limit + 1)?;
    let found = rows.len();
    let mut bytes = 0;
    let fits = |event: &CloudEvent<Content>| {
        bytes += serde_json::to_vec(event).map_or(0, |json| json.len());
        bytes <= MOST_BYTES
    };
    let triggers: Vec<_> =
        rows.into_iter().take(limit).map(|row| row.body).take_while(fits).collect();
    let more = found > triggers.len();
    let answer = Answer { insurer, product, after, triggers, more, newest };
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

/// What is wrong, in JSON.
pub(super) fn refusal(refused: &Refused) -> Vec<u8> {
    #[derive(Serialize)]
    struct Refusal {
        error: String,
        advice: String,
    }

    let refusal = Refusal { error: refused.error(), advice: refused.advice() };
    serde_json::to_vec(&refusal).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

    use super::super::question::{Question, Refused};
    use super::{Asked, refusal};
    use enrich::registry::Product;

    fn read(topic: &str, response_topic: Option<&str>) -> Option<Asked> {
        let properties = PublishProperties {
            response_topic: response_topic.map(str::to_owned),
            correlation_data: Some(Bytes::from_static(b"7")),
            ..PublishProperties::default()
        };
        let publish = Publish::new(topic, QoS::AtLeastOnce, "{}", Some(properties));
        Asked::read(&publish)
    }

    #[test]
    fn an_answer_goes_below_the_insurers_own_replies_and_nowhere_else() {
        let topic = "requests/alpina/triggers";
        let asked = read(topic, Some("replies/alpina/desk/4")).unwrap();
        assert_eq!((&*asked.insurer, &*asked.reply_to), ("alpina", "replies/alpina/desk/4"));
        assert_eq!(asked.correlation.as_deref(), Some(&b"7"[..]));
        assert_eq!(read(topic, None).unwrap().reply_to, "replies/alpina/triggers");
        for elsewhere in [
            "replies/boreal/x",
            "replies/alpina",
            "replies/alpina2/x",
            "telemetry/car/car-01",
            "triggers/alpina/travel/x",
            "replies/alpina/+",
            "",
        ] {
            assert_eq!(read(topic, Some(elsewhere)), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_question_that_has_no_answer_says_why_and_by_which_name_it_is_counted() {
        let question = Question::read(br#"{"product":"home"}"#).unwrap();
        assert_eq!(question, Question { product: Product::Home, after: 0, limit: 50 });
        for (payload, name, part) in [
            ("no question", "unreadable", "expected"),
            (r#"{"after":1}"#, "unreadable", "missing field `product`"),
            (r#"{"product":"travel","since":1}"#, "unreadable", "unknown field `since`"),
            (r#"{"product":"cars"}"#, "unknown_product", "there is no product"),
            (r#"{"product":"travel","limit":0}"#, "bad_limit", "1 to 200"),
        ] {
            let refused = Question::read(payload.as_bytes()).unwrap_err();
            assert_eq!(refused.name(), name, "{payload}");
            assert!(Refused::NAMES.contains(&name));
            let said = String::from_utf8(refusal(&refused)).unwrap();
            assert!(said.contains(part) && said.contains("advice"), "{payload}: {said}");
        }
        let long = format!(r#"{{"product":"{}"}}"#, "é".repeat(10_000));
        let refused = Question::read(long.as_bytes()).unwrap_err();
        assert!(refused.error().len() < 100 && refused.advice().contains("travel, winter_tyres"));
    }
}
