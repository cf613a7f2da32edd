//! `sequence(a THEN b WITHIN '3 days')` as calls that SQL has: `sequence(a , b , within => '3 days')`. Only tokens change,
//! and each keeps the place of the word that it stands for.

use sqlparser::{
    ast::Ident,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// The name of the argument that `WITHIN` becomes.
pub(crate) const WITHIN: &str = "within";

/// Rewrites every call of `sequence`.
pub(crate) fn sequences(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    // For each open bracket, whether it is that of a sequence, and how many CASE are open in it.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let mut named = false;
    for token in tokens {
        let word = word(&token.token).map(|word| (word.keyword, word.value.to_ascii_lowercase()));
        match (&token.token, open.last_mut()) {
            (Token::LParen, _) => open.push((named, 0)),
            (Token::RParen, _) => drop(open.pop()),
            (_, Some((_, cases))) if keyword(&word) == Some(Keyword::CASE) => *cases += 1,
            (_, Some((_, cases))) if keyword(&word) == Some(Keyword::END) => *cases = cases.saturating_sub(1),
            (_, Some((true, 0))) => match word.as_ref().map(|(_, text)| text.as_str()) {
                Some("then") => {
                    out.push(TokenWithSpan { token: Token::Comma, span: token.span });
                    continue;
                }
                Some(WITHIN) if next_is_free(&out) => {
                    let within = Token::Word(Word {
                        value: WITHIN.to_owned(),
                        quote_style: None,
                        keyword: Keyword::NoKeyword,
                    });
                    out.extend(
                        [Token::Comma, within, Token::RArrow]
                            .map(|new| TokenWithSpan { token: new, span: token.span }),
                    );
                    continue;
                }
                _ => {}
            },
            _ => {}
        }
        if !matches!(token.token, Token::Whitespace(_)) {
            named = matches!(&word, Some((_, text)) if text == "sequence");
        }
        out.push(token);
    }
    out
}

/// The argument that `WITHIN` became.
pub(crate) fn is_within(name: &Ident) -> bool {
    name.quote_style.is_none() && name.value.eq_ignore_ascii_case(WITHIN)
}

/// A `within` after a comma was written as the named argument that it is.
fn next_is_free(before: &[TokenWithSpan]) -> bool {
    let last = before.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
    last.is_none_or(|token| token.token != Token::Comma)
}

fn word(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word),
        _ => None,
    }
}

fn keyword(word: &Option<(Keyword, String)>) -> Option<Keyword> {
    word.as_ref().map(|(keyword, _)| *keyword)
}
