//! E-mail addresses.

/// UID2's rule: ASCII to lower case; at `gmail.com` dots go, and so does everything from the first `+` on. Other
/// domains keep both, `googlemail.com` too.
///
/// Source: UID2 documentation, "Normalization and Encoding", section "Email Address Normalization".
///
/// # Errors
/// Not an address.
pub fn uid2(raw: &str) -> Result<String, String> {
    let address = raw.to_ascii_lowercase();
    let (local, domain) = parts(&address)?;
    if domain != "gmail.com" {
        return Ok(address);
    }
    let name = local.split('+').next().unwrap_or_default().replace('.', "");
    if name.is_empty() {
        return Err("e-mail address with nothing left before the `@`".to_owned());
    }
    Ok(format!("{name}@{domain}"))
}

/// Google's rule: no white space, inner included, and lower case; dots and `+` stay. Meta asks for the same.
///
/// Source: Google Data Manager API, "Format user data"; Meta Marketing API, "Customer file custom audiences".
///
/// # Errors
/// Not an address.
pub fn google(raw: &str) -> Result<String, String> {
    let address = raw.split_whitespace().collect::<String>().to_lowercase();
    parts(&address)?;
    Ok(address)
}

/// Splits an address at its one `@`. Looser than RFC 5321 on purpose: what a mail server took is an address, what
/// could never be one (no `@`, no dot in the domain, white space) is a column mapped wrongly.
fn parts(address: &str) -> Result<(&str, &str), String> {
    let refuse = |why: &str| Err(format!("no e-mail address: {why}"));
    let Some((local, domain)) = address.rsplit_once('@') else { return refuse("no `@`") };
    if local.is_empty() || local.contains('@') {
        return refuse(if local.is_empty() { "nothing before the `@`" } else { "more than one `@`" });
    }
    if domain.split('.').count() < 2 || domain.split('.').any(str::is_empty) {
        return refuse("domain without a dot or with an empty part");
    }
    if address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("white space inside");
    }
    if address.len() > 254 {
        return refuse("longer than 254 bytes (RFC 5321, section 4.5.3.1)");
    }
    Ok((local, domain))
}
