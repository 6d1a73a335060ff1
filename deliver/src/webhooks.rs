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
use journal::{Circuit, Journal};
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

/// How it goes with an endpoint; totals since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookReport {
    pub circuit: Circuit,
    /// Messages that it took.
    pub taken: u64,
    /// Attempts that came to nothing, and attempts at what it had not taken before.
    pub failed: u64,
    pub retries: u64,
    /// Messages that became dead letters.
    pub given_up: u64,
}

/// All endpoints.
pub struct Webhooks(Vec<Sender>);

impl Webhooks {
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, journal: &Journal, clock: &Clock) -> Self {
        let sender = |endpoint| Sender::new(endpoint, journal.clone(), clock.clone());
        Self(endpoints.into_iter().map(sender).collect())
    }

    /// How it goes, in the order of the endpoints.
    #[must_use]
    pub fn reports(&self) -> Vec<watch::Receiver<WebhookReport>> {
        self.0.iter().map(Sender::report).collect()
    }

    /// Sends until `shutdown` changes. What is on its way then is sent again after the next start.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for sender in self.0 {
            tasks.spawn(sender.run());
        }
        tokio::select! {
            () = crate::triggers::told_to_stop(&mut shutdown) => {}
            () = async { while tasks.join_next().await.is_some() {} } => {}
        }
    }
}
