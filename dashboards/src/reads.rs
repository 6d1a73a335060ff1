//! Queries of the journal, off the threads that answer, and few at a time.

use std::sync::Arc;

use axum::http::StatusCode;
use journal::{ReadError, Reader};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Each query opens the database and holds what it found; more at once would only take turns on
/// the disk. Others wait in line.
const AT_ONCE: usize = 8;

pub(crate) struct Reads {
    reader: Reader,
    turns: Arc<Semaphore>,
}

impl Reads {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let reader = self.reader.clone();
        let answer = tokio::task::spawn_blocking(move || {
            // Kept here, so that a query whose asker has gone still counts.
            let _turn = turn;
            query(&reader)
        });
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Problem {
    tracing::warn!(%error, "a query of the journal failed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        error.to_string(),
        "ask again; if it stays, look at /readyz and the log",
    )
}
