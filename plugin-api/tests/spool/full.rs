//! A disk without room: a small file system in memory, which takes the rights of an administrator.

use crate::{all, missing, small};
use kindred_plugin_api::spool::{Health, Options, Refused, Spool};
use std::{fs, path::Path, process::Command, time::Duration};

struct Mounted(tempfile::TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// A file system of a MiB; none, with a line that says so, where that is not allowed. With `CI=true` that is a failure.
fn mounted() -> Option<Mounted> {
    let folder = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        return missing("the right to mount a file system, which root has,");
    }
    Some(Mounted(folder))
}

fn fill(path: &Path, left: u64) {
    let room = rustix::fs::statvfs(path.parent().unwrap()).unwrap();
    let bytes = (room.f_bavail * room.f_frsize).saturating_sub(left);
    fs::write(path, vec![1; usize::try_from(bytes).unwrap()]).unwrap();
}

/// Appends until it is refused; answers how many were taken.
fn until_full(spool: &Spool) -> usize {
    for n in 0..1000 {
        match spool.append_wait(vec![u8::try_from(n % 251).unwrap(); 9000]) {
            Ok(_) => {}
            Err(Refused::Full { retry_after }) => {
                assert!(!retry_after.is_zero());
                assert_eq!(spool.health(), Health::Full);
                return n;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never full");
}

#[test]
fn recovers_when_somebody_makes_room() {
    let Some(disk) = mounted() else { return };
    let folder = disk.0.path().join("spool");
    for segment_bytes in [1 << 20, 40_000] {
        let options = Options { segment_bytes, ..small(&folder) };
        let spool = Spool::open(options.clone()).unwrap();
        let ballast = disk.0.path().join("ballast");
        fill(&ballast, 100_000);
        let before = all(&spool, None).len();
        let taken = until_full(&spool);
        assert!(taken > 3, "{taken}");
        assert_eq!(all(&spool, None).len(), before + taken);
        fs::remove_file(&ballast).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(spool.health(), Health::Open);
        spool.append_wait("more").unwrap();

        // Full by itself: trimming makes room, and a crash meanwhile loses nothing.
        let more = until_full(&spool);
        drop(spool);
        let spool = Spool::open(options).unwrap();
        assert_eq!(spool.recovered().torn_bytes, 0);
        let records = all(&spool, None);
        assert_eq!(records.len(), before + taken + 1 + more);
        if segment_bytes < 100_000 {
            spool.trim(records.last().unwrap().position).unwrap();
            spool.append_wait("room again").unwrap();
        }
        assert_eq!(spool.damaged().ranges, 0);
        drop(spool);
        if segment_bytes > 100_000 {
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}
