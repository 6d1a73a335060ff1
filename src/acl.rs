//! The access rules of Datanaut, written for another broker.
//!
//! Devices and insurers share one space of ids, and a user name is an id. So one rule with the user
//! name in it holds for everybody, and nothing needs to be written anew when a device is added: a
//! device that publishes on an insurer's topics under its own id is nobody's insurer.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ingest::access::{Action, Role, is_id, topics};
use ingest::source::{EMBEDDED, Source};

use crate::cli::{AclArgs, OtherBroker};
use crate::config::Config;

/// Writes to standard output.
pub(crate) fn run(args: &AclArgs) -> Result<ExitCode> {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    let users = args.tokens.as_deref().map_or_else(|| Ok(Vec::new()), users)?;
    let rules = Rules::new(&config, &users);
    let text = match args.broker {
        OtherBroker::Mosquitto => mosquitto(&rules),
        OtherBroker::Emqx => emqx(&rules),
        OtherBroker::Nats => nats(&rules, &users)?,
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// A login at the broker.
#[derive(Debug, PartialEq)]
struct User {
    id: String,
    token: String,
}

fn users(file: &Path) -> Result<Vec<User>> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let users = lines.map(|(at, line)| {
        let plain = |token: &&str| {
            !token.is_empty()
                && token.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        match line.split_once(',').map(|(id, token)| (id.trim(), token.trim())) {
            Some((id, token)) if is_id(id) && plain(&token) => {
                Ok(User { id: id.to_owned(), token: token.to_owned() })
            }
            _ => {
                bail!("{name}, line {}: give ID,TOKEN, the token without quotes and blanks", at + 1)
            }
        }
    });
    let users = users.collect::<Result<Vec<User>>>()?;
    let mut ids = HashSet::new();
    // Also a device that has Datanaut's own user name, and could say all that it does.
    match users.iter().find(|user| !ids.insert(&user.id)) {
        Some(User { id, .. }) => bail!(
            "{name} has a login for \"{id}\" twice: give one of them, or another id to one of the two"
        ),
        None => Ok(users),
    }
}

/// What there is to write, whatever the broker. Topics are MQTT's, with `{id}` for the user name.
#[derive(Debug, PartialEq)]
struct Rules {
    /// Datanaut's own login.
    datanaut: String,
    hears: Vec<String>,
    says: Vec<String>,
    everybody_hears: Vec<String>,
    everybody_says: Vec<String>,
    /// OwnTracks has the id in two levels: for each user, the topics that make its id.
    owntracks: Vec<(String, Vec<String>)>,
    /// Here the payload names the device.
    gateways: Vec<String>,
}

impl Rules {
    fn new(config: &Config, users: &[User]) -> Self {
        let sources = match config.source.as_slice() {
            [] => Source::defaults(),
            own => own.iter().filter(|source| !is_embedded_only(source)).cloned().collect(),
        };
        let own = |role, action| topics(role, action).map(str::to_owned);
        let of_sources: Vec<String> =
            sources.iter().map(|source| without_kind(&source.topic)).collect();
        let filters =
            of_sources.iter().map(|topic| topic.replace("{device}", "+").replace("{user}", "+"));
        let split = |topic: &&String| topic.contains("{user}");
        let named = |topic: &&String| topic.contains("{device}") && !split(topic);
        let of_both = |action| own(Role::Device, action).chain(own(Role::Insurer, action));
        let devices =
            of_sources.iter().filter(named).map(|topic| topic.replace("{device}", "{id}"));
        let mut everybody_hears: Vec<String> = Vec::new();
        for topic in of_both(Action::Subscribe) {
            if !everybody_hears.contains(&topic) {
                everybody_hears.push(topic);
            }
        }
        let owntracks: Vec<&String> = of_sources.iter().filter(split).collect();
        let apart = users.iter().map(|user| (user.id.clone(), apart(&user.id, &owntracks)));
        let login = config.collector.iter().find_map(|collector| collector.username.clone());
        Self {
            datanaut: login.unwrap_or_else(|| "datanaut".to_owned()),
            hears: filters.chain(own(Role::Datanaut, Action::Subscribe)).collect(),
            says: own(Role::Datanaut, Action::Publish).collect(),
            everybody_hears,
            everybody_says: devices.chain(of_both(Action::Publish)).collect(),
            owntracks: apart.filter(|(_, topics)| !topics.is_empty()).collect(),
            gateways: of_sources
                .iter()
                .filter(|topic| !split(topic) && !named(topic))
                .cloned()
                .collect(),
        }
    }
}

fn is_embedded_only(source: &Source) -> bool {
    !source.from.is_empty() && source.from.iter().all(|from| from == EMBEDDED)
}

fn without_kind(topic: &str) -> String {
    topic.replace("{kind}", "+")
}

/// The OwnTracks topics whose device has this id: it may be cut at each `-`.
fn apart(id: &str, topics: &[&String]) -> Vec<String> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Vec::new();
    }
    let cuts = id.match_indices('-').map(|(at, _)| (&id[..at], &id[at + 1..]));
    let cuts: Vec<_> =
        cuts.filter(|(user, device)| !user.is_empty() && !device.is_empty()).collect();
    let made = topics.iter().flat_map(|topic| {
        cuts.iter().map(|(user, device)| topic.replace("{user}", user).replace("{device}", device))
    });
    made.collect()
}

