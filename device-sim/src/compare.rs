//! Two runs side by side.

use crate::outcome::{Outcome, figure, mean_and_most};

/// Sets two runs side by side: what changed, in figures that matter.
#[must_use]
pub fn compare(a: &Outcome, b: &Outcome) -> String {
    let mut text = format!("{:34}{:>14}{:>14}{:>10}\n", "", "A", "B", "change");
    let mut row = |name: &str, a: Option<f64>, b: Option<f64>| {
        let cell = |value: Option<f64>| value.map_or("-".into(), figure);
        let change = match (a, b) {
            (Some(a), Some(b)) if a != 0.0 => format!("{:+.1} %", (b / a - 1.0) * 100.0),
            _ => String::new(),
        };
        text += &format!("{name:34}{:>14}{:>14}{change:>10}\n", cell(a), cell(b));
    };
    let mut both = |name: &str, get: &dyn Fn(&Outcome) -> Option<f64>| row(name, get(a), get(b));
    both("offered a second", &|o| Some(o.report.offered_per_s));
    both("acknowledged a second", &|o| Some(o.report.acknowledged_per_s));
    both("PUBACK p50 ms", &|o| Some(o.report.latency?.p50_ms));
    both("PUBACK p99 ms", &|o| Some(o.report.latency?.p99_ms));
    both("PUBACK p99.9 ms", &|o| Some(o.report.latency?.p999_ms));
    both("PUBACK max ms", &|o| Some(o.report.latency?.max_ms));
    both("unacknowledged and unsent", &|o| {
        Some((o.report.unacknowledged + o.report.unsent) as f64)
    });
    both("connections lost", &|o| Some(o.report.lost_connections as f64));
    both("connections refused for now", &|o| Some(o.report.refused_connects as f64));
    let products = [a, b].into_iter().flat_map(|o| &o.verdict).flat_map(|v| v.products.keys());
    for product in products.collect::<std::collections::BTreeSet<_>>() {
        let score = |o: &Outcome| o.verdict.as_ref()?.products.get(product).cloned();
        both(&format!("{product}: found"), &|o| Some(score(o)?.found as f64));
        both(&format!("{product}: precision"), &|o| Some(score(o)?.precision));
        both(&format!("{product}: recall"), &|o| Some(score(o)?.recall));
        both(&format!("{product}: trigger p99 ms"), &|o| Some(score(o)?.latency?.p99_ms));
    }
    both("server: % of a processor", &|o| Some(mean_and_most(&o.server.as_ref()?.usage)?.0));
    both("server: most MB", &|o| Some(mean_and_most(&o.server.as_ref()?.usage)?.1));
    both("simulator: % of a processor", &|o| Some(mean_and_most(&o.own_usage)?.0));
    for warning in warnings(a, b) {
        text += &format!("\nwarning: {warning}\n");
    }
    text
}

/// Why the two do not compare.
fn warnings(a: &Outcome, b: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if (&a.scenario, a.seed, a.scale.to_bits()) != (&b.scenario, b.seed, b.scale.to_bits()) {
        warnings.push("the two are not runs of the same scenario, seed and scale".to_owned());
    }
    if a.machine.version != b.machine.version {
        let (a, b) = (&a.machine.version, &b.machine.version);
        warnings.push(format!("the two differ in the simulator: A {a}, B {b}"));
    } else if a.machine != b.machine {
        let (a, b) = (&a.machine, &b.machine);
        warnings.push(format!("the two ran on different machines: A {a}; B {b}"));
    }
    match (&a.setup, &b.setup) {
        (Some(a), Some(b)) => {
            let differences = a.differences(b).into_iter();
            warnings.extend(differences.map(|what| format!("the two differ in the {what}")));
        }
        (None, None) => {}
        (setup, _) => {
            let silent = if setup.is_none() { "A" } else { "B" };
            warnings.push(format!(
                "{silent} does not say how it was run: it is of an older version, run it again"
            ));
        }
    }
    for (name, outcome) in [("A", a), ("B", b)] {
        if let Some(late_ms) = outcome.limited_by_itself() {
            warnings.push(format!(
                "{name} was limited by the simulator, which made 1 % of the messages {late_ms:.0} ms late \
                 or more: its latencies are too high"
            ));
        }
    }
    warnings
}
