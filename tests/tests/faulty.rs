//! Libraries that must not be loaded, and libraries that change: each is refused with its own line, before its code
//! runs where that is possible, and this process lives on to say so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot set up, fails it")]

use kindred_core::plugin::{
    Opening, Origin, Plugin, Plugins, Polled,
    library::{self, LoadError, Refusal},
    lock::Lock,
    registry::Registry,
};
use kindred_plugin_api::manifest::ABI;
use kindred_tests::artefacts;
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A folder with a file in it.
struct Placed {
    folder: TempDir,
    path: PathBuf,
}

fn place(bytes: &[u8]) -> Placed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libplaced.so");
    fs::write(&path, bytes).unwrap();
    Placed { folder, path }
}

fn faulty() -> Vec<u8> {
    fs::read(artefacts::faulty()).unwrap()
}

fn refusal(bytes: &[u8]) -> Refusal {
    let error = library::load(&place(bytes).path, None).expect_err("it must be refused");
    assert_eq!(error.to_string().lines().count(), 1, "one line: {error}");
    error.refusal
}

/// The same library with another text in its manifest section.
fn with_manifest(library: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let file = object::File::parse(library).unwrap();
    let (start, size) = file.section_by_name(".kindred_manifest").unwrap().file_range().unwrap();
    let (start, size) = (start as usize, size as usize);
    let found = String::from_utf8(library[start..start + size].to_vec()).unwrap();
    let mut text = change(found.trim_end_matches('\0')).into_bytes();
    assert!(text.len() <= size, "the section has room");
    text.resize(size, 0);
    let mut changed = library.to_vec();
    changed[start..start + size].copy_from_slice(&text);
    changed
}

fn source(plugins: Vec<Plugin>) -> Plugin {
    plugins.into_iter().find(|p| p.manifest.name == "faulty-source").unwrap()
}

/// Opens the faulty source and answers its position: how many instances its library has opened.
fn position(plugin: &Plugin) -> Vec<u8> {
    let config = json!({});
    let opening = Opening { instance: "faulty", config: &config, base_dir: Path::new("."), state: None };
    let mut source = plugin.open_source(&opening).unwrap();
    source.schema().unwrap();
    let Polled::Rows { position, .. } = source.poll(2).unwrap() else { panic!("rows were promised") };
    source.close().unwrap();
    position
}

#[test]
fn what_is_no_library_says_so() {
    let missing = library::load(Path::new("./no-such-library.so"), None).unwrap_err();
    assert_eq!(missing.to_string(), "library `./no-such-library.so` cannot be read: there is no such file");
    let folder = tempfile::tempdir().unwrap();
    let error = library::load(folder.path(), None).unwrap_err();
    assert!(error.to_string().ends_with("cannot be read: it is a directory"), "{error}");
    for bytes in [&b""[..], b"#!/bin/sh\necho hello\n", b"!<arch>\n", b"MZ\x90\0", &[0; 4096]] {
        assert!(matches!(refusal(bytes), Refusal::NotALibrary(_)), "{:?}", refusal(bytes));
    }
}

#[test]
fn a_library_cut_anywhere_is_refused_before_it_is_mapped() {
    let whole = faulty();
    let file = object::File::parse(&*whole).unwrap();
    let ends = file.sections().filter_map(|s| s.file_range()).map(|(start, size)| (start + size) as usize);
    let mut lengths: Vec<usize> = ends.map(|end| end.min(whole.len()) - 1).collect();
    lengths.extend((0..8).map(|i| whole.len() * i / 8 + 7));
    lengths.extend([16, 63, 64, 65, 4095, 4096, whole.len() - 1, whole.len() - 64, whole.len() - 4096]);
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 20);
    let placed = place(&whole);
    for length in lengths.into_iter().rev() {
        fs::File::options().write(true).open(&placed.path).unwrap().set_len(length as u64).unwrap();
        let error = library::load(&placed.path, None).expect_err("it is not whole");
        assert!(matches!(error.refusal, Refusal::Truncated(_)), "{length} of {}: {error}", whole.len());
    }
}

#[test]
fn a_library_for_another_machine_is_refused() {
    let mut other = faulty();
    other[18] = 183;
    other[19] = 0;
    let arm = Refusal::OtherArchitecture { found: "aarch64".into(), host: "x86_64" };
    if cfg!(target_arch = "x86_64") {
        assert_eq!(refusal(&other), arm);
    }
    let mut narrow = faulty();
    narrow[4] = 1;
    assert!(matches!(refusal(&narrow), Refusal::OtherArchitecture { .. }));
    let mut object_file = faulty();
    object_file[16] = 1;
    assert!(matches!(refusal(&object_file), Refusal::NotALibrary(_)));
}

