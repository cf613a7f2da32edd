//! One partition: a queue, how far it was read, and what is known to be there.

use crate::{hearing::Hearing, place::Mark, reach::PATIENCE};
use kindred_plugin_api::{Context, Fault, FaultKind, Result};
use rdkafka::{
    Message as _,
    consumer::base_consumer::PartitionQueue,
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Offsets that a partition is read for before the next one's turn.
const TURN: i64 = 10_000;
/// How often a wait asks whether the host wants to stop.
pub(crate) const BLINK: Duration = Duration::from_millis(20);

/// One partition.
pub(crate) struct Lane {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Both, for dead letters.
    pub(crate) origin: Arc<str>,
    pub(crate) mark: Mark,
    pub(crate) queue: PartitionQueue<Hearing>,
    /// Offset behind the last message that is known to be there.
    pub(crate) end: i64,
    /// Whether the client said that nothing is behind the last message that it gave.
    pub(crate) at_end: bool,
}

/// What became of a message.
pub(crate) struct Next {
    /// Whether there is room for more.
    pub(crate) more: bool,
    /// Whether it is the next partition's turn.
    pub(crate) turn_over: bool,
}

impl Lane {
    /// Hands one message over; none at the end of the log. What is known to be there is waited for.
    ///
    /// # Errors
    /// TRANSIENT when it does not come, or is gone; CANCELLED.
    pub(crate) fn next(
        &mut self,
        context: &Context,
        more: &mut impl FnMut(&Lane, &BorrowedMessage<'_>) -> bool,
    ) -> Result<Option<Next>> {
        let began = Instant::now();
        loop {
            let waits = self.waiting() > 0;
            match self.queue.poll(if waits { BLINK } else { Duration::ZERO }) {
                Some(Ok(message)) => {
                    let more = more(self, &message);
                    let (before, next) = (self.mark.next, message.offset() + 1);
                    drop(message);
                    (self.mark.next, self.at_end) = (next, false);
                    return Ok(Some(Next { more, turn_over: before / TURN != next / TURN }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.at_end = true,
                Some(Err(error)) => return Err(self.fault(&error)),
                None if !waits => return Ok(None),
                None if context.cancelled() => {
                    return Err(Fault::new(FaultKind::Cancelled, "cancelled", "the host wants to stop"));
                }
                None if began.elapsed() > PATIENCE => {
                    let message = format!("{self}: no message within {} s", PATIENCE.as_secs());
                    return Err(Fault::transient("timeout", message));
                }
                None => {}
            }
        }
    }

    /// Messages that are known to wait.
    pub(crate) fn waiting(&self) -> u64 {
        if self.at_end { 0 } else { u64::try_from(self.end - self.mark.next).unwrap_or(0) }
    }

    fn fault(&self, error: &KafkaError) -> Fault {
        let gone = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset);
        let message = if gone {
            format!("{self}: the log no longer holds offset {}", self.mark.next)
        } else {
            format!("{self}: {error}")
        };
        // The next connection sees what is there instead.
        Fault::transient("partition", message)
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic `{}`, partition {}", self.topic, self.partition)
    }
}
