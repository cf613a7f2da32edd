//! The `lookalike` plugin as a dynamic library; the logic is in the crate above.

kindred_plugin_api::export!(segmentation kindred_plugin_lookalike::Lookalike);
