//! The folder: names, permissions, durable creation and removal.

use super::{
    format::{Header, Opening, HEADER},
    Error,
};
use rustix::io::Errno;
use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// For reading and writing, for the owner only.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes the folder, for the owner only, and its name durable.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io(path))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(parent).map_err(Error::io(parent))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.spool"))
}

/// Numbers of the segment files, in order.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".spool"));
        numbers.extend(stem.filter(|stem| stem.len() == 20).and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Creates a segment with nothing in it; it is durable when this returns. A crash may leave it behind although this
/// failed; opening then finds it without records, and removes it.
pub(super) fn create(
    folder: &Path,
    number: u64,
    first_sequence: u64,
    previous_end: u64,
) -> Result<(File, Header), Error> {
    let path = segment_path(folder, number);
    #[allow(clippy::cast_possible_truncation)] // Any 32 bits do.
    let salt = RandomState::new().hash_one(number) as u32;
    let header = Header { segment: number, first_sequence, previous_end, salt };
    let file = options().create(true).truncate(true).open(&path).map_err(Error::io(&path))?;
    let written = file
        .write_all_at(&header.encode(), 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(folder));
    if let Err(source) = written {
        // A file that stays would seem to be the last segment while the one before it is still written to.
        fs::remove_file(&path).map_err(|e| Error::io(&path)(io::Error::other(e)))?;
        return Err(Error::Io { path, source });
    }
    Ok((file, header))
}

/// Opens a segment and reads its header.
pub(super) fn open(folder: &Path, number: u64) -> Result<(File, Opening), Error> {
    let path = segment_path(folder, number);
    let file = options().open(&path).map_err(Error::io(&path))?;
    let mut bytes = Vec::new();
    (&file).take(HEADER).read_to_end(&mut bytes).map_err(Error::io(&path))?;
    let opening = match Header::decode(&bytes) {
        Opening::Header { header, .. } if header.segment != number => Opening::None,
        opening => opening,
    };
    Ok((file, opening))
}

/// True for the errors that go away when somebody makes room: on the disk, in the table of open files, in memory.
pub(super) fn no_room(error: &io::Error) -> bool {
    let used_up = [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| used_up.contains(&Errno::from_raw_os_error(code)))
}
