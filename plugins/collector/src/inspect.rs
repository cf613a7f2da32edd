//! Looks through the text of an event for what must not be stored or would hurt whoever reads it: deep nesting, NUL,
//! halves of surrogate pairs. That it is JSON, the parser says.

use memchr::memchr2;

/// Why an event is refused: a code for machines and a line for people, without anything of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

/// The flaws that a text can have.
pub(crate) const DEPTH: Flaw = Flaw { code: "depth", message: "the event is nested too deeply" };
pub(crate) const NUL: Flaw = Flaw { code: "nul", message: "the event holds a NUL character" };
pub(crate) const SURROGATE: Flaw =
    Flaw { code: "surrogate", message: "the event holds half of a surrogate pair" };
pub(crate) const JSON: Flaw = Flaw { code: "json", message: "the event is not one JSON object" };
pub(crate) const SIZE: Flaw = Flaw { code: "event-too-large", message: "the event is too large" };

/// Looks through JSON text.
///
/// # Errors
/// The first flaw.
pub(crate) fn inspect(json: &str, depth: usize) -> Result<(), Flaw> {
    let bytes = json.as_bytes();
    let (mut at, mut deep) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                deep += 1;
                if deep > depth {
                    return Err(DEPTH);
                }
            }
            b'}' | b']' => deep = deep.saturating_sub(1),
            b'"' => at = string(bytes, at)?,
            0 => return Err(NUL),
            _ => {}
        }
    }
    Ok(())
}

/// Passes over a string from behind its quote.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, Flaw> {
    while let Some(next) = memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += next;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        if bytes.get(at + 1) != Some(&b'u') {
            at += 2;
            continue;
        }
        match escape(bytes, at) {
            Some(0) => return Err(NUL),
            Some(0xd800..=0xdbff) => match escape(bytes, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Err(SURROGATE),
            },
            Some(0xdc00..=0xdfff) => return Err(SURROGATE),
            Some(_) => at += 6,
            None => return Err(JSON),
        }
    }
    Err(JSON)
}

/// The number of an escape `\uXXXX`.
fn escape(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flaws_are_found_where_they_hide() {
        assert_eq!(inspect(r#"{"a":"\u0000"}"#, 32), Err(NUL));
        assert_eq!(inspect(r#"{"\ud800":1}"#, 32), Err(SURROGATE));
        assert_eq!(inspect(r#"{"a":"\ud83d\ude00 \ud83d"}"#, 32), Err(SURROGATE));
        assert_eq!(inspect(r#"{"a":"\ude00"}"#, 32), Err(SURROGATE));
        assert_eq!(inspect(r#"{"a":"\\u0000 \\\\ud800 \ud83d\ude00 [[[[ \" {"}"#, 2), Ok(()));
        assert_eq!(inspect(&"[".repeat(10_000), 32), Err(DEPTH));
        assert_eq!(inspect(&"[]".repeat(10_000), 1), Ok(()));
    }

    proptest! {
        /// The parser is the oracle: what it reads into strings has no flaw, and the other way about.
        #[test]
        fn it_agrees_with_a_parser_on_strings(text in r#"(\\u(d8|dc|00|12)[0-9a-f]{2}|\\[nt"\\/]|[a-z{\[]){0,12}"#) {
            let json = format!("\"{text}\"");
            let read = serde_json::from_str::<String>(&json);
            let fine = read.as_ref().is_ok_and(|text| !text.contains('\0'));
            prop_assert_eq!(inspect(&json, 32).is_ok(), fine, "{:?}", read);
        }
    }
}
