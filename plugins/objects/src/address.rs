//! Addresses of objects: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`,
//! `abfss://container@account.dfs.core.windows.net/key`.

use kindred_plugin_api::Problem;

/// What speaks to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon S3 and what speaks as it does.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// A bucket and what of it is meant: one key, a folder or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) service: Service,
    /// Scheme and bucket, without a slash behind: what the names of its objects begin with.
    pub(crate) root: String,
    /// Bucket or container.
    pub(crate) bucket: String,
    /// Account, where the address says one.
    pub(crate) account: Option<String>,
    /// Behind the bucket, without a slash before.
    pub(crate) key: String,
}

impl Address {
    /// Reads an option; none when it is a path of this machine.
    ///
    /// # Errors
    /// At `at`, for an address that means nothing.
    pub fn parse(text: &str, at: &str) -> Result<Option<Self>, Problem> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let service = match scheme {
            "s3" | "s3a" => Service::S3,
            "gs" => Service::Gcs,
            "az" | "abfs" | "abfss" => Service::Azure,
            _ => {
                let problem = Problem::new(at, format!("no store is addressed with `{scheme}://`"));
                return Err(problem
                    .help("`s3://`, `gs://`, `az://` or `abfss://`; a path of this machine has no scheme"));
            }
        };
        let (place, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, host) =
            place.split_once('@').map_or((place, None), |(bucket, host)| (bucket, Some(host)));
        let account = host.and_then(|host| host.split('.').next()).map(str::to_owned);
        if bucket.is_empty() || bucket.contains(['*', '?', '[']) || account.as_deref() == Some("") {
            let problem = Problem::new(at, format!("`{text}` does not name one bucket"));
            return Err(problem.help("as `s3://bucket/logs/*.jsonl.gz`; a pattern begins behind the bucket"));
        }
        if account.is_some() && !scheme.starts_with("abfs") {
            let problem = Problem::new(at, format!("`{text}`: a bucket has no `@`"));
            return Err(
                problem.help("`abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH` is an address of Azure")
            );
        }
        let root = format!("{scheme}://{place}");
        Ok(Some(Self { service, root, bucket: bucket.to_owned(), account, key: key.to_owned() }))
    }

    /// What of the bucket is meant.
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Service, String, Option<String>, String) {
        let address = Address::parse(text, "/path").unwrap().unwrap();
        (address.service, address.bucket, address.account, address.key)
    }

    #[test]
    fn buckets_and_keys_are_told_apart() {
        let of = |service, bucket: &str, account: Option<&str>, key: &str| {
            (service, bucket.to_owned(), account.map(str::to_owned), key.to_owned())
        };
        assert_eq!(parsed("s3://b/logs/*.gz"), of(Service::S3, "b", None, "logs/*.gz"));
        assert_eq!(parsed("s3a://b"), of(Service::S3, "b", None, ""));
        assert_eq!(parsed("gs://b/a b/c?.csv"), of(Service::Gcs, "b", None, "a b/c?.csv"));
        assert_eq!(parsed("az://c/x.csv"), of(Service::Azure, "c", None, "x.csv"));
        let long = "abfss://c@acc.dfs.core.windows.net/x.csv";
        assert_eq!(parsed(long), of(Service::Azure, "c", Some("acc"), "x.csv"));
        assert_eq!(Address::parse("logs/*.csv", "/path"), Ok(None));
        assert_eq!(Address::parse("/var/s3:/x", "/path"), Ok(None));
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        for (text, says) in [
            ("ftp://host/x.csv", "no store is addressed with `ftp://`"),
            ("s3://", "does not name one bucket"),
            ("s3:///x.csv", "does not name one bucket"),
            ("gs://b*/x.csv", "does not name one bucket"),
            ("s3://b@c/x.csv", "a bucket has no `@`"),
            ("abfss://c@/x.csv", "does not name one bucket"),
        ] {
            let problem = Address::parse(text, "/path/1").unwrap_err();
            assert!(problem.message.contains(says), "{text}: {problem:?}");
            assert_eq!(problem.path, "/path/1");
        }
    }
}
