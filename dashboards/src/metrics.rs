//! The totals for Prometheus, in its text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use deliver::influx::{InfluxReport, InfluxState};
use deliver::requests::Refused;
use deliver::webhooks::WebhookReport;
use enrich::relevance::Why;
use ingest::Reason;
use ingest::report::ReportKind;
use ingest::weather::{Fault, FeedStatus};
use journal::{Circuit, Health};

use crate::health::{BrokerState, is_ready};
use crate::status::Devices;
use crate::{App, Site};

pub(crate) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let text = exposition(&site.app, site.feed.watching());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn exposition(app: &App, streams: usize) -> String {
    let mut out = Exposition::default();
    counters(&mut out, app);
    gauges(&mut out, app, streams);
    if let Some(report) = &app.influx {
        influx(&mut out, &report.borrow().clone(), app.clock.now_ms());
    }
    requests(&mut out, app);
    webhooks(&mut out, app);
    weather(&mut out, app);
    out.0
}

fn counters(out: &mut Exposition, app: &App) {
    let counts = app.live.counts();
    let plain = [
        (
            "readings_received",
            "Readings received; an undecodable message counts one.",
            counts.received,
        ),
        ("readings_stored", "Readings stored.", counts.stored),
        ("readings_duplicate", "Readings that had been stored before.", counts.duplicate),
        ("readings_dropped", "Quarantined readings that somebody let go.", counts.dropped),
        ("messages", "MQTT messages received.", counts.messages),
        (
            "unknown_names",
            "Names in messages that are no documented measure.",
            counts.unknown_names,
        ),
        ("readings_late", "Stored readings behind a later one of their device.", counts.late),
        (
            "readings_beyond_horizon",
            "Stored readings too late to change events.",
            counts.beyond_horizon,
        ),
        (
            "readings_passed_over",
            "Stored readings that left the log before an output had them.",
            counts.passed_over,
        ),
        ("triggers_released", "Triggers released for sending.", counts.triggers_released),
        ("triggers_expired", "Triggers recorded but too late to send.", counts.triggers_expired),
        (
            "triggers_withheld",
            "Released, and not sent since the consent ended.",
            counts.triggers_withheld,
        ),
        ("readings_deleted", "Stored, and deleted since nobody may keep them.", counts.deleted),
    ];
    for (name, help, total) in plain {
        out.family(&format!("{name}_total"), "counter", help).sample(&[], total);
    }
    let mut aged =
        out.family("aged_total", "counter", "What was deleted because of its age, by kind.");
    let gone = counts.aged;
    for (what, total) in [
        ("readings", gone.readings),
        ("events", gone.events),
        ("triggers", gone.triggers),
        ("reports", gone.reports),
    ] {
        aged.sample(&[("what", what)], total);
    }
    let mut reports =
        out.family("reports_stored_total", "counter", "What insurers reported, by kind.");
    for kind in ReportKind::ALL {
        let total = counts.reports.get(&kind).copied().unwrap_or_default();
        reports.sample(&[("kind", kind.name())], total);
    }
    let mut suppressed =
        out.family("triggers_suppressed_total", "counter", "Triggers not said, by reason.");
    for why in Why::ALL {
        let total = counts.triggers_suppressed.get(why.name()).copied().unwrap_or_default();
        suppressed.sample(&[("reason", why.name())], total);
    }
    // A counter must not fall: what was tried again stays in it, and is counted beside it.
    let mut quarantined = counts.quarantined;
    for (reason, retried) in &counts.retried {
        *quarantined.entry(*reason).or_default() += retried;
    }
    reasons(out, "quarantined", "Readings that could not be used.", &quarantined);
    reasons(out, "retried", "Quarantined readings that were tried again.", &counts.retried);
    reasons(out, "refused", "Readings that may not be kept.", &counts.refused);
}

/// Every reason, at 0 too, so that a first one shows as an increase.
fn reasons(out: &mut Exposition, what: &str, help: &str, counts: &BTreeMap<Reason, u64>) {
    let mut family = out.family(&format!("readings_{what}_total"), "counter", help);
    for reason in Reason::ALL {
        let total = counts.get(reason).copied().unwrap_or_default();
        family.sample(&[("reason", reason.name())], total);
    }
}

fn gauges(out: &mut Exposition, app: &App, streams: usize) {
    let devices = Devices::count(app);
    let mut fleet =
        out.family("fleet_devices", "gauge", "Devices heard of since the start, by kind.");
    for (kind, heard) in &devices.by_kind {
        fleet.sample(&[("kind", kind)], heard);
    }
    let writable = matches!(*app.live.health().borrow(), Health::Writable);
    let accepting = matches!(*app.broker.borrow(), BrokerState::Accepting);
    let plain = [
        ("registered_devices", "Devices in the registry.", devices.registered),
        ("streams", "Live streams being watched.", streams),
        ("journal_writable", "1 when the journal takes readings.", usize::from(writable)),
        ("broker_accepting", "1 when devices can publish.", usize::from(accepting)),
        ("ready", "1 when /readyz says so.", usize::from(is_ready(app))),
        (
            "balanced",
            "1 when received = stored + quarantined + refused + duplicate.",
            usize::from(app.live.counts().balance()),
        ),
        (
            "clock_doubted",
            "1 when the clock has jumped ahead, and nothing goes because of its age.",
            usize::from(app.live.clock_doubted()),
        ),
    ];
    for (name, help, value) in plain {
        out.family(name, "gauge", help).sample(&[], value);
    }
    out.family("start_time_seconds", "gauge", "When the process started, by the pipeline's clock.")
        .sample(&[], app.info.started_ms as f64 / 1e3);
    out.family("build_info", "gauge", "1, labelled with the version.")
        .sample(&[("version", app.info.version)], 1);
}