#[test]
fn a_library_that_aborts_on_panic_is_refused() {
    let aborting = fs::read(artefacts::aborting()).unwrap();
    assert_eq!(refusal(&aborting), Refusal::AbortsOnPanic("`faulty-source`".into()));
    let lying = with_manifest(&aborting, |text| text.replace("\"abort\"", "\"unwind\""));
    assert_eq!(refusal(&lying), Refusal::AbortsOnPanic("its plugins".into()), "its root knows better");
}

#[test]
fn another_major_is_refused_with_both_versions() {
    let own = format!("\"abi\":\"{ABI}\"");
    let newer = with_manifest(&faulty(), |text| text.replace(&own, "\"abi\":\"2.0\""));
    let placed = place(&newer);
    let error = library::load(&placed.path, None).unwrap_err();
    assert_eq!(error.refusal, Refusal::OtherMajor { found: "2.0".into() });
    let line = format!(
        "library `{}` is built for version 2.0 of the plugin boundary, this host has {ABI}",
        placed.path.display()
    );
    assert_eq!(error.to_string(), line);
    assert_eq!(error.help(), Some(format!("build it with kindred-plugin-api {ABI}")));
}

#[test]
fn a_manifest_is_read_and_held_against_the_code() {
    let broken = with_manifest(&faulty(), |text| text.replacen('{', "(", 1));
    assert!(matches!(refusal(&broken), Refusal::Manifest(_)));
    assert_eq!(
        refusal(&with_manifest(&faulty(), |_| String::new())),
        Refusal::Manifest("it is empty".into())
    );
    let twice = with_manifest(&faulty(), |text| {
        let first = text.lines().next().unwrap();
        format!("{first}\n{first}\n")
    });
    assert_eq!(refusal(&twice), Refusal::Manifest("it names `faulty-source` twice".into()));
    let fewer = with_manifest(&faulty(), |text| text.lines().next().unwrap().to_owned());
    assert!(matches!(refusal(&fewer), Refusal::ManifestsDiffer { .. }));
    let other = with_manifest(&faulty(), |text| text.replace("as told", "as gold"));
    assert!(matches!(refusal(&other), Refusal::ManifestsDiffer { .. }));
}

#[test]
fn another_release_of_abi_stable_is_refused() {
    let mut library = faulty();
    let (address, _) = library_symbol(&library);
    let magic = b"abi stable library for Rust";
    assert_eq!(&library[address..address + magic.len()], magic);
    library[address] = b'A';
    let Refusal::OtherHeader { detail } = refusal(&library) else { panic!("not refused for its header") };
    assert!(!detail.is_empty());
}

/// Where the entry symbol's bytes are in the file.
fn library_symbol(library: &[u8]) -> (usize, u64) {
    let file = object::File::parse(library).unwrap();
    let entry = "_1as_0lib_1header_0root_bmodule_bloader";
    let symbol = file.dynamic_symbols().find(|s| s.name() == Ok(entry)).unwrap();
    let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
    let (start, _) = section.file_range().unwrap();
    ((start + symbol.address() - section.address()) as usize, symbol.size())
}

#[test]
fn no_code_of_a_refused_library_runs() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faulty/marked.c");
    let manifest = |abi: &str, panic: &str| {
        let text = format!(
            r#"{{"name":"c","version":"1","summary":"","kind":"source","abi":"{abi}","panic":"{panic}","capabilities":[]}}"#
        );
        format!("\"{}\"", text.replace('"', "\\\""))
    };
    let build = |name: &str, more: &[(&str, &str)]| -> Option<(PathBuf, PathBuf)> {
        let mark = folder.path().join(format!("{name}.mark"));
        let quoted = format!("\"{}\"", mark.display());
        let macros: Vec<(&str, &str)> =
            [("MARK", quoted.as_str())].into_iter().chain(more.to_vec()).collect();
        let library = folder.path().join(format!("lib{name}.so"));
        artefacts::c_library(&source, &library, &macros).map(|library| (library, mark))
    };
    let (fits, major, abort) =
        (manifest("1.0", "unwind"), manifest("2.0", "unwind"), manifest("1.0", "abort"));
    let refused = [
        ("plain", vec![], Refusal::NotAPlugin),
        ("entryless", vec![("MANIFEST", fits.as_str())], Refusal::NoEntry),
        ("major", vec![("MANIFEST", &major), ("ENTRY", "1")], Refusal::OtherMajor { found: "2.0".into() }),
        ("aborting", vec![("MANIFEST", &abort), ("ENTRY", "1")], Refusal::AbortsOnPanic("`c`".into())),
    ];
    for (name, macros, expected) in refused {
        let Some((library, mark)) = build(name, &macros) else { return };
        assert_eq!(library::load(&library, None).unwrap_err().refusal, expected);
        assert!(!mark.exists(), "{name} ran");
    }
    let Some((library, mark)) = build("unpinned", &[("MANIFEST", &fits), ("ENTRY", "1")]) else { return };
    let lock = Lock::of(folder.path(), &[&library]).unwrap();
    let mut changed = fs::read(&library).unwrap();
    changed.push(0);
    fs::write(&library, changed).unwrap();
    assert!(matches!(library::load(&library, Some(&lock)).unwrap_err().refusal, Refusal::WrongPin { .. }));
    assert!(!mark.exists(), "it ran although it is not what is pinned");
    assert!(matches!(library::load(&library, None).unwrap_err().refusal, Refusal::OtherHeader { .. }));
    assert!(mark.exists(), "the mark of a library that is linked, without which this test shows nothing");
}

