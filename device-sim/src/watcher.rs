//! What the simulator and the server cost while a run goes on.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::server::{Process, Seen};
use crate::stats::lock;

/// Looks every second at what the simulator and the server use.
pub(crate) struct Watcher {
    stop: watch::Sender<bool>,
    task: JoinHandle<(Seen, Seen)>,
}

impl Watcher {
    /// Looks at this process, and at that which listens on `port`.
    pub(crate) fn start(port: Option<u16>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let mut own = Process::own();
        let own_mb = own.resident_mb().unwrap_or_default();
        let task = tokio::spawn(async move {
            // A server elsewhere is not seen.
            let find = move || Process::listening_on(port?);
            let mut server = spawn_blocking(find).await.ok().flatten();
            let server_mb = server.as_ref().and_then(Process::resident_mb).unwrap_or_default();
            let begun = |at_start_mb| Seen { at_start_mb, usage: Vec::new() };
            let seen = Mutex::new((begun(own_mb), begun(server_mb)));
            let looking = async {
                let mut every = interval(Duration::from_secs(1));
                every.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    every.tick().await;
                    let mut seen = lock(&seen);
                    seen.0.usage.extend(own.usage());
                    seen.1.usage.extend(server.as_mut().and_then(Process::usage));
                }
            };
            tokio::select! {
                () = looking => {}
                _ = stopped.wait_for(|&stop| stop) => {}
            }
            seen.into_inner().unwrap_or_default()
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> (Seen, Seen) {
        self.stop.send_replace(true);
        self.task.await.unwrap_or_default()
    }
}
