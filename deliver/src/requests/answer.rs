//! What is asked, and what is answered.

use bytes::Bytes;
use enrich::privacy::Content;
use enrich::trigger::CloudEvent;
use journal::{ReadError, Reader};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde::{Deserialize, Serialize};

const USUAL: usize = 50;
const MOST: usize = 200;

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
        let insurer = topic.strip_prefix("requests/")?.strip_suffix("/triggers")?;
        let own = format!("replies/{insurer}/");
        let properties = publish.properties.as_ref();
        let reply_to = match properties.and_then(|properties| properties.response_topic.clone()) {
            Some(asked) => asked,
            // MQTT 3.1.1 has no response topic.
            None => format!("{own}triggers"),
        };
        let usable = |c: char| !matches!(c, '+' | '#') && !c.is_control();
        (reply_to.starts_with(&own) && reply_to.chars().all(usable)).then(|| Self {
            insurer: insurer.to_owned(),
            reply_to,
            correlation: properties.and_then(|properties| properties.correlation_data.clone()),
            question: publish.payload.clone(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    product: String,
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
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

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
    advice: &'a str,
}

/// The answer to a question, in JSON.
pub(super) fn answer(reader: &Reader, insurer: &str, question: &[u8]) -> Vec<u8> {
    let question: Question = match serde_json::from_slice(question) {
        Ok(question) => question,
        Err(error) => {
            return refusal(
                &error.to_string(),
                "send {\"product\": …, \"after\": …, \"limit\": …}",
            );
        }
    };
    let limit = question.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return refusal(&format!("limit is {limit}"), &format!("ask for 1 to {MOST} at a time"));
    }
    match page(reader, insurer, &question, limit) {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a request for triggers could not be answered");
            refusal("the journal could not be read", "ask again")
        }
    }
}

fn page(
    reader: &Reader,
    insurer: &str,
    question: &Question,
    limit: usize,
) -> Result<Vec<u8>, ReadError> {
    let Question { product, after, .. } = question;
    // First what is newest: then nothing that is counted is missing behind the rows.
    let newest = reader.newest_sequence(insurer, product)?;
    let rows = reader.triggers_after(insurer, product, *after, limit + 1)?;
    let found = rows.len();
    let mut bytes = 0;
    let fits = |event: &CloudEvent<Content>| {
        bytes += serde_json::to_vec(event).map_or(0, |json| json.len());
        bytes <= MOST_BYTES
    };
    let triggers: Vec<_> =
        rows.into_iter().take(limit).map(|row| row.body).take_while(fits).collect();
    let more = found > triggers.len();
    let answer = Answer { insurer, product, after: *after, triggers, more, newest };
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

fn refusal(error: &str, advice: &str) -> Vec<u8> {
    serde_json::to_vec(&Refusal { error, advice }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

    use super::Asked;

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
}
