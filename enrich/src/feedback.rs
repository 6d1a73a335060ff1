//! How a customer took what they were told, and what follows from it: to whom is dissatisfied a
//! person talks, not an offer; who is glad is offered membership; what is ignored comes less often.
//!
//! All thresholds are our own choice. The marks are read as in the usual question whether one would
//! recommend something (6 or lower: no), but from 8 on as a yes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ingest::report::{Feedback, Reaction};
use serde_json::json;

use crate::rules::{Rule, Sort, Text};
use crate::trigger::{Evidence, OfferData, RuleRef, TriggerData, Weather, at, sha256_hex};

/// Who gives this mark or a lower one is made no offers.
pub const DISSATISFIED: u8 = 6;

/// Who gives this mark or a higher one is offered membership.
pub const GLAD: u8 = 8;

/// From so many ignored in a row on, a rule is heard less often: once or twice may be chance.
pub const IGNORED_OFTEN: u32 = 3;

/// What doubles first where a rule has no cooldown, or a shorter one.
pub const LEAST_COOLDOWN_MS: i64 = 24 * 3_600_000;

/// Where doubling ends: who hears of something once a month can still change their mind.
pub const MOST_COOLDOWN_MS: i64 = 30 * 24 * 3_600_000;

/// How much of a customer's feedback to one insurer is looked at, the newest: enough for the longest
/// cooldown with several rules at once, and what a trigger may cost to judge.
pub const REMEMBERED: usize = 64;

/// How long a task or an offer of membership is of use.
const VALID_MS: i64 = 14 * 24 * 3_600_000;

/// Feedback, and the rule behind the trigger it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub rule: String,
    pub feedback: Feedback,
}

/// What a customer thinks of what one insurer tells them by one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// The newest mark for anything by that insurer, from 1 to 10.
    pub mark: Option<u8>,
    /// How many triggers by the rule they ignored since the last one they took notice of.
    pub ignored: u32,
}

impl Reception {
    /// Of what a customer gave one insurer, in any order: of each trigger the last reaction counts,
    /// and of marks the last, the lower one of two at the same time.
    #[must_use]
    pub fn of(rule: &str, given: &[Given]) -> Self {
        let marks = given.iter().filter_map(|given| Some((&given.feedback, given.feedback.mark?)));
        let newest = marks.max_by_key(|(feedback, mark)| (feedback.time_ms, Reverse(*mark)));
        let mut last: BTreeMap<&str, (i64, u8)> = BTreeMap::new();
        for Given { feedback, .. } in given.iter().filter(|given| given.rule == rule) {
            let taken = (feedback.time_ms, notice(feedback));
            let known = last.entry(&feedback.trigger).or_insert(taken);
            *known = taken.max(*known);
        }
        let mut taken: Vec<(i64, u8)> = last.into_values().collect();
        taken.sort_unstable_by_key(|taken| Reverse(*taken));
        let ignored = taken.iter().take_while(|(_, notice)| *notice == 0).count();
        Self { mark: newest.map(|(_, mark)| mark), ignored: ignored as u32 }
    }

    /// Whether that sort of thing is not to be heard by who gave that mark.
    #[must_use]
    pub fn refuses(self, sort: Sort) -> bool {
        sort == Sort::Offer && self.mark.is_some_and(|mark| mark <= DISSATISFIED)
    }

    /// How long nothing more is said by a rule: its own cooldown, or what ignoring has made of it.
    #[must_use]
    pub fn cooldown_ms(self, rule: &Rule) -> i64 {
        let own_ms = rule.cooldown_ms.unwrap_or(0);
        if rule.sort == Sort::Notice || self.ignored < IGNORED_OFTEN {
            return own_ms;
        }
        // The bound is reached well before the shift runs out.
        let doublings = (self.ignored - IGNORED_OFTEN + 1).min(16);
        let longer_ms = own_ms.max(LEAST_COOLDOWN_MS).saturating_mul(1 << doublings);
        own_ms.max(longer_ms.min(MOST_COOLDOWN_MS))
    }
}

