//! Ids of devices, whose kind the platforms want to be told.

use kindred_identifiers::{Hash, Kind, Rule, apply};
use kindred_plugin_api::prelude::*;
use std::borrow::Cow;

/// Kind of device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Device {
    /// Apple's advertising id.
    Idfa,
    /// SHA-1 of Apple's device id, as applications once sent.
    Sha1udid,
    /// MD5 of Apple's device id, as applications once sent.
    Md5udid,
    /// OpenUDID.
    Openudid,
    /// Android's advertising id.
    Aaid,
    /// Windows' advertising id.
    Windowsadid,
    /// Roku's advertising id.
    Rida,
    /// Advertising id of Samsung and Fire televisions.
    Tifa,
    /// Vizio's advertising id.
    Vida,
    /// LG's advertising id.
    Lgudid,
}

impl Device {
    /// Xandr's number for the kind (legacy BSS file format, "Mobile and CTV IDs").
    pub(crate) const fn xandr(self) -> u8 {
        match self {
            Self::Idfa => 3,
            Self::Sha1udid => 4,
            Self::Md5udid => 5,
            Self::Openudid => 7,
            Self::Aaid => 8,
            Self::Windowsadid => 9,
            Self::Rida => 10,
            Self::Tifa => 11,
            Self::Vida => 12,
            Self::Lgudid => 13,
        }
    }

    /// Adobe's data source of all ids of the kind (Audience Manager, "Inbound data file names").
    pub(crate) const fn adobe(self) -> Option<u32> {
        match self {
            Self::Aaid => Some(20_914),
            Self::Idfa => Some(20_915),
            _ => None,
        }
    }

    /// The id in the one way of its kind: Apple's in upper case, Android's in lower.
    ///
    /// The namespace `maid` holds both; there the case tells them apart, so one of the other kind is refused instead of
    /// changed.
    ///
    /// # Errors
    /// No such id, or one of the other kind.
    pub(crate) fn identifier<'a>(self, raw: &'a str, namespace: &str) -> Result<Cow<'a, str>, String> {
        let kind = match self {
            Self::Idfa => Kind::Idfa,
            Self::Aaid => Kind::Aaid,
            _ => return crate::encoder::strict(raw, &[]),
        };
        let id = apply(&Rule::new(kind, Hash::None), raw)?;
        if namespace == "maid" && id != raw {
            return Err("id of the other platform, by its case".to_owned());
        }
        Ok(Cow::Owned(id))
    }
}
