//! The `dsp-export` plugin as a dynamic library; the logic is in the crate above.

kindred_plugin_api::export!(destination kindred_plugin_dsp_export::DspExport);
