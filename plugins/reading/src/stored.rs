//! A source's position as the bytes that the host stores and hands back.

use kindred_plugin_api::{Fault, Result};
use serde::{Serialize, de::DeserializeOwned};

/// From the bytes that [`position_bytes`] made; `of` says of what a position is.
///
/// # Errors
/// PERMANENT for other bytes.
pub fn position_from<T: DeserializeOwned>(bytes: &[u8], of: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|_| {
        let message =
            format!("the stored position is not one of {of}; was the source another plugin before?");
        Fault::permanent("position", message)
    })
}

/// The bytes of a position.
///
/// # Errors
/// PERMANENT for what is no JSON.
pub fn position_bytes(position: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(position).map_err(|error| Fault::permanent("position", error.to_string()))
}
