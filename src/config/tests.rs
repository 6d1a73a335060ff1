use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::{Config, ConfigError, Feeds, Port, duration};
use crate::cli::ServeArgs;

const SAMPLE: &str = include_str!("../../datanaut.toml");
const DOCUMENTATION: &str = include_str!("../../docs/configuration.md");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("datanaut.toml"), text, &ServeArgs::default())
}

fn check(text: &str, expect: &str) {
    let error = parse(text).expect_err(text).to_string();
    assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
}

/// The sample with its commented-out keys (`# key = value`) and tables (`# [table]`) switched on.
fn sample_with_everything() -> String {
    let is_key = |rest: &str| rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let switched_on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) || rest.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    // The tables of feeds stand in the place of this line.
    let lines = SAMPLE.lines().filter(|line| *line != "feed = \"synthetic\"");
    lines.map(switched_on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_is_the_defaults() {
    assert_eq!(parse(SAMPLE).unwrap(), Config::default());
}

#[test]
fn the_sample_explains_every_optional_key_with_a_valid_value() {
    let config = parse(&sample_with_everything()).unwrap();
    assert!(config.mqtt.port_auto());
    assert!(config.mqtt.max_clients.is_some());
    assert!(config.data.registry.is_some());
    assert!(config.rules.dir.is_some() && config.relevance.cap.is_some());
    assert!(config.clock.start.is_some());
    let collector = &config.collector[0];
    assert!(collector.username.is_some() && collector.password_file.is_some());
    assert!(collector.share.is_some());
    let Feeds::Named(feeds) = &config.weather.feed else { panic!("{:?}", config.weather) };
    assert!(feeds[0].url.is_some() && feeds[1].key_file.is_some() && feeds[2].path.is_some());
    assert_eq!(config.webhook[0].name(), "alpina-claims");
    assert!(!config.source[0].devices.is_empty() && !config.source[0].from.is_empty());
    assert!(config.influx.unwrap().token_file.is_some());
}

#[test]
fn the_documentation_names_every_key() {
    let sample = sample_with_everything();
    let keys: Vec<&str> = sample
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    assert!(keys.len() > 12, "{keys:?}");
    for key in keys {
        assert!(
            DOCUMENTATION.contains(&format!("`{key}`")),
            "{key} is not in docs/configuration.md"
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_closest_known_one() {
    check(
        "[mqtt]\nlisten = \"127.0.0.1:1883\"\n  anonimous = true\n",
        "datanaut.toml:3:3: unknown key `anonimous`, did you mean `anonymous`?",
    );
    check("[mqqt]\n", "datanaut.toml:1:2: unknown key `mqqt`, did you mean `mqtt`?");
    check(
        "[http]\nzzz = 1\n",
        "datanaut.toml:2:1: unknown key `zzz`, known here: listen, tls_listen, operator",
    );
    let error = parse("[sim]\nsede = 1").unwrap_err();
    assert!(
        matches!(error, ConfigError::UnknownKey { line: 2, column: 1, ref key, .. } if key == "sede")
    );
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    check("[mqtt]\nport = \"any\"", "datanaut.toml:2:8: ");
    check("[mqtt]\nport = 70000", "a port number or \"auto\"");
    check("[mqtt]\nlisten = \"localhost\"", "datanaut.toml:2:10: ");
    check("[mqtt]\nmax_clients = 0", "datanaut.toml:2:15: ");
    check("[journal]\nhorizon = \"3 moons\"", "`3 moons` is no duration: give for example");
    for start in ["2022-05-28T06:53:52Z", "\"2022-05-28T08:53:52+02:00\""] {
        let config = parse(&format!("[clock]\nstart = {start}")).unwrap();
        assert_eq!(config.clock.start.unwrap().to_string(), "2022-05-28T06:53:52Z");
    }
    check("[clock]\nstart = 2022-05-28", "needs date, time and offset");
    check("[clock]\nstart = \"yesterday\"", "needs date, time and offset");
    check("[clock]\nstart = 7", "needs date, time and offset");
    check("[weather]\nfeed = \"magic\"", "synthetic");
    check("[mqtt\n", "datanaut.toml:1:");
    check("[sim]\nseed = 1\nseed = 2", "datanaut.toml:3:");
}

#[test]
fn what_makes_no_sense_is_refused_where_it_is_written() {
    check(
        "[mqtt]\nlisten = \"0.0.0.0:1883\"",
        "datanaut.toml:2:1: mqtt.listen: 0.0.0.0:1883 is reachable",
    );
    check("[mqtt]\nlisten = \"0.0.0.0:1883\"", "anonymous = false");
    check("[mqtt]\nport = 0", "mqtt.port: port 0");
    check("[http]\nlisten = \"127.0.0.1:0\"", "http.listen: port 0");
    check("[http]\nlisten = \"127.0.0.1:1883\"", "http.listen: 127.0.0.1:1883 is the broker's");
    check("[clock]\n\nspeed = 0.0", "datanaut.toml:3:1: clock.speed: 0");
    check("[clock]\nspeed = nan", "clock.speed");
    check("[journal]\nhorizon = \"60d\"", "journal.horizon: must be from 5m to 30d");
    check("[journal]\nhorizon = \"1s\"", "journal.horizon");
    check("[retention]\nquarantine = \"1y\"", "datanaut.toml:2:14: ");
    check("[retention]\nquarantine = \"31d\"", "2:1: retention.quarantine: must be from 1h");
    check("[retention]\nreadings = \"30d\"", "2:1: retention.readings: must be at least 31d");
    check("[journal]\nmax_batch = 0", "journal.max_batch");
    check("[data]\ndir = \"\"", "data.dir");
}

#[test]
fn what_cannot_be_written_to_is_refused_where_it_is_written() {
    let influx = |url: &str, rest: &str| {
        format!("[influx]\nurl = \"{url}\"\norg = \"plant\"\nbucket = \"cars\"\n{rest}")
    };
    let plain = |rest: &str| influx("http://localhost:8086", rest);
    check("[influx]\nurl = \"http://localhost\"", "missing field `org`");
    check(&influx("https://localhost", ""), "datanaut.toml:2:7: TLS is not supported here");
    check(&influx("http://localhost/influx", ""), "more than a host and a port");
    check(&plain("tokenfile = \"t\""), "5:1: unknown key `tokenfile`, did you mean `token_file`?");
    check(&plain("batch_readings = 0"), "5:1: influx.batch_readings: must be from 1");
    check(&plain("batch_age = \"1d\""), "5:1: influx.batch_age");
    check(&plain("timeout = \"1ms\""), "5:1: influx.timeout");
    check(&plain("backlog_mb = 0"), "5:1: influx.backlog_mb");
    check(&influx("http://localhost", "").replace("cars", " "), "4:1: influx.bucket: is empty");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let config = parse(&plain(&format!("token_file = \"{}\"", file.display()))).unwrap();
    let token = || config.influx.as_ref().unwrap().options().map(|options| options.token);
    assert!(token().unwrap_err().to_string().contains("cannot read the token"));
    std::fs::write(&file, "\n").unwrap();
    assert!(token().unwrap_err().to_string().contains("has no token"));
    std::fs::write(&file, " s3cret== \n").unwrap();
    assert_eq!(token().unwrap(), "s3cret==");
}

#[test]
fn what_cannot_be_collected_is_refused_where_it_is_written() {
    let collector = |rest: &str| format!("[[collector]]\nurl = \"mqtt://plant\"\n{rest}");
    let source = |rest: &str| format!("[[source]]\ntopic = \"a/{{device}}\"\n{rest}");
    let native = "format = \"native\"\nkind = \"car\"\n";
    check("[mqtt]\nembedded = false", "datanaut.toml:2:1: mqtt.embedded: false leaves nobody");
    let external = format!("[mqtt]\nembedded = false\n{}", collector(""));
    check(&external, "set sim.enabled = false");
    let without_fleet = ServeArgs { no_sim: true, ..ServeArgs::default() };
    Config::parse(Path::new("datanaut.toml"), &external, &without_fleet).unwrap();
    check("[[collector]]\nclient_id = \"x\"", "missing field `url`");
    check("[[collector]]\nurl = \"mqtts://plant\"", "datanaut.toml:2:7: TLS is not supported");
    check(&collector("clientid = \"x\""), "3:1: unknown key `clientid`, did you mean `client_id`?");
    check(&collector("client_id = \"\""), "3:1: collector[0].client_id: `` cannot be used");
    check(&collector("client_id = \"embedded\""), "give a name of its own");
    check(&collector(&collector("")), "3:1: collector[1].client_id: `datanaut` collects from");
    check(&collector("password_file = \"p\""), "3:1: collector[0].password_file");
    check(&collector("share = \"a/b\""), "3:1: collector[0].share");
    check(&collector("receive_maximum = 0"), "datanaut.toml:3:19: ");
    check(&collector("protocol = \"4\""), "3.1.1");

    check(
        &source("format = \"native\""),
        "2:1: source[0].topic: `a/{device}` says nothing of the kind",
    );
    check(&source("format = \"csv\""), "datanaut.toml:3:10: ");
    check(
        &source(&format!("{native}from = [\"plant\"]")),
        "5:1: source[0].from: `plant` is none of embedded",
    );
    check(&source(&format!("{native}devices = [\"*\"]")), "5:1: source[0].devices");
    check(
        "[[source]]\ntopic = \"#\"\nformat = \"native\"\nkind = \"car\"",
        "name the devices' topics",
    );
    let elsewhere =
        format!("{}{}", source(&format!("{native}from = [\"embedded\"]\n")), collector(""));
    check(&elsewhere, "no source holds for datanaut");
}

#[test]
fn what_cannot_be_posted_to_is_refused_where_it_is_written() {
    let webhook = |url: &str, rest: &str| {
        format!("[[webhook]]\ninsurer = \"a\"\nsecret_file = \"s\"\nurl = \"{url}\"\n{rest}")
    };
    let fine = webhook("https://insurer.example/hook", "products = [\"travel\"]\n");
    assert_eq!(parse(&fine).unwrap().webhook[0].name(), "a");
    check("[[webhook]]\ninsurer = \"a\"", "missing field `url`");
    check(
        &webhook("http://insurer.example", ""),
        "4:1: webhook[0].url: `http://insurer.example` would show",
    );
    parse(&webhook("http://10.0.0.8:9000/hook", "allow_private = true")).unwrap();
    check(&webhook("ftp://x", ""), "is neither https:// nor http://");
    check(&webhook("https://user:word@x/", ""), "names no host, or a login");
    check(&webhook("/hook", ""), "webhook[0].url");
    check(&webhook("https://x", "products = [\"pets\"]"), "5:13: ");
    check(&format!("{fine}{fine}"), "webhook[1].name: `a` is another webhook's");
    check(&webhook("https://x", "name = \"a b\""), "5:1: webhook[0].name: `a b` is no name");
}

#[test]
fn collectors_and_sources_become_what_is_subscribed_to() {
    let config = parse(
        "[mqtt]\nembedded = false\nlisten = \"0.0.0.0:1883\"\n[sim]\nenabled = false\n\
         [[collector]]\nurl = \"mqtt://plant:1884\"\nprotocol = \"3.1.1\"\n\
         [[collector]]\nurl = \"mqtt://[::1]\"\nclient_id = \"home\"\n\
         [[source]]\ntopic = \"plant/{device}/+\"\nformat = \"native\"\nkind = \"product\"\n\
         [[source]]\ntopic = \"owntracks/{user}/{device}\"\nformat = \"owntracks\"\nfrom = [\"home\"]",
    )
    .unwrap();
    let collectors = config.collectors().unwrap();
    let filters = |at: usize| collectors[at].sources.filters().collect::<Vec<_>>();
    assert_eq!((&*collectors[0].host, collectors[0].port), ("plant", 1884));
    let insurers = ["claims/+", "trips/+", "feedback/+"];
    assert_eq!(filters(0), [&["plant/+/+"][..], &insurers].concat());
    assert_eq!(filters(1), ["plant/+/+", "owntracks/+/+"]);
    assert_eq!(collectors[1].host, "[::1]");
}

#[test]
fn an_open_address_is_fine_when_clients_must_log_in() {
    let config = parse("[mqtt]\nlisten = \"[::]:1883\"\nanonymous = false").unwrap();
    assert_eq!(config.mqtt.addr().to_string(), "[::]:1883");
    assert!(config.warnings()[0].contains("mqtt.tls_listen"));
    let open_page = "[http]\nlisten = \"0.0.0.0:80\"\n";
    check(open_page, "http.listen: 0.0.0.0:80 is reachable from other machines");
    let operator = |hash: &str| {
        format!(
            "{open_page}[[http.operator]]\nname = \"ann\"\ntoken_sha256 = \"{hash}\"\nrole = \"read\""
        )
    };
    check(&operator("secret"), "http.operator: token_sha256 of ann");
    assert_eq!(parse(&operator(&"0".repeat(64))).unwrap().warnings().len(), 1);
}

#[test]
fn an_unreadable_file_is_told_from_a_wrong_one() {
    let error = Config::load(Path::new("no/such/file.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
}

#[test]
fn flags_override_the_file() {
    let mut config = parse("[mqtt]\nport = 2000\n[clock]\nspeed = 2.0").unwrap();
    assert_eq!(config.mqtt.addr().port(), 2000);
    let flags = ServeArgs { no_sim: true, port: Some(Port::Number(0)), ..ServeArgs::default() };
    config.override_with(&flags);
    assert_eq!(config.mqtt.addr().port(), 0);
    assert!(!config.sim.enabled && !config.mqtt.port_auto());
    assert!((config.clock.speed - 2.0).abs() < f64::EPSILON);
    config.validate().unwrap();
}

#[test]
fn flags_are_validated_too() {
    let flags = ServeArgs { clock_speed: Some(-1.0), ..ServeArgs::default() };
    let error = Config::for_serving(&flags).unwrap_err();
    assert_eq!(error.to_string(), "clock.speed: -1 is not above 0 and at most 100000");
}

#[test]
fn durations_are_read_as_people_write_them() {
    assert_eq!(duration("72h"), Ok(Duration::from_hours(72)));
    assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
    assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
    assert_eq!(duration("PT5S"), Ok(Duration::from_secs(5)));
    for text in ["", "7", "-1h", "1month", "soon"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn weather_feeds_take_what_their_kind_can_use() {
    let feed = |more: &str| format!("[sim]\n[[weather.feed]]\n{more}");
    check(&feed("kind = \"met-norway\""), "user_agent: is needed: MET Norway wants to know");
    check(&feed("kind = \"openweather\""), "weather.feed[0].key_file: is needed");
    check(&feed("kind = \"file\""), "path: is needed");
    check(
        &feed("kind = \"file\"\npath = \"a\"\nurl = \"b\""),
        "datanaut.toml:5:1: weather.feed[0].url: is of no use",
    );
    check(&feed("kind = \"metar\"\nurl = \"ftp://x\""), "does not begin with https://");
    check(
        &feed("kind = \"metar\"\n[[weather.feed]]\nkind = \"metar\""),
        "feed[1].name: `metar` is there",
    );
    check(&feed("kind = \"metar\"\n[clock]\nspeed = 60.0"), "clock that runs at another speed");
    check(&feed("kind = \"metar\"\nrefesh = \"1h\""), "did you mean `refresh`?");
    check("[weather]\nwait = \"1h\"", "datanaut.toml:2:1: weather.wait: must be at most 10m");
    let two = feed("kind = \"metar\"\n[[weather.feed]]\nkind = \"open-meteo\"");
    assert!(matches!(parse(&two).unwrap().weather.feed, Feeds::Named(feeds) if feeds.len() == 2));
}

proptest! {
    #[test]
    fn whatever_stands_in_place_of_a_value_is_taken_or_named_with_its_file(
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            "[ -~]{0,20}",
            any::<String>().prop_map(|text| format!("{text:?}")),
            "\"[a-z]{0,5}://[ -!#-\\[\\]-~]{0,20}\"",
            "\"[0-9]{1,20}(ms|s|m|h|d)\"",
            any::<i64>().prop_map(|number| number.to_string()),
        ],
    ) {
        let sample = sample_with_everything();
        let mut lines: Vec<String> = sample.lines().map(str::to_owned).collect();
        let with_values: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].contains(" = ")).collect();
        let line = &mut lines[*at.get(&with_values)];
        let (key, _) = line.split_once(" = ").unwrap();
        *line = format!("{key} = {value}");
        if let Err(error) = parse(&lines.join("\n")) {
            let error = error.to_string();
            prop_assert!(error.starts_with("datanaut.toml"), "{}", error);
        }
    }
}
