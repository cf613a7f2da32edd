//! Fields as Meta wants them before SHA-256.
//!
//! Source: Meta Marketing API, "Customer file custom audiences", section "Hashing and normalization".

/// Phone: digits with country code; symbols, a leading `+` or `00` go. A single leading zero is a national number,
/// whose country nobody stated.
///
/// # Errors
/// No international number of 7 to 15 digits (E.164, section 6).
pub fn phone(raw: &str) -> Result<String, String> {
    let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
    let number = digits.strip_prefix("00").unwrap_or(&digits).trim_start_matches('0');
    if digits.starts_with('0') && !digits.starts_with("00") {
        return Err("phone number in national form; allowed: with country code".to_owned());
    }
    match number.len() {
        7..=15 => Ok(number.to_owned()),
        found => Err(format!("phone number of {found} digits; allowed: 7 to 15")),
    }
}

/// City: lower case, letters of any script, nothing else.
///
/// # Errors
/// No letter in it.
pub fn city(raw: &str) -> Result<String, String> {
    let city: String = raw.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    if city.is_empty() { Err("city without a letter".to_owned()) } else { Ok(city) }
}
