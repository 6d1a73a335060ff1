//! What still counts as right.

use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The events to judge. Tyres, claims and frost need a server that goes by the simulated weather, areas
    /// of risk and venues one that was told them; claims also have to be reported to it.
    pub events: Vec<String>,
    /// A trigger may be so far off in when it happened, or two reports of the device, if that is
    /// more.
    pub tolerance: Duration,
    /// A trigger that comes longer after it could be known is late.
    pub late: Duration,
    /// The share of triggers that must be right, and of happenings that must be found.
    pub precision: f64,
    pub recall: f64,
    /// The share of what was found that must not be late.
    pub in_time: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: vec!["border_crossed".to_owned()],
            tolerance: Duration::from_secs(30),
            late: Duration::from_secs(10),
            precision: 0.99,
            recall: 0.99,
            in_time: 0.99,
        }
    }
}
