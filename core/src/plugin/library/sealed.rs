//! `dlopen` of bytes in memory, so that what was checked is what runs, and nobody can change it while it runs.

use super::Refusal;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// `RTLD_NODELETE` of Linux's `dlfcn.h`, the same for glibc and musl on every architecture.
const RTLD_NODELETE: std::ffi::c_int = 0x1000;

/// Loads the bytes of a library, for ever.
///
/// First from a sealed memory file; where the system bars execution of those, from a private copy on disk.
pub(super) fn open(bytes: &[u8], sha256: &str) -> Result<Library, Refusal> {
    if let Ok(memory) = sealed(bytes) {
        let opened = dlopen(Path::new(&format!("/proc/self/fd/{}", memory.as_raw_fd())));
        if opened.is_ok() {
            // The linker knows libraries by path too: were the descriptor closed and its number given to another
            // library, `dlopen` would answer this one again.
            std::mem::forget(memory);
            return opened;
        }
    }
    let copy =
        PrivateCopy::new(bytes, sha256).map_err(|e| Refusal::Linker(format!("no private copy: {e}")))?;
    dlopen(&copy.file)
}

fn dlopen(path: &Path) -> Result<Library, Refusal> {
    // SAFETY: the file was parsed and has a manifest and an entry symbol. Its constructors run here with all rights
    // of this process, which is what an operator who names a library grants; `kindred.lock` pins which one it is.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
        .map_err(|e| Refusal::Linker(said(&e, path)))
}

/// The linker's words without the path of the copy, which tells nobody anything.
fn said(error: &libloading::Error, path: &Path) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    text.replace(&format!("{}: ", path.display()), "")
}

/// A memory file that nobody, this process included, can change.
fn sealed(bytes: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match memfd_create("kindred-plugin", flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag and need none.
        Err(Errno::INVAL) => memfd_create("kindred-plugin", flags)?,
        other => other?,
    };
    let mut file = File::from(memory);
    file.write_all(bytes).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    let memory = OwnedFd::from(file);
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory)
}

/// A copy in a folder that only this user can enter; gone again after loading, while the mapping keeps its bytes.
struct PrivateCopy {
    folder: PathBuf,
    file: PathBuf,
}

impl PrivateCopy {
    fn new(bytes: &[u8], sha256: &str) -> std::io::Result<Self> {
        // The time tells it from a folder that a killed process of the same number left behind.
        let name = format!("kindred-{}-{}-{}", std::process::id(), crate::clock::now_us(), &sha256[..16]);
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let copy = Self { file: folder.join("plugin.so"), folder };
        OpenOptions::new().write(true).create_new(true).mode(0o500).open(&copy.file)?.write_all(bytes)?;
        Ok(copy)
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn a_sealed_file_cannot_be_changed() {
        let mut file = File::from(sealed(b"as checked").unwrap());
        file.rewind().unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "as checked");
    }

    #[test]
    fn a_library_opens_from_memory_and_from_a_private_copy() {
        // A library that is surely there: the unwinder that this test is linked with.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mapped = maps.split_whitespace().find(|word| word.contains("/libgcc_s.so"));
        let Some(path) = mapped else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "libgcc_s.so is not linked in dynamically");
            return eprintln!("SKIPPED: libgcc_s.so is not linked in dynamically");
        };
        let bytes = std::fs::read(path).unwrap();
        let copy = PrivateCopy::new(&bytes, &"f".repeat(64)).unwrap();
        for library in [open(&bytes, &"e".repeat(64)).unwrap(), dlopen(&copy.file).unwrap()] {
            // SAFETY: only the address is asked for.
            let symbol = unsafe { library.get::<*const ()>(c"_Unwind_Resume".to_bytes_with_nul()) };
            assert!(symbol.is_ok());
        }
        let refused = dlopen(Path::new("/nowhere/plugin.so")).unwrap_err();
        assert!(matches!(&refused, Refusal::Linker(why) if !why.contains("/nowhere")), "{refused}");
    }

    #[test]
    fn a_private_copy_is_private_and_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let copy = PrivateCopy::new(b"bytes", &"0123456789abcdef".repeat(4)).unwrap();
        let folder = copy.folder.clone();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read(&copy.file).unwrap(), b"bytes");
        drop(copy);
        assert!(!folder.exists());
    }
}
