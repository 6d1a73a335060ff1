//! The texts of rules, in the languages we speak.

use serde::{Deserialize, Serialize};

use super::moment::{Moment, Schema};

/// A text in the languages we speak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub en: String,
    pub nl: String,
}

/// A text with `{event.to}` and the like in it.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Fact(String),
}

impl Template {
    /// # Errors
    /// Says what is wrong: a placeholder that nothing stands behind, or one that does not end.
    pub(crate) fn parse(text: &str, schema: &Schema) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return Err("a placeholder begins with { and does not end: write }".to_owned());
            };
            if schema.type_of(name).is_none() {
                return Err(schema.unknown(name));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Fact(name.to_owned()));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// What is missing is called so.
    pub(crate) fn fill(&self, moment: &Moment<'_>, language: &str) -> String {
        let missing = if language == "nl" { "onbekend" } else { "unknown" };
        let words = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Fact(name) => {
                moment.fact(name).map_or_else(|| missing.to_owned(), |fact| fact.words(language))
            }
        };
        self.0.iter().map(words).collect()
    }
}
