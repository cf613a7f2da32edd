//! What answers requests.

use crate::Peer;
use axum::{Router, extract::Request, response::Response};
use tower_service::Service;

/// Endpoints: a router, or what stands before one.
pub trait Respond: Send + Sync + 'static {
    /// Answers a request that came from `peer`.
    fn respond(&self, peer: Peer, request: Request) -> impl Future<Output = Response> + Send;
}

impl Respond for Router {
    async fn respond(&self, peer: Peer, mut request: Request) -> Response {
        request.extensions_mut().insert(peer);
        match self.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
