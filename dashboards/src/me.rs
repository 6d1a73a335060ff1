//! `/me?token=…`: what is known of a customer, for that customer, who decides about it.
//!
//! Plain HTML: it works without JavaScript. The token in the link is what lets somebody in; it is in
//! every form too, so that no other site can make a browser send one.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{Html, IntoResponse, Redirect, Response};
use enrich::registry::Consent;
use journal::{Change, TriggerRow};

use crate::Site;
use crate::api::export::zipped;
use crate::api::params::Params;
use crate::api::registry::{Held, Known, change, known};
use crate::asked::{Decided, Decision, Link};
use crate::problem::Problem;
use crate::wire::moment;

/// As every answer's, but that its own forms may be sent.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

/// The newest that insurers were told; the export has all.
const TOLD: usize = 200;

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Params(link): Params<Link>,
) -> Result<Response, Problem> {
    let (number, known) = holder(&site, &link.token)?;
    let told = site.reads.read(move |reader| reader.told_of(number)).await?;
    let rows: Vec<TriggerRow> = told.into_iter().rev().take(TOLD).map(|(row, _)| row).collect();
    let html = Html(document(&site, &link.token, &known, &rows));
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((policy, html).into_response())
}

pub(crate) async fn export(
    State(site): State<Arc<Site>>,
    Params(link): Params<Link>,
) -> Result<Response, Problem> {
    let (number, known) = holder(&site, &link.token)?;
    Ok(zipped(&site, number, known))
}

pub(crate) async fn decide(
    State(site): State<Arc<Site>>,
    form: Result<Form<Decision>, FormRejection>,
) -> Result<Redirect, Problem> {
    let Form(decision) = form.map_err(|wrong| {
        Problem::bad_request(
            wrong.body_text(),
            "open the page by its link again, and decide with its buttons",
        )
    })?;
    let (_, known) = holder(&site, &decision.token)?;
    let Decision { token, insurer, purpose, decision } = decision;
    let customer = known.customer.id.clone();
    let wording = known.consents.iter().rev().find(|held| held.entry.is_of(&insurer, purpose));
    let Some(wording) = wording.map(|held| held.entry.wording.clone()) else {
        return Err(Problem::bad_request(
            "this was never asked of you",
            "decide about what the page lists",
        ));
    };
    let made = match decision {
        Decided::Give => Change::Give { customer, insurer, purpose, wording },
        Decided::Withdraw => Change::Withdraw { customer, insurer, purpose },
    };
    change(&site, made).await?;
    Ok(Redirect::to(&format!("/me?token={token}")))
}

fn holder(site: &Site, token: &str) -> Result<(u32, Known), Problem> {
    let now_ms = site.app.clock.now_ms();
    let customer = site.app.journal.links().customer(token, now_ms).map(str::to_owned);
    let refused = || {
        Problem::new(
            StatusCode::FORBIDDEN,
            "this link is not good, or not any more",
            "ask whoever gave it to you for another",
        )
    };
    known(site, &customer.ok_or_else(refused)?).map_err(|_| refused())
}

fn document(site: &Site, token: &str, known: &Known, told: &[TriggerRow]) -> String {
    let mut html = String::new();
    let name = escaped(&known.customer.name);
    // Writing to a string cannot fail, here and below.
    write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title>\
         <link rel=\"icon\" href=\"/icon.svg\"><link rel=\"stylesheet\" href=\"/me.css\"></head><body><main><h1>{name}</h1>\
         <p>What is known of you here, who was told what, and what you allow.</p>"
    )
    .ok();
    consents(&mut html, site, token, known);
    html.push_str("<h2>Your devices</h2><ul>");
    for device in &known.devices {
        write!(html, "<li>{} ({})</li>", escaped(&device.device), device.kind.name()).ok();
    }
    html.push_str("</ul><h2>Who was told what</h2>");
    if told.is_empty() {
        html.push_str("<p>Nobody was told anything.</p>");
    }
    html.push_str("<ol class=\"told\">");
    told.iter().for_each(|row| one(&mut html, site, known, row));
    write!(
        html,
        "</ol><p><a href=\"/me/export?token={}\">Everything that is known of you, in one file</a></p>\
         </main></body></html>",
        escaped(token)
    )
    .ok();
    html
}

/// The newest word on each consent, with a button for the other one.
fn consents(html: &mut String, site: &Site, token: &str, known: &Known) {
    let now_ms = site.app.clock.now_ms();
    html.push_str("<h2>What you allow</h2><ul class=\"consents\">");
    for (at, held) in known.consents.iter().enumerate() {
        let consent = &held.entry;
        let later = |held: &Held<Consent>| held.entry.is_of(&consent.insurer, consent.purpose);
        if known.consents[at + 1..].iter().any(later) {
            continue;
        }
        let holds = consent.span.holds(now_ms);
        let (decision, word, since) = match (holds, held.held.to) {
            (true, _) => ("withdraw", "Withdraw", format!("allowed since {}", held.held.from)),
            (false, Some(to)) => ("give", "Allow", format!("not allowed since {to}")),
            (false, None) => ("withdraw", "Withdraw", format!("allowed from {}", held.held.from)),
        };
        let insurer = insurer(site, &consent.insurer);
        write!(
            html,
            "<li><form method=\"post\" action=\"/me/consent\"><span>{} for {}: {}</span>",
            escaped(&insurer),
            consent.purpose.name().replace('_', " "),
            since
        )
        .ok();
        for (name, value) in [
            ("token", token),
            ("insurer", &consent.insurer),
            ("purpose", consent.purpose.name()),
            ("decision", decision),
        ] {
            let value = escaped(value);
            write!(html, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">").ok();
        }
        write!(html, "<button>{word}</button></form></li>").ok();
    }
    html.push_str("</ul>");
}

fn one(html: &mut String, site: &Site, known: &Known, row: &TriggerRow) {
    let said = serde_json::to_value(&row.body.data).unwrap_or_default();
    let language = match &*known.customer.language {
        "nl" => "nl",
        _ => "en",
    };
    let why = said["explanation"][language].as_str().unwrap_or_default();
    let outcome = match (row.status.as_str(), row.outcome.as_str()) {
        (_, "withheld") => "not sent, you withdrew first",
        (_, "expired") => "too late, not sent",
        ("notice", _) => "asked to delete",
        ("erased", _) => "sent, deleted here since",
        ("withdrawn", _) => "taken back",
        _ => "sent",
    };
    write!(
        html,
        "<li><b>{}</b>, {}, {} <i>{outcome}</i><br>{}</li>",
        escaped(&insurer(site, &row.insurer)),
        escaped(&row.product.replace('_', " ")),
        moment(row.body.time.as_millisecond()),
        escaped(why)
    )
    .ok();
}

fn insurer(site: &Site, id: &str) -> String {
    let registry = site.app.registry.read();
    registry.insurer(id).map_or_else(|| id.to_owned(), |insurer| insurer.name.clone())
}

/// Text, and nothing but text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_cannot_become_a_program() {
        assert_eq!(escaped("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
