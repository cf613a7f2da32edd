//! Sizes such as `2GiB`, of memory.

/// Less is of no use to anybody.
const LEAST: u64 = 64 << 20;
/// What may be written.
pub(super) const ALLOWED: &str =
    "write a whole number and a unit, at least 64 MiB, such as `2 GiB` or `500 MB`";

/// Bytes from `2GiB`, `500 MB` or `1000000000`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        other => return Err(format!("unknown unit `{other}`: write MiB, GiB, MB or GB")),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    match bytes {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        Some(_) => Err("the least is 64MiB".into()),
        None => Err("write a whole number and a unit, such as 2GiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("500 MB"), Ok(500_000_000));
        assert_eq!(parse("100000000"), Ok(100_000_000));
        for bad in
            ["", "GiB", "2 apples", "1.5GiB", "-1GiB", "1MiB", "99999999999999999999", "99999999999TiB"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
