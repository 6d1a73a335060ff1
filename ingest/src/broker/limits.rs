//! How many connections fit into the files this process may have open.

use std::time::Duration;

use mqtt5::broker::ResourceLimits;

/// How long the broker waits for the CONNECT of a new connection; until then it does not count
/// the connection as a client's.
const UNINTRODUCED: Duration = Duration::from_secs(10);

/// Kept free for newcomers where many files may be open: all clients of a process with 20,000 are
/// back within 40 s after a network failed.
const NEWCOMERS: usize = 4_096;

/// Where the limit cannot be read: what most systems give a process.
const COMMON_LIMIT: usize = 1_024;

/// Bounds on connections. When file descriptors run out the broker's accept loop spins, so
/// clients and those that have not said CONNECT yet together stay below what may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) clients: usize,
    /// New connections accepted within [`UNINTRODUCED`].
    pub(super) newcomers: u32,
}

impl Limits {
    /// A quarter of what may be open, at most 512, is left to the journal, the page and the
    /// outputs; of the rest a third, at most [`NEWCOMERS`], to newcomers, and what remains to
    /// clients.
    pub(super) fn within(open_files: usize, wanted: Option<usize>) -> Self {
        let usable = open_files - (open_files / 4).min(512);
        let most = usable - (usable / 3).min(NEWCOMERS);
        let clients = wanted.unwrap_or(usize::MAX).min(most).max(1);
        let newcomers = usable.saturating_sub(clients).max(1);
        Self { clients, newcomers: u32::try_from(newcomers).unwrap_or(u32::MAX) }
    }

    pub(super) fn for_the_broker(self) -> ResourceLimits {
        ResourceLimits {
            max_connections: self.clients,
            // Gateways, NAT and simulators bring whole fleets from one address.
            max_connections_per_ip: self.clients,
            max_connection_rate: self.newcomers,
            rate_limit_window: UNINTRODUCED,
            // Zero is unlimited: a limit would answer before the handler can count the message.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
        }
    }
}

/// How many files this process may have open.
pub fn open_files() -> usize {
    std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|limits| soft_limit(&limits))
        .unwrap_or(COMMON_LIMIT)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        // More than any machine here serves; the sum above must not overflow.
        "unlimited" => Some(1 << 20),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, open_files, soft_limit};

    #[test]
    fn clients_and_newcomers_leave_files_for_everybody_else() {
        for open_files in [16, 256, 1_024, 20_000, 1 << 20] {
            for wanted in [None, Some(1), Some(100), Some(1_000_000)] {
                let limits = Limits::within(open_files, wanted);
                let most = limits.clients + limits.newcomers as usize;
                assert!(most + (open_files / 4).min(512) <= open_files, "{open_files} {limits:?}");
                assert!(limits.clients >= 1 && limits.newcomers >= 1);
                assert!(wanted.is_none_or(|wanted| limits.clients <= wanted));
            }
        }
        // What one process serves by default, here and where nobody raised the limit.
        assert_eq!(Limits::within(20_000, None), Limits { clients: 15_392, newcomers: 4_096 });
        assert_eq!(Limits::within(1_024, None), Limits { clients: 512, newcomers: 256 });
    }

    #[test]
    fn the_limit_is_read_as_the_system_writes_it() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            20000                30000                files\n";
        assert_eq!(soft_limit(text), Some(20_000));
        assert_eq!(soft_limit("Max open files            unlimited  x"), Some(1 << 20));
        assert!(open_files() > 0);
    }
}
