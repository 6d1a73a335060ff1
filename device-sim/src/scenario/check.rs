//! What a scenario must not say, and what to say instead.

use std::collections::HashSet;

use super::{GroupSpec, PhaseSpec, Scenario, ScenarioError};
use crate::claims::ClaimRates;
use crate::faults::Faults;
use crate::reading::Kind;

/// A year.
const LONGEST_S: f64 = 3.2e7;
/// All devices of a scenario together: what this machine could hold at all.
const MOST_DEVICES: usize = 1_000_000;

impl Scenario {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        check(self).map_err(ScenarioError::Invalid)?;
        self.options()?;
        self.groups(1.0)?;
        Ok(())
    }
}

fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.seconds <= 0.0 {
        return Err(format!("seconds = {}: give more than 0", scenario.seconds));
    }
    within("seconds", scenario.seconds, 0.0, LONGEST_S)?;
    within("warm_up_s", scenario.warm_up_s, 0.0, LONGEST_S)?;
    within("drain_s", scenario.drain_s, 0.0, LONGEST_S)?;
    within("settle_s", scenario.settle_s, 0.0, LONGEST_S)?;
    within("connect_rate", scenario.connect_rate, 0.1, 1e6)?;
    if scenario.connections == Some(0) {
        return Err("connections = 0: give 1 or more, or leave it out".into());
    }
    if !(1..=100).contains(&scenario.window) {
        return Err(format!("window = {}: give 1 to 100", scenario.window));
    }
    if !scenario.demo && scenario.group.is_empty() {
        return Err("no devices: add a [[group]], or demo = true".into());
    }
    let mut prefixes = HashSet::new();
    for group in &scenario.group {
        check_group(group).map_err(|why| format!("{}: {why}", group.prefix))?;
        if !prefixes.insert(&group.prefix) {
            return Err(format!("prefix = {:?} twice: each group has its own", group.prefix));
        }
    }
    let devices = scenario.group.iter().map(|group| group.count).fold(0, usize::saturating_add);
    if devices > MOST_DEVICES {
        return Err(format!("more than {MOST_DEVICES} devices: give smaller counts"));
    }
    scenario.claims.as_ref().map_or(Ok(()), check_claims)?;
    if let Some(trips) = scenario.trips {
        within("[trips]: share", trips.share, 0.0, 1.0)?;
        if !scenario.verify {
            return Err("[trips] without verify = true: nobody would look for what is told".into());
        }
    }
    check_faults(&scenario.faults)?;
    if scenario.venues_are_told && scenario.faults.offline > 0.0 {
        let why = "a greeting that comes half an hour late is of no use, so nobody could be judged";
        return Err(format!("venues_are_told with [faults] offline: {why}, leave one of them out"));
    }
    let limits = &scenario.limits;
    let shares = [
        ("acknowledged", limits.acknowledged),
        ("precision", limits.precision),
        ("recall", limits.recall),
    ];
    for (name, share) in shares {
        within(&format!("[limits]: {name}"), share.unwrap_or_default(), 0.0, 1.0)?;
    }
    let times_ms =
        [("puback_p99_ms", limits.puback_p99_ms), ("trigger_p99_ms", limits.trigger_p99_ms)];
    for (name, ms) in times_ms {
        within(&format!("[limits]: {name}"), ms.unwrap_or_default(), 0.0, LONGEST_S * 1e3)?;
    }
    Ok(())
}

/// Neither is a number that is none.
fn within(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} = {value}: give {least} to {most}"))
}

