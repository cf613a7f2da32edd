//! The US Privacy string: `1YNN`.
//!
//! IAB Tech Lab, "US Privacy String" (CCPA Compliance Framework), version 1; deprecated since 2024 and still sent, also as
//! section 6 of a GPP string.

use crate::malformed::{Malformed, Result};

/// A US Privacy string; an answer is none where it does not apply (`-`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsPrivacy {
    /// Whether the user was told and could opt out.
    pub notice: Option<bool>,
    /// Whether the user opted out of the sale of personal information.
    pub opt_out_sale: Option<bool>,
    /// Whether the transaction is covered by the Limited Service Provider Agreement.
    pub lspa_covered: Option<bool>,
}

impl UsPrivacy {
    /// Reads a US Privacy string; small letters are read, too, since an opt-out is one in any case.
    ///
    /// # Errors
    /// It is not `1` and three of `Y`, `N`, `-`.
    pub fn parse(text: &str) -> Result<Self> {
        let [b'1', notice, opt_out_sale, lspa_covered] = text.as_bytes() else {
            return Err(Malformed::UsPrivacy);
        };
        Ok(Self {
            notice: answer(*notice)?,
            opt_out_sale: answer(*opt_out_sale)?,
            lspa_covered: answer(*lspa_covered)?,
        })
    }
}

fn answer(character: u8) -> Result<Option<bool>> {
    match character {
        b'Y' | b'y' => Ok(Some(true)),
        b'N' | b'n' => Ok(Some(false)),
        b'-' => Ok(None),
        _ => Err(Malformed::UsPrivacy),
    }
}
