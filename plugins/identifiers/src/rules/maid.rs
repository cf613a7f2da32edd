//! Mobile advertising ids: UUIDs, upper case from Apple (IDFA), lower case from Android (AAID, GAID).

use std::borrow::Cow;

/// The id as it came, when its letters are all of one case.
///
/// Source: IAB Tech Lab, "Guidelines for Identifier for Advertising on OTT platforms" and Apple's and Google's own
/// APIs: 8-4-4-4-12 hexadecimal digits (RFC 9562, section 4), all zeros when the person limits ad tracking.
///
/// # Errors
/// No UUID, the all-zero id (opted out: it stands for millions of people, never for one), or letters of both cases
/// (which platform it is from cannot be told; kinds `idfa` and `aaid` say it).
pub fn any(raw: &str) -> Result<Cow<'_, str>, String> {
    uuid(raw)?;
    let lower = raw.bytes().any(|b| b.is_ascii_lowercase());
    let upper = raw.bytes().any(|b| b.is_ascii_uppercase());
    if lower && upper {
        return Err("advertising id of mixed case; allowed: all upper (IDFA) or all lower (AAID)".to_owned());
    }
    Ok(Cow::Borrowed(raw))
}

/// Apple's id, upper case.
///
/// # Errors
/// No UUID, or all zeros.
pub fn idfa(raw: &str) -> Result<String, String> {
    uuid(raw).map(|()| raw.to_ascii_uppercase())
}

/// Android's id, lower case.
///
/// # Errors
/// No UUID, or all zeros.
pub fn aaid(raw: &str) -> Result<String, String> {
    uuid(raw).map(|()| raw.to_ascii_lowercase())
}

fn uuid(raw: &str) -> Result<(), String> {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let shaped = raw.len() == 36
        && raw.bytes().enumerate().all(|(at, b)| if dash(at) { b == b'-' } else { b.is_ascii_hexdigit() });
    if !shaped {
        return Err("no advertising id; allowed: a UUID of 8-4-4-4-12 hexadecimal digits".to_owned());
    }
    if raw.bytes().all(|b| matches!(b, b'0' | b'-')) {
        return Err("advertising id of zeros: the person limits ad tracking".to_owned());
    }
    Ok(())
}
