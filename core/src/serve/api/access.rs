//! Who may ask what: keys, their scopes, and the web pages that may use them.

use super::{Refused, Shared};
use crate::{
    config::{Key, Scope, Serve},
    serve::view::identifier,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, COOKIE, ORIGIN, VARY,
        },
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};
use utoipa::{
    Modify,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

type Hash = [u8; 32];

/// The visitor whose cookie comes with the request.
const ME: &str = "me";

/// The keys by their hash, so that looking one up tells nothing of the others by the time it takes.
#[derive(Debug)]
pub(super) struct Access {
    keys: HashMap<Hash, Arc<Key>>,
    has_metrics: bool,
    /// Name of the cookie that says who `me` is.
    cookie: Option<String>,
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

impl Access {
    pub(super) fn new(options: &Serve) -> Self {
        let keys = &options.keys;
        Self {
            cookie: options.cookie.clone(),
            keys: keys.iter().map(|key| (hash(&key.key), Arc::new(key.clone()))).collect(),
            has_metrics: keys.iter().any(|key| key.scopes.contains(&Scope::Metrics)),
        }
    }

    /// The key that a request shows: `Authorization: Bearer KEY`, or the parameter `key` for web pages, whose
    /// `EventSource` sends no headers.
    fn of(&self, headers: &HeaderMap, query: Option<&str>) -> Result<&Arc<Key>, Refused> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
        let parameter = || query?.split('&').find_map(|pair| pair.strip_prefix("key="));
        let shown = match bearer {
            Some(key) => self.keys.get(&hash(key.trim())),
            None => {
                parameter().and_then(|key| self.keys.get(&hash(key))).filter(|key| !key.origins.is_empty())
            }
        };
        let key = shown.ok_or_else(|| {
            let help = "show a key of the pipeline file: `Authorization: Bearer KEY`";
            Refused::new(StatusCode::UNAUTHORIZED, "no-key", help)
        })?;
        match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            Some(origin) if !key.origins.iter().any(|allowed| allowed == origin) => {
                Err(Refused::new(StatusCode::FORBIDDEN, "origin", "this key is not for that web page"))
            }
            _ => Ok(key),
        }
    }

    /// Metrics are open unless a key is for them.
    pub(super) fn metrics(&self, request: &Request) -> Result<(), Refused> {
        match self.has_metrics {
            true => scoped(self.of(request.headers(), request.uri().query())?, Scope::Metrics).map(drop),
            false => Ok(()),
        }
    }

    fn knows(&self, origin: &str) -> bool {
        self.keys.values().any(|key| key.origins.iter().any(|allowed| allowed == origin))
    }
}

/// The key, if it has this scope.
fn scoped(key: &Arc<Key>, scope: Scope) -> Result<&Arc<Key>, Refused> {
    if key.scopes.contains(&scope) {
        return Ok(key);
    }
    let message = format!("the key `{}` has no scope {}", key.name, serde_json::json!(scope));
    Err(Refused::new(StatusCode::FORBIDDEN, "scope", message))
}

/// What a request shows, before it is known what it asks: its key, and whose id cookie comes with it.
pub(super) struct Shown {
    key: Arc<Key>,
    me: Option<String>,
}

impl FromRequestParts<Shared> for Shown {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refused> {
        let (access, headers) = (&shared.access, &parts.headers);
        let key = access.of(headers, parts.uri.query())?.clone();
        Ok(Self { key, me: access.cookie.as_deref().and_then(|name| own_id(headers, name)) })
    }
}

/// The id of the id cookie. Its signature is not looked at: who knows the 128 random bits of an id has that cookie.
fn own_id(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    let id = value.split('.').next().unwrap_or(value);
    (!id.is_empty()).then(|| id.to_owned())
}

impl Shown {
    /// The identifier that is asked about: `NAMESPACE:VALUE`, or `me` for that of the id cookie.
    pub(super) fn identifier<'a>(&'a self, asked: &'a str) -> Result<(&'a str, &'a str), Refused> {
        if asked != ME {
            return Ok(identifier(asked)?);
        }
        let id = self.me.as_deref().ok_or_else(|| {
            let message = "the request has no id cookie; `serve.cookie` in the pipeline file names it";
            Refused::new(StatusCode::NOT_FOUND, "no-cookie", message)
        })?;
        Ok(("cookie", id))
    }

    /// The key, if it has this scope.
    pub(super) fn key(&self, scope: Scope) -> Result<&Arc<Key>, Refused> {
        scoped(&self.key, scope)
    }
}

/// Answers preflights, and tells browsers which page may read an answer: the exact origin, never all.
pub(super) async fn cors(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let known = origin.filter(|origin| origin.to_str().is_ok_and(|origin| shared.access.knows(origin)));
    let preflight = request.method() == Method::OPTIONS;
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = known {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers.insert(
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, content-type"),
            );
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
    }
    response
}

/// Says in the document how a key is shown.
pub(super) struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}
