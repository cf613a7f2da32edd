//! The host of another version of the boundary: this repository's loader, compiled against it. Loads a library, sends
//! an empty batch through an enrichment of it, and says what it found of the parts that this repository's own
//! boundary does not have.

#![allow(dead_code, unreachable_pub, reason = "only the loader is tried")]

mod clock;
mod disk;
mod plugin;

use kindred_plugin_api::{
    abi::{
        abi_stable::{
            prefix_type::PrefixTypeTrait,
            std_types::{ROption, RResult, RStr, RString},
        },
        batch::export_schema,
        raw::{Batch, Host, HostRef, OpenArgs, R},
    },
    arrow::datatypes::Schema,
};

fn main() {
    let path = std::env::args_os().nth(1).expect("the path of a library");
    match plugin::library::load(path.as_ref(), None) {
        Ok(plugins) => plugins.iter().for_each(tell),
        Err(error) => println!("refused: {error}"),
    }
}

fn tell(plugin: &plugin::Plugin) {
    let name = &plugin.manifest.name;
    let added = plugin.raw.added().map(|added| added());
    let ROption::RSome(open) = plugin.raw.open_enrichment() else { return };
    let config = if name == "evolved" { "{}" } else { "{\"panic_in\": \"\"}" };
    let args = OpenArgs {
        config_json: config.into(),
        instance: "evolved".into(),
        base_dir: ".".into(),
        position: ROption::RNone,
        host: services(),
        ctx: 1,
        flags: 0,
    };
    let RResult::ROk(mut enrichment) = open(args) else { panic!("`{name}` does not open") };
    let schema = export_schema(&Schema::empty()).expect("a schema");
    assert!(enrichment.bind(schema).is_ok(), "`{name}` does not bind");
    assert!(enrichment.process(Batch::none(), 0).is_ok(), "`{name}` does not process");
    println!("loaded {name}: field {added:?}, method {}", enrichment.added());
    assert!(enrichment.close().is_ok(), "`{name}` does not close");
}

fn services() -> HostRef {
    extern "C" fn log(_: u64, _: u8, message: RStr<'_>) {
        println!("log: {message}");
    }
    extern "C" fn metric(_: u64, _: u8, _: RStr<'_>, _: f64) {}
    extern "C" fn cancelled(_: u64) -> bool {
        false
    }
    extern "C" fn sleep(_: u64, _: u64) -> bool {
        false
    }
    extern "C" fn secret(_: u64, _: RStr<'_>) -> R<RString> {
        RResult::ROk("".into())
    }
    extern "C" fn now_us(_: u64) -> i64 {
        0
    }
    extern "C" fn added(_: u64) -> u32 {
        7
    }
    Host { log, metric, cancelled, sleep, secret, now_us, added }.leak_into_prefix()
}
