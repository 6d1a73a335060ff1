//! The outcome as a page of its own: one file, nothing fetched from anywhere.

use std::fmt::Write;

use crate::outcome::{Outcome, figure, mean_and_most};
use crate::report::Latency;

/// A line in a plot.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    values: Vec<f64>,
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--dim:#64707f;--ground:#fff;--line:#dfe4ea;--good:#1a7f4b;--bad:#c62f2f;--box:#f5f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#98a3b1;--ground:#14181e;--line:#303945;--good:#4cc38a;--bad:#ff7b72;--box:#1c222b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0;color:var(--dim)}
.mark{font-weight:600;padding:.1rem .6rem;border-radius:1rem;color:#fff;font-size:1rem;vertical-align:.15em}
.passed{background:#1a7f4b}.failed{background:#c62f2f}.good{color:var(--good)}.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .6rem .25rem 0;text-align:left;border-bottom:1px solid var(--line);font-weight:400;vertical-align:top}
th{color:var(--dim)}td.n,th.n{text-align:right}
.warn{border-left:4px solid #d99a1c;background:var(--box);padding:.5rem .8rem;margin:1rem 0;color:var(--ink)}
code{background:var(--box);padding:.1rem .3rem;border-radius:.2rem;word-break:break-all}
svg{width:100%;height:auto;background:var(--box);border-radius:.4rem}svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.legend span{margin-right:1.2rem}.legend i{display:inline-block;width:.9rem;height:.2rem;margin-right:.4rem;vertical-align:.25rem}
";

/// The page as HTML.
#[must_use]
pub fn page(outcome: &Outcome) -> String {
    let mut html = String::new();
    // Writing to a string does not fail.
    write_page(&mut html, outcome).ok();
    html
}

fn write_page(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let (mark, word) = if outcome.passed { ("passed", "passed") } else { ("failed", "failed") };
    let name = escaped(&outcome.scenario);
    write!(
        html,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>{name}: {word}</title><style>{STYLE}</style>\
         <h1>{name} <span class=\"mark {mark}\">{word}</span></h1><p>{}</p><p>{} · seed {} · scale \
         {} · {}, {} cores, {} GB, {} · device-sim {}</p><p>Repeat with <code>{}</code></p>",
        escaped(&outcome.about),
        outcome.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        outcome.seed,
        outcome.scale,
        escaped(&outcome.machine.cpu),
        outcome.machine.cores,
        outcome.machine.memory_gb,
        escaped(&outcome.machine.os),
        escaped(&outcome.machine.version),
        escaped(&outcome.command),
    )?;
    for warning in &outcome.warnings {
        write!(html, "<div class=warn>{}</div>", escaped(warning))?;
    }
    checks(html, outcome)?;
    plots(html, outcome)?;
    latencies(html, outcome)?;
    triggers(html, outcome)?;
    counts(html, outcome)
}

fn checks(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    html.push_str("<h2>What had to hold</h2><table>");
    for check in &outcome.checks {
        let (class, sign) = if check.passed { ("good", "✓") } else { ("bad", "✗") };
        write!(
            html,
            "<tr><td class={class}>{sign}<td>{}<td class=n>{}<td>{}",
            escaped(&check.what),
            escaped(&check.value),
            escaped(&check.limit)
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn plots(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let seconds = &outcome.seconds;
    let line = |name, colour, get: &dyn Fn(&crate::stats::Second) -> f64| Line {
        name,
        colour,
        values: seconds.iter().map(get).collect(),
    };
    let rates = [
        line("offered", "#d99a1c", &|s| s.offered as f64),
        line("acknowledged", "#2f7fd1", &|s| s.acknowledged as f64),
    ];
    plot(html, "Messages a second", &rates, Scale::Linear)?;
    let latencies = [
        line("median", "#2f7fd1", &|s| s.latency.p50_ms),
        line("99th percentile", "#8a5cd1", &|s| s.latency.p99_ms),
        line("longest", "#c62f2f", &|s| s.latency.max_ms),
    ];
    plot(html, "Due to acknowledged, in ms", &latencies, Scale::Logarithmic)?;
    let flight = [
        line("in flight", "#2f7fd1", &|s| s.in_flight as f64),
        line("connections lost or not made", "#c62f2f", &|s| s.errors as f64),
    ];
    plot(html, "In flight, and errors a second", &flight, Scale::Linear)?;
    let server = outcome.server.iter().flat_map(|server| &server.usage);
    let (server_cpu, server_mb): (Vec<_>, Vec<_>) =
        server.map(|usage| (usage.cpu_pct, usage.resident_mb)).unzip();
    let own_cpu = outcome.own_usage.iter().map(|usage| usage.cpu_pct).collect();
    let own_mb = outcome.own_usage.iter().map(|usage| usage.resident_mb).collect();
    let cpu = [
        Line { name: "server", colour: "#2f7fd1", values: server_cpu },
        Line { name: "simulator", colour: "#64707f", values: own_cpu },
    ];
    plot(html, "Processor, in % of one", &cpu, Scale::Linear)?;
    let memory = [
        Line { name: "server", colour: "#2f7fd1", values: server_mb },
        Line { name: "simulator", colour: "#64707f", values: own_mb },
    ];
    plot(html, "Memory resident, in MB", &memory, Scale::Linear)
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Logarithmic,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

fn plot(html: &mut String, title: &str, lines: &[Line<'_>], scale: Scale) -> std::fmt::Result {
    let lines: Vec<_> = lines.iter().filter(|line| line.values.len() > 1).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let all = || lines.iter().flat_map(|line| &line.values).copied();
    let (low, high) = match scale {
        Scale::Linear => (0.0, nice(all().fold(1.0, f64::max))),
        Scale::Logarithmic => {
            let smallest = all().filter(|value| *value > 0.0).fold(1.0, f64::min);
            let largest = all().fold(1.0, f64::max);
            (10f64.powf(smallest.log10().floor()), 10f64.powf(largest.log10().ceil()).max(10.0))
        }
    };
    let up = |value: f64| {
        let share = match scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Logarithmic => (value.max(low) / low).log10() / (high / low).log10(),
        };
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share)
    };
    let longest = lines.iter().map(|line| line.values.len()).max().unwrap_or(2);
    let along =
        |second: usize| LEFT + (WIDTH - LEFT - RIGHT) * second as f64 / (longest.max(2) - 1) as f64;
    write!(html, "<h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img>")?;
    for tick in ticks(low, high, scale) {
        let y = up(tick);
        write!(
            html,
            "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} stroke=\"var(--line)\"/>\
             <text x={} y={:.1} text-anchor=end>{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            figure(tick)
        )?;
    }
    let step = nice(longest as f64 / 8.0).max(1.0) as usize;
    for second in (0..longest).step_by(step) {
        let (x, y) = (along(second), HEIGHT - 8.0);
        write!(html, "<text x={x:.1} y={y:.1} text-anchor=middle>{second} s</text>")?;
    }
    for (index, line) in lines.iter().enumerate() {
        // The first is drawn broader, so that it can be seen under one that covers it.
        let width = if index == 0 { 3.2 } else { 1.6 };
        write!(html, "<polyline fill=none stroke-width={width} stroke-linejoin=round points=\"")?;
        for (second, &value) in line.values.iter().enumerate() {
            write!(html, "{:.1},{:.1} ", along(second), up(value))?;
        }
        write!(html, "\" stroke=\"{}\"/>", line.colour)?;
    }
    html.push_str("</svg><p class=legend>");
    for line in &lines {
        write!(html, "<span><i style=\"background:{}\"></i>{}</span>", line.colour, line.name)?;
    }
    html.push_str("</p>");
    Ok(())
}

/// The next of 1, 2, 5, 10, 20, ... above.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|n| *n >= value)
        .unwrap_or(value)
}

fn ticks(low: f64, high: f64, scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Linear => (0..=4).map(|step| low + (high - low) * f64::from(step) / 4.0).collect(),
        Scale::Logarithmic => {
            let decades = (high / low).log10().round() as i32;
            (0..=decades).map(|decade| low * 10f64.powi(decade)).collect()
        }
    }
}

fn latencies(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    html.push_str(
        "<h2>Latency in ms</h2><table><tr><th>from, to<th class=n>p50<th class=n>p90<th \
         class=n>p99<th class=n>p99.9<th class=n>max",
    );
    let mut row = |name: &str, latency: Option<Latency>| {
        let Some(l) = latency else { return Ok(()) };
        write!(html, "<tr><td>{}", escaped(name))?;
        [l.p50_ms, l.p90_ms, l.p99_ms, l.p999_ms, l.max_ms]
            .iter()
            .try_for_each(|ms| write!(html, "<td class=n>{ms:.2}"))
    };
    row("due, acknowledged", outcome.report.latency)?;
    for (product, score) in outcome.verdict.iter().flat_map(|verdict| &verdict.products) {
        row(&format!("published, trigger at the subscriber: {product}"), score.latency)?;
    }
    row("due, made (the simulator's own)", outcome.report.lag)?;
    html.push_str("</table>");
    if outcome.warm_up_s > 0.0 {
        write!(html, "<p>The first {} s are left out.</p>", figure(outcome.warm_up_s))?;
    }
    Ok(())
}

fn triggers(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Some(verdict) = &outcome.verdict else { return Ok(()) };
    html.push_str(
        "<h2>Triggers against what really happened</h2><table><tr><th>product<th \
         class=n>expected<th class=n>found<th class=n>missed<th class=n>false<th \
         class=n>doubled<th class=n>late<th class=n>optional<th class=n>withdrawn<th \
         class=n>precision<th class=n>recall",
    );
    for (product, s) in &verdict.products {
        write!(html, "<tr><td>{}", escaped(product))?;
        let counts =
            [s.expected, s.found, s.missed, s.r#false, s.doubled, s.late, s.optional, s.withdrawn];
        counts.iter().try_for_each(|count| write!(html, "<td class=n>{count}"))?;
        write!(html, "<td class=n>{:.4}<td class=n>{:.4}", s.precision, s.recall)?;
    }
    html.push_str("</table>");
    for truth in verdict.products.values().flat_map(|score| &score.first_missed) {
        let missed = format!("{} {:?} at {}", truth.device, truth.what, truth.at);
        write!(html, "<p>missed: {}</p>", escaped(&missed))?;
    }
    Ok(())
}

fn counts(html: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let r = &outcome.report;
    html.push_str("<h2>Counts</h2><table>");
    let mut row = |name: &str, value: String| write!(html, "<tr><td>{name}<td class=n>{value}");
    row("devices", r.devices.to_string())?;
    row("connections", r.connections.to_string())?;
    for (name, count) in [
        ("messages offered", r.offered),
        ("acknowledged", r.acknowledged),
        ("refused", r.refused),
        ("unacknowledged", r.unacknowledged),
        ("unsent", r.unsent),
        ("added by faults", r.extra),
        ("usable readings acknowledged at QoS 1 or 2", r.readings),
        ("connections made", r.connects),
        ("connections refused for now", r.refused_connects),
        ("connections not made", r.failed_connects),
        ("connections lost", r.lost_connections),
        ("connections cut on purpose", r.cut_connections),
    ] {
        row(name, count.to_string())?;
    }
    if let Some(server) = &outcome.server {
        if let Some(t) = server.totals {
            row("server: readings received", figure(t.received))?;
            row("server: stored", figure(t.stored))?;
            row("server: duplicate", figure(t.duplicate))?;
            row("server: quarantined", figure(t.quarantined))?;
            row("server: refused", figure(t.refused))?;
        }
        if let Some((cpu_pct, resident_mb)) = mean_and_most(&server.usage) {
            row("server: mean % of a processor", format!("{cpu_pct:.0}"))?;
            row("server: most MB resident", format!("{resident_mb:.0}"))?;
        }
    }
    if let Some(error) = &r.last_error {
        row("last error", escaped(error))?;
    }
    html.push_str("</table></html>");
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
