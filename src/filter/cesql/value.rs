//! Values, their casts, and failures.

use std::borrow::Cow;

use super::Exhausted;

/// What an expression is worth. Texts are borrowed from the event or the expression where they can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'v> {
    Boolean(bool),
    Integer(i32),
    Text(Cow<'v, str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Integer,
    Text,
}

/// The errors of section 3.3 that can happen to an expression that parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Math,
    Cast,
    MissingAttribute,
    FunctionEvaluation,
    /// The fuel is used up.
    Generic,
}

/// An error, and the value that comes with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure<'v> {
    pub(super) kind: Kind,
    pub(super) value: Value<'v>,
}

pub(super) type Evaluated<'v, T = Value<'v>> = Result<T, Failure<'v>>;

impl<'v> Value<'v> {
    pub(super) fn zero(of: Type) -> Self {
        match of {
            Type::Boolean => Self::Boolean(false),
            Type::Integer => Self::Integer(0),
            Type::Text => Self::Text(Cow::Borrowed("")),
        }
    }

    /// Section 3.7; the failure's value is the zero value of the type.
    pub(super) fn boolean(&self) -> Evaluated<'v, bool> {
        match self {
            Self::Boolean(value) => Ok(*value),
            Self::Integer(number) => Ok(*number != 0),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(_) => Err(Failure::zero(Kind::Cast, Type::Boolean)),
        }
    }

    pub(super) fn integer(&self) -> Evaluated<'v, i32> {
        match self {
            Self::Boolean(value) => Ok(i32::from(*value)),
            Self::Integer(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| Failure::zero(Kind::Cast, Type::Integer)),
        }
    }

    pub(super) fn text(self) -> Cow<'v, str> {
        match self {
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => text,
        }
    }

    /// Whether both are equal once `other` is cast to this value's type. The texts of integers and booleans are compared
    /// without being made.
    pub(super) fn equals(&self, other: &Self) -> Evaluated<'v, bool> {
        Ok(match self {
            Self::Boolean(own) => *own == other.boolean()?,
            Self::Integer(own) => *own == other.integer()?,
            Self::Text(own) => match other {
                Self::Text(text) => own == text,
                Self::Boolean(value) => own == if *value { "true" } else { "false" },
                // Canonical digits only: `+1` and `01` are other texts than that of 1.
                Self::Integer(number) => own.parse() == Ok(*number) && is_canonical(own),
            },
        })
    }
}

/// Whether a text that reads as an integer is the one that the integer has.
fn is_canonical(digits: &str) -> bool {
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let has_zeros = unsigned.len() > 1 && unsigned.starts_with('0');
    !has_zeros && !digits.starts_with('+') && digits != "-0"
}

impl Failure<'_> {
    pub(super) fn zero(kind: Kind, of: Type) -> Self {
        Self {
            kind,
            value: Value::zero(of),
        }
    }

    /// The same failure of an operand: the operator is worth the zero value of its own type.
    pub(super) fn within<'v>(self, of: Type) -> Failure<'v> {
        Failure::zero(self.kind, of)
    }
}

impl From<Exhausted> for Failure<'_> {
    fn from(_: Exhausted) -> Self {
        Failure::zero(Kind::Generic, Type::Boolean)
    }
}
