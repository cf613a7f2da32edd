//! The client of a bucket: what the environment says, and above it the options.

use crate::{
    address::{Address, Service},
    http::{Connector, trust},
    options::StoreConfig,
};
use kindred_plugin_api::{Context, Fault, Problem, Result};
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    list::PaginatedListStore,
};
use std::time::Duration;

/// Seconds that an answer may take where the options do not say.
const TIMEOUT: u32 = 30;
/// Retries of one request before the host is told, and how long they go on.
const RETRIES: usize = 5;
const RETRY: Duration = Duration::from_secs(30);

/// What of the environment counts beside credentials of the options: those are not mixed.
const S3: [AmazonS3ConfigKey; 6] = [
    AmazonS3ConfigKey::DefaultRegion,
    AmazonS3ConfigKey::Region,
    AmazonS3ConfigKey::Endpoint,
    AmazonS3ConfigKey::S3Endpoint,
    AmazonS3ConfigKey::VirtualHostedStyleRequest,
    AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp),
];
const GOOGLE: [GoogleConfigKey; 1] = [GoogleConfigKey::BaseUrl];
const AZURE: [AzureConfigKey; 3] = [
    AzureConfigKey::AccountName,
    AzureConfigKey::Endpoint,
    AzureConfigKey::Client(ClientConfigKey::AllowHttp),
];

/// What a bucket can be asked.
pub(crate) trait Readable: ObjectStore + PaginatedListStore {}

impl<S: ObjectStore + PaginatedListStore> Readable for S {}

/// A builder of object_store with what the environment says to it: all of that, or only some.
macro_rules! from_environment {
    ($builder:ident, $own:expr, $some:expr) => {{
        let all = $builder::from_env();
        let copy = |builder: $builder, key| match all.get_config_value(&key) {
            Some(value) => builder.with_config(key, value),
            None => builder,
        };
        if $own { $some.into_iter().fold($builder::new(), copy) } else { all }
    }};
}

/// Sets options where they are given, and builds.
macro_rules! built {
    ($builder:ident, $($value:expr => $key:expr),+ $(,)?) => {{
        $(if let Some(value) = $value { $builder = $builder.with_config($key, value); })+
        $builder.build().map(|service| Box::new(service) as Box<dyn Readable>)
    }};
}

/// Makes the client of a bucket; nothing is asked yet.
///
/// # Errors
/// CONFIG for options that do not go together or an environment that is not complete.
pub(crate) fn reach(address: &Address, config: &StoreConfig, context: &Context) -> Result<Box<dyn Readable>> {
    let tls = trust().map_err(|error| Fault::permanent("tls", error.to_string()))?;
    let limit = Duration::from_secs(config.timeout_s.unwrap_or(TIMEOUT).into());
    let connector = Connector { tls, limit };
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY };
    let allow_http = config.allow_http.then_some("true");
    let anonymous = config.anonymous.then_some("true");
    let (bucket, endpoint) = (&address.bucket, config.endpoint.as_ref());
    let made = match address.service {
        Service::S3 => {
            let own = config.anonymous || config.access_key_id.is_some();
            let builder = from_environment!(AmazonS3Builder, own, S3).with_bucket_name(bucket);
            let mut builder = builder.with_http_connector(connector).with_retry(retry);
            built!(builder,
                config.region.as_ref() => AmazonS3ConfigKey::Region,
                endpoint => AmazonS3ConfigKey::S3Endpoint,
                config.access_key_id.as_ref() => AmazonS3ConfigKey::AccessKeyId,
                config.secret_access_key.as_ref() => AmazonS3ConfigKey::SecretAccessKey,
                config.session_token.as_ref() => AmazonS3ConfigKey::Token,
                allow_http => AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp),
                anonymous => AmazonS3ConfigKey::SkipSignature,
            )
        }
        Service::Gcs => {
            let own = config.anonymous || config.service_account.is_some();
            let builder = from_environment!(GoogleCloudStorageBuilder, own, GOOGLE).with_bucket_name(bucket);
            let mut builder = builder.with_http_connector(connector).with_retry(retry);
            let account = config.service_account.as_ref();
            let (key, file) = match account.filter(|text| !text.trim_start().starts_with('{')) {
                Some(path) => (None, Some(context.path(path).to_string_lossy().into_owned())),
                None => (account, None),
            };
            built!(builder,
                endpoint => GoogleConfigKey::BaseUrl,
                key => GoogleConfigKey::ServiceAccountKey,
                file => GoogleConfigKey::ServiceAccount,
                allow_http => GoogleConfigKey::Client(ClientConfigKey::AllowHttp),
                anonymous => GoogleConfigKey::SkipSignature,
            )
        }
        Service::Azure => {
            let own = config.anonymous || config.account_key.is_some() || config.sas_token.is_some();
            let builder = from_environment!(MicrosoftAzureBuilder, own, AZURE).with_container_name(bucket);
            let mut builder = builder.with_http_connector(connector).with_retry(retry);
            built!(builder,
                address.account.as_ref().or(config.account.as_ref()) => AzureConfigKey::AccountName,
                endpoint => AzureConfigKey::Endpoint,
                config.account_key.as_ref() => AzureConfigKey::AccessKey,
                config.sas_token.as_ref() => AzureConfigKey::SasKey,
                allow_http => AzureConfigKey::Client(ClientConfigKey::AllowHttp),
                anonymous => AzureConfigKey::SkipSignature,
            )
        }
    };
    made.map_err(|error| {
        let message = format!("`{}` cannot be reached so: {error}", address.root);
        let help = "look at the options of `store`, and at the environment for what they leave out";
        Fault::config(vec![Problem::new("/store", message).help(help)])
    })
}
