//! Google consent mode: `G111`.
//!
//! The parameter `gcs` of Google's tags. No standard; the third character is ad storage and the fourth analytics storage, `1` granted, `0`
//! denied, `-` not told.

use crate::malformed::{Malformed, Result};

/// What a page's consent mode is; none where it is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoogleConsent {
    /// Whether storage for advertising is granted.
    pub ad_storage: Option<bool>,
    /// Whether storage for measuring is granted.
    pub analytics_storage: Option<bool>,
}

impl GoogleConsent {
    /// Reads the text of a parameter `gcs`.
    ///
    /// # Errors
    /// It is not `G1` and two of `0`, `1`, `-`.
    pub fn parse(text: &str) -> Result<Self> {
        let [b'G', b'1', ad_storage, analytics_storage] = text.as_bytes() else {
            return Err(Malformed::Google);
        };
        Ok(Self { ad_storage: answer(*ad_storage)?, analytics_storage: answer(*analytics_storage)? })
    }
}

fn answer(character: u8) -> Result<Option<bool>> {
    match character {
        b'1' => Ok(Some(true)),
        b'0' => Ok(Some(false)),
        b'-' => Ok(None),
        _ => Err(Malformed::Google),
    }
}
