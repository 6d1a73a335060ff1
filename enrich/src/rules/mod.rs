//! Rules decide which event becomes a trigger, and for whom.
//!
//! A rule is a TOML file ([`file`]) with CEL conditions ([`condition`]) over what is known around
//! an event ([`moment`]) and [`text`]s; the ones that ship are in `enrich/rules`. A [`RuleSet`] is
//! checked and compiled as a whole, and answers an event with a [`Firing`] for every policy it
//! concerns. docs/rules.md says it all.

mod condition;
mod file;
mod moment;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use self::condition::Condition;
pub use self::file::RuleError;
pub use self::moment::Occasion;
use self::moment::{Around, Moment};
use self::text::Template;
pub use self::text::Text;
use crate::registry::{Customer, Policy, Product};
use crate::relevance::Relevance;
use crate::trigger::sha256_hex;
use crate::weather::Joined;

/// The files in `enrich/rules`, by name: the rules that ship with Datanaut.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// A rule, ready to be asked.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub version: u32,
    /// The event it answers, by name.
    pub on: String,
    /// Whose policies, and the consent it takes.
    pub product: Product,
    pub purpose: Product,
    pub sort: Sort,
    /// Which of several is heard when a customer may hear one more: 0 to 255, higher first.
    pub priority: u8,
    /// How long the same customer hears nothing more by this rule.
    pub cooldown_ms: Option<i64>,
    pub quiet: Quiet,
    /// How long after the event the trigger is of use.
    pub valid_for_ms: i64,
    /// What it may be worth to the customer.
    pub value: Option<Value>,
    when: Option<Condition>,
    /// What is said: the first whose condition holds.
    offers: Vec<Offering>,
    /// What is said with it: all whose condition holds.
    also: Vec<Also>,
    /// What the insurer is told of by name.
    facts: Vec<String>,
    /// The file it was read from.
    pub source: String,
}

/// What a trigger wants of the customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Wants to sell: counts for caps, and is not made to who is dissatisfied.
    #[default]
    Offer,
    /// Wants to help: counts for caps.
    Advice,
    /// Has to be said: neither capped nor kept quiet.
    Notice,
}

/// What the customer's quiet hours do to a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// It is said when they end, if it is still of use then.
    #[default]
    Wait,
    /// It is not said.
    Drop,
    /// It is said all the same.
    Ignore,
}

#[derive(Clone, Debug)]
struct Offering {
    kind: String,
    sort: Sort,
    when: Option<Condition>,
    en: Template,
    nl: Template,
}

#[derive(Clone, Debug)]
struct Also {
    said: Offering,
    /// The kinds of offer it goes with; empty: all.
    with: Vec<String>,
}

/// What an offer may be worth to the customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    pub amount: f64,
    pub currency: String,
    pub per: String,
}

/// A rule that held: what is to be told to the insurer of one policy.
#[derive(Clone, Debug)]
pub struct Firing<'a> {
    pub rule: &'a Rule,
    pub policy: &'a Policy,
    /// The kind of offer or advice, as the rule names it.
    pub offer: &'a str,
    /// What it wants of the customer.
    pub sort: Sort,
    /// What else it says, by kind.
    pub also: Vec<&'a str>,
    /// What the rule tells the insurer by name; what is missing is null.
    pub facts: BTreeMap<&'a str, serde_json::Value>,
    pub explanation: Text,
    /// After this moment it is of no use.
    pub expires_ms: i64,
}

/// A rule that could not be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault<'a> {
    pub rule: &'a str,
    pub what: String,
}

/// What the rules make of an occasion.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    pub firings: Vec<Firing<'a>>,
    pub faults: Vec<Fault<'a>>,
    /// The weather at the event's place and time, looked up when something fired.
    pub weather: Option<Joined>,
}

/// All rules that are in force, found by the event they are on.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    by_event: HashMap<String, Vec<usize>>,
    name: String,
    /// How much of what the rules say anybody hears.
    pub relevance: Relevance,
}

