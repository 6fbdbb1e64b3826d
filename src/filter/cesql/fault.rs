//! What is wrong with a text that is no expression: the place, what would have been right there, what was there.

use std::{fmt, ops::Range};

/// Where and why a text is no expression.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::filter) struct SyntaxFault {
    /// In characters, from 1.
    column: usize,
    expected: String,
    found: String,
}

impl SyntaxFault {
    /// `place` is where something else stands; `None` is the end.
    pub(super) fn new(text: &str, place: Option<Range<usize>>, expected: &str) -> Self {
        let start = place.as_ref().map_or(text.len(), |place| place.start);
        Self {
            column: text[..start].chars().count() + 1,
            expected: expected.to_owned(),
            found: place.map_or_else(|| "the end".to_owned(), |place| shown(&text[place])),
        }
    }

    /// What starts at this byte is no token: a string that does not end, or a character that has no meaning.
    pub(super) fn no_token(text: &str, at: usize, operand: &str) -> Self {
        let found = text[at..].chars().next();
        let place = found.map(|found| at..at + found.len_utf8());
        match found {
            Some(quote @ ('\'' | '"')) => Self {
                found: "the end".to_owned(),
                ..Self::new(text, place, &format!("a string that ends with {quote}"))
            },
            _ => Self::new(text, place, &format!("{operand}, or an operator")),
        }
    }

    #[must_use]
    pub(super) fn but_found(self, arguments: usize) -> Self {
        Self {
            found: arguments.to_string(),
            ..self
        }
    }
}

impl fmt::Display for SyntaxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column,
            expected,
            found,
        } = self;
        write!(f, "at column {column}: expected {expected}, found {found}")
    }
}

/// A piece of the text, short enough for a message.
fn shown(piece: &str) -> String {
    const LONGEST: usize = 20;
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let start: String = piece.chars().take(LONGEST).map(plain).collect();
    let more = if piece.chars().nth(LONGEST).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{start}{more}`")
}
