//! A message about nobody, to try the way that triggers go.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::Text;
use crate::trigger::{CloudEvent, SOURCE};

/// The CloudEvent's `type`.
pub const TEST: &str = "io.datanaut.trigger.test";

/// In the place of a pseudonym, which is longer.
pub const NOBODY: &str = "test";

/// The version of the shape of [`TestData`].
const DATASCHEMA: &str = "urn:datanaut:schema:test:1";

/// Nothing but that it is a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestData {
    pub test: bool,
    pub product: String,
    pub explanation: Text,
}

impl CloudEvent<TestData> {
    /// A test on the topic of a product.
    #[must_use]
    pub fn test(id: String, time: Timestamp, sequence: String, product: &str) -> Self {
        let explanation = Text {
            en: "This is a test: it is about nobody, and nothing happened.".to_owned(),
            nl: "Dit is een test: het gaat over niemand, en er is niets gebeurd.".to_owned(),
        };
        Self {
            specversion: "1.0".to_owned(),
            id,
            source: SOURCE.to_owned(),
            kind: TEST.to_owned(),
            subject: NOBODY.to_owned(),
            time,
            datacontenttype: "application/json".to_owned(),
            dataschema: DATASCHEMA.to_owned(),
            sequence,
            revision: 0,
            data: TestData { test: true, product: product.to_owned(), explanation },
        }
    }
}
