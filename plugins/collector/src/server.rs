//! Opens what requests need, and says which path is answered by what.

use crate::{
    address::Network, app::App, cookie::Cookies, cors, counters::Counters, options::CollectorConfig, pixel,
    refusal::Refusal, segment, sites::Sites, snowplow, sync, tag,
};
use axum::{
    Router,
    extract::{Extension, Request, State},
    http::Method,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kindred_listening::{Listener, Peer, Respond, Serving};
use kindred_plugin_api::{
    Context, Fault, Problem, Result,
    spool::{Options, Spool},
};
use std::sync::{Arc, atomic::AtomicBool};

const PIXEL: &str = "/pixel.gif";

/// Opens the spool and listens.
pub(crate) fn start(config: &CollectorConfig, context: Context) -> Result<(Arc<App>, Serving)> {
    let folder = match &config.spool.folder {
        Some(folder) => context.path(folder),
        None => context.path("spool").join(context.instance()),
    };
    let unbound = |error: std::io::Error| {
        let message = format!("cannot listen on {}: {error}", config.listen);
        Fault::config(vec![Problem::new("/collector/listen", message)])
    };
    // The address first: a second process must not touch the first one's spool.
    let listener = Listener::bind(&config.listen).map_err(unbound)?;
    let options = Options {
        capacity_bytes: config.spool.capacity_mib.saturating_mul(1 << 20),
        disk_limit: config.spool.disk_limit,
        ..Options::new(folder)
    };
    let spool = Spool::open(options)?;
    if spool.recovered().torn_bytes > 0 {
        let bytes = spool.recovered().torn_bytes;
        context.warn(&format!(
            "the spool ended in {bytes} bytes of requests that were never answered; they are cut off"
        ));
    }
    let app = Arc::new(App {
        spool,
        sites: Sites::new(config),
        cookies: config.cookie.as_ref().and_then(Cookies::new),
        proxies: config.proxies.iter().filter_map(|network| network.parse::<Network>().ok()).collect(),
        limits: config.limits.clone(),
        public_url: config.public_url.clone(),
        sync: sync::Sync::new(config),
        counters: Counters::default(),
        held: Arc::default(),
        stopping: AtomicBool::new(false),
        context,
    });
    let endpoints = Endpoints { router: router(&app), app: Arc::clone(&app) };
    let serving = listener.serve(endpoints, &config.connections, config.threads).map_err(unbound)?;
    Ok((app, serving))
}

/// Every path that is answered.
struct Endpoints {
    app: Arc<App>,
    router: Router,
}

impl Respond for Endpoints {
    /// The pixel is most of what comes, and the way through the router costs more than all that is done for it there.
    async fn respond(&self, peer: Peer, request: Request) -> Response {
        if request.method() == Method::GET && request.uri().path() == PIXEL {
            let taken = |request| async move { pixel::pixel(&self.app, peer, request).await.into_response() };
            return cors::guarded(&self.app, request, taken).await;
        }
        self.router.respond(peer, request).await
    }
}

async fn pixel(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    pixel::pixel(&app, peer, request).await
}

fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route(PIXEL, get(pixel))
        .route("/tag.js", get(tag::tag))
        .route("/v1/batch", post(segment::batch))
        .route("/v1/b", post(segment::batch))
        .route("/v1/import", post(segment::batch))
        .route("/v1/events", post(segment::events))
        .route("/v1/projects/{key}/settings", get(segment::settings))
        .route("/v1/{call}", post(segment::call))
        .route("/com.snowplowanalytics.snowplow/tp2", post(snowplow::tp2))
        .route("/i", get(snowplow::get))
        .route("/sync/{partner}", get(sync::start))
        .route("/setuid", get(sync::setuid))
        .route("/match-rate", get(sync::match_rate))
        .layer(middleware::from_fn_with_state(Arc::clone(app), cors::guard))
        .with_state(Arc::clone(app))
}
