//! The text of a rule and where its tokens stand, in characters, so that problems and reasons can point into it.

use crate::rewrite;
use kindred_plugin_api::Problem;
use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer},
};
use std::ops::Range;

/// Longest rule, in bytes.
pub(crate) const MAX_BYTES: usize = 100 * 1024;
/// How deep a rule may be nested, brackets and operators together.
pub(crate) const MAX_DEPTH: usize = 200;
/// The parser builds a chain of operators as a tree that is as deep as the chain is long, and frees it recursively.
const MAX_OPERATORS: usize = 2_000;
/// The words that the parser puts between or after operands, known here or not.
const INFIX: [Keyword; 21] = [
    Keyword::AND,
    Keyword::AT,
    Keyword::BETWEEN,
    Keyword::COLLATE,
    Keyword::DIV,
    Keyword::GLOB,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::MATCH,
    Keyword::MEMBER,
    Keyword::NOT,
    Keyword::NOTNULL,
    Keyword::OPERATOR,
    Keyword::OR,
    Keyword::OVERLAPS,
    Keyword::REGEXP,
    Keyword::RLIKE,
    Keyword::SIMILAR,
    Keyword::XOR,
];

/// A rule, cut into tokens.
pub(crate) struct Source {
    tokens: Vec<TokenWithSpan>,
    /// Where tokens other than white space and comments stand.
    places: Vec<(Range<usize>, Token)>,
    lines: Vec<usize>,
    length: usize,
}

impl Source {
    /// Cuts a rule into tokens.
    pub(crate) fn new(rule: &str) -> Result<Self, Problem> {
        if rule.len() > MAX_BYTES {
            let message = format!("the rule has {} bytes, {MAX_BYTES} are allowed", rule.len());
            return Err(problem(0..0, message).help("put parts of it into segments of their own"));
        }
        let mut source =
            Self { tokens: vec![], places: vec![], lines: line_starts(rule), length: rule.chars().count() };
        source.tokens =
            Tokenizer::new(&PostgreSqlDialect {}, rule).tokenize_with_location().map_err(|error| {
                let at = source.offset(error.location);
                problem(at..source.length.max(at), decapitalised(&error.message))
            })?;
        source.places = source
            .tokens
            .iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .map(|token| (source.range(token.span), token.token.clone()))
            .collect();
        source.refuse_long_chains()?;
        source.refuse_deep_nesting()?;
        Ok(source)
    }

    /// For the parser.
    pub(crate) fn tokens(&self) -> Vec<TokenWithSpan> {
        rewrite::sequences(self.tokens.clone())
    }

    /// Characters of a span of the parser; the end of the rule when it knows none.
    pub(crate) fn range(&self, span: Span) -> Range<usize> {
        if span.start.line == 0 {
            return self.end();
        }
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }

    /// The token that starts at a place, or the end of the rule.
    pub(crate) fn token_at(&self, location: Location) -> Range<usize> {
        let start = self.offset(location);
        self.places
            .iter()
            .find(|(range, _)| range.start >= start)
            .map_or(self.end(), |(range, _)| range.clone())
    }

    /// The word that was written at a place, if it is one.
    pub(crate) fn word(&self, place: &Range<usize>) -> Option<&str> {
        let at = self.places.partition_point(|(range, _)| range.start < place.start);
        match self.places.get(at) {
            Some((_, Token::Word(word))) => Some(&word.value),
            _ => None,
        }
    }

    /// The end of the `count`-th token after `end`.
    pub(crate) fn through(&self, end: usize, count: usize) -> usize {
        let next = self.places.partition_point(|(range, _)| range.start < end);
        self.places.get(next + count - 1).map_or(self.length, |(range, _)| range.end)
    }

    /// The start of the token before `start`.
    pub(crate) fn before(&self, start: usize) -> usize {
        let here = self.places.partition_point(|(range, _)| range.start < start);
        here.checked_sub(1).map_or(0, |index| self.places[index].0.start)
    }

    /// The end of the brackets that open at `start`.
    pub(crate) fn closing(&self, start: usize) -> usize {
        let mut open = 0;
        let first = self.places.partition_point(|(range, _)| range.start < start);
        for (range, token) in &self.places[first..] {
            match token {
                Token::LParen => open += 1,
                Token::RParen if open <= 1 => return range.end,
                Token::RParen => open -= 1,
                _ => {}
            }
        }
        self.length
    }

