//! An answer that is no: what is wrong and what to do, as JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What went wrong, for a person, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: String,
    advice: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        error: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { status, error: error.into(), advice: advice.into() }
    }

    pub(crate) fn bad_request(error: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, advice)
    }

    pub(crate) fn not_found(error: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, advice)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error, "advice": self.advice }))).into_response()
    }
}
