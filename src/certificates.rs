//! Certificates are renewed while connections go on.

use std::time::Duration;

use ingest::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Three small files; whoever renews them has days.
const EVERY: Duration = Duration::from_secs(2);

/// Takes up files that have changed, within two seconds, and at once on SIGHUP.
pub(crate) async fn watch(shown: Vec<Tls>, mut stopped: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "certificates are not read again"),
    };
    // The same trouble is said once.
    let mut told = String::new();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = hangup.recv() => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let all = shown.clone();
        let read = tokio::task::spawn_blocking(move || {
            all.iter().map(Tls::reload).collect::<Result<Vec<_>, _>>()
        });
        match read.await {
            Ok(Ok(changed)) => {
                if changed.contains(&true) {
                    tracing::info!("new certificates hold for new connections");
                    told.clear();
                }
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                if error != told {
                    tracing::error!(%error, "the certificates before hold on");
                    told = error;
                }
            }
            Err(error) => tracing::error!(%error, "reading the certificates panicked"),
        }
    }
}
