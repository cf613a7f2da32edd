//! Requests, over the HTTP and TLS that the host has anyway. What a service refuses becomes an error with its reason here,
//! because object_store would keep it to itself.

use crate::{options::is_here, refusal::Refused};
use async_trait::async_trait;
use http::{HeaderValue, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector as Plain},
    rt::TokioExecutor,
};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpService,
    },
};
use std::{fmt, time::Duration};
use url::Host;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for the machine's identity: it is on the machine, or it is not there.
const IDENTITY: Duration = Duration::from_secs(2);
/// The largest answer that is taken; ranges and pages of a listing are far smaller.
const BODY: usize = 64 << 20;

/// Makes clients whose answers take at most `limit`.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) tls: rustls::ClientConfig,
    pub(crate) limit: Duration,
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<Plain>, HttpRequestBody>,
    allow_http: bool,
    limit: Duration,
}

/// What this machine trusts: the authorities of its system, and Mozilla's.
///
/// # Errors
/// When the crypto of this build speaks no version of TLS.
pub(crate) fn trust() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut plain = Plain::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT));
        plain.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        let connector = builder.enable_http1().wrap_connector(plain);
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(Service {
            client: Client::builder(TokioExecutor::new()).build(connector),
            allow_http: allowed.as_deref() == Some("true"),
            limit: self.limit,
        }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = Place::of(request.uri());
        if request.uri().scheme() != Some(&Scheme::HTTPS) && !self.allow_http && place != Place::Here {
            return Err(HttpError::new(HttpErrorKind::Unknown, Unencrypted));
        }
        if request.headers().contains_key(header::RANGE) {
            // Google unpacks what was stored as packed, and then has no ranges, unless it is told not to.
            request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let limit = if place == Place::Identity { IDENTITY } else { self.limit };
        let answer = tokio::time::timeout(limit, self.ask(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout, Late(limit))));
        let response = match (answer, place) {
            (Err(error), Place::Identity) => return Err(HttpError::new(error.kind(), NoIdentity)),
            (answer, _) => answer?,
        };
        let status = response.status();
        let again = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if status.is_success() || again || place == Place::Identity {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let refused = Refused::new(status, &parts.headers, &body.bytes().await?);
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }
}

impl Service {
    /// The whole answer: object_store asks for no more than fits in memory.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.client.request(request).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let interrupted = |error| HttpError::new_boxed(HttpErrorKind::Interrupted, error);
        let bytes = Limited::new(body, BODY).collect().await.map_err(interrupted)?.to_bytes();
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

fn failed(error: Error) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    HttpError::new(kind, error)
}

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To this machine.
    Here,
    /// To the service that tells a machine in a cloud who it is.
    Identity,
    /// Elsewhere.
    Elsewhere,
}

impl Place {
    fn of(uri: &Uri) -> Self {
        match Host::parse(uri.host().unwrap_or_default()) {
            Ok(Host::Ipv4(address)) if address.is_link_local() => Self::Identity,
            Ok(Host::Domain(name)) if name == "metadata.google.internal" || name == "metadata" => {
                Self::Identity
            }
            Ok(host) if is_here(&host) => Self::Here,
            _ => Self::Elsewhere,
        }
    }
}

/// No answer in time.
#[derive(Debug)]
struct Late(Duration);

/// An address without encryption.
#[derive(Debug)]
pub(crate) struct Unencrypted;

/// Nothing says who asks.
#[derive(Debug)]
pub(crate) struct NoIdentity;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} s", self.0.as_secs())
    }
}

impl fmt::Display for Unencrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is not encrypted")
    }
}

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "there are no credentials in the options or the environment, and this machine has no identity",
        )
    }
}

impl std::error::Error for Late {}
impl std::error::Error for Unencrypted {}
impl std::error::Error for NoIdentity {}
