//! What librdkafka says beside its answers: why a connection fails, that a commit failed.

use kindred_plugin_api::{Context, Fault, Problem};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use std::sync::{Mutex, PoisonError};

/// Keeps the last reason, and passes the rest to the host's log.
pub(crate) struct Hearing {
    context: Context,
    reason: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Hearing {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, reason: Mutex::default() }
    }

    /// The fault of an answer that did not come or was an error: CONFIG when the broker refuses who asks, else TRANSIENT.
    pub(crate) fn fault(&self, what: &str, error: &KafkaError) -> Fault {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (code, message) = match reason {
            Some((code, reason)) => (code, format!("{what}: {reason}")),
            None => (code, format!("{what}: {code}")),
        };
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                let help = "look at `user`, `password` and `mechanism`";
                Fault::config(vec![Problem::new("", message).help(help)])
            }
            RDKafkaErrorCode::SSL => {
                Fault::config(vec![Problem::new("", message).help("look at `tls` and `ca`")])
            }
            _ => Fault::transient("connection", message),
        }
    }
}

impl ClientContext for Hearing {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, message: &str) {
        self.context.debug(message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.debug(reason);
        // That all brokers are down says nothing of why; the reasons came before.
        if let Some(code) =
            error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown)
        {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Hearing {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.context.warn(&format!("the group was not told how far the topics were read: {error}"));
        }
    }
}
