//! Files that operators are given by others: registries, rules, areas of risk.
#![no_main]

use enrich::places::risk_areas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    drop(RegistryFile::parse(text));
    drop(RuleSet::alone("fuzz.toml", text));
    drop(risk_areas(text));
});
