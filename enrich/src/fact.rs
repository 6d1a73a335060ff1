//! What rules can ask about, and texts can say: typed values with names.

use std::borrow::Cow;

use crate::Country;

/// What a fact's values look like, for checking a rule before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Number,
    Flag,
    Text,
    /// A list of texts.
    Texts,
}

impl Type {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
        }
    }
}

/// A name and the type of what stands under it.
pub type Field = (&'static str, Type);

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<'a> {
    Number(f64),
    Flag(bool),
    Text(Cow<'a, str>),
    /// A text that differs by language; to conditions it is the English one.
    Words {
        en: &'a str,
        nl: &'a str,
    },
    /// A text to conditions (its code), a name to people.
    Country(Country),
    Countries(&'a [Country]),
}

impl Fact<'_> {
    /// As programs read it: countries by their codes.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Text(text) => (&**text).into(),
            Self::Words { en, .. } => (*en).into(),
            Self::Country(country) => country.code().into(),
            Self::Countries(countries) => {
                countries.iter().map(|country| country.code()).collect::<Vec<_>>().into()
            }
        }
    }

    /// As people read it in `language` (`nl`, otherwise English).
    #[must_use]
    pub fn words(&self, language: &str) -> String {
        match self {
            Self::Number(number) => {
                let text = format!("{:.1}", number);
                let text = text.strip_suffix(".0").unwrap_or(&text);
                if language == "nl" { text.replace('.', ",") } else { text.to_owned() }
            }
            Self::Flag(flag) => {
                let word = match (*flag, language) {
                    (true, "nl") => "ja",
                    (false, "nl") => "nee",
                    (true, _) => "yes",
                    (false, _) => "no",
                };
                word.to_owned()
            }
            Self::Text(text) => text.clone().into_owned(),
            Self::Words { en, nl } => (if language == "nl" { *nl } else { *en }).to_owned(),
            Self::Country(country) => country.name(language).to_owned(),
            Self::Countries(countries) => {
                let names: Vec<&str> =
                    countries.iter().map(|country| country.name(language)).collect();
                names.join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Country, Fact};

    #[test]
    fn people_read_facts_in_their_language() {
        let number = Fact::Number(2.46);
        assert_eq!((number.words("en"), number.words("nl")), ("2.5".into(), "2,5".into()));
        assert_eq!(Fact::Number(4.0).words("en"), "4");
        assert_eq!(Fact::Country(Country::new("DE").unwrap()).words("nl"), "Duitsland");
    }
}