const WHO: &str = "A user name is the id of a device or insurer; give nobody another.";

fn mosquitto(rules: &Rules) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line("# An acl_file for Mosquitto, written by `datanaut acl`. In mosquitto.conf, besides:");
    line("#   allow_anonymous false");
    line("#   password_file FILE    (mosquitto_passwd -U FILE hashes its lines ID:TOKEN)");
    line(
        "#   use_username_as_clientid true    (or clients could take over each other's sessions; Datanaut,",
    );
    line(
        "#                                     with several of its own, needs a listener without it)",
    );
    line(&format!("# {WHO}"));
    line("");
    line(&format!("user {}", rules.datanaut));
    for topic in &rules.hears {
        line(&format!("topic read {topic}"));
    }
    for topic in &rules.says {
        line(&format!("topic write {topic}"));
    }
    for (user, topics) in &rules.owntracks {
        line("");
        line(&format!("user {user}"));
        for topic in topics {
            line(&format!("topic write {topic}"));
        }
    }
    line("");
    line("# Everybody; %u is the user name.");
    for topic in &rules.everybody_says {
        line(&format!("pattern write {}", topic.replace("{id}", "%u")));
    }
    for topic in &rules.everybody_hears {
        line(&format!("pattern read {}", topic.replace("{id}", "%u")));
    }
    for topic in &rules.gateways {
        line(&format!(
            "# Here the payload names the device: `topic write {topic}` for its gateways."
        ));
    }
    out
}

fn emqx(rules: &Rules) -> String {
    let list = |topics: &[String]| {
        let quoted =
            topics.iter().map(|topic| format!("\"{}\"", topic.replace("{id}", "${username}")));
        quoted.collect::<Vec<_>>().join(", ")
    };
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line("%% An acl.conf for EMQX 5, written by `datanaut acl`. In emqx.conf, besides:".to_owned());
    line(
        "%%   authorization { no_match = deny, sources = [{type = file, path = FILE}] }".to_owned(),
    );
    line("%% EMQX can take the registry's hashes as they are: sha256, without salt.".to_owned());
    line(format!("%% {WHO}"));
    line(String::new());
    let user = &rules.datanaut;
    line(format!("{{allow, {{user, \"{user}\"}}, subscribe, [{}]}}.", list(&rules.hears)));
    line(format!("{{allow, {{user, \"{user}\"}}, publish, [{}]}}.", list(&rules.says)));
    for (user, topics) in &rules.owntracks {
        line(format!("{{allow, {{user, \"{user}\"}}, publish, [{}]}}.", list(topics)));
    }
    line(format!("{{allow, all, publish, [{}]}}.", list(&rules.everybody_says)));
    line(format!("{{allow, all, subscribe, [{}]}}.", list(&rules.everybody_hears)));
    for topic in &rules.gateways {
        line(format!(
            "%% Here the payload names the device: let its gateways publish \"{topic}\"."
        ));
    }
    line("{deny, all}.".to_owned());
    out
}

/// NATS has no rule with a user's name in it, nor does it know our hashes: every login is written,
/// with its token.
fn nats(rules: &Rules, users: &[User]) -> Result<String> {
    if users.iter().all(|user| user.id != rules.datanaut) {
        bail!(
            "NATS wants to know every login: give --tokens FILE with a line ID,TOKEN for each, \
             and one for {}, Datanaut's own",
            rules.datanaut
        );
    }
    let mut out = String::from(
        "# For nats-server with MQTT, written by `datanaut acl`; it has tokens in it: keep it secret.\n\
         # `include` it in the server's configuration.\n\nauthorization {\n  users = [\n",
    );
    for user in users {
        let own = |topics: &[String]| {
            topics.iter().map(|topic| topic.replace("{id}", &user.id)).collect()
        };
        let (mut says, hears): (Vec<String>, Vec<String>) = match user.id == rules.datanaut {
            true => (rules.says.clone(), rules.hears.clone()),
            false => (own(&rules.everybody_says), own(&rules.everybody_hears)),
        };
        let split = rules.owntracks.iter().find(|(id, _)| *id == user.id);
        says.extend(split.into_iter().flat_map(|(_, topics)| topics.clone()));
        let hears = subjects(&hears);
        let User { id, token } = user;
        // Who spoke NATS itself could listen where the server hands MQTT messages on.
        writeln!(
            out,
            "    {{ user: \"{id}\", password: \"{token}\", allowed_connection_types: [\"MQTT\"]"
        )?;
        writeln!(out, "      permissions: {{ publish: {{ allow: {} }}", quoted(&subjects(&says)))?;
        writeln!(out, "                     subscribe: {{ allow: {} }} }} }}", quoted(&hears))?;
    }
    out.push_str("  ]\n}\n");
    for topic in &rules.gateways {
        writeln!(
            out,
            "# Here the payload names the device: let its gateways publish {}.",
            subject(topic)
        )?;
    }
    Ok(out)
}