    pub(crate) fn end(&self) -> Range<usize> {
        self.length..self.length
    }

    fn offset(&self, location: Location) -> usize {
        let line = (location.line as usize).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(self.length);
        (start + (location.column as usize).saturating_sub(1)).min(self.length)
    }

    fn refuse_long_chains(&self) -> Result<(), Problem> {
        let mut operators = self.places.iter().filter(|(_, token)| is_operator(token));
        match operators.nth(MAX_OPERATORS) {
            Some((range, _)) => {
                Err(problem(range.clone(), format!("the rule has more than {MAX_OPERATORS} operators"))
                    .help("use IN for long lists, or put parts of the rule into segments of their own"))
            }
            None => Ok(()),
        }
    }

    /// Before the parser, which takes words for names where it does not go deeper.
    fn refuse_deep_nesting(&self) -> Result<(), Problem> {
        let (mut open, mut prefixes) = (0_usize, 0);
        for (range, token) in &self.places {
            prefixes = if is_prefix(token) { prefixes + 1 } else { 0 };
            match token {
                Token::LParen => open += 1,
                Token::RParen => open = open.saturating_sub(1),
                Token::Word(word) if word.keyword == Keyword::CASE => open += 1,
                Token::Word(word) if word.keyword == Keyword::END => open = open.saturating_sub(1),
                _ => {}
            }
            if open.max(prefixes) > MAX_DEPTH {
                return Err(too_deep(range.clone()));
            }
        }
        Ok(())
    }
}

/// The problem of a rule that is nested beyond `MAX_DEPTH`.
pub(crate) fn too_deep(range: Range<usize>) -> Problem {
    problem(range, format!("the rule is nested more than {MAX_DEPTH} levels deep"))
        .help("put parts of it into segments of their own")
}

/// Whether a name that is not in quotes is a word that joins or compares.
pub(crate) fn is_operator_word(word: &str) -> bool {
    INFIX.iter().any(|keyword| format!("{keyword:?}").eq_ignore_ascii_case(word))
}

/// A problem in the rule of one segment.
pub(crate) fn problem(range: Range<usize>, message: impl Into<String>) -> Problem {
    Problem::new("/rule", message).range(range.start, range.end)
}

/// `Expected: …` as it reads inside a sentence.
pub(crate) fn decapitalised(message: &str) -> String {
    let message =
        message.replacen("Expected: ", "expected ", 1).replace("found: EOF", "found the end of the rule");
    let mut chars = message.chars();
    chars.next().map(|first| first.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Everything that can make a chain longer: not literals, names, commas, or brackets (which nest, and are counted there).
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => INFIX.contains(&word.keyword),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period => false,
        _ => true,
    }
}

fn is_prefix(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::NOT)
        || matches!(token, Token::Minus | Token::Plus | Token::LParen)
}

fn line_starts(text: &str) -> Vec<usize> {
    let after_breaks = text.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(index, _)| index + 1);
    std::iter::once(0).chain(after_breaks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_characters_across_lines() {
        let rule = "attr('ä') = 'ö'\n  AND did(TRUE)";
        let source = Source::new(rule).unwrap();
        let words: Vec<String> = source
            .places
            .iter()
            .map(|(range, _)| rule.chars().skip(range.start).take(range.len()).collect())
            .collect();
        assert_eq!(words, ["attr", "(", "'ä'", ")", "=", "'ö'", "AND", "did", "(", "TRUE", ")"]);
        assert_eq!(source.before(source.through(0, 7) - 3), rule.find("'ö'").unwrap() - 1);
    }

    #[test]
    fn refuses_what_is_too_long() {
        let long = "x".repeat(MAX_BYTES + 1);
        assert!(Source::new(&long).is_err_and(|p| p.message.contains("bytes")));
        let chain = vec!["1"; MAX_OPERATORS + 2].join("+");
        assert!(Source::new(&chain).is_err_and(|p| p.message.contains("operators")));
        let list = format!("attr('a') IN ({})", vec!["'x'"; 10_000].join(", "));
        assert!(Source::new(&list).is_ok());
    }

    #[test]
    fn tells_where_a_string_was_left_open() {
        let problem = Source::new("attr('a) = 1").err().unwrap();
        assert_eq!(problem.range, Some((5, 12)));
        assert!(problem.message.starts_with("unterminated"), "{}", problem.message);
    }
}
