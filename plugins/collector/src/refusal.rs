//! Why a request is not taken in, as the client is told.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kindred_plugin_api::spool::Refused;

/// An answer other than success. The text is the same for everybody: nothing of the request is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, retry_after_s: None }
    }

    pub(crate) const fn bad(code: &'static str, message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) const fn key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "key", "the write key is missing or not known")
    }

    pub(crate) const fn origin() -> Self {
        Self::new(StatusCode::FORBIDDEN, "origin", "this site does not list the page's origin")
    }

    pub(crate) const fn consent() -> Self {
        let status = StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS;
        Self::new(status, "consent", "the visitor has not consented to this")
    }

    pub(crate) const fn flood() -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "flood", "too many requests of this site");
        Self { retry_after_s: Some(1), ..refusal }
    }

    pub(crate) const fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "events cannot be stored here now")
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after } => {
                let seconds = retry_after.as_millis().div_ceil(1000).clamp(1, 3600);
                let retry_after_s = u64::try_from(seconds).ok();
                Self { code: "full", message: "the spool is full", retry_after_s, ..Self::unavailable() }
            }
            Refused::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the request is too large")
            }
            Refused::Poisoned(_) | Refused::Closed => Self { retry_after_s: Some(5), ..Self::unavailable() },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = format!(r#"{{"success":false,"code":"{}","message":"{}"}}"#, self.code, self.message);
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], text).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // Asked for a name and a password, a browser would ask the visitor.
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