impl RuleSet {
    /// The rules that ship with Datanaut.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn shipped() -> Result<Self, Vec<RuleError>> {
        Self::with(&[])
    }

    /// The rules that ship, and those of `files` (name and text). One with the id of a rule that
    /// ships stands in its place.
    ///
    /// # Errors
    /// Everything that is wrong, file by file: a set is used as a whole or not at all.
    pub fn with(files: &[(String, String)]) -> Result<Self, Vec<RuleError>> {
        let shipped = SHIPPED.iter().map(|(name, text)| (*name, *text));
        let mut rules: BTreeMap<String, Option<Rule>> = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, text) in shipped {
            match file::parse(name, text) {
                Ok((id, rule)) => drop(rules.insert(id, rule)),
                Err(error) => errors.push(error),
            }
        }
        let mut own: HashMap<String, &str> = HashMap::new();
        for (name, text) in files {
            match file::parse(name, text) {
                Ok((id, rule)) => match own.insert(id.clone(), name) {
                    None => drop(rules.insert(id, rule)),
                    Some(first) => errors.push(RuleError {
                        file: name.clone(),
                        line: 1,
                        column: 1,
                        what: format!(
                            "the rule \"{id}\" is in {first} already: give it another id"
                        ),
                    }),
                },
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self::of(rules.into_values().flatten().collect()))
    }

    /// One rule by itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn alone(name: &str, text: &str) -> Result<Self, RuleError> {
        let (_, rule) = file::parse(name, text)?;
        Ok(Self::of(rule.into_iter().collect()))
    }

    /// The rules of a set that was in force, from their texts.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be used any more.
    pub fn of_texts(texts: &[String]) -> Result<Self, RuleError> {
        let rules = texts.iter().map(|text| Ok(file::parse("recorded", text)?.1));
        Ok(Self::of(rules.collect::<Result<Vec<_>, RuleError>>()?.into_iter().flatten().collect()))
    }

    /// The same with a rule in the place of the one with its id, if there is one.
    #[must_use]
    pub fn with_rule(self, rule: Rule) -> Self {
        let relevance = self.relevance;
        let others = self.rules.into_iter().filter(|other| other.id != rule.id);
        let rules = others.chain([rule.clone()]).collect();
        Self { relevance, ..Self::of(rules) }
    }

    fn of(mut rules: Vec<Rule>) -> Self {
        // When somebody may hear one thing more, the first is heard.
        rules.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
        let mut by_event: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            by_event.entry(rule.on.clone()).or_default().push(at);
        }
        let sources: Vec<&str> = rules.iter().map(|rule| rule.source.as_str()).collect();
        let name = sha256_hex(sources.join("\0").as_bytes())[..16].to_owned();
        Self { rules, by_event, name, relevance: Relevance::default() }
    }

    /// What this set is called in the record of what was computed with it: it changes with any of
    /// the rules' texts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether some rule is on that event, and so the reading that caused it is wanted: rules ask
    /// about it, and the weather is that of its height.
    #[must_use]
    pub fn asks_reading(&self, event: &str) -> bool {
        self.by_event.contains_key(event)
    }

    /// Whether somebody might still hear of an occasion in time, whatever the conditions find.
    #[must_use]
    pub fn concern(&self, occasion: &Occasion<'_>) -> bool {
        let Occasion { event, registry, customer, now_ms, .. } = *occasion;
        let on = self.by_event.get(event.happening.name()).into_iter().flatten();
        on.map(|at| &self.rules[*at]).any(|rule| {
            event.time_ms.saturating_add(rule.valid_for_ms) >= now_ms
                && registry.policies(customer, rule.product, event.time_ms).any(|policy| {
                    let (insurer, purpose) = (&policy.insurer, rule.purpose);
                    registry.may_tell(customer, insurer, purpose, event.time_ms, now_ms)
                })
        })
    }

    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// What the rules make of an occasion: a firing for each policy that a rule concerns and whose
    /// insurer has the customer's consent.
    #[must_use]
    pub fn answer<'a>(&'a self, occasion: &Occasion<'a>) -> Answer<'a> {
        let mut answer = Answer::default();
        let Some(customer) = occasion.registry.customer(occasion.customer) else {
            return answer;
        };
        let around = Around::default();
        for at in self.by_event.get(occasion.event.happening.name()).into_iter().flatten() {
            self.rules[*at].answer(occasion, &around, customer, &mut answer);
        }
        if !answer.firings.is_empty() {
            answer.weather = around.weather(occasion).cloned();
        }
        answer
    }
}

