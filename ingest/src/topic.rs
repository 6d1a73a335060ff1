//! Topic filters whose levels may have names.

use std::fmt::Write as _;
use std::str::FromStr;

/// Longest topic that MQTT can carry, in bytes.
const LONGEST: usize = 65_535;

/// An MQTT topic filter (`+` for a level, a last `#` for any further ones) in which `{device}`,
/// `{kind}` and `{user}` are a `+` that says what the level means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(Vec<Level>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(Box<str>),
    Any,
    Rest,
    Device,
    Kind,
    User,
}

/// What a topic says under the names of a [`Topic`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captured<'t> {
    pub(crate) device: Option<&'t str>,
    pub(crate) kind: Option<&'t str>,
    pub(crate) user: Option<&'t str>,
}

/// Which names a [`Topic`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) device: bool,
    pub(crate) kind: bool,
    pub(crate) user: bool,
}

/// Why a text is no topic filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    #[error("the topic is empty or longer than 65535 bytes; give for example plant/{{device}}/up")]
    Length,
    #[error(
        "`{0}` begins with $: the broker's own topics; a shared group goes into collector.share"
    )]
    Dollar(String),
    #[error(
        "`{0}` is no level: give a text, + or {{device}}, {{kind}}, {{user}}; # only at the end"
    )]
    Level(String),
    #[error("`{0}` stands twice in the topic; write + for the other")]
    Twice(String),
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(InvalidTopic::Length);
        }
        if text.starts_with('$') {
            return Err(InvalidTopic::Dollar(text.to_owned()));
        }
        let mut levels = Vec::new();
        let mut written = text.split('/').peekable();
        while let Some(level) = written.next() {
            let level = match level {
                "+" => Level::Any,
                "#" if written.peek().is_none() => Level::Rest,
                "{device}" => Level::Device,
                "{kind}" => Level::Kind,
                "{user}" => Level::User,
                text if text.contains(['+', '#', '{', '}', '\0']) => {
                    return Err(InvalidTopic::Level(text.to_owned()));
                }
                text => Level::Text(text.into()),
            };
            if level.is_named() && levels.contains(&level) {
                return Err(InvalidTopic::Twice(text.to_owned()));
            }
            levels.push(level);
        }
        Ok(Self(levels))
    }
}

impl Level {
    fn is_named(&self) -> bool {
        matches!(self, Self::Device | Self::Kind | Self::User)
    }
}

impl Topic {
    /// As MQTT writes it.
    #[must_use]
    pub fn filter(&self) -> String {
        let mut filter = String::new();
        for (at, level) in self.0.iter().enumerate() {
            let text = match level {
                Level::Text(text) => text,
                Level::Rest => "#",
                Level::Any | Level::Device | Level::Kind | Level::User => "+",
            };
            // Writing to a string cannot fail.
            write!(filter, "{}{text}", if at == 0 { "" } else { "/" }).ok();
        }
        filter
    }

    pub(crate) fn names(&self) -> Names {
        let has = |level| self.0.contains(&level);
        Names { device: has(Level::Device), kind: has(Level::Kind), user: has(Level::User) }
    }

    /// `None` when the filter does not cover the topic (which has no wildcards).
    pub(crate) fn captures<'t>(&self, topic: &'t str) -> Option<Captured<'t>> {
        // The brokers' own topics are not covered by wildcards.
        if topic.starts_with('$') {
            return None;
        }
        let mut captured = Captured::default();
        let mut sent = topic.split('/');
        for level in &self.0 {
            match (level, sent.next()) {
                (Level::Rest, _) => return Some(captured),
                (Level::Text(text), Some(sent)) if **text == *sent => {}
                (Level::Any, Some(_)) => {}
                (Level::Device, device @ Some(_)) => captured.device = device,
                (Level::Kind, kind @ Some(_)) => captured.kind = kind,
                (Level::User, user @ Some(_)) => captured.user = user,
                (_, _) => return None,
            }
        }
        sent.next().is_none().then_some(captured)
    }

    /// Whether some topic is covered by both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.0, &other.0)
    }
}

fn overlap(a: &[Level], b: &[Level]) -> bool {
    match (a, b) {
        ([], []) | ([Level::Rest], _) | (_, [Level::Rest]) => true,
        ([Level::Text(one), ..], [Level::Text(other), ..]) if one != other => false,
        ([_, a @ ..], [_, b @ ..]) => overlap(a, b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidTopic, Topic};

    fn topic(text: &str) -> Topic {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_cover_what_mqtt_says_they_do() {
        for (filter, sent, covered) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a/b", "a/b/c", false),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "x/y", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("a/{device}/#", "a", false),
        ] {
            assert_eq!(topic(filter).captures(sent).is_some(), covered, "{filter} {sent}");
        }
        let topic = topic("a/{user}/+/{device}/{kind}/#");
        let captured = topic.captures("a/b/c/d/e/f/g").unwrap();
        assert_eq!(captured.user, Some("b"));
        assert_eq!(captured.device, Some("d"));
        assert_eq!(captured.kind, Some("e"));
        assert_eq!(topic.filter(), "a/+/+/+/+/#");
    }

    #[test]
    fn filters_overlap_when_a_topic_fits_both() {
        for (one, other, both) in [
            ("a/+", "+/b", true),
            ("a/#", "a", true),
            ("#", "x/y/z", true),
            ("+/events/rpc", "errors/+", false),
            ("a/b", "a/c", false),
            ("{device}/+", "errors/x", true),
        ] {
            assert_eq!(topic(one).overlaps(&topic(other)), both, "{one} {other}");
            assert_eq!(topic(other).overlaps(&topic(one)), both, "{other} {one}");
        }
    }

    #[test]
    fn what_mqtt_does_not_allow_is_refused() {
        let error = |text: &str| text.parse::<Topic>().unwrap_err();
        for text in ["a/#/b", "a+", "a/b#", "{devise}", "{device", "a\0"] {
            assert!(matches!(error(text), InvalidTopic::Level(_)), "{text}");
        }
        assert!(matches!(error("$share/g/a"), InvalidTopic::Dollar(_)));
        assert!(matches!(error("{device}/{device}"), InvalidTopic::Twice(_)));
        assert_eq!(error(""), InvalidTopic::Length);
    }
}
