//! Commands in binaries of their own, found beside this one or on the PATH, as cargo and git find theirs.

use crate::Error;
use std::{ffi::OsStr, io::ErrorKind, os::unix::process::CommandExt, path::PathBuf, process::Command};

/// The binary with the distributed engine in it.
pub(super) const CLUSTER: &str = "kindred-cluster";

/// Goes on as another binary with these arguments; comes back only when that is not possible. Nothing may be open
/// that a new process would not find as it was.
pub(super) fn go_on_as(binary: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Error {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(binary));
    let found = beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(binary));
    let source = Command::new(&found).args(arguments).exec();
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound(format!(
            "this needs the binary `{binary}`, which is neither beside `kindred` nor on the PATH; it is built with \
             `cargo build --release -p {binary}`"
        )),
        _ => Error::Io { path: found, source },
    }
}
