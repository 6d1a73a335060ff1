//! Changing who is who while serving: consents, devices, and what people may ask for.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use enrich::places::Shape;
use enrich::registry::{
    Consent, Customer, Device, Geofence, GeofenceKind, Policy, RegistryFile, Span,
};
use enrich::trigger::sha256_hex;
use ingest::DeviceKind;
use jiff::Timestamp;
use journal::{Change, ChangeError, Changed, NewDevice};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Site;
use crate::asked::{
    Confirmed, Devices, File, Given, Good, NewDevice as New, Transferred, Withdrawn,
};
use crate::login::new_token;
use crate::problem::Problem;
use crate::wire::moment;

const DAY_MS: i64 = 86_400_000;

type Id = Result<Path<String>, PathRejection>;

/// A customer, and all that is known of who they are.
#[derive(Serialize)]
pub(crate) struct Known {
    pub(crate) customer: Customer,
    pub(crate) devices: Vec<Owned>,
    pub(crate) policies: Vec<Held<Policy>>,
    pub(crate) consents: Vec<Held<Consent>>,
    geofences: Vec<Drawn>,
}

/// A geofence of the customer's own. Without `from` and `to` it is valid for ever.
#[derive(Serialize)]
struct Drawn {
    name: Arc<str>,
    kind: GeofenceKind,
    shape: Shape,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Drawn {
    fn of(fence: &Geofence) -> Self {
        let Geofence { name, kind, shape, span, .. } = fence.clone();
        let from = Timestamp::from_millisecond(span.from_ms).ok();
        Self { name, kind, shape, from, to: span.to_ms.map(moment) }
    }
}

#[derive(Serialize)]
pub(crate) struct Owned {
    pub(crate) device: Arc<str>,
    pub(crate) kind: DeviceKind,
    #[serde(skip)]
    pub(crate) number: u32,
    #[serde(skip)]
    pub(crate) spans: Vec<Span>,
    owned: Vec<From>,
}

/// From when to when something held, in words.
#[derive(Serialize)]
pub(crate) struct From {
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
}

#[derive(Serialize)]
pub(crate) struct Held<T> {
    #[serde(flatten)]
    pub(crate) entry: T,
    #[serde(flatten)]
    pub(crate) held: From,
}

impl From {
    pub(crate) fn span(span: Span) -> Self {
        Self { from: moment(span.from_ms), to: span.to_ms.map(moment) }
    }
}

impl Known {
    /// `None`: there is no such customer.
    pub(crate) fn of(site: &Site, id: &str) -> Option<(u32, Self)> {
        let registry = site.app.registry.read();
        let number = registry.customer_number(id)?;
        let devices = registry.devices_of(number).map(|known| {
            let spans: Vec<Span> = known.spans_of(number).collect();
            Owned {
                device: known.device.id.clone(),
                kind: known.device.kind,
                number: known.number,
                owned: spans.iter().copied().map(From::span).collect(),
                spans,
            }
        });
        let policies = registry.policies_of(number).iter().cloned();
        let consents = registry.consents_of(number).iter().cloned();
        let known = Self {
            customer: registry.customer(number)?.clone(),
            devices: devices.collect(),
            policies: policies.map(|entry| Held { held: From::span(entry.span), entry }).collect(),
            consents: consents.map(|entry| Held { held: From::span(entry.span), entry }).collect(),
            geofences: registry.geofences_of(number).map(Drawn::of).collect(),
        };
        Some((number, known))
    }
}

pub(crate) async fn customer(State(site): State<Arc<Site>>, id: Id) -> Result<Response, Problem> {
    let (_, known) = known(&site, &path(id)?)?;
    Ok(Json(known).into_response())
}

pub(crate) fn known(site: &Site, id: &str) -> Result<(u32, Known), Problem> {
    Known::of(site, id).ok_or_else(|| {
        Problem::not_found(
            format!("there is no customer \"{id}\""),
            "use the id of a customer in the registry; one that was erased is in it no more",
        )
    })
}

pub(crate) async fn give(
    State(site): State<Arc<Site>>,
    id: Id,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let customer = path(id)?.into();
    let Given { insurer, purpose, wording } = parse(&body)?;
    change(&site, Change::Give { customer, insurer, purpose, wording }).await.map(Json)
}

pub(crate) async fn withdraw(
    State(site): State<Arc<Site>>,
    id: Id,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let customer = path(id)?.into();
    let Withdrawn { insurer, purpose } = parse(&body)?;
    change(&site, Change::Withdraw { customer, insurer, purpose }).await.map(Json)
}

pub(crate) async fn erase(
    State(site): State<Arc<Site>>,
    id: Id,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let id = path(id)?;
    if parse::<Confirmed>(&body)?.confirm != id {
        return Err(Problem::bad_request(
            "confirm is not the id of this customer",
            "send {\"confirm\": \"ID\"}: what is erased does not come back",
        ));
    }
    change(&site, Change::Erase { customer: id.into() }).await.map(Json)
}

#[derive(Serialize)]
struct Link {
    path: String,
    until: Timestamp,
}

/// A link to the customer's own page.
pub(crate) async fn link(
    State(site): State<Arc<Site>>,
    id: Id,
    body: Bytes,
) -> Result<Response, Problem> {
    let (_, known) = known(&site, &path(id)?)?;
    let Good { days } = parse(&body)?;
    let until_ms = site.app.clock.now_ms() + i64::from(days) * DAY_MS;
    let token = site.app.journal.links().token(&known.customer.id, until_ms);
    let link = Link { path: format!("/me?token={token}"), until: moment(until_ms) };
    Ok(Json(link).into_response())
}

pub(crate) async fn receipt(
    State(site): State<Arc<Site>>,
    number: Result<Path<i64>, PathRejection>,
) -> Result<Response, Problem> {
    let unknown =
        || Problem::not_found("there is no such deletion", "use a number that one answered");
    let Ok(Path(number)) = number else { return Err(unknown()) };
    let receipt = site.reads.read(move |reader| reader.receipt(number)).await?;
    Ok(Json(receipt.ok_or_else(unknown)?).into_response())
}

/// A login, told once: only its hash is kept.
#[derive(Serialize)]
struct Login {
    device: Arc<str>,
    token: String,
}

pub(crate) async fn add_devices(
    State(site): State<Arc<Site>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Devices { devices } = parse(&body)?;
    let mut logins = Vec::with_capacity(devices.len());
    let mut added = Vec::with_capacity(devices.len());
    for New { id, kind, owner } in devices {
        let login = Login { device: id.clone(), token: token()? };
        let token_sha256 = Some(sha256_hex(login.token.as_bytes()));
        added.push(NewDevice { device: Device { id, kind, token_sha256 }, owner });
        logins.push(login);
    }
    change(&site, Change::AddDevices(added)).await?;
    Ok(Json(logins).into_response())
}

pub(crate) async fn rotate(State(site): State<Arc<Site>>, id: Id) -> Result<Response, Problem> {
    let device: Arc<str> = path(id)?.into();
    let token = token()?;
    let token_sha256 = sha256_hex(token.as_bytes());
    change(&site, Change::RotateToken { device: device.clone(), token_sha256 }).await?;
    Ok(Json(Login { device, token }).into_response())
}

pub(crate) async fn transfer(
    State(site): State<Arc<Site>>,
    id: Id,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let device = path(id)?.into();
    let Transferred { to } = parse(&body)?;
    change(&site, Change::Transfer { device, to }).await.map(Json)
}

pub(crate) async fn import(
    State(site): State<Arc<Site>>,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let File { file } = parse(&body)?;
    let parsed = RegistryFile::parse_beside(&file, &site.app.registry.read());
    let entries = parsed
        .map_err(|error| Problem::bad_request(error.to_string(), "nothing of the file was used"))?;
    change(&site, Change::Import(entries)).await.map(Json)
}

pub(crate) fn path(id: Id) -> Result<String, Problem> {
    let wrong =
        |_| Problem::bad_request("the address has no usable id", "use the id of the registry");
    id.map(|Path(id)| id).map_err(wrong)
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(
            format!("the body is not as expected: {error}"),
            "send JSON as in docs/http.md",
        )
    })
}

fn token() -> Result<String, Problem> {
    new_token().map_err(|error| {
        let error = format!("the system gives no random numbers: {error}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "try again")
    })
}

pub(crate) async fn change(site: &Site, change: Change) -> Result<Changed, Problem> {
    site.app.journal.change(change).await.map_err(|error| refused(&error))
}

/// Why something was not changed.
pub(crate) fn refused(error: &ChangeError) -> Problem {
    let status = match error {
        ChangeError::Unknown { .. } => StatusCode::NOT_FOUND,
        ChangeError::BadId(_) => StatusCode::BAD_REQUEST,
        ChangeError::Exists { .. }
        | ChangeError::SharedId(_)
        | ChangeError::Erased { .. }
        | ChangeError::AlreadyGiven
        | ChangeError::NotGiven
        | ChangeError::AlreadyTheirs => StatusCode::CONFLICT,
        ChangeError::Random(_) | ChangeError::Journal(_) | ChangeError::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let text = error.to_string();
    let (error, advice) = text.split_once(": ").unwrap_or((&text, "nothing was changed"));
    Problem::new(status, error, advice)
}
