//! `/v1/subjects`: by which names an insurer knows the customer behind a policy, and new ones.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use journal::Subjects;
use serde::Deserialize;
use serde_json::json;

use super::params::Params;
use super::registry::refused;
use crate::Site;
use crate::problem::Problem;
use crate::who::Who;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    policy: String,
}

/// An insurer learns nothing of others' policies, not even whether there is one.
pub(crate) async fn subjects(
    State(site): State<Arc<Site>>,
    Extension(who): Extension<Who>,
    Params(Which { policy }): Params<Which>,
) -> Result<Json<Subjects>, Problem> {
    let asked = policy.clone();
    let found = site.reads.read(move |reader| reader.subjects(&asked)).await?;
    let theirs = found.filter(|found| match &who {
        Who::Operator => true,
        Who::Insurer(own) => found.insurer == *own,
    });
    theirs.map(Json).ok_or_else(|| {
        Problem::not_found(
            format!("there is no policy \"{policy}\""),
            "use the id of a policy in the registry; one of somebody who was erased is in it no more",
        )
    })
}

/// Gives every customer another name at every insurer, for what is said from now on.
pub(crate) async fn rotate(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let version = site.app.journal.rotate_pseudonyms().await.map_err(|error| refused(&error))?;
    Ok(Json(json!({ "key_version": version })).into_response())
}
