//! The server's own HTTP interface: health, metrics, and the Profile API for personalisation. It reads the view and asks
//! the loop; it changes nothing.

mod access;
mod changes;
mod profiles;

use super::{ask::Asker, status::Status, view::View};
use crate::{Error, Result, config::Serve};
use access::{Access, Bearer};
use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use kindred_listening::{Limits, Listener, Serving};
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// For requests under way when it is stopped.
const GRACE: Duration = Duration::from_secs(3);

/// What all handlers share.
#[derive(Clone, Debug)]
struct Shared {
    view: Arc<View>,
    status: Arc<Status>,
    asker: Asker,
    access: Arc<Access>,
}

/// The interface, listening.
#[derive(Debug)]
pub(super) struct Api {
    serving: Serving,
    /// Keeps the address while other options take over.
    listener: Listener,
}

/// What the interface shows and asks.
pub(super) type Shows<'a> = (&'a Arc<View>, &'a Arc<Status>, &'a Asker);

/// Why a request was not answered.
#[derive(Debug, Serialize, ToSchema)]
struct Problem {
    /// Short, stable, for machines.
    error: &'static str,
    /// For people.
    message: String,
}

/// A problem and its status.
#[derive(Debug)]
struct Refused(StatusCode, Problem);

impl Refused {
    fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self(status, Problem { error, message: message.into() })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<crate::Error> for Refused {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::NotFound(message) => Self::new(StatusCode::NOT_FOUND, "not-found", message),
            full @ crate::Error::NoRoom(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-room", full.to_string())
            }
            other => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", other.to_string()),
        }
    }
}

/// The document that `/openapi.json` answers with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kindred",
        description = "Profiles for personalisation: which segments a profile is in, what is known of it, when that \
                       changes; health and metrics. Keys stand in the pipeline file, `[serve.keys.NAME]`.",
    ),
    modifiers(&Bearer)
)]
struct Document;

impl Api {
    /// Takes the address of the options; it is served once it is started.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(super) fn bind(options: &Serve) -> Result<Listener> {
        Listener::bind(&*options.listen).map_err(Error::io(&options.listen))
    }

    /// Serves.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(super) fn start(
        listener: Listener,
        options: &Serve,
        (view, status, asker): Shows<'_>,
    ) -> Result<Self> {
        let access = Arc::new(Access::new(options));
        let shared = Shared { view: view.clone(), status: status.clone(), asker: asker.clone(), access };
        let serving =
            listener.try_clone().and_then(|socket| socket.serve(router(shared), &Limits::default(), 1));
        Ok(Self { serving: serving.map_err(Error::io(&options.listen))?, listener })
    }

    /// Goes on with other options, at another address if one is given.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(super) fn restart(self, other: Option<Listener>, options: &Serve, shows: Shows<'_>) -> Result<Self> {
        self.serving.stop(GRACE);
        Self::start(other.unwrap_or(self.listener), options, shows)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.serving.local_address()
    }

    pub(super) fn stop(self) {
        self.serving.stop(GRACE);
    }
}

fn router(shared: Shared) -> Router {
    let documented = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(profiles::one))
        .routes(routes!(profiles::many))
        .routes(routes!(profiles::reason))
        .routes(routes!(changes::of_one))
        .routes(routes!(changes::of_all))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics));
    let (router, document) = documented.split_for_parts();
    let document = Arc::new(document.to_json().unwrap_or_default());
    let openapi = move || async move { ([(CONTENT_TYPE, "application/json")], document.to_string()) };
    router
        .route("/openapi.json", axum::routing::get(openapi))
        .fallback(|| async { Refused::new(StatusCode::NOT_FOUND, "no-such-path", "see /openapi.json") })
        .layer(middleware::from_fn_with_state(shared.clone(), access::cors))
        .layer(middleware::from_fn_with_state(shared.clone(), counted))
        .with_state(shared)
}

async fn counted(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    shared.status.request(route, response.status().as_u16(), begun.elapsed());
    response
}

/// Whether the process lives: for who restarts it.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = str), (status = 503, body = str)))]
async fn healthz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.status.is_alive() {
        true => (StatusCode::OK, "alive\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
    }
}

/// Whether it takes rows and answers: for who sends it traffic.
#[utoipa::path(
    get, path = "/readyz",
    responses((status = 200, body = super::status::Readiness), (status = 503, body = super::status::Readiness))
)]
async fn readyz(State(shared): State<Shared>) -> Response {
    let readiness = shared.status.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Figures for Prometheus; needs a key where one of the keys has the scope `metrics`.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = str)), security((), ("key" = [])))]
async fn metrics(State(shared): State<Shared>, request: Request) -> Result<Response, Refused> {
    shared.access.metrics(&request)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], shared.status.metrics(&shared.view)).into_response())
}