/// Since the start of the process, unlike the journal's totals.
fn influx(out: &mut Exposition, report: &InfluxReport, now_ms: i64) {
    let totals = [
        ("points_written", "Points that InfluxDB took.", report.points_written),
        ("points_refused", "Points that InfluxDB refused.", report.points_refused),
        ("readings_withheld", "Readings without consent by now.", report.readings_withheld),
        ("values_left_out", "Values without a form in line protocol.", report.values_left_out),
        ("requests_failed", "Requests that failed or were refused.", report.requests_failed),
    ];
    for (name, help, total) in totals {
        out.family(&format!("influx_{name}_total"), "counter", help).sample(&[], total);
    }
    out.family("influx_deletions_pending", "gauge", "Deletions still to be done in InfluxDB.")
        .sample(&[], report.deletions_pending);
    let writing = usize::from(report.state == InfluxState::Writing);
    out.family("influx_writing", "gauge", "1 unless InfluxDB is away or denies.")
        .sample(&[], writing);
    let behind_ms = report.waiting_since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0));
    out.family("influx_behind_seconds", "gauge", "Age of the oldest reading not yet written.")
        .sample(&[], behind_ms as f64 / 1e3);
}

/// Since the start of the process; every reason, at 0 too.
fn requests(out: &mut Exposition, app: &App) {
    let mut family =
        out.family("requests_refused_total", "counter", "Requests for triggers that got none.");
    for name in Refused::NAMES {
        family.sample(&[("reason", name)], app.refusals.total(name));
    }
}

/// Since the start of the process, by the endpoint's name; every state, at 0 too.
fn webhooks(out: &mut Exposition, app: &App) {
    if app.webhooks.is_empty() {
        return;
    }
    let reports: Vec<_> =
        app.webhooks.iter().map(|one| (&*one.name, one.report.borrow().clone())).collect();
    let mut total = |name: &str, help: &str, of: fn(&WebhookReport) -> u64| {
        let mut family = out.family(&format!("webhook_{name}_total"), "counter", help);
        reports.iter().for_each(|(name, report)| family.sample(&[("webhook", name)], of(report)));
    };
    total("taken", "Messages that an endpoint took.", |report| report.taken);
    total("failed", "Attempts at a message that came to nothing.", |report| report.failed);
    total("retries", "Attempts at messages not taken before.", |report| report.retries);
    total("given_up", "Messages that became dead letters.", |report| report.given_up);
    let mut family = out.family("webhook_state", "gauge", "1 for the state an endpoint is in.");
    for (name, report) in &reports {
        for state in Circuit::ALL {
            let is = u8::from(state == report.circuit);
            family.sample(&[("webhook", name), ("state", state.name())], is);
        }
    }
}

/// What feeds were asked and what came of it; every fault, at 0 too.
fn weather(out: &mut Exposition, app: &App) {
    let waiting = app.live.weather_wanted().borrow().len();
    out.family("events_waiting_for_weather", "gauge", "Events that wait for their weather.")
        .sample(&[], waiting);
    let feeds = app.weather.all();
    if feeds.is_empty() {
        return;
    }
    let mut total = |name: &str, help: &str, of: fn(&FeedStatus) -> u64| {
        let mut family = out.family(&format!("weather_{name}_total"), "counter", help);
        feeds.iter().for_each(|(name, feed)| family.sample(&[("feed", name)], of(feed)));
    };
    total("requests", "Requests to weather feeds.", |feed| feed.requests);
    total("not_modified", "Answers that nothing had changed.", |feed| feed.not_modified);
    total("hours", "Hours of weather that came.", |feed| feed.hours);
    let mut family =
        out.family("weather_faults_total", "counter", "Requests that brought no weather.");
    for (name, feed) in &feeds {
        for fault in Fault::NAMES {
            let total = feed.faults.get(fault).copied().unwrap_or_default();
            family.sample(&[("feed", name), ("fault", fault)], total);
        }
    }
    let mut family =
        out.family("weather_dropped_total", "counter", "Values that no weather has, left out.");
    for (name, feed) in &feeds {
        for (value, total) in &feed.dropped {
            family.sample(&[("feed", name), ("value", value)], total);
        }
    }
    let mut family =
        out.family("weather_budget_left", "gauge", "What may still be asked today (UTC).");
    for (name, feed) in &feeds {
        family.sample(&[("feed", name)], feed.budget_left);
    }
}

#[derive(Default)]
struct Exposition(String);

/// The samples of one metric go under its own heading.
struct Family<'a> {
    out: &'a mut String,
    name: String,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        let name = format!("datanaut_{name}");
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a String cannot fail.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
        Family { out: &mut self.0, name }
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(&self.name);
        for (at, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('\n', r"\n").replace('"', r#"\""#);
            let before = if at == 0 { '{' } else { ',' };
            write!(self.out, "{before}{name}=\"{text}\"").ok();
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.out, "{close} {value}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn what_would_break_the_format_is_escaped() {
        let mut out = Exposition::default();
        out.family("odd", "gauge", "a \\ and\na line")
            .sample(&[("a", "say \"hi\""), ("b", "x\\y\nz")], 1.5);
        assert_eq!(
            out.0,
            "# HELP datanaut_odd a \\\\ and\\na line\n# TYPE datanaut_odd gauge\n\
             datanaut_odd{a=\"say \\\"hi\\\"\",b=\"x\\\\y\\nz\"} 1.5\n"
        );
    }
}
