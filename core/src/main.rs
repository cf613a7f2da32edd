//! The `kindred` binary: the core and the built-in plugins, which register themselves once linked.

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

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kindred_core::cli::main()
}