fn check_group(group: &GroupSpec) -> Result<(), String> {
    let name = &group.prefix;
    let id = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if name.is_empty() || name.len() > 56 || !name.chars().all(id) {
        return Err(format!("prefix = {name:?}: give 1 to 56 of A-Z a-z 0-9 . _ : -"));
    }
    if group.format.contains("owntracks")
        && name.split_once('-').is_none_or(|(user, _)| user.is_empty())
    {
        return Err("owntracks topics have a user: give a prefix as in user-phone".into());
    }
    if group.count == 0 {
        return Err("count = 0: give 1 or more, or leave the group out".into());
    }
    if !(1..=1_000).contains(&group.batch) {
        return Err(format!("batch = {}: give 1 to 1000", group.batch));
    }
    if group.bursts && group.kind != Kind::Car {
        return Err(format!("bursts are for cars: leave them out for a {}", group.kind.name()));
    }
    if let Some(share) = group.unheated {
        within("unheated", share, 0.0, 1.0)?;
        if group.kind != Kind::Thermostat {
            let kind = group.kind.name();
            return Err(format!("unheated is for thermostats: leave it out for a {kind}"));
        }
    }
    match (group.every_s, &group.load[..]) {
        (Some(every_s), []) => within("every_s", every_s, 0.001, LONGEST_S),
        (None, [.., last]) => {
            group.load.iter().try_for_each(check_phase)?;
            if last.to_per_s.unwrap_or(last.from_per_s) <= 0.0 {
                return Err("the load ends at 0: let the last phase end above".into());
            }
            Ok(())
        }
        _ => Err("give either every_s or a load".into()),
    }
}

fn check_phase(phase: &PhaseSpec) -> Result<(), String> {
    within("load: seconds", phase.seconds, 0.001, LONGEST_S)?;
    within("load: from_per_s", phase.from_per_s, 0.0, 1e7)?;
    within("load: to_per_s", phase.to_per_s.unwrap_or_default(), 0.0, 1e7)
}

fn check_claims(claims: &ClaimRates) -> Result<(), String> {
    let insurer = &claims.insurer;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !(1..=64).contains(&insurer.len()) || !insurer.chars().all(allowed) {
        return Err(format!("[claims]: insurer = {insurer:?}: give 1 to 64 of A-Z a-z 0-9 . _ -"));
    }
    let rates = [
        ("per_million_km", claims.per_million_km),
        ("wet", claims.wet),
        ("snow", claims.snow),
        ("ice", claims.ice),
        ("summer_when_wintry", claims.summer_when_wintry),
    ];
    rates
        .into_iter()
        .try_for_each(|(name, rate)| within(&format!("[claims]: {name}"), rate, 0.0, 1e6))
}

