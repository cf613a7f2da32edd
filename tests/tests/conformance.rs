//! Every built-in plugin goes through the conformance suite twice: as it is linked into `kindred`, and as the library
//! that its `dylib` crate builds. Both must meet every duty and put out the same.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]

use kindred_core::plugin::{Plugins, library, registry::Registry};
use kindred_plugin_api::Kind;
use kindred_tests::{artefacts, conformance, scenarios};
use std::path::Path;

// Linked, so that they register themselves.
use kindred_plugin_campaign_log as _;
use kindred_plugin_consent as _;
use kindred_plugin_content_category as _;
use kindred_plugin_cookies as _;
use kindred_plugin_crm_import as _;
use kindred_plugin_dsp_export as _;
use kindred_plugin_file_events as _;
use kindred_plugin_geo as _;
use kindred_plugin_hash_identifiers as _;
use kindred_plugin_http_pull as _;
use kindred_plugin_kafka as _;
use kindred_plugin_lookalike as _;
use kindred_plugin_nats as _;
use kindred_plugin_postgres as _;
use kindred_plugin_rules as _;
use kindred_plugin_session as _;
use kindred_plugin_taxonomy as _;
use kindred_plugin_url as _;
use kindred_plugin_user_agent as _;

fn conforms(name: &str) {
    let Some(scenario) = scenarios::of(name) else { return };
    let linked = Registry::new().find(name, Path::new(".")).expect("it is linked");
    let as_linked = conformance::run(&linked, &scenario);
    assert!(as_linked.violations.is_empty(), "linked:\n{}", as_linked.violations.join("\n"));

    let mut loaded = library::load(artefacts::built_in(name), None).expect("its library loads");
    assert_eq!(loaded.len(), 1, "one plugin a library: {loaded:?}");
    let loaded = loaded.remove(0);
    assert_eq!(loaded.manifest, linked.manifest);
    let as_library = conformance::run(&loaded, &scenario);
    assert!(as_library.violations.is_empty(), "library:\n{}", as_library.violations.join("\n"));
    assert_eq!(as_linked.digest, as_library.digest, "both forms put out the same");
}

#[test]
fn exactly_these_plugins_are_built_in() {
    let registry = Registry::new();
    let names: Vec<&str> = registry.built_in().iter().map(|p| p.manifest.name.as_str()).collect();
    assert_eq!(names, artefacts::BUILT_IN);
    assert_eq!(
        registry.names(Kind::Enrichment),
        [
            "consent",
            "content-category",
            "geo",
            "hash-identifiers",
            "session",
            "taxonomy",
            "url",
            "user-agent"
        ]
    );
    assert_eq!(
        registry.names(Kind::Source),
        ["campaign-log", "cookies", "crm-import", "file-events", "http-pull", "kafka", "nats", "postgres"]
    );
    assert_eq!(registry.names(Kind::Segmentation), ["lookalike", "rules"]);
    assert_eq!(registry.names(Kind::Destination), ["dsp-export"]);
}

macro_rules! conforms {
    ($($test:ident $name:literal),*) => { $(
        #[test]
        fn $test() {
            conforms($name);
        }
    )* };
}
conforms!(
    campaign_log "campaign-log",
    consent "consent",
    content_category "content-category",
    cookies "cookies",
    crm_import "crm-import",
    dsp_export "dsp-export",
    file_events "file-events",
    geo "geo",
    hash_identifiers "hash-identifiers",
    http_pull "http-pull",
    kafka "kafka",
    lookalike "lookalike",
    nats "nats",
    postgres "postgres",
    rules "rules",
    session "session",
    taxonomy "taxonomy",
    url "url",
    user_agent "user-agent"
);
