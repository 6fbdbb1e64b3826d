//! CloudEvents SQL Expression Language 1.0 (cesql/spec.md of the CloudEvents specification), whole.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ Expr ──evaluate(event)──▶ value | failure
//! ```
//!
//! An expression sees attributes only, never data. Evaluation fails fast (section 4.1): the first error ends it, with the
//! zero value of the whole expression's type, or the value that the specification gives with that very error.
//!
//! Where the specification leaves a choice, or contradicts its own grammar or tests:
//! - AND, OR and XOR bind equally and from left to right, as section 3.6 says (the ANTLR grammar binds to the right).
//! - NOT binds closer than comparisons, LIKE and IN (3.6): `NOT a = b` is `(NOT a) = b`.
//! - Integers cast to booleans implicitly too (3.7), so `NOT 10` is `false`; one case of the conformance tests expects an
//!   error there.
//! - Names of attributes are read without regard to case, as the conformance tests do; attributes are in lower case.
//! - `+`, `-`, `*` and `/` beyond 32 bits are a math error with 0.
//! - A function that is not there, or not with so many arguments, is found when parsing (3.3), not for each event.
//! - IN compares from left to right and ends at the first equal element.
//! - In a string, a backslash stands for itself except before the quote that delimits it.
//!
//! Bounds: nesting of `MAX_NESTING`, and for one event `Fuel` for all expressions of a filter together.

mod evaluate;
mod fault;
mod functions;
mod lexer;
mod like;
mod parser;
mod value;

#[cfg(test)]
mod tests;

use self::{
    evaluate::Evaluation,
    fault::SyntaxFault,
    functions::Function,
    like::Like,
    value::{Type, Value},
};
use crate::event::Event;

/// How deep brackets, unary operators, sets and arguments may nest.
const MAX_NESTING: usize = 64;

/// How much text the expressions of one filter may work through for one event, in bytes: some milliseconds.
const FULL: usize = 4 * 1024 * 1024;

/// An expression that can be evaluated.
pub(super) struct Expression(Expr);

/// What evaluating one filter may still cost. Texts are paid for by their length where they come into being, LIKE by its
/// steps; so no expression, however contrived, holds up those who wait behind it.
pub(super) struct Fuel(usize);

/// There is none left.
struct Exhausted;

/// The syntax tree. It is as deep as brackets nest: what stands in a row is a list.
#[derive(Debug)]
enum Expr {
    Boolean(bool),
    Integer(i32),
    Text(Box<str>),
    Attribute(Box<str>),
    Exists(Box<str>),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Call(Function, Box<[Expr]>),
    /// LIKE and IN, one behind the other: each asks the value of what is before it.
    Tested(Box<Expr>, Box<[Test]>),
    /// Operators of one precedence, evaluated from left to right.
    Chain(Box<Expr>, Box<[(Operator, Expr)]>),
}

#[derive(Debug)]
struct Test {
    is_negated: bool,
    kind: TestKind,
}

#[derive(Debug)]
enum TestKind {
    Like(Like),
    In(Box<[Expr]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Xor,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxFault> {
        parser::parse(text).map(Self)
    }

    /// Whether it is `true` of the event, without an error.
    pub(super) fn holds(&self, event: &Event, fuel: &mut Fuel) -> bool {
        matches!(Evaluation { event, fuel }.value(&self.0), Ok(Value::Boolean(true)))
    }
}

impl Operator {
    fn result(self) -> Type {
        match self {
            Self::And | Self::Or | Self::Xor => Type::Boolean,
            Self::Equal | Self::Unequal | Self::Less | Self::AtMost | Self::Greater | Self::AtLeast => Type::Boolean,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Remainder => Type::Integer,
        }
    }
}

impl Fuel {
    pub(super) fn full() -> Self {
        Self(FULL)
    }

    fn burn(&mut self, bytes: usize) -> Result<(), Exhausted> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Exhausted)
            }
        }
    }
}
