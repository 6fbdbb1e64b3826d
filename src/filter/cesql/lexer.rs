//! A text as tokens, each with the bytes it stands at.

use std::{borrow::Cow, ops::Range};

use winnow::{
    LocatingSlice, Result,
    ascii::multispace0,
    combinator::{alt, delimited, preceded, repeat, terminated},
    prelude::*,
    stream::Location as _,
    token::{any, none_of, take_while},
};

use super::Operator;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A keyword, a number, the name of an attribute or of a function: which, the parser sees from where it stands.
    Word(&'t str),
    /// What a string literal means: without its quotes, their escapes undone.
    Text(Cow<'t, str>),
    /// An operator that is no word.
    Operator(Operator),
    Open,
    Close,
    Comma,
}

type Input<'t> = LocatingSlice<&'t str>;

/// The tokens, or the byte from where on nothing is a token. Takes time by the length of the text.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, Range<usize>)>, usize> {
    let mut input = LocatingSlice::new(text);
    let parsed = preceded(multispace0, repeat(0.., terminated(token.with_span(), multispace0))).parse_next(&mut input);
    match parsed {
        Ok(tokens) if input.is_empty() => Ok(tokens),
        _ => Err(input.current_token_start()),
    }
}

fn token<'t>(input: &mut Input<'t>) -> Result<Token<'t>> {
    alt((word, literal('\''), literal('"'), operator, mark)).parse_next(input)
}

fn word<'t>(input: &mut Input<'t>) -> Result<Token<'t>> {
    take_while(1.., ('a'..='z', 'A'..='Z', '0'..='9', '_'))
        .map(Token::Word)
        .parse_next(input)
}

/// A backslash takes the character behind it along, so an escaped quote ends nothing.
fn literal<'t>(quote: char) -> impl Parser<Input<'t>, Token<'t>, winnow::error::ContextError> {
    let character = alt((none_of([quote, '\\']).void(), ('\\', any).void()));
    let content = repeat::<_, _, (), _, _>(0.., character).take();
    delimited(quote, content, quote).map(move |content: &str| Token::Text(unescaped(content, quote)))
}

/// Each quote within the literal has its backslash right before it; other backslashes stay.
fn unescaped(content: &str, quote: char) -> Cow<'_, str> {
    if content.contains(quote) {
        Cow::Owned(content.replace(&format!("\\{quote}"), &quote.to_string()))
    } else {
        Cow::Borrowed(content)
    }
}

fn operator<'t>(input: &mut Input<'t>) -> Result<Token<'t>> {
    let comparison = alt((
        "!=".value(Operator::Unequal),
        "<>".value(Operator::Unequal),
        "<=".value(Operator::AtMost),
        ">=".value(Operator::AtLeast),
        '<'.value(Operator::Less),
        '>'.value(Operator::Greater),
        '='.value(Operator::Equal),
    ));
    let arithmetic = alt((
        '+'.value(Operator::Add),
        '-'.value(Operator::Subtract),
        '*'.value(Operator::Multiply),
        '/'.value(Operator::Divide),
        '%'.value(Operator::Remainder),
    ));
    alt((comparison, arithmetic)).map(Token::Operator).parse_next(input)
}

fn mark<'t>(input: &mut Input<'t>) -> Result<Token<'t>> {
    alt((
        '('.map(|_| Token::Open),
        ')'.map(|_| Token::Close),
        ','.map(|_| Token::Comma),
    ))
    .parse_next(input)
}
