//! The `http-pull` plugin as a dynamic library; the logic is in the crate above.

kindred_plugin_api::export!(source kindred_plugin_http_pull::HttpPull);
