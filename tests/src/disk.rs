//! A disk that is small, so that it can be full.

use crate::{sandbox::Sandbox, services};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system in a sandbox; unmounted when dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// One of `size`, such as `8m`, in the folder `small`; none, with a line that says so, where it cannot be mounted.
    pub fn mount(sandbox: &Sandbox, size: &str) -> Option<Self> {
        let folder = sandbox.path("small");
        fs::create_dir(&folder).expect("a folder");
        let options = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder).output();
        match mount.is_ok_and(|output| output.status.success()) {
            true => Some(Self(folder)),
            false => services::missing("the right to mount a file system, which root has,"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all its room.
    pub fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("a file");
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    /// Allows nothing but reading, or everything again.
    pub fn read_only(&self, only: bool) {
        let options = if only { "remount,ro" } else { "remount,rw" };
        let done = Command::new("mount").args(["-o", options]).arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "{options}");
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays mounted is seen when the folder cannot be removed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
