//! Who may say and hear what over MQTT: one table, which the embedded broker goes by and from which
//! the rules for other brokers are written.

use Action::{Publish, Subscribe};
use Role::{Datanaut, Device, Insurer};

/// What somebody is to a broker. Devices and insurers share one space of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Besides what [`RULES`] say, it publishes on the topics of its
    /// [`Source`](crate::source::Source)s.
    Device,
    Insurer,
    /// Datanaut's own clients. Besides, a collector subscribes to its sources.
    Datanaut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Publish,
    Subscribe,
}

/// Something that is allowed. What no rule names is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub role: Role,
    pub action: Action,
    /// An MQTT topic filter in which a level may be `{id}`: the id of whoever it is for.
    pub topic: &'static str,
}

pub const RULES: [Rule; 15] = [
    rule(Device, Subscribe, "errors/{id}"),
    rule(Insurer, Subscribe, "triggers/{id}/#"),
    rule(Insurer, Subscribe, "replies/{id}/#"),
    rule(Insurer, Subscribe, "errors/{id}"),
    rule(Insurer, Publish, "requests/{id}/triggers"),
    rule(Insurer, Publish, "claims/{id}"),
    rule(Insurer, Publish, "trips/{id}"),
    rule(Insurer, Publish, "feedback/{id}"),
    rule(Datanaut, Subscribe, "requests/+/triggers"),
    rule(Datanaut, Subscribe, "claims/+"),
    rule(Datanaut, Subscribe, "trips/+"),
    rule(Datanaut, Subscribe, "feedback/+"),
    rule(Datanaut, Publish, "triggers/#"),
    rule(Datanaut, Publish, "replies/#"),
    rule(Datanaut, Publish, "errors/#"),
];

const fn rule(role: Role, action: Action, topic: &'static str) -> Rule {
    Rule { role, action, topic }
}

/// The topic filters of a role, in which a level may be `{id}`.
pub fn topics(role: Role, action: Action) -> impl Iterator<Item = &'static str> {
    let of_it = move |rule: &&Rule| rule.role == role && rule.action == action;
    RULES.iter().filter(of_it).map(|rule| rule.topic)
}

/// Whether `id` may publish on this topic, or subscribe to this filter (without `$share`): some rule
/// covers all that the filter does.
#[must_use]
pub fn allows(role: Role, action: Action, id: &str, filter: &str) -> bool {
    topics(role, action).any(|rule| covers(rule, id, filter))
}

fn covers(rule: &str, id: &str, filter: &str) -> bool {
    let mut asked = filter.split('/');
    for level in rule.split('/') {
        let fits = match (level, asked.next()) {
            // It also covers the topic one level above.
            ("#", _) => return true,
            (_, None) => false,
            ("{id}", Some(asked)) => asked == id,
            ("+", Some(asked)) => asked != "#",
            (level, Some(asked)) => level == asked,
        };
        if !fits {
            return false;
        }
    }
    asked.next().is_none()
}

/// Whether this is how a device or an insurer is named: 1 to 64 of `A-Z a-z 0-9 . _ : -`. An id is a
/// level of a topic: a wildcard or a slash in it would widen what its owner sees.
#[must_use]
pub fn is_id(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=crate::source::MAX_DEVICE_ID).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_what_lies_below_it_and_nothing_wider() {
        for (rule, filter, covered) in [
            ("errors/{id}", "errors/a", true),
            ("errors/{id}", "errors/{id}", false),
            ("errors/{id}", "errors/+", false),
            ("errors/{id}", "errors/#", false),
            ("errors/{id}", "errors/a/b", false),
            ("errors/{id}", "errors", false),
            ("triggers/{id}/#", "triggers/a", true),
            ("triggers/{id}/#", "triggers/a/+/x", true),
            ("triggers/{id}/#", "triggers/a/#", true),
            ("triggers/{id}/#", "triggers/+/#", false),
            ("triggers/{id}/#", "#", false),
            ("claims/+", "claims/+", true),
            ("claims/+", "claims/x", true),
            ("claims/+", "claims/#", false),
            ("triggers/#", "triggers/#", true),
            ("triggers/#", "+/#", false),
        ] {
            assert_eq!(covers(rule, "a", filter), covered, "{rule} {filter}");
        }
    }

    #[test]
    fn nobody_but_datanaut_says_what_datanaut_says() {
        for own in topics(Datanaut, Publish) {
            let first = |topic: &str| topic.split('/').next().map(str::to_owned);
            for role in [Device, Insurer] {
                assert!(topics(role, Publish).all(|other| first(other) != first(own)), "{own}");
            }
        }
    }

    #[test]
    fn a_name_that_would_widen_a_topic_is_no_id() {
        for name in ["", "+", "#", "a/b", "a+", "$a", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_id(name), "{name}");
        }
        assert!(is_id("WVW:zz-1.2_3"));
    }
}
