//! Why a signal cannot be read. Never holds the signal: it tells people apart.

/// Why a signal cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A character outside of RFC 4648 section 5 (base64url, no padding).
    #[error("character {0} is outside of base64url")]
    Character(usize),
    /// The string ends early.
    #[error("ends within `{0}`")]
    Short(&'static str),
    /// A version that no standard has yet, or that is no longer one.
    #[error("version of {of} is {found}; allowed: {allowed}")]
    Version {
        /// What has the version.
        of: &'static str,
        /// The version found.
        found: u64,
        /// The versions that are read.
        allowed: &'static str,
    },
    /// A range of ids that ends before it starts.
    #[error("range {start} to {end} runs backwards")]
    Backwards {
        /// First id.
        start: u16,
        /// Last id.
        end: u16,
    },
    /// A segment that may be there once.
    #[error("segment {0} is there twice")]
    Twice(u64),
    /// A header that names more or fewer sections than follow.
    #[error("the header names another number of sections than the {0} that follow")]
    Sections(usize),
    /// A code word that is no Fibonacci number of 16 bits.
    #[error("a Fibonacci number is larger than 65535")]
    Fibonacci,
    /// A US Privacy string that is not `1` and three of `Y`, `N`, `-`.
    #[error("is no US Privacy string; allowed: `1` and three of `Y`, `N`, `-`")]
    UsPrivacy,
    /// A parameter of consent mode that is not `G1` and two of `0`, `1`, `-`.
    #[error("is no consent mode; allowed: `G1` and two of `0`, `1`, `-`")]
    Google,
}

/// A result with [`Malformed`].
pub type Result<T> = std::result::Result<T, Malformed>;