impl Rule {
    fn answer<'a>(
        &'a self,
        occasion: &Occasion<'a>,
        around: &Around,
        customer: &'a Customer,
        answer: &mut Answer<'a>,
    ) {
        let Occasion { event, registry, .. } = *occasion;
        for policy in registry.policies(occasion.customer, self.product, event.time_ms) {
            let told = registry.may_tell(
                occasion.customer,
                &policy.insurer,
                self.purpose,
                event.time_ms,
                occasion.now_ms,
            );
            if !told {
                continue;
            }
            let moment = Moment { occasion, around, customer, policy };
            match self.offering(&moment) {
                Ok(None) => {}
                Ok(Some((offering, also))) => answer.firings.push(Firing {
                    rule: self,
                    policy,
                    offer: &offering.kind,
                    sort: offering.sort,
                    also: also.iter().map(|also| also.kind.as_str()).collect(),
                    facts: self.told(&moment),
                    explanation: Text {
                        en: offering.words(&also, &moment, "en"),
                        nl: offering.words(&also, &moment, "nl"),
                    },
                    expires_ms: event.time_ms.saturating_add(self.valid_for_ms),
                }),
                Err(what) => answer.faults.push(Fault { rule: &self.id, what }),
            }
        }
    }

    /// What is to be said, if anything.
    fn offering(&self, moment: &Moment<'_>) -> Result<Option<(&Offering, Vec<&Offering>)>, String> {
        let holds = |when: &Option<Condition>| match when {
            None => Ok(true),
            Some(condition) => condition.holds(moment),
        };
        if !holds(&self.when)? {
            return Ok(None);
        }
        let mut refused = None;
        for offering in &self.offers {
            if !holds(&offering.when)? {
                continue;
            }
            if offering.sort == Sort::Offer && moment.refuses_offers() {
                refused = refused.or(Some(offering));
                continue;
            }
            return Ok(Some((offering, self.also(offering, moment)?)));
        }
        // Where there is nothing else to say, what is not said is an offer.
        Ok(refused.map(|offering| (offering, Vec::new())))
    }

    fn also(&self, offering: &Offering, moment: &Moment<'_>) -> Result<Vec<&Offering>, String> {
        let mut also = Vec::new();
        for Also { said, with } in &self.also {
            let goes = with.is_empty() || with.contains(&offering.kind);
            let refused = said.sort == Sort::Offer && moment.refuses_offers();
            if !goes || refused {
                continue;
            }
            let holds = said.when.as_ref().map_or(Ok(true), |when| when.holds(moment))?;
            also.extend(holds.then_some(said));
        }
        Ok(also)
    }

    fn told(&self, moment: &Moment<'_>) -> BTreeMap<&str, serde_json::Value> {
        let told = |name| moment.fact(name).map_or(serde_json::Value::Null, |fact| fact.json());
        self.facts.iter().map(|name| (name.as_str(), told(name))).collect()
    }
}

impl Offering {
    fn words(&self, also: &[&Self], moment: &Moment<'_>, language: &str) -> String {
        let said = std::iter::once(&self).chain(also);
        let words = said.map(|offering| match language {
            "nl" => offering.nl.fill(moment, language),
            _ => offering.en.fill(moment, language),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}
