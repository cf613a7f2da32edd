//! Where a record ends.

use super::Error;
use std::fmt;

/// A place between two records. The host stores its 16 bytes as the source's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment file.
    pub segment: u64,
    /// Bytes from the start of that file.
    pub offset: u64,
}

impl Position {
    /// 16 bytes, big-endian: the order of the bytes is the order of the positions.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.segment) << 64) | u128::from(self.offset)).to_be_bytes()
    }

    /// From the bytes of [`Position::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Position`] when they are not 16.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| {
            Error::Position(format!("a position of the spool has 16 bytes, not {}", bytes.len()))
        })?;
        let both = u128::from_be_bytes(bytes);
        #[allow(clippy::cast_possible_truncation)] // The lower half is meant.
        Ok(Self { segment: (both >> 64) as u64, offset: both as u64 })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
