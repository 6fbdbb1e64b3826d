//! The dialects at work: whether an event passes a checked filter.

use super::cesql::{Expression, Fuel};
use crate::event::Event;

/// A checked filter.
pub(super) enum Test {
    Attributes(How, Vec<Comparison>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Negate(Box<Test>),
    Cesql(Expression),
}

/// How an attribute's text is compared; all by the byte, so with regard to case.
#[derive(Clone, Copy)]
pub(super) enum How {
    Exact,
    Prefix,
    Suffix,
}

/// One attribute and the text it is compared with.
pub(super) struct Comparison {
    name: Box<str>,
    text: Box<str>,
}

impl Test {
    /// Recurses as deep as filters may stand in filters.
    pub(super) fn passes(&self, event: &Event, fuel: &mut Fuel) -> bool {
        match self {
            Self::Attributes(how, comparisons) => comparisons.iter().all(|one| one.holds(*how, event)),
            Self::All(tests) => tests.iter().all(|test| test.passes(event, fuel)),
            Self::Any(tests) => tests.iter().any(|test| test.passes(event, fuel)),
            Self::Negate(test) => !test.passes(event, fuel),
            Self::Cesql(expression) => expression.holds(event, fuel),
        }
    }
}

impl Comparison {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The attribute's canonical text is compared; a missing attribute matches nothing.
    fn holds(&self, how: How, event: &Event) -> bool {
        event.text_of(&self.name).is_some_and(|own| match how {
            How::Exact => *own == *self.text,
            How::Prefix => own.starts_with(&*self.text),
            How::Suffix => own.ends_with(&*self.text),
        })
    }
}
