//! What files need beyond the standard library.

use std::{fs::File, io, path::Path};

/// Makes names in a folder durable: a file that was created or renamed there is found again after a power cut.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a bare file name is empty and means the current folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
