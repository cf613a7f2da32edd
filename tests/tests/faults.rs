//! What disks and the system do to a store and to a run, and what must not change an answer: bits that flip, files that are
//! gone, calls that are interrupted or killed at, a disk that is read only, no more files that may be open.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use kindred_tests::{
    deliveries,
    disk::Disk,
    sandbox::{Sandbox, files, said},
    seeds::seeds,
    services,
};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Seeds that a case once failed with.
const FAILED: [u64; 0] = [];
const PIPELINE: &str = r#"
[pipeline]
name = "test"
store = "store"
clock = "events"
step_rows = 50

[sources.web]
plugin = "cookies"
consent = "granted"
config = { path = "logs" }

[sources.crm]
plugin = "crm-import"
consent = "granted"
config = { path = "crm.csv", keys = { cookie = "cookie" } }

[segments.lookers]
rule = "count(event = 'product_view', '30 days') >= 2"

[segments.germans]
rule = "attr('crm.country') = 'DE' AND did(event = 'product_view', '20 days')"

[destinations.out]
plugin = "dsp-export"
segments = ["lookers"]
minimum_audience = 50
config = { format = "csv", path = "out", identifier = "cookie" }
"#;

/// Two product views of each cookie.
fn log(cookies: std::ops::Range<u32>, day: u32) -> String {
    let line = |cookie: u32, n: u32| {
        format!(
            r#"{{"id":"{cookie}-{day}-{n}","cookie":"c{cookie:04}","event":"product_view","time":"2026-01-{day:02}T1{n}:00:00Z"}}"#
        )
    };
    cookies.flat_map(|c| [line(c, 0), line(c, 1)]).map(|l| l + "\n").collect()
}

/// Sources of 150 people, of whom nothing was read yet.
fn shop() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("pipeline.toml", PIPELINE);
    sandbox.write("logs/1.jsonl", log(0..100, 5));
    let people: String =
        (0..150).map(|c| format!("c{c:04},{}\n", if c % 2 == 0 { "DE" } else { "FR" })).collect();
    sandbox.write("crm.csv", format!("cookie,country\n{people}"));
    sandbox
}

/// What nobody but the clock may change: members, what was delivered, and counts.
#[derive(Debug, PartialEq)]
struct Answers {
    members: [Vec<String>; 2],
    delivered: Vec<String>,
    sizes: Vec<Value>,
}

fn answers(sandbox: &Sandbox) -> Answers {
    let members = ["lookers", "germans"];
    let segments = sandbox.json(&["segments", "pipeline.toml"]);
    Answers {
        members: members.map(|segment| sandbox.members(&["pipeline.toml"], segment, "cookie")),
        delivered: deliveries::now(&sandbox.path("out")).into_iter().collect(),
        sizes: segments.as_array().unwrap().iter().map(|segment| segment["size"].clone()).collect(),
    }
}

/// More of everything, in another run.
fn more(sandbox: &Sandbox) {
    sandbox.write("logs/2.jsonl", log(60..160, 9));
    sandbox.json(&["run", "pipeline.toml"]);
}

/// The next number of a row that looks random.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn below(seed: &mut u64, end: usize) -> usize {
    (next(seed) % end as u64) as usize
}

