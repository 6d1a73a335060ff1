//! What there is to say of a place, with the weather and the areas that the journal has now.

use enrich::Here;
use ingest::Fix;
use tokio::sync::oneshot;

use crate::handle::{Closed, Command, Journal};
use crate::writer::Writer;

/// A place somebody asks about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub fix: Fix,
    /// Above the sea, where it is known.
    pub altitude_m: Option<f64>,
    /// `None`: now.
    pub time_ms: Option<i64>,
}

impl Journal {
    /// Explains a place between two batches, as an event that happens there now would be.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn look(&self, place: Place) -> Result<Box<Here>, Closed> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Look(place, answer)).await?;
        answered.await.map_err(|_| Closed)
    }
}

impl Writer {
    /// Takes some ten microseconds.
    pub(crate) fn look(&self, place: &Place) -> Here {
        let Place { fix, altitude_m, time_ms } = place;
        let now_ms = self.clock.now_ms();
        Here::look(&self.core.world, fix, *altitude_m, time_ms.unwrap_or(now_ms), now_ms)
    }
}
