//! Where the bytes of a file come from: this machine, or an object store.

use kindred_objects::{Entered, Object, Version};
use kindred_plugin_api::{Fault, Result};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// Bytes in order.
pub(crate) type Stream = Box<dyn Read + Send>;

/// Where a file lies.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Path(PathBuf),
    Object(Object),
}

/// A file that is entered. A file of this machine may grow meanwhile, an object stays as it was or fails.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Path(PathBuf),
    Object(Entered),
}

impl Place {
    /// Enters it; none when it is gone.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn enter(&self) -> Result<Option<Input>> {
        match self {
            Self::Path(path) => Ok(path.exists().then(|| Input::Path(path.clone()))),
            Self::Object(object) => Ok(object.enter()?.map(Input::Object)),
        }
    }

    /// Which an object was when it was listed.
    pub(crate) fn listed(&self) -> Option<&Version> {
        match self {
            Self::Path(_) => None,
            Self::Object(object) => Some(&object.version),
        }
    }
}

impl Input {
    /// Its size.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn size(&self) -> io::Result<u64> {
        match self {
            Self::Path(path) => Ok(path.metadata()?.len()),
            Self::Object(entered) => Ok(entered.version().bytes),
        }
    }

    /// Which an object is.
    pub(crate) fn version(&self) -> Option<&Version> {
        match self {
            Self::Path(_) => None,
            Self::Object(entered) => Some(entered.version()),
        }
    }

    /// From an offset to the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read_from(&self, offset: u64) -> io::Result<Stream> {
        Ok(match self {
            Self::Path(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Box::new(file)
            }
            Self::Object(entered) => Box::new(entered.read_from(offset)),
        })
    }

    /// So many bytes from an offset on, less at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn bytes(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if let Self::Object(entered) = self {
            return entered.range(offset..offset + length).map(Into::into).map_err(io::Error::other);
        }
        let mut bytes = Vec::new();
        self.read_from(offset)?.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The fault of a file that cannot be read now.
pub(crate) fn unreadable(name: &str, error: &io::Error) -> Fault {
    let unreadable = || Fault::transient("unreadable-file", format!("`{name}` cannot be read: {error}"));
    fault(error).cloned().unwrap_or_else(unreadable)
}

/// True for a failure of what the bytes come from, not of the bytes.
pub(crate) fn is_outside(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || fault(error).is_some()
}

/// The same error once more.
pub(crate) fn again(error: &io::Error) -> io::Error {
    match (error.raw_os_error(), fault(error)) {
        (Some(number), _) => io::Error::from_raw_os_error(number),
        (None, Some(fault)) => io::Error::other(fault.clone()),
        (None, None) => io::Error::new(error.kind(), error.to_string()),
    }
}

/// What the store said.
fn fault(error: &io::Error) -> Option<&Fault> {
    error.get_ref()?.downcast_ref()
}
