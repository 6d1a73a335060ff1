//! A test for an insurer: a message about nobody that goes the way of every trigger.
//!
//! It takes the next sequence number, as everything in the outbox does that goes out: so whoever
//! tests tries gaps, replay and order as well.

use std::sync::Arc;

use enrich::registry::Product;
use enrich::sample::TEST;
use enrich::trigger::CloudEvent;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::change::ChangeError;
use crate::handle::{Command, Journal};
use crate::message::{sequence_text, timestamp};
use crate::outbox::to_json;
use crate::said::next_sequence;
use crate::writer::Writer;

/// How long it is shown as of use.
const USEFUL_MS: i64 = 3_600_000;

/// A test that was put into the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestTrigger {
    pub id: String,
    /// As in the message.
    pub sequence: String,
    pub topic: String,
}

impl Journal {
    /// Sends an insurer a test. It is committed when this returns, and on its way.
    pub async fn test_trigger(
        &self,
        insurer: Arc<str>,
        product: Product,
    ) -> Result<TestTrigger, ChangeError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.command(Command::Test(insurer, product, answer)).await;
        sent.map_err(|_| ChangeError::Closed)?;
        answered.await.map_err(|_| ChangeError::Closed)?
    }
}

impl Writer {
    pub(crate) fn test_trigger(
        &mut self,
        insurer: Arc<str>,
        product: Product,
    ) -> Result<TestTrigger, ChangeError> {
        if self.core.registry.read().insurer(&insurer).is_none() {
            return Err(ChangeError::Unknown { kind: "insurer", id: insurer });
        }
        let (product, now_ms) = (product.name(), self.clock.now_ms());
        let transaction = self.store.connection.unchecked_transaction()?;
        let number = next_sequence(&transaction, &insurer, product)?;
        let (id, sequence) =
            (self.core.key.notice_id(TEST, &insurer, product, number), sequence_text(number));
        let event = CloudEvent::test(id, timestamp(now_ms), sequence, product);
        transaction.execute(
            "INSERT INTO trigger_out (id, revision, status, outcome, event, insurer, product,
                 purpose, sequence, customer, subject, key_version, said_ms, expires_ms, body,
                 evidence)
             VALUES (?1, 0, 'test', 'released', -1, ?2, ?3, ?3, ?4, -1, ?5, ?6, ?7, ?8, ?9, '')",
            rusqlite::params![
                event.id,
                insurer,
                product,
                number,
                event.subject,
                self.core.key.version(),
                now_ms,
                now_ms + USEFUL_MS,
                to_json(&event)?,
            ],
        )?;
        let mut counts = self.counts.clone();
        counts.triggers_released += 1;
        self.write_counts(&transaction, &counts)?;
        let released = crate::recover::last_position(&transaction)?;
        transaction.commit()?;
        self.counts = counts;
        self.live.committed(self.counts.clone(), released, self.log.last);
        let topic = format!("triggers/{insurer}/{product}/{}", event.subject);
        Ok(TestTrigger { id: event.id, sequence: event.sequence, topic })
    }
}