/// How much notice was taken: a mark is given by who has read it.
fn notice(feedback: &Feedback) -> u8 {
    match feedback.reaction {
        Some(Reaction::Ignored) if feedback.mark.is_none() => 0,
        Some(Reaction::Accepted) => 2,
        _ => 1,
    }
}

/// What an insurer is told in answer to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A person is to call the customer: once for each trigger that was marked.
    Task,
    /// The customer is to be offered membership: once.
    Membership,
}

impl Answer {
    #[must_use]
    pub fn to(mark: u8) -> Option<Self> {
        match mark {
            ..=DISSATISFIED => Some(Self::Task),
            GLAD.. => Some(Self::Membership),
            _ => None,
        }
    }

    /// The kind of offer.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Membership => "membership",
        }
    }

    /// What names these messages, in the place of a rule's id.
    fn rule(self) -> &'static str {
        match self {
            Self::Task => "feedback-task",
            Self::Membership => "feedback-membership",
        }
    }

    fn says(self, mark: u8) -> Text {
        let (en, nl) = match self {
            Self::Task => (
                format!(
                    "This customer gave {mark} out of 10 to what they were told, and is made no more offers until they give a better mark. Please call them."
                ),
                format!(
                    "Deze klant gaf een {mark} voor wat hun is verteld, en krijgt geen aanbiedingen meer tot er een beter cijfer is. Bel hen op."
                ),
            ),
            Self::Membership => (
                format!(
                    "You gave {mark} out of 10 to what we told you. We would be glad to have you as a member."
                ),
                format!(
                    "U gaf een {mark} voor wat wij u vertelden. Wij heten u graag welkom als lid."
                ),
            ),
        };
        Text { en, nl }
    }

    /// The content of the message. `product` is that of the trigger that was marked.
    #[must_use]
    pub fn data(self, feedback: &Feedback, mark: u8, product: &str, evidence: &str) -> TriggerData {
        let told = [("trigger", json!(feedback.trigger)), ("mark", json!(mark))];
        TriggerData {
            product: product.to_owned(),
            rule: RuleRef { id: self.rule().to_owned(), version: 1 },
            event: "trigger_marked".to_owned(),
            happened_at: at(feedback.time_ms),
            told: told.map(|(name, value)| (name.to_owned(), value)).into(),
            facts: BTreeMap::new(),
            offer: OfferData {
                also: Vec::new(),
                kind: self.kind().to_owned(),
                valid_until: at(Self::expires_ms(feedback)),
            },
            explanation: self.says(mark),
            value: None,
            evidence: Evidence { weather: Weather::Missing, hash: sha256_hex(evidence.as_bytes()) },
        }
    }

    /// After this moment it is of no use.
    #[must_use]
    pub fn expires_ms(feedback: &Feedback) -> i64 {
        feedback.time_ms.saturating_add(VALID_MS)
    }
}

#[cfg(test)]
mod tests {
    use ingest::report::{Feedback, Reaction};
    use proptest::prelude::*;

    use super::{Answer, Given, LEAST_COOLDOWN_MS, MOST_COOLDOWN_MS, Reception};
    use crate::rules::RuleSet;

    const SHIPPED: &str = include_str!("../rules/travel-offer.toml");

    fn rules(keys: &str) -> RuleSet {
        RuleSet::alone("test", &SHIPPED.replace("priority = 60", keys)).unwrap()
    }

    fn given(trigger: u8, time_ms: i64, reaction: Option<Reaction>, mark: Option<u8>) -> Given {
        let trigger = trigger.to_string().into();
        let rule = "travel-offer".to_owned();
        Given { rule, feedback: Feedback { trigger, reaction, mark, time_ms } }
    }

