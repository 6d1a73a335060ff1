//! The way in: which address is answered by what, who may ask, and what every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};

use crate::problem::Problem;
use crate::{Site, api, contracts, health, me, metrics, page, status, stream, who};

/// Everything comes from here: no third party learns that somebody looked, and text from a device
/// cannot become a program.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A registry file of some ten thousand customers.
const LARGEST_BODY: usize = 8 << 20;

pub(crate) fn router(site: Arc<Site>, addr: SocketAddr, body_within: Duration) -> Router {
    let routes = routes().into_iter();
    let router = routes
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(elsewhere)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(body_within, take_in))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), who::admit))
        .with_state(site)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::map_response(dress));
    if addr.ip().is_loopback() {
        router.layer(middleware::from_fn(from_this_machine))
    } else {
        router
    }
}

/// Takes the whole body in, of somebody who may ask, before anybody works on it: so slow ones hold
/// up nothing but themselves, and not for long.
async fn take_in(State(within): State<Duration>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(head, body)).await;
    }
    match tokio::time::timeout(within, axum::body::to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large, or broke off",
            format!("send at most {} MiB at once", LARGEST_BODY >> 20),
        )
        .into_response(),
        Err(_) => {
            let refused = Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long",
                format!("send all of it within {} seconds", within.as_secs()),
            );
            // What is still to come belongs to no other request.
            ([(header::CONNECTION, "close")], refused).into_response()
        }
    }
}

/// Every address; docs/api/openapi.json says what is asked and answered there.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Site>>)> {
    vec![
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics::metrics)),
        ("/v1/status", get(status::status)),
        ("/v1/fleet", get(api::fleet::fleet)),
        ("/v1/triggers", get(api::triggers::triggers)),
        ("/v1/triggers/test", changes(post(api::triggers::test))),
        ("/v1/devices/{id}/readings", get(api::devices::readings)),
        ("/v1/devices/{id}/events", get(api::devices::events)),
        ("/v1/quarantine", get(api::quarantine::quarantine)),
        (
            "/v1/quarantine/{number}",
            changes(delete(api::retry::drop_one)).get(api::quarantine::row),
        ),
        ("/v1/quarantine/{number}/retry", changes(post(api::retry::retry))),
        ("/v1/quarantine/retry", changes(post(api::retry::retry_many))),
        ("/v1/quarantine/drop", changes(post(api::retry::drop_many))),
        ("/v1/customers/{id}", get(api::registry::customer)),
        ("/v1/customers/{id}/export", get(api::export::export)),
        ("/v1/customers/{id}/erase", changes(post(api::registry::erase))),
        ("/v1/customers/{id}/consents/give", changes(post(api::registry::give))),
        ("/v1/customers/{id}/consents/withdraw", changes(post(api::registry::withdraw))),
        ("/v1/customers/{id}/link", changes(post(api::registry::link))),
        ("/me", get(me::page)),
        ("/me/export", get(me::export)),
        ("/me/consent", post(me::decide)),
        ("/v1/deletions/{number}", get(api::registry::receipt)),
        ("/v1/devices", changes(post(api::registry::add_devices))),
        ("/v1/devices/{id}/rotate", changes(post(api::registry::rotate))),
        ("/v1/devices/{id}/transfer", changes(post(api::registry::transfer))),
        ("/v1/registry", changes(post(api::registry::import))),
        ("/v1/subjects", get(api::subjects::subjects)),
        ("/v1/subjects/rotate", changes(post(api::subjects::rotate))),
        ("/v1/webhooks", get(api::webhooks::webhooks)),
        ("/v1/webhooks/{name}/dead", get(api::webhooks::dead)),
        ("/v1/webhooks/{name}/resend", changes(post(api::webhooks::resend))),
        ("/v1/webhooks/{name}/resume", changes(post(api::webhooks::resume))),
        ("/openapi.json", get(contracts::openapi)),
        ("/asyncapi.json", get(contracts::asyncapi)),
        ("/schemas/{schema}", get(contracts::schema)),
        ("/v1/where", get(api::place::explain)),
        ("/v1/basemap", get(api::basemap)),
        ("/v1/stream", get(stream::stream)),
    ]
}

#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// What changes something is for programs, and for the page itself.
fn changes(methods: MethodRouter<Arc<Site>>) -> MethodRouter<Arc<Site>> {
    methods.route_layer(middleware::from_fn(from_no_other_site))
}

/// Any web site can make a browser on this machine send what a form can send. It cannot make it
/// send JSON without asking first, nor hide where the request comes from.
async fn from_no_other_site(request: Request, next: Next) -> Response {
    if is_json(request.headers()) && is_from_here(request.headers()) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "this could come from another web site",
        "send Content-Type: application/json, and no Origin but this server's own",
    )
    .into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = named.and_then(|named| named.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn is_from_here(headers: &HeaderMap) -> bool {
    let fetched = headers.get("sec-fetch-site");
    let same_site = fetched.is_none_or(|site| site == "same-origin" || site == "none");
    let Some(origin) = headers.get(header::ORIGIN) else { return same_site };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    same_site && authority.map(|(_, authority)| authority) == host && host.is_some()
}

async fn dress(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Totals and positions are out of date at once, and nobody else's business.
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// There is no login on loopback, so a web site must not get here by giving its own name this
/// machine's address (DNS rebinding): the browser then still says the site's name.
async fn from_this_machine(request: Request, next: Next) -> Response {
    if names_this_machine(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let refused = Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this address is not served under that name",
        "use http://127.0.0.1 or http://localhost with the port; behind a proxy, let it send that as Host",
    );
    dress(refused.into_response()).await
}

fn names_this_machine(headers: &HeaderMap, uri: &Uri) -> bool {
    let named = headers.get(header::HOST).map(HeaderValue::to_str);
    let authority = match named {
        Some(Ok(host)) => host,
        Some(Err(_)) => return false,
        // HTTP/1.0 has no Host, and no browser speaks it.
        None => return uri.host().is_none(),
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The page's files, or nothing.
async fn elsewhere(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return ([(header::ALLOW, "GET, HEAD")], not_so().await).into_response();
    }
    page::file(uri.path(), &headers).unwrap_or_else(|| {
        Problem::not_found(
            format!("there is nothing at {}", uri.path()),
            "see docs/http.md for what there is; the page is at /",
        )
        .into_response()
    })
}

async fn not_so() -> Response {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address is not asked so",
        "see docs/http.md for how it is asked: mostly by GET; devices publish over MQTT",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_for_this_machine_is_noticed() {
        let check = |host: &str| {
            let headers =
                HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            names_this_machine(&headers, &Uri::from_static("/"))
        };
        for ours in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:80", "[::1]"] {
            assert!(check(ours), "{ours}");
        }
        for foreign in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert!(!check(foreign), "{foreign}");
        }
    }
}
