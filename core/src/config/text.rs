//! A string of the file that knows which bytes each of its characters came from, through quotes, escapes, line ends
//! and variables. So a problem in the middle of a rule is shown in the middle of the rule.

use super::problem::Span;
use std::{iter::Peekable, str::CharIndices};

/// A string value.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    /// One for each character of `value`.
    spots: Vec<Span>,
    /// All of it, with quotes.
    span: Span,
}

impl Text {
    /// `value` as the parser read it from `raw`, the bytes of the file at `span`.
    pub(super) fn new(value: &str, raw: &str, span: &Span) -> Self {
        let (value, spots) = match decode(raw, span.start) {
            Some((decoded, spots)) if decoded == value => (decoded, spots),
            _ => (value.to_owned(), vec![span.clone(); value.chars().count()]),
        };
        Self { value, spots, span: span.clone() }
    }

    /// The same place with nothing in it; `push` fills it.
    pub(super) fn emptied(&self) -> Self {
        Self { value: String::new(), spots: Vec::new(), span: self.span.clone() }
    }

    pub(super) fn push(&mut self, c: char, spot: Span) {
        self.value.push(c);
        self.spots.push(spot);
    }

    /// Bytes of the file behind the characters from `start` to `end`; behind the last one, when they are past the end.
    pub(super) fn place(&self, start: usize, end: usize) -> Span {
        let last = self.spots.len().saturating_sub(1);
        match (
            self.spots.get(start.min(last)),
            self.spots.get(end.saturating_sub(1).clamp(start.min(last), last)),
        ) {
            (Some(first), Some(last)) => first.start..last.end.max(first.end),
            _ => self.span.clone(),
        }
    }

    /// Bytes of the file behind the first `part` of the value.
    pub(super) fn place_of(&self, part: &str) -> Option<Span> {
        let start = self.value[..self.value.find(part)?].chars().count();
        Some(self.place(start, start + part.chars().count()))
    }
}

type Chars<'a> = Peekable<CharIndices<'a>>;

/// Characters of a quoted TOML string with their bytes; none when it is not one after all.
fn decode(raw: &str, offset: usize) -> Option<(String, Vec<Span>)> {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| raw.starts_with(quote))?;
    let mut inner = raw[quote.len()..].strip_suffix(quote)?;
    if quote.len() == 3 {
        inner = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
    }
    let offset = offset + raw.len() - quote.len() - inner.len();
    let (mut value, mut spots) = (String::new(), Vec::new());
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let decoded = if c == '\\' && quote.starts_with('"') { escape(&mut chars)? } else { Some(c) };
        if let Some(decoded) = decoded {
            let end = chars.peek().map_or(inner.len(), |&(end, _)| end);
            value.push(decoded);
            spots.push(offset + at..offset + end);
        }
    }
    Some((value, spots))
}

/// The character behind a `\`; the inner none for a line end that is not part of the string.
fn escape(chars: &mut Chars<'_>) -> Option<Option<char>> {
    let c = match chars.next()?.1 {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'x' => hexadecimal(chars, 2)?,
        'u' => hexadecimal(chars, 4)?,
        'U' => hexadecimal(chars, 8)?,
        c @ ('"' | '\\') => c,
        c if c.is_whitespace() => {
            while chars.next_if(|&(_, c)| c.is_whitespace()).is_some() {}
            return Some(None);
        }
        _ => return None,
    };
    Some(Some(c))
}

fn hexadecimal(chars: &mut Chars<'_>, digits: usize) -> Option<char> {
    let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use toml::de::DeTable;

    fn text(source: &str) -> Text {
        let table = DeTable::parse(source).unwrap();
        let value = table.get_ref().get("a").unwrap();
        Text::new(value.get_ref().as_str().unwrap(), &source[value.span()], &value.span())
    }

    #[test]
    fn each_character_knows_its_bytes() {
        for source in [
            r#"a = "x\n\"NEEDLE""#,
            r"a = 'x\NEEDLE'",
            "a = \"\"\"\nx \\\n   \u{fc}\\u00fcNEEDLE\"\"\"",
            "a = '''\r\n'NEEDLE'''",
            r#"a = "\x41\U0001F600\tNEEDLE""#,
        ] {
            let place = text(source).place_of("NEEDLE").unwrap();
            assert_eq!(&source[place], "NEEDLE", "{source}");
        }
    }

    #[test]
    fn places_past_the_end_are_the_end() {
        let source = "a = 'xyz'";
        assert_eq!(&source[text(source).place(3, 3)], "z");
        assert_eq!(&source[text(source).place(9, 99)], "z");
        assert_eq!(&source[text("a = ''").place(0, 0)].len(), &2);
    }

    proptest! {
        /// The parser is the oracle: whatever it reads, `decode` reads too.
        #[test]
        fn decodes_as_the_parser_does(body in r#"([ a-z'ü\n]|\\[btnfre"\\]|\\u00e9|\\x41|\\\n  ){0,20}"#) {
            for quote in ["\"\"\"", "\""] {
                let source = format!("a = {quote}{body}{quote}");
                if let Ok(table) = DeTable::parse(&source) {
                    let value = table.get_ref().get("a").unwrap();
                    let (decoded, spots) = decode(&source[value.span()], 0).unwrap();
                    prop_assert_eq!(&decoded, value.get_ref().as_str().unwrap());
                    prop_assert_eq!(decoded.chars().count(), spots.len());
                }
            }
        }
    }
}
