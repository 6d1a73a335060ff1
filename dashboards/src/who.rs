//! Who asks: an insurer by its token, or whoever may use this address at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use enrich::registry::Registry;
use enrich::trigger::{same_secret, sha256_hex};

use crate::Site;
use crate::listener::From;
use crate::login;
use crate::problem::Problem;

/// Who a request comes from; every request under [`admit`] carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// By a token, or where there is none by the address, which is this machine's.
    Operator,
    /// Sees what is its own, at the addresses made for insurers.
    Insurer(Arc<str>),
}

/// The addresses that answer insurers.
const FOR_INSURERS: [&str; 2] = ["/v1/triggers", "/v1/subjects"];

/// Finds out who asks, and turns away who shows a token that is nobody's or asks for what is not
/// an insurer's business.
pub(crate) async fn admit(
    State(site): State<Arc<Site>>,
    ConnectInfo(From(peer)): ConnectInfo<From>,
    mut request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if !site.rates.allow(peer.ip(), shown, Instant::now()) {
        return login::too_fast();
    }
    let who = match identify(&site, peer.ip(), &request) {
        Ok(who) => who,
        Err(refusal) => return *refusal,
    };
    let path = request.uri().path();
    let for_insurers = FOR_INSURERS.contains(&path) || login::is_open(path);
    if matches!(who, Who::Insurer(_)) && !for_insurers {
        let refused = Problem::new(
            StatusCode::FORBIDDEN,
            "an insurer's token does not open this address",
            format!("ask at {}", FOR_INSURERS.join(" or ")),
        );
        return refused.into_response();
    }
    request.extensions_mut().insert(who);
    next.run(request).await
}

fn identify(site: &Site, from: IpAddr, request: &Request) -> Result<Who, Box<Response>> {
    let (login, headers) = (&site.login, request.headers());
    let path = request.uri().path();
    let now = Instant::now();
    let password = login.is_needed().then(|| login::password(headers)).flatten();
    let Some(token) = bearer(headers).or(password.as_deref().map(str::as_bytes)) else {
        return match login.is_needed() && !login::is_open(path) {
            true => Err(login::who().into()),
            false => Ok(Who::Operator),
        };
    };
    if login.must_wait(from, now) {
        return Err(login::too_many().into());
    }
    if let Some(id) = insurer_with(&site.app.registry.read(), token) {
        return Ok(Who::Insurer(id));
    }
    match login.role(token) {
        Some(role) if role >= login::needed(request.method(), path) => Ok(Who::Operator),
        Some(_) => Err(login::only_looks().into()),
        None => {
            login.was_wrong(from, now);
            Err(unknown().into())
        }
    }
}

/// A proxy in front may have its own kind of login in the same header.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn insurer_with(registry: &Registry, token: &[u8]) -> Option<Arc<str>> {
    let presented = sha256_hex(token);
    // Every one is compared to its end, so that the time it takes says nothing about any.
    registry.insurers().fold(None, |found, insurer| {
        let known = insurer.token_sha256.as_deref().unwrap_or_default();
        if same(known, &presented) { Some(insurer.id.clone()) } else { found }
    })
}

/// The registry may have a hash in capitals.
fn same(known: &str, presented: &str) -> bool {
    same_secret(&known.to_ascii_lowercase(), presented)
}

fn unknown() -> Response {
    let refused = Problem::new(
        StatusCode::UNAUTHORIZED,
        "this token is nobody's",
        "send \"Authorization: Bearer TOKEN\" with the insurer's token, or no token on the machine itself",
    );
    ([(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))], refused).into_response()
}

impl Who {
    /// The insurer whose data is asked for, or why it may not be seen.
    pub(crate) fn asks_for(&self, insurer: Option<String>) -> Result<Option<String>, Problem> {
        match (self, insurer) {
            (Self::Operator, insurer) => Ok(insurer),
            (Self::Insurer(own), None) => Ok(Some(own.to_string())),
            (Self::Insurer(own), Some(asked)) if asked == **own => Ok(Some(asked)),
            (Self::Insurer(own), Some(_)) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the token is another insurer's",
                format!("ask for {own}, or leave insurer out"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_header_only() {
        let check = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(check("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(check("bearer  abc "), Some(b"abc".to_vec()));
        assert_eq!(check("Basic YTpi"), None);
        assert_eq!(check("Bear"), None);
    }

    #[test]
    fn hashes_are_the_same_in_either_case_and_nothing_else_is() {
        let hash = sha256_hex(b"token");
        assert!(same(&hash, &hash) && same(&hash.to_uppercase(), &hash));
        assert!(!same("", &hash) && !same(&hash[..63], &hash) && !same(&sha256_hex(b"t"), &hash));
    }

    #[test]
    fn an_insurer_asks_for_its_own_only() {
        let alpina = Who::Insurer("alpina".into());
        assert_eq!(alpina.asks_for(None).unwrap().as_deref(), Some("alpina"));
        assert_eq!(alpina.asks_for(Some("alpina".into())).unwrap().as_deref(), Some("alpina"));
        assert!(alpina.asks_for(Some("boreal".into())).is_err());
        assert_eq!(Who::Operator.asks_for(None).unwrap(), None);
    }
}