#[test]
fn a_library_may_be_overwritten_while_it_is_used() {
    let mut bytes = faulty();
    bytes.extend_from_slice(b"overwritten");
    let placed = place(&bytes);
    let plugin = source(library::load(&placed.path, None).unwrap());
    fs::write(&placed.path, b"no longer a library").unwrap();
    assert_eq!(position(&plugin), [1]);
    assert_eq!(position(&plugin), [2]);
    let error = library::load(&placed.path, None).unwrap_err();
    assert!(matches!(error.refusal, Refusal::NotALibrary(_)), "{error}");
    fs::remove_file(&placed.path).unwrap();
    assert_eq!(position(&plugin), [3]);
}

#[test]
fn the_same_bytes_are_one_module_and_other_bytes_another() {
    let mut bytes = faulty();
    bytes.extend_from_slice(b"first");
    let (here, there) = (place(&bytes), place(&bytes));
    let first = source(library::load(&here.path, None).unwrap());
    let again = source(library::load(&there.path, None).unwrap());
    assert_eq!((position(&first), position(&again)), (vec![1], vec![2]), "one library, one counter");
    let Origin::Library { path, .. } = &again.origin else { panic!("{:?}", again.origin) };
    assert_eq!(path, &there.path, "each says how it was named");

    bytes.extend_from_slice(b"second");
    fs::write(&here.path, &bytes).unwrap();
    let other = source(library::load(&here.path, None).unwrap());
    assert_eq!(position(&other), [1], "another library, another counter");
    assert_ne!(first.origin, other.origin);
    let liar = library::load(artefacts::liar(), None).unwrap();
    assert!(liar.iter().all(|p| p.manifest.name.starts_with("liar-")), "not the first library again");
}

#[test]
fn a_pinned_library_is_itself_or_nothing() {
    let placed = place(&faulty());
    let dir = placed.folder.path();
    Lock::of(dir, &["libplaced.so"]).unwrap().write().unwrap();
    let lock = Lock::read(dir).unwrap().unwrap();
    let names: Vec<&str> = lock.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["faulty-destination", "faulty-enrichment", "faulty-segmentation", "faulty-source"]);
    let plugins = library::load(&placed.path, Some(&lock)).unwrap();
    assert!(plugins.iter().all(|p| matches!(p.origin, Origin::Library { pinned: true, .. })));
    let unpinned = library::load(&placed.path, None).unwrap();
    assert!(unpinned.iter().all(|p| matches!(p.origin, Origin::Library { pinned: false, .. })));

    let mut changed = faulty();
    changed.push(0);
    fs::write(&placed.path, changed).unwrap();
    let error: LoadError = library::load(&placed.path, Some(&lock)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::WrongPin { .. }), "{error}");
    assert_eq!(error.help().as_deref(), Some("if the change is meant, run `kindred plugin lock` again"));
    fs::write(&placed.path, "text").unwrap();
    let error = library::load(&placed.path, Some(&lock)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::WrongPin { .. }), "the pin comes first: {error}");
}

#[test]
fn the_registry_finds_libraries_by_path_and_by_lock() {
    let placed = place(&faulty());
    let dir = placed.folder.path();
    let registry = Registry::new();
    let several = registry.find("./libplaced.so", dir).unwrap_err();
    assert!(several.message.contains("holds 4 plugins: faulty-destination, "), "{several:?}");
    assert_eq!(several.help.as_deref(), Some("name one of them: `./libplaced.so#faulty-destination`"));
    let other = registry.find("./libplaced.so#other", dir).unwrap_err();
    assert_eq!(other.message, "library `./libplaced.so` holds no plugin `other`");
    let plugin = registry.find("./libplaced.so#faulty-source", dir).unwrap();
    assert_eq!(plugin.manifest.name, "faulty-source");

    assert!(registry.find("faulty-source", dir).is_err(), "nothing is locked yet");
    Lock::of(dir, &["./libplaced.so"]).unwrap().write().unwrap();
    let locked = registry.find("faulty-source", dir).unwrap();
    assert!(matches!(locked.origin, Origin::Library { pinned: true, .. }), "{:?}", locked.origin);
}