fn quoted(subjects: &[String]) -> String {
    let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// MQTT's `a/#` covers `a` too, which is another subject.
fn subjects(topics: &[String]) -> Vec<String> {
    let both = topics.iter().flat_map(|topic| {
        let above = topic.strip_suffix("/#").map(subject);
        [above, Some(subject(topic))]
    });
    both.flatten().collect()
}

/// A topic as NATS names it: levels are parted by dots, a dot in a level is two slashes, and an
/// empty level one.
fn subject(topic: &str) -> String {
    let level = |level: &str| match level {
        "" => "/".to_owned(),
        "+" => "*".to_owned(),
        "#" => ">".to_owned(),
        text => text.replace('.', "//"),
    };
    topic.split('/').map(level).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> User {
        User { id: id.to_owned(), token: "t0ken".to_owned() }
    }

    #[test]
    fn owntracks_topics_are_those_that_make_the_id() {
        let topic = "owntracks/{user}/{device}".to_owned();
        let cut = |id: &str| apart(id, &[&topic]);
        assert_eq!(cut("anna-phone"), ["owntracks/anna/phone"]);
        assert_eq!(cut("a-b-c"), ["owntracks/a/b-c", "owntracks/a-b/c"]);
        for id in ["phone", "-phone", "anna-", "Anna-phone"] {
            assert!(cut(id).is_empty(), "{id}");
        }
    }

    #[test]
    fn a_topic_is_named_as_nats_does() {
        for (topic, expected) in [
            ("telemetry/+/car-1", "telemetry.*.car-1"),
            ("triggers/a.b/#", "triggers.a//b.>"),
            ("/x//y/", "/.x./.y./"),
        ] {
            assert_eq!(subject(topic), expected);
        }
        assert_eq!(subjects(&["triggers/a/#".to_owned()]), ["triggers.a", "triggers.a.>"]);
    }

    #[test]
    fn sources_of_the_configuration_are_in_the_rules() {
        let mut config = Config::default();
        let source = |topic: &str, from: &[&str]| Source {
            topic: topic.to_owned(),
            from: from.iter().map(|&name| name.to_owned()).collect(),
            kind: Some(ingest::DeviceKind::Product),
            ..Source::defaults().swap_remove(0)
        };
        config.source = vec![
            source("plant/{device}/state", &[]),
            source("gateways/+/up", &["datanaut"]),
            source("inside/{device}", &["embedded"]),
        ];
        let text = mosquitto(&Rules::new(&config, &[]));
        for line in [
            "topic read plant/+/state\n",
            "pattern write plant/%u/state\n",
            "topic read gateways/+/up\n",
            "# Here the payload names the device: `topic write gateways/+/up`",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("inside") && !text.contains("pattern write gateways"), "{text}");
    }

    #[test]
    fn nobody_logs_in_twice() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "car-1,a\ndatanaut,b\n\n# a device of that name:\ndatanaut,c\n",
        )
        .unwrap();
        let error = super::users(file.path()).unwrap_err().to_string();
        assert!(error.contains("\"datanaut\" twice"), "{error}");
        std::fs::write(file.path(), "car-1,a\ndatanaut,b\n").unwrap();
        assert_eq!(super::users(file.path()).unwrap().len(), 2);
    }

    #[test]
    fn nats_is_given_every_login_or_nothing() {
        let rules = Rules::new(&Config::default(), &[]);
        let error = nats(&rules, &[user("car-1")]).unwrap_err().to_string();
        assert!(error.contains("datanaut"), "{error}");
        let text = nats(&rules, &[user("datanaut"), user("car-1")]).unwrap();
        assert!(text.contains("\"telemetry.*.car-1\"") && !text.contains("{id}"), "{text}");
    }
}
