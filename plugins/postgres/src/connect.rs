//! The connection: encrypted unless it stays on this machine, read-only, and with settings that make its texts exact.

use crate::options::Config;
use kindred_plugin_api::{Context, Fault, Problem, Result};
use postgres::{
    Client, NoTls,
    config::{Host, SslMode},
    error::SqlState,
};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use std::{sync::Arc, time::Duration};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(10);

/// Texts of times and numbers go back to the server as they came; nothing is ever written.
const SETTINGS: &str = "SET TIME ZONE 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; \
    SET extra_float_digits = 3; SET default_transaction_read_only = on";

/// Connects.
///
/// # Errors
/// CONFIG when the server refuses who asks or there is no such database, TRANSIENT when it does not answer.
pub(crate) fn connect(config: &Config, context: &Context) -> Result<Client> {
    let at = |message: &str| Fault::config(vec![Problem::new("/connection", message)]);
    let mut options: postgres::Config = config.connection.parse().map_err(|_| at("this is no connection"))?;
    if options.get_connect_timeout().is_none() {
        options.connect_timeout(CONNECT);
    }
    if options.get_application_name().is_none() {
        options.application_name("kindred");
    }
    let plain = match options.get_ssl_mode() {
        SslMode::Disable => true,
        SslMode::Prefer => stays_here(&options),
        _ => false,
    };
    let connected = if plain {
        options.connect(NoTls)
    } else {
        options.ssl_mode(SslMode::Require);
        options.connect(MakeRustlsConnect::new(trust(config, context)?))
    };
    let mut client = connected.map_err(|error| fault("/connection", &error))?;
    client.batch_execute(SETTINGS).map_err(|error| fault("/connection", &error))?;
    Ok(client)
}

/// Every host that may be connected to is this machine.
fn stays_here(options: &postgres::Config) -> bool {
    let name = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    let addresses = options.get_hostaddrs();
    if addresses.is_empty() {
        return options.get_hosts().iter().all(name);
    }
    addresses.iter().all(std::net::IpAddr::is_loopback)
}

fn trust(config: &Config, context: &Context) -> Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &config.ca {
        let bad = |why: String| Fault::config(vec![Problem::new("/ca", format!("`{path}`: {why}"))]);
        let read =
            CertificateDer::pem_file_iter(context.path(path)).map_err(|error| bad(error.to_string()))?;
        for certificate in read {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::permanent("tls", error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A fault for what the server or the connection says; `at` is the option that is wrong if the operator must act.
///
/// The words of the server are repeated only where they are about names: others may hold what a row holds.
pub(crate) fn fault(at: &str, error: &postgres::Error) -> Fault {
    let Some(told) = error.as_db_error() else {
        let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        return Fault::transient("connection", format!("the database cannot be read now: {error}{why}"));
    };
    let code = told.code();
    let class = &code.code()[..2.min(code.code().len())];
    let says = format!("the database says: {}", told.message());
    match class {
        "28" | "3D" | "42" => Fault::config(vec![Problem::new(at, says)]),
        _ if *code == SqlState::QUERY_CANCELED => Fault::transient("cancelled", says),
        "08" | "40" | "53" | "55" | "57" | "58" => Fault::transient("database", says),
        _ => Fault::permanent(
            "database",
            format!("the database cannot give the rows: SQLSTATE {}", code.code()),
        ),
    }
}
