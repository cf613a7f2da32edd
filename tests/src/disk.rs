//! A small disk for a test.

use crate::services::missing;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, unmounted when dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounted on a folder that it makes, of a size such as `8m`; none, and a line on standard error, where that is not
    /// allowed: only root may mount. With `CI=true` that is a failure.
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir(folder).expect("a folder");
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        if !mount.is_ok_and(|output| output.status.success()) {
            return missing("the right to mount a file system, which root has,");
        }
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays mounted is seen when the folder cannot be removed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
