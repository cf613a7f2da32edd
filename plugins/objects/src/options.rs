//! How a store is reached: the option `store` of every file source.

use kindred_plugin_api::prelude::*;
use std::fmt;
use url::{Host, Url};

/// How the store of `s3://`, `gs://` and `az://` is reached. What is left out comes from the usual variables of the
/// environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`), and credentials at last from the machine's own identity in its cloud.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Region of S3: `eu-central-1`. Default: `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Address of a service that is not the cloud's own: `https://minio.shop.example`. Of Azure with the account, where
    /// the path holds it.
    pub endpoint: Option<String>,
    /// Whether an address without encryption is allowed on other machines.
    pub allow_http: bool,
    /// Key of S3, with `secret_access_key`: `${env:ACCESS_KEY_ID}`.
    pub access_key_id: Option<String>,
    /// Secret of S3: `${env:SECRET_ACCESS_KEY}`.
    pub secret_access_key: Option<String>,
    /// Token that goes with temporary keys of S3.
    pub session_token: Option<String>,
    /// Service account of Google: its key as JSON, `${env:KEY}`, or the path of the file that holds it.
    pub service_account: Option<String>,
    /// Storage account of Azure.
    pub account: Option<String>,
    /// Key of the account of Azure: `${env:ACCOUNT_KEY}`.
    pub account_key: Option<String>,
    /// Shared access signature of Azure, in place of the key: `${env:SAS}`.
    pub sas_token: Option<String>,
    /// Asks without credentials: for public buckets.
    pub anonymous: bool,
    /// Seconds that an answer may take. Default: 30.
    #[schemars(range(min = 1, max = 600))]
    pub timeout_s: Option<u32>,
}

impl StoreConfig {
    /// What is wrong with it; `at` is its place in the options.
    pub fn problems(&self, at: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut problem = |option: &str, message: &str, help: &str| {
            found.push(Problem::new(format!("{at}/{option}"), message).help(help));
        };
        if let Some(endpoint) = &self.endpoint
            && let Err((message, help)) = safe(endpoint, self.allow_http)
        {
            problem("endpoint", message, help);
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            problem(
                "access_key_id",
                "`access_key_id` and `secret_access_key` go together",
                "give both, or none and let the environment say them",
            );
        }
        if self.session_token.is_some() && self.access_key_id.is_none() {
            problem("session_token", "a token goes with `access_key_id`", "give both or none");
        }
        if self.account_key.is_some() && self.sas_token.is_some() {
            problem("sas_token", "more than one way to log in", "`account_key` or `sas_token`");
        }
        let secrets = [&self.access_key_id, &self.service_account, &self.account_key, &self.sas_token];
        if self.anonymous && secrets.into_iter().any(Option::is_some) {
            problem("anonymous", "there are credentials, and none are to be used", "leave out one of them");
        }
        if self.timeout_s.is_some_and(|seconds| !(1..=600).contains(&seconds)) {
            problem("timeout_s", "the timeout is not in 1..=600", "seconds");
        }
        found
    }
}

/// Without the secrets.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (region, endpoint, account) = (&self.region, &self.endpoint, &self.account);
        write!(f, "StoreConfig {{ region: {region:?}, endpoint: {endpoint:?}, account: {account:?}, .. }}")
    }
}

/// An address that may be asked: encrypted, or on this machine, or allowed.
fn safe(address: &str, allow_http: bool) -> Result<(), (&'static str, &'static str)> {
    let url =
        Url::parse(address).map_err(|_| ("this is no address", "such as `https://minio.shop.example`"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("the address holds a login", "use the options for credentials"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http || url.host().is_some_and(|host| is_here(&host)) => Ok(()),
        "http" => Err(("the address is not encrypted", "use `https`, or say `allow_http = true`")),
        _ => Err(("the address is not one of HTTP", "use `https`")),
    }
}

/// True for this machine.
pub(crate) fn is_here<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kindred_plugin_api::options;

    fn problems(text: &str) -> Vec<String> {
        let config: StoreConfig = options::parse(text).unwrap();
        config.problems("/store").into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn what_does_not_go_together_is_told_with_its_place() {
        assert!(problems("{}").is_empty());
        assert_eq!(problems(r#"{ "access_key_id": "a" }"#), ["/store/access_key_id"]);
        assert_eq!(problems(r#"{ "session_token": "a" }"#), ["/store/session_token"]);
        assert_eq!(problems(r#"{ "account_key": "a", "sas_token": "b" }"#), ["/store/sas_token"]);
        assert_eq!(problems(r#"{ "anonymous": true, "account_key": "b" }"#), ["/store/anonymous"]);
        assert_eq!(problems(r#"{ "timeout_s": 0 }"#), ["/store/timeout_s"]);
    }

    #[test]
    fn only_this_machine_is_reached_without_encryption() {
        for good in ["https://minio.example", "http://localhost:9000", "http://127.0.0.1/x", "http://[::1]:1"]
        {
            assert!(problems(&format!(r#"{{ "endpoint": "{good}" }}"#)).is_empty(), "{good}");
        }
        for bad in
            ["http://minio.example", "minio.example:9000", "ftp://localhost", "https://u:p@minio.example"]
        {
            assert_eq!(problems(&format!(r#"{{ "endpoint": "{bad}" }}"#)), ["/store/endpoint"], "{bad}");
        }
        let allowed = r#"{ "endpoint": "http://minio.example", "allow_http": true }"#;
        assert!(problems(allowed).is_empty());
    }

    #[test]
    fn no_secret_is_printed() {
        let text = r#"{ "access_key_id": "SECRET", "secret_access_key": "SECRET", "sas_token": "SECRET" }"#;
        let config: StoreConfig = options::parse(text).unwrap();
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}