fn check_faults(faults: &Faults) -> Result<(), String> {
    let shares = [
        ("duplicates", faults.duplicates),
        ("reordered", faults.reordered),
        ("malformed", faults.malformed),
        ("oversized", faults.oversized),
        ("wrong_topic", faults.wrong_topic),
        ("clock_skew", faults.clock_skew),
        ("clock_ahead", faults.clock_ahead),
        ("clock_unset", faults.clock_unset),
        ("gps_rollover", faults.gps_rollover),
        ("half_open", faults.half_open),
    ];
    for (name, share) in shares {
        within(&format!("[faults]: {name}"), share, 0.0, 1.0)?;
    }
    let clocks = faults.clock_skew + faults.clock_ahead + faults.clock_unset + faults.gps_rollover;
    within("[faults]: the shares of wrong clocks together", clocks, 0.0, 1.0)?;
    if faults.storm_every_s != 0.0 {
        within("[faults]: storm_every_s", faults.storm_every_s, 0.1, LONGEST_S)?;
    }
    for (name, a_minute, seconds) in [
        ("offline", faults.offline, faults.offline_s),
        ("slow_reader", faults.slow_reader, faults.slow_reader_s),
    ] {
        within(&format!("[faults]: {name}"), a_minute, 0.0, 60.0)?;
        within(&format!("[faults]: {name}_s"), seconds, 0.0, 86_400.0)?;
        if a_minute > 0.0 && seconds == 0.0 {
            return Err(format!("[faults]: {name} without {name}_s: say for how many seconds"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Scenario, ScenarioError};

    /// Why a scenario cannot be run: how its mistakes are told to who made them.
    fn why_not(text: &str) -> String {
        let scenario: Result<Scenario, _> = toml::from_str(text);
        match scenario {
            Ok(scenario) => scenario.check().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_in_a_scenario_is_said() {
        let group = "[[group]]\nkind = 'car'\ncount = 1\nprefix = 'a-'\n";
        let cases = [
            ("", "no devices: add a [[group]]"),
            ("speed = 3", "unknown field `speed`"),
            ("seed = -1\ndemo = true", "expected u64"),
            ("warm_up_s = -1\ndemo = true", "warm_up_s = -1: give 0 to"),
            ("drain_s = inf\ndemo = true", "drain_s = inf: give 0 to"),
            ("settle_s = nan\ndemo = true", "settle_s = NaN: give 0 to"),
            ("connect_rate = 0\ndemo = true", "connect_rate = 0: give 0.1 to"),
            (
                "venues_are_told = true\ndemo = true\n[faults]\noffline = 0.1\noffline_s = 9",
                "venues_are_told with [faults] offline",
            ),
            ("connections = 0\ndemo = true", "connections = 0: give 1 or more"),
            ("window = 101\ndemo = true", "window = 101: give 1 to 100"),
            ("qos = '3'\ndemo = true", "is not 0, 1 or 2"),
            ("mqtt = '4'\ndemo = true", "is not 5 or 3.1.1"),
            (group, "a-: give either every_s or a load"),
            (&format!("{group}every_s = 0"), "a-: every_s = 0: give 0.001 to"),
            (&format!("{group}every_s = 1\nformat = 'xml'"), "xml"),
            (&format!("{group}every_s = 1\nbatch = 0"), "batch = 0: give 1 to 1000"),
            (&format!("{group}every_s = 1\n{group}every_s = 1"), "\"a-\" twice"),
            (&format!("{group}every_s = 1\nspeed = 9"), "unknown field `speed`"),
            (&format!("{group}load = [{{ seconds = 9, from_per_s = -1 }}]"), "from_per_s = -1"),
            (&format!("{group}load = [{{ seconds = 9, from_per_s = 0 }}]"), "ends at 0"),
            ("[[group]]\nkind = 'car'\ncount = 0\nprefix = 'a-'\nevery_s = 1", "count = 0"),
            ("[[group]]\nkind = 'car'\ncount = -4\nprefix = 'a-'\nevery_s = 1", "expected usize"),
            ("[[group]]\nkind = 'bus'\ncount = 1\nprefix = 'a-'", "expected one of"),
            (
                "[[group]]\nkind = 'product'\ncount = 1\nprefix = 'a-'\nevery_s = 9\nbursts = true",
                "bursts are for cars",
            ),
            (&format!("{group}every_s = 1\nunheated = 0.1"), "unheated is for thermostats"),
            (&format!("{group}every_s = 1\nunheated = 2"), "unheated = 2: give 0 to 1"),
            (
                "[[group]]\nkind = 'tracker'\ncount = 1\nprefix = 'a'\nevery_s = 9\n\
                 format = 'owntracks'",
                "give a prefix as in user-phone",
            ),
            ("demo = true\n[claims]\ninsurer = 'a/b'\nper_million_km = 1", "insurer = \"a/b\""),
            ("demo = true\n[claims]\ninsurer = 'a'\nper_million_km = -1", "per_million_km = -1"),
            ("verify = true\ndemo = true\n[trips]\nshare = 2", "[trips]: share = 2: give 0 to 1"),
            ("demo = true\n[trips]\nshare = 0.1", "[trips] without verify"),
            ("demo = true\n[faults]\nduplicates = 1.5", "duplicates = 1.5: give 0 to 1"),
            ("demo = true\n[faults]\nclock_unset = 0.6\nclock_skew = 0.6", "together = 1.2"),
            ("demo = true\n[faults]\noffline = 0.1", "offline without offline_s"),
            ("demo = true\n[faults]\nstorm_every_s = -5", "storm_every_s = -5: give 0.1"),
            ("demo = true\n[limits]\nrecall = 99", "recall = 99: give 0 to 1"),
            ("demo = true\n[limits]\npuback_ms = 99", "unknown field `puback_ms`"),
        ];
        for (text, told) in cases {
            let why = why_not(&format!("about = ''\nseconds = 9\n{text}"));
            assert!(why.contains(told), "{text}: {why}");
        }
        assert!(why_not("about = ''\nseconds = 0\ndemo = true").contains("more than 0"));
        assert!(why_not("about = ''\nseconds = nan\ndemo = true").contains("NaN"));
        assert!(why_not("seconds = 9").contains("missing field `about`"));
        let unknown = Scenario::load("no-such").unwrap_err();
        assert!(matches!(unknown, ScenarioError::Unknown { .. }));
        assert!(unknown.to_string().contains("morning-rush"));
    }
}
