//! Sends triggers to insurers' HTTP endpoints, signed as [Standard Webhooks] says.
//!
//! Each endpoint is a task of its own: it takes the next message ([`endpoint`]), signs ([`sign`])
//! and posts it ([`post`], to [`address`]es that may be reached), decides by the answer what comes
//! next ([`retry`]), and has that committed before it goes on.
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod address;
mod endpoint;
mod post;
mod retry;
mod sign;

use std::path::PathBuf;
use std::sync::Arc;

use ingest::Clock;
use journal::Journal;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use sign::{SecretError, Secrets};

use endpoint::Sender;

/// Endpoints of one server: each may keep a thread busy.
pub const MOST_ENDPOINTS: usize = 64;

/// Where an insurer's triggers go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Under which the journal knows how far it has come.
    pub name: Arc<str>,
    pub insurer: String,
    pub url: String,
    /// The newest secret first; read anew for every attempt, so that it can be changed meanwhile.
    pub secret_file: PathBuf,
    /// None: all.
    pub products: Vec<String>,
    /// Whether it may be on this machine or in a private network.
    pub allow_private: bool,
}

/// Sends until `shutdown` changes. What is on its way then is sent again after the next start.
pub async fn run(
    endpoints: Vec<Endpoint>,
    journal: Journal,
    clock: Clock,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for endpoint in endpoints {
        tasks.spawn(Sender::new(endpoint, journal.clone(), clock.clone()).run());
    }
    tokio::select! {
        () = crate::triggers::told_to_stop(&mut shutdown) => {}
        () = async { while tasks.join_next().await.is_some() {} } => {}
    }
}