    #[test]
    fn what_is_ignored_three_times_in_a_row_comes_less_often_until_notice_is_taken() {
        let ignores = |trigger: u8| given(trigger, trigger.into(), Some(Reaction::Ignored), None);
        let mut all: Vec<Given> = (1..=2).map(ignores).collect();
        let set = rules("");
        let rule = set.rules().next().unwrap();
        let days =
            |all: &[Given]| Reception::of("travel-offer", all).cooldown_ms(rule) / 86_400_000;
        assert_eq!(days(&all), 0);
        all.push(ignores(3));
        // Said twice of one trigger, it was ignored once.
        all.push(given(3, 4, Some(Reaction::Ignored), None));
        assert_eq!(days(&all), 2);
        all.extend([ignores(5), ignores(6)]);
        assert_eq!(days(&all), 8);
        all.extend((7..=20).map(ignores));
        assert_eq!(days(&all), 30);
        assert_eq!(Reception::of("other", &all).ignored, 0, "rule by rule");
        all.push(given(21, 21, Some(Reaction::Opened), None));
        assert_eq!(days(&all), 0);
        all.push(given(22, 22, Some(Reaction::Ignored), Some(7)));
        assert_eq!(Reception::of("travel-offer", &all).ignored, 0, "who marks it has read it");
    }

    #[test]
    fn the_last_mark_decides_on_offers_and_on_nothing_else() {
        let marks =
            [given(1, 10, None, Some(9)), given(2, 20, None, Some(6)), given(3, 5, None, Some(8))];
        let reception = Reception::of("whatever", &marks);
        assert_eq!(reception.mark, Some(6));
        for (keys, refused) in
            [("", true), ("sort = \"advice\"", false), ("sort = \"notice\"", false)]
        {
            assert_eq!(
                reception.refuses(rules(keys).rules().next().unwrap().sort),
                refused,
                "{keys}"
            );
        }
        let answers: Vec<_> = (1..=10).map(Answer::to).collect();
        assert_eq!(answers[5], Some(Answer::Task));
        assert_eq!(answers[6], None);
        assert_eq!(answers[7], Some(Answer::Membership));
    }

    fn any_given() -> impl Strategy<Value = Given> {
        let reaction = prop_oneof![
            Just(None),
            Just(Some(Reaction::Ignored)),
            Just(Some(Reaction::Ignored)),
            Just(Some(Reaction::Opened)),
            Just(Some(Reaction::Accepted)),
        ];
        (0..9_u8, 0..30_i64, reaction, proptest::option::of(1..=10_u8))
            .prop_map(|(trigger, time, reaction, mark)| given(trigger, time, reaction, mark))
    }

    proptest! {
        /// In whatever order it was reported, and whether or not some of it came twice.
        #[test]
        fn order_does_not_matter(
            (all, shuffled) in proptest::collection::vec(any_given(), 0..40).prop_flat_map(|all| {
                let twice = all.iter().chain(&all).cloned().collect::<Vec<_>>();
                (Just(all), Just(twice).prop_shuffle())
            }),
        ) {
            let rule = "travel-offer";
            prop_assert_eq!(Reception::of(rule, &all), Reception::of(rule, &shuffled));
        }

        /// Ignoring more never shortens a cooldown, and it ends somewhere; notices keep theirs.
        #[test]
        fn a_cooldown_grows_up_to_its_bound(hours in 1..2_000_i64, ignored in 0..100_u32) {
            let heard = Reception { mark: None, ignored };
            let more = Reception { ignored: ignored + 1, ..heard };
            let own_ms = hours * 3_600_000;
            let set = rules(&format!("cooldown = \"{hours}h\""));
            let rule = set.rules().next().unwrap();
            prop_assert!(heard.cooldown_ms(rule) >= own_ms);
            prop_assert!(more.cooldown_ms(rule) >= heard.cooldown_ms(rule));
            prop_assert!(heard.cooldown_ms(rule) <= own_ms.max(MOST_COOLDOWN_MS));
            if ignored > 2 {
                prop_assert!(heard.cooldown_ms(rule) >= 2 * LEAST_COOLDOWN_MS);
            }
            let set = rules(&format!("sort = \"notice\"\ncooldown = \"{hours}h\""));
            prop_assert_eq!(heard.cooldown_ms(set.rules().next().unwrap()), own_ms);
        }
    }
}
