//! A second store with the same content, to try something out on.

use super::lock::Lock;
use crate::{Error, Result};
use std::{fs, path::Path};

/// Folder whose files never change once they are named: a copy may share them.
const SHARED: &str = "files";

/// Makes a store at `to`, which must not exist, of the one at `from`, which nobody may have open. The files of events
/// and ids are hard links where the file system has them; nothing that is done to the new store reaches the old one.
///
/// # Errors
/// [`Error::Held`], or what the disk says.
pub fn clone(from: &Path, to: &Path) -> Result<()> {
    let _held = Lock::take(from)?;
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "LOCK" {
            continue;
        }
        if entry.file_type().map_err(Error::io(&path))?.is_dir() {
            copy(&path, &target)?;
        } else if !from.ends_with(SHARED) || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Store,
        ids::{Id, Says, Seen},
    };

    #[test]
    fn what_is_done_to_the_second_store_does_not_reach_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let remember = |path: &Path, ids: &[u8]| {
            let mut store = Store::open(path).unwrap();
            store.expect_events().unwrap();
            let ids: Vec<Id> = ids.iter().map(|id| Id::new("a source", &[*id], Says::default())).collect();
            let new: Vec<bool> =
                store.are_new(&ids).unwrap().iter().map(|seen| *seen == Seen::Never).collect();
            let change = store.tables.change();
            store.commit(change, Vec::new()).unwrap();
            (new, store.totals.commits)
        };
        assert_eq!(remember(&first, &[1, 2]), (vec![true, true], 1));
        clone(&first, &second).unwrap();
        assert_eq!(remember(&second, &[2, 3]), (vec![false, true], 2));
        assert_eq!(remember(&first, &[3]), (vec![true], 2));
        assert!(matches!(clone(&first, &second), Err(Error::Io { .. })), "it is there already");
        let _open = Store::open(&first).unwrap();
        assert!(matches!(clone(&first, &dir.path().join("third")), Err(Error::Held { .. })));
    }
}
