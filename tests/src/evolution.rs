//! The boundary in another version: a copy of `plugin-api` with some of its text changed, a plugin that is built for
//! it, and this repository's loader compiled against it.

use crate::artefacts;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One change of `plugin-api`: file under `src`, the text that is there exactly once, and what stands there instead.
pub type Edit = (&'static str, &'static str, &'static str);

/// What a later minor version may do: a field at the end of each prefix type, a method with a default at the end of a
/// trait.
pub const GROWN: &[Edit] = &[
    (
        "abi/raw.rs",
        "    pub open_destination: ROption<extern \"C\" fn(OpenArgs) -> R<DestinationBox>>,\n",
        "    pub open_destination: ROption<extern \"C\" fn(OpenArgs) -> R<DestinationBox>>,\n    pub added: extern \"C\" fn() -> u32,\n",
    ),
    (
        "abi/raw.rs",
        "    pub plugins: extern \"C\" fn() -> RVec<PluginRef>,\n",
        "    pub plugins: extern \"C\" fn() -> RVec<PluginRef>,\n    pub added: extern \"C\" fn() -> u32,\n",
    ),
    (
        "abi/raw.rs",
        "    pub now_us: extern \"C\" fn(ctx: u64) -> i64,\n",
        "    pub now_us: extern \"C\" fn(ctx: u64) -> i64,\n    pub added: extern \"C\" fn(ctx: u64) -> u32,\n",
    ),
    (
        "abi/raw.rs",
        "    /// State to be opened with after a restart.\n    fn checkpoint(&mut self) -> R<RVec<u8>>;\n    /// Last call.\n    #[sabi(last_prefix_field)]\n    fn close(&mut self) -> R<()>;\n",
        "    fn checkpoint(&mut self) -> R<RVec<u8>>;\n    #[sabi(last_prefix_field)]\n    fn close(&mut self) -> R<()>;\n    fn added(&mut self) -> u32 {\n        1\n    }\n",
    ),
    (
        "abi/doors.rs",
        "    fn checkpoint(&mut self) -> R<RVec<u8>> {\n",
        "    fn added(&mut self) -> u32 {\n        2\n    }\n    fn checkpoint(&mut self) -> R<RVec<u8>> {\n",
    ),
    (
        "abi/register.rs",
        "                open_destination: $destination,\n",
        "                open_destination: $destination,\n                added,\n",
    ),
    (
        "abi/register.rs",
        "Root { unwinds: cfg!(panic = \"unwind\"), plugins }",
        "Root { unwinds: cfg!(panic = \"unwind\"), plugins, added }",
    ),
    (
        "abi/register.rs",
        "/// One entry of the registry, collected with inventory.\n",
        "extern \"C\" fn added() -> u32 {\n    3\n}\n\n/// One entry of the registry, collected with inventory.\n",
    ),
    (
        "context.rs",
        "    Host { log, metric, cancelled, sleep, secret, now_us }.leak_into_prefix()\n",
        "    extern \"C\" fn added(_: u64) -> u32 {\n        0\n    }\n    Host { log, metric, cancelled, sleep, secret, now_us, added }.leak_into_prefix()\n",
    ),
];

/// What no version may do within a major: a field more in a plain struct.
pub const CHANGED: &[Edit] = &[
    (
        "abi/raw.rs",
        "    /// Zero, or the wait that the far side asked for.\n    pub retry_after_ms: u64,\n",
        "    pub retry_after_ms: u64,\n    pub added: u64,\n",
    ),
    (
        "abi/guard.rs",
        "            retry_after_ms: fault.retry_after_ms,\n            code: fault.code.into(),\n            message: fault.message.into(),\n            detail_json",
        "            retry_after_ms: fault.retry_after_ms,\n            added: 0,\n            code: fault.code.into(),\n            message: fault.message.into(),\n            detail_json",
    ),
];

/// A version of the boundary.
pub struct Version {
    /// One lowercase word.
    pub name: &'static str,
    /// Of its `plugin-api`.
    pub number: &'static str,
    /// What is different.
    pub edits: &'static [Edit],
}

impl Version {
    /// The library of a plugin that is built for this version.
    pub fn plugin(&self) -> PathBuf {
        let built = self.build(&format!("--package=evolved-{}", self.name));
        built[&format!("evolved_{}", self.name)].clone()
    }

    /// The loader of this repository as a host of this version.
    pub fn host(&self) -> PathBuf {
        self.build("--package=evolved-host")["evolved-host"].clone()
    }

    fn build(&self, package: &str) -> artefacts::Artefacts {
        let root = self.tree();
        artefacts::build(&root.join("Cargo.toml"), &artefacts::target().join("faulty"), "dev", &[package])
    }

    /// A workspace with the changed crate and what is built on it. Files that are right are left, so that cargo finds
    /// them fresh.
    fn tree(&self) -> PathBuf {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = artefacts::target().join("evolved").join(self.name);
        let copy = |from: &str, to: &str, change: &dyn Fn(&Path, String) -> String| {
            copy(&repository.join(from), &root.join(to), change);
        };
        let same = |_: &Path, text: String| text;
        copy("tests/faulty/evolved/plugin", "plugin", &|_, text| {
            text.replace("evolved-NAME", &format!("evolved-{}", self.name))
        });
        copy("tests/faulty/evolved/host", "host", &same);
        copy("core/src/plugin/library.rs", "host/src/plugin/library.rs", &same);
        copy("core/src/plugin/library", "host/src/plugin/library", &same);
        copy("core/src/plugin/lock.rs", "host/src/plugin/lock.rs", &same);
        copy("core/src/clock.rs", "host/src/clock.rs", &same);
        copy("core/src/disk.rs", "host/src/disk.rs", &same);
        copy("plugin-api", "plugin-api", &|path, text| self.changed(path, text));
        copy("Cargo.toml", "Cargo.toml", &|_, text| workspace(&text));
        copy("Cargo.lock", "Cargo.lock", &same);
        root
    }

    fn changed(&self, path: &Path, text: String) -> String {
        if path.ends_with("plugin-api/Cargo.toml") {
            return replace(&text, "version = \"1.4.0\"", &format!("version = \"{}\"", self.number));
        }
        let edits = self.edits.iter().filter(|(file, ..)| path.ends_with(Path::new("src").join(file)));
        edits.fold(text, |text, (_, from, to)| replace(&text, from, to))
    }
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert_eq!(
        text.matches(from).count(),
        1,
        "tests/src/evolution.rs expects this text exactly once:\n{from}"
    );
    text.replace(from, to)
}

/// The root manifest with these members and without the profiles.
fn workspace(text: &str) -> String {
    let from = text.find("[workspace.package]").expect("what members inherit");
    let to = text.find("[profile").unwrap_or(text.len());
    let members = "members = [\"plugin-api\", \"plugin\", \"host\"]";
    format!("[workspace]\nresolver = \"2\"\n{members}\n\n{}[profile.dev]\ndebug = false\n", &text[from..to])
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(&Path, String) -> String) {
    if from.is_dir() {
        for entry in fs::read_dir(from).expect("a folder of the repository").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()), change);
        }
        return;
    }
    let text = change(from, fs::read_to_string(from).expect("a file of the repository"));
    if fs::read_to_string(to).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("a folder under target");
    fs::write(to, text).expect("a file under target");
}
