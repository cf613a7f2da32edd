//! The `consent` plugin as a dynamic library; the logic is in the crate above.

kindred_plugin_api::export!(enrichment kindred_plugin_consent::ConsentSignals);
