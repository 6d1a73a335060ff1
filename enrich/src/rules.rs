//! Rules decide which event becomes a trigger, and for whom.
//!
//! A rule is a TOML file; the ones that ship are in `enrich/rules`. A rule answers an event with a
//! [`Firing`] for every policy it concerns.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::registry::{Policy, Product, Registry};
use crate::{BorderCrossed, Country, Event, Happening};

const SHIPPED: &[&str] = &[include_str!("../rules/travel-offer.toml")];

/// A rule file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub version: u32,
    /// The event it answers, by [`Happening::name`].
    on: String,
    /// Whose policies, and the consent it takes.
    pub product: Product,
    pub purpose: Product,
    /// How long after the event the trigger is of use.
    valid_for: SignedDuration,
    pub value: Value,
    offer: Offers,
}

/// What the offer may be worth to the customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    pub amount: f64,
    pub currency: String,
    pub per: String,
}

/// A text in the languages we speak; `{from}` and `{to}` stand for the countries' names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub en: String,
    pub nl: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offers {
    cover: Text,
    covered: Text,
    home: Text,
}

/// What a traveller can be offered on entering a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    Cover,
    Covered,
    Home,
}

/// A rule that held: what is to be told to the insurer of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing<'a> {
    pub rule: &'a Rule,
    pub policy: &'a Policy,
    pub offer: Offer,
    pub explanation: Text,
    /// After this moment it is of no use.
    pub expires_ms: i64,
}

/// A rule file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("the rule is not as expected: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("rule \"{rule}\" is on \"{on}\", but there is no such event: write border_crossed")]
    UnknownEvent { rule: String, on: String },
    #[error(
        "rule \"{rule}\" has the placeholder {{{name}}}, but an offer knows only {{from}} and {{to}}"
    )]
    UnknownPlaceholder { rule: String, name: String },
    #[error(
        "rule \"{rule}\" is valid for no time at all: give valid_for a positive duration, as in \"12h\""
    )]
    NeverValid { rule: String },
}

impl Rule {
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let rule: Self = toml::from_str(text)?;
        let id = || rule.id.clone();
        if rule.on != "border_crossed" {
            return Err(RuleError::UnknownEvent { rule: id(), on: rule.on.clone() });
        }
        if !rule.valid_for.is_positive() {
            return Err(RuleError::NeverValid { rule: id() });
        }
        let Offers { cover, covered, home } = &rule.offer;
        for text in [cover, covered, home] {
            for name in placeholders(&text.en).chain(placeholders(&text.nl)) {
                if !["from", "to"].contains(&name) {
                    return Err(RuleError::UnknownPlaceholder {
                        rule: id(),
                        name: name.to_owned(),
                    });
                }
            }
        }
        Ok(rule)
    }

    /// The rules that ship with Datanaut.
    pub fn shipped() -> Result<Vec<Self>, RuleError> {
        SHIPPED.iter().map(|text| Self::parse(text)).collect()
    }

    /// What this rule makes of an event that happened to a customer: a firing for each policy it
    /// concerns and whose insurer has the customer's consent.
    pub fn answer<'a>(
        &'a self,
        event: &Event,
        customer: u32,
        registry: &'a Registry,
        now_ms: i64,
    ) -> Vec<Firing<'a>> {
        if self.on != event.happening.name() {
            return Vec::new();
        }
        let Happening::BorderCrossed(crossed) = &event.happening;
        registry
            .policies(customer, self.product, event.time_ms)
            .filter(|policy| {
                registry.may_tell(customer, &policy.insurer, self.purpose, event.time_ms, now_ms)
            })
            .map(|policy| {
                let offer = offer(policy, crossed);
                Firing {
                    rule: self,
                    policy,
                    offer,
                    explanation: self.offer.text(offer).about(crossed),
                    expires_ms: event.time_ms.saturating_add(self.valid_for.as_millis() as i64),
                }
            })
            .collect()
    }
}

impl Offers {
    fn text(&self, offer: Offer) -> &Text {
        match offer {
            Offer::Cover => &self.cover,
            Offer::Covered => &self.covered,
            Offer::Home => &self.home,
        }
    }
}