/// Puts files in the place of a folder.
fn put(folder: &Path, content: &BTreeMap<String, Vec<u8>>) {
    let _ = fs::remove_dir_all(folder);
    for (name, bytes) in content {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Any bit of any file of the store: what is asked and what is run on then is as it was, or it is told that the store is
/// damaged.
#[test]
fn a_flipped_bit_is_told_or_does_not_matter() {
    let sandbox = shop();
    sandbox.json(&["run", "pipeline.toml"]);
    let (store, out) = (files(&sandbox.path("store")), files(&sandbox.path("out")));
    let before = answers(&sandbox);
    more(&sandbox);
    let after = answers(&sandbox);
    assert_ne!(before, after);
    let names: Vec<&String> =
        store.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| name).collect();
    let mut told = 0;
    for seed in seeds(&FAILED, 30) {
        let mut random = seed;
        let name = names[below(&mut random, names.len())];
        let mut flipped = store.clone();
        let bytes = flipped.get_mut(name).unwrap();
        let (at, bit) = (below(&mut random, bytes.len()), below(&mut random, 8));
        bytes[at] ^= 1 << bit;
        put(&sandbox.path("store"), &flipped);
        put(&sandbox.path("out"), &out);
        let case = format!("KINDRED_SEED={seed}: bit {bit} of byte {at} of {name}");
        let mut fine = true;
        for command in [&["segments", "pipeline.toml"][..], &["run", "pipeline.toml"]] {
            let output = sandbox.kindred(command);
            let text = said(&output);
            assert!(!text.contains("panicked"), "{case}: {text}");
            match output.status.code() {
                Some(0) => {}
                Some(1) => {
                    assert!(text.contains("restore the store from a backup"), "{case}: {text}");
                    fine = false;
                }
                other => panic!("{case}: {other:?}: {text}"),
            }
        }
        if fine {
            assert_eq!(answers(&sandbox), after, "{case}");
        }
        told += u64::from(!fine);
    }
    assert!(told > 0 || std::env::var_os("KINDRED_SEED").is_some(), "no flip was ever noticed");
}

#[test]
fn a_file_of_the_store_that_is_gone_is_named() {
    let sandbox = shop();
    sandbox.json(&["run", "pipeline.toml"]);
    let store = files(&sandbox.path("store"));
    let events: Vec<&String> = store.keys().filter(|name| name.starts_with("files/")).collect();
    assert!(events.len() > 1, "{events:?}");
    for name in events {
        fs::remove_file(sandbox.path("store").join(name)).unwrap();
        let error = sandbox.failure(&["run", "pipeline.toml"]);
        assert!(error.contains(name.as_str()) && !error.contains("panicked"), "{name}: {error}");
        put(&sandbox.path("store"), &store);
    }
    assert_eq!(sandbox.json(&["run", "pipeline.toml"])["steps"], 0);
}

/// `kindred run` under strace, which does something to its calls.
fn traced(sandbox: &Sandbox, injected: &str) -> std::process::Output {
    let kindred = sandbox.command(&["run", "pipeline.toml"]);
    let mut command = Command::new("strace");
    command.current_dir(kindred.get_current_dir().unwrap());
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", injected]);
    command.arg(kindred.get_program()).args(kindred.get_args()).output().unwrap()
}

/// Whatever changes something on the disk.
const CHANGES: &str = "write,pwrite64,writev,fsync,fdatasync,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";

#[test]
fn killed_at_any_call_it_goes_on_where_it_was() {
    if services::program("strace", &["-V"]).is_none() {
        return;
    }
    let calm = shop();
    calm.json(&["run", "pipeline.toml"]);
    more(&calm);
    let wanted = answers(&calm);
    let mut killed = 0;
    for seed in seeds(&FAILED, 10) {
        let mut random = seed;
        let sandbox = shop();
        // A kill, another one on the way back, and a calm end.
        for _ in 0..2 {
            let call = below(&mut random, 250) + 1;
            let output = traced(&sandbox, &format!("inject={CHANGES}:signal=SIGKILL:when={call}"));
            killed += u64::from(output.status.code().is_none_or(|code| code == 137));
        }
        sandbox.json(&["run", "pipeline.toml"]);
        more(&sandbox);
        assert_eq!(answers(&sandbox), wanted, "KINDRED_SEED={seed}");
    }
    assert!(killed > 0 || std::env::var_os("KINDRED_SEED").is_some(), "nothing was ever killed");
}

/// Some file systems interrupt calls: they are made again, or it is told.
#[test]
fn interrupted_calls_lose_nothing() {
    if services::program("strace", &["-V"]).is_none() {
        return;
    }
    let calm = shop();
    calm.json(&["run", "pipeline.toml"]);
    more(&calm);
    // Behind those of the loader, which does not make them again.
    for first in [15, 40, 150, 400] {
        let sandbox = shop();
        let output =
            traced(&sandbox, &format!("inject=read,pread64,write,pwrite64:error=EINTR:when={first}+97"));
        let text = said(&output);
        assert!(output.status.success() || text.contains("nterrupted"), "{first}: {text}");
        assert!(!text.contains("panicked"), "{first}: {text}");
        sandbox.json(&["run", "pipeline.toml"]);
        more(&sandbox);
        assert_eq!(answers(&sandbox), answers(&calm), "{first}");
    }
}

#[test]
fn a_disk_that_is_read_only_is_told_and_got_over() {
    let sandbox = shop();
    let Some(disk) = Disk::mount(&sandbox, "64m") else { return };
    sandbox.write("pipeline.toml", PIPELINE.replace("store = \"store\"", "store = \"small/store\""));
    sandbox.json(&["run", "pipeline.toml"]);
    disk.read_only(true);
    sandbox.write("logs/2.jsonl", log(60..160, 9));
    let error = sandbox.failure(&["run", "pipeline.toml"]);
    assert!(error.to_lowercase().contains("read-only") && !error.contains("panicked"), "{error}");
    disk.read_only(false);
    sandbox.json(&["run", "pipeline.toml"]);
    let calm = shop();
    calm.json(&["run", "pipeline.toml"]);
    more(&calm);
    assert_eq!(answers(&sandbox), answers(&calm));
}

#[test]
fn too_few_files_that_may_be_open_are_told_and_got_over() {
    let sandbox = shop();
    sandbox.json(&["run", "pipeline.toml"]);
    sandbox.write("logs/2.jsonl", log(60..160, 9));
    let kindred = sandbox.command(&["run", "pipeline.toml"]);
    let mut failed = 0;
    for limit in [8, 12, 16, 24, 32] {
        let mut limited = Command::new("sh");
        limited.current_dir(kindred.get_current_dir().unwrap());
        limited.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
        let output = limited.arg(kindred.get_program()).args(kindred.get_args()).output().unwrap();
        let text = said(&output);
        assert!(!text.contains("panicked"), "{limit}: {text}");
        match output.status.code() {
            Some(0) => {}
            Some(1 | 2) => failed += 1,
            // The loader of the program itself needs some.
            Some(127) => assert!(limit < 12, "{limit}: {text}"),
            other => panic!("{limit}: {other:?}: {text}"),
        }
    }
    assert!(failed > 0, "it was never too few");
    sandbox.json(&["run", "pipeline.toml"]);
    let calm = shop();
    calm.json(&["run", "pipeline.toml"]);
    more(&calm);
    assert_eq!(answers(&sandbox), answers(&calm));
}
