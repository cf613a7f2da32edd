//! What a service or the way to it says, as a fault.

use crate::http::{NoIdentity, Unencrypted};
use http::{HeaderMap, StatusCode};
use kindred_plugin_api::{Fault, Problem};
use std::{error::Error, fmt};

/// Code of the fault of an object that is not there any more.
pub const GONE: &str = "gone";

/// Most of what a service says that is repeated, in bytes.
const WORDS: usize = 300;

/// An answer that will be the same the next time.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// The service's own code, `NoSuchBucket`, and its words.
    code: String,
    message: String,
    /// Where the bucket is instead.
    region: Option<String>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let said = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            Some(short(rest.split_once('<')?.0).to_owned())
        };
        // An answer to HEAD has no body; Azure then says its code in a header.
        let code = element("Code").or_else(|| said("x-ms-error-code"));
        let plain =
            || if body.trim_start().starts_with('<') { String::new() } else { short(&body).to_owned() };
        Self {
            status,
            code: code.unwrap_or_default(),
            message: element("Message").unwrap_or_else(plain),
            region: said("x-amz-bucket-region"),
        }
    }

    /// True when it is the bucket that is not there.
    fn lacks_bucket(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchBucket" | "ContainerNotFound")
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status.as_u16())?;
        let words = [self.code.as_str(), self.message.as_str()];
        words.into_iter().filter(|words| !words.is_empty()).try_for_each(|words| write!(f, ": {words}"))
    }
}

impl Error for Refused {}

/// The first line, as much of it as is repeated.
fn short(text: &str) -> &str {
    let line = text.trim_start_matches('\u{feff}').trim().lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(WORDS)]
}

/// An error and what caused it, down to the first cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let deeper =
        |error: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> { (*error).source() };
    std::iter::successors(Some(error), deeper)
}

/// Looks for an error of a type among the causes of an error.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// What went wrong with `name` in the bucket `root`, whose address is the option at `at`; `listing` when it was asked what
/// the bucket holds.
pub(crate) fn fault(name: &str, root: &str, at: &str, listing: bool, error: &object_store::Error) -> Fault {
    let config = |at: &str, message: String, help: &str| {
        Fault::config(vec![Problem::new(at, format!("`{name}`: {message}")).help(help)])
    };
    if let Some(refused) = cause::<Refused>(error) {
        return match refused.status {
            StatusCode::NOT_FOUND if listing || refused.lacks_bucket() => {
                let problem = Problem::new(at, format!("there is no bucket `{root}`: {refused}"));
                Fault::config(vec![
                    problem.help("or it is in another region or account, or behind another `endpoint`"),
                ])
            }
            StatusCode::NOT_FOUND => Fault::transient(GONE, format!("`{name}` is not there any more")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let right = if listing { "list the bucket" } else { "read the object" };
                config(
                    "/store",
                    format!("access is denied: {refused}"),
                    &format!("credentials of `store` or the environment must be valid and may {right}"),
                )
            }
            StatusCode::PRECONDITION_FAILED => changed(name),
            status if status.is_redirection() => match &refused.region {
                Some(region) => config(
                    "/store/region",
                    format!("the bucket is in region `{region}`"),
                    &format!("set `region = \"{region}\"`"),
                ),
                None => config(
                    "/store/endpoint",
                    format!("the service sends elsewhere: {refused}"),
                    "set the `region` or `endpoint` of the bucket",
                ),
            },
            StatusCode::BAD_REQUEST => {
                config("/store", format!("the service refuses: {refused}"), "look at the options of `store`")
            }
            _ => Fault::permanent("refused", format!("`{name}`: the service refuses: {refused}")),
        };
    }
    if cause::<Unencrypted>(error).is_some() {
        let help = "use an `https` endpoint, or say `allow_http = true`";
        return config("/store/endpoint", Unencrypted.to_string(), help);
    }
    if let Some(path) = cause::<object_store::path::Error>(error) {
        return Fault::permanent("key", format!("`{root}` has a key that is no path: {path}"));
    }
    let code = if cause::<NoIdentity>(error).is_some() { "credentials" } else { "unreadable-object" };
    let why = causes(error).last().map(ToString::to_string).unwrap_or_default();
    Fault::transient(code, format!("`{name}` cannot be read now: {}", short(&why)))
}

/// The fault of an object that is another one than when it was entered.
pub(crate) fn changed(name: &str) -> Fault {
    Fault::transient("changed", format!("`{name}` was written anew while it was read; it is entered again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use kindred_plugin_api::FaultKind;
    use object_store::client::{HttpError, HttpErrorKind};

    fn told(error: impl Error + Send + Sync + 'static, listing: bool) -> Fault {
        let error = HttpError::new(HttpErrorKind::Unknown, error);
        let error = object_store::Error::Generic { store: "S3", source: Box::new(error) };
        fault("s3://b/k", "s3://b", "/path", listing, &error)
    }

    fn refused(status: u16, body: &str) -> Refused {
        Refused::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_region_is_told() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-bucket-region", HeaderValue::from_static("eu-west-1"));
        let elsewhere = Refused::new(StatusCode::MOVED_PERMANENTLY, &headers, b"");
        let fault = told(elsewhere, true);
        assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/store/region"));
        assert_eq!(fault.problems[0].help.as_deref(), Some("set `region = \"eu-west-1\"`"));
    }

    #[test]
    fn a_missing_object_is_no_missing_bucket() {
        let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>";
        assert_eq!(told(refused(404, body), false).code, GONE);
        assert_eq!(told(refused(404, ""), false).code, GONE);
        assert_eq!(told(refused(404, ""), true).problems[0].path, "/path");
        let bucket = "<Error><Code>NoSuchBucket</Code></Error>";
        let fault = told(refused(404, bucket), false);
        assert_eq!(fault.message, "there is no bucket `s3://b`: HTTP 404: NoSuchBucket");
    }

    #[test]
    fn only_the_first_line_of_what_is_said_is_repeated() {
        let body =
            "\u{feff}<Error><Code>AuthenticationFailed</Code><Message>No.\nRequestId:1</Message></Error>";
        let fault = told(refused(403, body), true);
        assert_eq!(fault.message, "`s3://b/k`: access is denied: HTTP 403: AuthenticationFailed: No.");
        assert!(told(refused(405, &"x".repeat(1000)), true).message.len() < 400);
    }

    #[test]
    fn what_may_pass_is_transient() {
        assert_eq!(told(refused(412, ""), false).code, "changed");
        let silent = told(NoIdentity, true);
        assert_eq!((silent.kind, silent.code.as_str()), (FaultKind::Transient, "credentials"));
        assert!(silent.message.contains("no credentials in the options"), "{silent}");
        let broken = told(std::io::Error::other("reset"), true);
        assert_eq!(broken.message, "`s3://b/k` cannot be read now: reset");
    }
}