impl Text {
    fn about(&self, crossed: &BorderCrossed) -> Self {
        let fill = |text: &str, language| {
            let name = |country: &Country| country.name(language).to_owned();
            text.replace("{from}", &name(&crossed.from)).replace("{to}", &name(&crossed.to))
        };
        Self { en: fill(&self.en, "en"), nl: fill(&self.nl, "nl") }
    }
}

fn offer(policy: &Policy, crossed: &BorderCrossed) -> Offer {
    match () {
        () if policy.home == Some(crossed.to) => Offer::Home,
        () if policy.covers.contains(&crossed.to) => Offer::Covered,
        () => Offer::Cover,
    }
}

fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::{Offer, Rule};
    use crate::registry::{Registry, RegistryFile};
    use crate::{BorderCrossed, Cause, Country, Event, Happening};

    const SHIPPED: &str = include_str!("../rules/travel-offer.toml");

    fn registry() -> Registry {
        let text = r#"
            [[insurer]]
            id = "alpina"
            name = "Alpina"
            [[insurer]]
            id = "boreal"
            name = "Boreal"
            [[customer]]
            id = "anna"
            name = "Anna"
            [[policy]]
            id = "P-1"
            insurer = "alpina"
            customer = "anna"
            product = "travel"
            from = "2026-01-01T00:00:00Z"
            to = "2026-07-01T00:00:00Z"
            home = "NL"
            covers = ["DE"]
            [[policy]]
            id = "P-2"
            insurer = "boreal"
            customer = "anna"
            product = "travel"
            from = "2026-01-01T00:00:00Z"
            home = "NL"
            [[consent]]
            customer = "anna"
            insurer = "alpina"
            purpose = "travel"
            given = "2026-01-01T00:00:00Z"
            wording = "travel-1"
        "#;
        let mut registry = Registry::default();
        RegistryFile::parse(text).unwrap().into_iter().for_each(|entry| registry.apply(entry));
        registry
    }

    fn ms(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn crossing(from: &str, to: &str, time: &str) -> Event {
        let time_ms = ms(time);
        Event {
            time_ms,
            known_ms: time_ms,
            cause: Cause { time_ms, seq: None, content: 0 },
            happening: Happening::BorderCrossed(BorderCrossed {
                from: Country::new(from).unwrap(),
                to: Country::new(to).unwrap(),
                after_ms: time_ms,
                before_ms: time_ms,
                lat: 51.0,
                lon: 6.0,
            }),
        }
    }

    #[track_caller]
    fn check(from: &str, to: &str, expect: Offer, words: &str) {
        let (rule, registry) = (Rule::parse(SHIPPED).unwrap(), registry());
        let event = crossing(from, to, "2026-03-01T12:00:00Z");
        let firings = rule.answer(&event, 0, &registry, event.time_ms);
        let [firing] = firings.as_slice() else { panic!("{firings:?}") };
        assert_eq!((firing.offer, &*firing.policy.insurer), (expect, "alpina"));
        assert!(firing.explanation.nl.contains(words), "{}", firing.explanation.nl);
        assert_eq!(firing.expires_ms, event.time_ms + 12 * 3_600_000);
    }

    #[test]
    fn the_offer_follows_the_policy_and_only_a_consented_insurer_hears() {
        check("DE", "PL", Offer::Cover, "van Duitsland in Polen");
        check("NL", "DE", Offer::Covered, "geldt daar");
        check("DE", "NL", Offer::Home, "terug in Nederland");
    }

    #[test]
    fn a_policy_that_has_ended_gets_nothing() {
        let (rule, registry) = (Rule::parse(SHIPPED).unwrap(), registry());
        let event = crossing("NL", "DE", "2026-08-01T12:00:00Z");
        assert_eq!(rule.answer(&event, 0, &registry, event.time_ms), []);
    }

    #[test]
    fn a_wrong_rule_is_refused_by_name() {
        let refused =
            |from: &str, to: &str| Rule::parse(&SHIPPED.replace(from, to)).unwrap_err().to_string();
        assert!(refused("{from}", "{form}").contains("{form}"));
        assert!(refused("\"border_crossed\"", "\"border_seen\"").contains("border_seen"));
        assert!(refused("\"12h\"", "\"0s\"").contains("valid_for"));
        assert!(refused("version = 1", "verison = 1").contains("verison"));
    }
}
