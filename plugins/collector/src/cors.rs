//! What holds for every request: which pages may ask at all, and what they are told about it. An origin is answered only
//! when it is listed, exactly as it is, never as `*`: requests come with credentials.

use crate::{app::App, counters::add, refusal::Refusal};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::{Arc, atomic::Ordering};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const COOKIES: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "cookies",
    "the request has more bytes of cookies than are allowed",
);

/// [`guarded`] as a layer of a router.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    guarded(&app, request, |request| next.run(request)).await
}

/// Refuses what may not ask, answers preflights, and passes the rest on.
pub(crate) async fn guarded<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let known = origin.as_ref().map(|origin| origin.to_str().is_ok_and(|origin| app.sites.knows(origin)));
    let mut response = if known == Some(false) {
        Refusal::origin().into_response()
    } else if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else if app.stopping.load(Ordering::Relaxed) {
        Refusal { retry_after_s: Some(5), ..Refusal::unavailable() }.into_response()
    } else if cookie_bytes(request.headers()) > app.limits.cookie_bytes {
        COOKIES.into_response()
    } else {
        next(request).await
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        add(&app.counters.refused, 1);
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let (Some(origin), Some(true)) = (origin, known) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        // Scripts see nothing of it otherwise, and come again too soon.
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    } else {
        // A pixel or the tag is for pages of other origins by its nature.
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    response
}

fn preflight(headers: &HeaderMap) -> Response {
    if !headers.contains_key(header::ORIGIN) {
        return StatusCode::NO_CONTENT.into_response();
    }
    // SDKs have headers of their own, and the page is a listed one: it may send what it asks for.
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"-_, ".contains(b);
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let asked = asked.filter(|names| names.len() <= 512 && names.as_bytes().iter().all(token));
    let usual = HeaderValue::from_static("authorization, content-type, content-encoding");
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(usual)),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200")),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

fn cookie_bytes(headers: &HeaderMap) -> usize {
    headers.get_all(header::COOKIE).iter().map(HeaderValue::len).sum()
}
