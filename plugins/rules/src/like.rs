//! `LIKE` patterns: `%` for any characters, `_` for one; case counts; nothing escapes unless `ESCAPE` names it.

/// A pattern, taken apart once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Exactly(char),
    One,
    Any,
}

impl Pattern {
    /// None when the pattern ends with its escape character.
    pub(crate) fn new(text: &str, escape: Option<char>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                c if Some(c) == escape => Part::Exactly(chars.next()?),
                '%' if parts.last() == Some(&Part::Any) => continue,
                '%' => Part::Any,
                '_' => Part::One,
                c => Part::Exactly(c),
            });
        }
        Some(Self { parts })
    }

    /// Linear in the text but for the retries of one `%` at a time.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (mut rest, mut at) = (text.chars(), 0);
        let mut retry = None;
        loop {
            let before = rest.clone();
            match (self.parts.get(at), rest.next()) {
                (Some(Part::Any), _) => {
                    (rest, at) = (before, at + 1);
                    retry = Some((rest.clone(), at));
                }
                (None, None) => return true,
                (Some(Part::One), Some(_)) => at += 1,
                (Some(Part::Exactly(wanted)), Some(found)) if *wanted == found => at += 1,
                _ => {
                    // One more character goes to the last `%`.
                    let Some((from, after)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (rest, at) = (from.clone(), *after);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_sql_does() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("coat", "coat", true),
            ("coat", "Coat", false),
            ("winter-coats", "winter%", true),
            ("winter-coats", "%coats", true),
            ("winter-coats", "%ter%oat%", true),
            ("winter-coats", "w_nter%s", true),
            ("winter-coats", "winter", false),
            ("aab", "%ab", true),
            ("abab", "%ab", true),
            ("äöü", "_ö_", true),
            ("50 %", "50 %", true),
            ("a%b", "a\\%b", false),
        ] {
            assert_eq!(Pattern::new(pattern, None).unwrap().matches(text), expected, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn escapes_only_what_it_was_told_to() {
        let pattern = Pattern::new("100!%%", Some('!')).unwrap();
        assert!(pattern.matches("100% wool"));
        assert!(!pattern.matches("100 wool"));
        assert!(Pattern::new("x!", Some('!')).is_none());
    }
}
