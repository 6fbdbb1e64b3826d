//! The built-in functions (section 3.5), and the casts INT, BOOL and STRING that its tests call.

use std::{borrow::Cow, ops::Range};

use super::{
    Fuel,
    value::{Evaluated, Failure, Kind, Type, Value},
};

/// A function, settled by name and number of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Bool,
    Concat,
    ConcatWs,
    Int,
    Left,
    Length,
    Lower,
    Right,
    String,
    Substring,
    Trim,
    Upper,
}

/// Names as they are written best, with the fewest and the most arguments.
pub(super) const FUNCTIONS: [(&str, Function, usize, usize); 13] = [
    ("ABS", Function::Abs, 1, 1),
    ("BOOL", Function::Bool, 1, 1),
    ("CONCAT", Function::Concat, 0, usize::MAX),
    ("CONCAT_WS", Function::ConcatWs, 1, usize::MAX),
    ("INT", Function::Int, 1, 1),
    ("LEFT", Function::Left, 2, 2),
    ("LENGTH", Function::Length, 1, 1),
    ("LOWER", Function::Lower, 1, 1),
    ("RIGHT", Function::Right, 2, 2),
    ("STRING", Function::String, 1, 1),
    ("SUBSTRING", Function::Substring, 2, 3),
    ("TRIM", Function::Trim, 1, 1),
    ("UPPER", Function::Upper, 1, 1),
];

impl Function {
    pub(super) fn result(self) -> Type {
        match self {
            Self::Bool => Type::Boolean,
            Self::Abs | Self::Int | Self::Length => Type::Integer,
            _ => Type::Text,
        }
    }

    /// The parser saw to the number of arguments; one that is not there reads as `false`.
    pub(super) fn call<'v>(self, arguments: &mut [Value<'v>], fuel: &mut Fuel) -> Evaluated<'v> {
        let cast = |failure: Failure<'_>| failure.within(self.result());
        let integer = |arguments: &[Value<'v>], at: usize| arguments[at].integer().map_err(cast);
        Ok(match self {
            Self::Abs => abs(integer(arguments, 0)?)?,
            Self::Bool => Value::Boolean(arguments[0].boolean().map_err(cast)?),
            Self::Int => Value::Integer(integer(arguments, 0)?),
            Self::String => Value::Text(text(arguments, 0)),
            Self::Length => Value::Integer(length(&text(arguments, 0))),
            Self::Concat => joined("", arguments, fuel)?,
            Self::ConcatWs => {
                let delimiter = text(arguments, 0);
                joined(&delimiter, &mut arguments[1..], fuel)?
            }
            Self::Lower => changed(text(arguments, 0), |b| b.is_ascii_uppercase(), str::to_lowercase, fuel)?,
            Self::Upper => changed(text(arguments, 0), |b| b.is_ascii_lowercase(), str::to_uppercase, fuel)?,
            Self::Trim => trimmed(text(arguments, 0)),
            Self::Left => left(text(arguments, 0), integer(arguments, 1)?)?,
            Self::Right => right(text(arguments, 0), integer(arguments, 1)?)?,
            Self::Substring => {
                let position = integer(arguments, 1)?;
                let count = match arguments.len() {
                    2 => None,
                    _ => Some(integer(arguments, 2)?),
                };
                substring(text(arguments, 0), position, count)?
            }
        })
    }
}

/// Takes an argument as text.
fn text<'v>(arguments: &mut [Value<'v>], at: usize) -> Cow<'v, str> {
    std::mem::replace(&mut arguments[at], Value::Boolean(false)).text()
}

fn abs<'v>(number: i32) -> Evaluated<'v> {
    number.checked_abs().map(Value::Integer).ok_or(Failure {
        kind: Kind::Math,
        value: Value::Integer(i32::MAX),
    })
}

/// In characters: Unicode scalar values.
fn length(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

/// Paid for before it is made: what is joined from many large texts would be larger than any of them.
fn joined<'v>(delimiter: &str, arguments: &mut [Value<'v>], fuel: &mut Fuel) -> Evaluated<'v> {
    let texts: Vec<Cow<'_, str>> = (0..arguments.len()).map(|at| text(arguments, at)).collect();
    let bytes: usize = texts.iter().map(|text| text.len() + delimiter.len()).sum();
    fuel.burn(bytes)
        .map_err(|exhausted| Failure::from(exhausted).within(Type::Text))?;
    Ok(Value::Text(Cow::Owned(texts.join(delimiter))))
}

/// In another case; made only where something changes.
fn changed<'v>(
    text: Cow<'v, str>,
    changes: impl Fn(&u8) -> bool,
    change: impl Fn(&str) -> String,
    fuel: &mut Fuel,
) -> Evaluated<'v> {
    if text.is_ascii() && !text.as_bytes().iter().any(changes) {
        return Ok(Value::Text(text));
    }
    let changed = change(&text);
    fuel.burn(changed.len())
        .map_err(|exhausted| Failure::from(exhausted).within(Type::Text))?;
    Ok(Value::Text(Cow::Owned(changed)))
}

fn trimmed(text: Cow<'_, str>) -> Value<'_> {
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    Value::Text(part(text, start..end))
}

fn left(text: Cow<'_, str>, count: i32) -> Evaluated<'_> {
    let Ok(count) = usize::try_from(count) else {
        return Err(unchanged(text));
    };
    let end = byte_of(&text, count);
    Ok(Value::Text(part(text, 0..end)))
}

fn right(text: Cow<'_, str>, count: i32) -> Evaluated<'_> {
    let Ok(count) = usize::try_from(count) else {
        return Err(unchanged(text));
    };
    let start = byte_of(&text, text.chars().count().saturating_sub(count));
    let end = text.len();
    Ok(Value::Text(part(text, start..end)))
}

/// Positions count from 1, negative ones from the end; position 0 is the empty text.
fn substring(text: Cow<'_, str>, position: i32, count: Option<i32>) -> Evaluated<'_> {
    let characters = text.chars().count();
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    let count = count.map(usize::try_from).transpose();
    let (Ok(count), true) = (count, distance <= characters) else {
        return Err(Failure::zero(Kind::FunctionEvaluation, Type::Text));
    };
    let first = match position {
        0 => return Ok(Value::zero(Type::Text)),
        1.. => distance - 1,
        _ => characters - distance,
    };
    let start = byte_of(&text, first);
    let end = count.map_or(text.len(), |count| start + byte_of(&text[start..], count));
    Ok(Value::Text(part(text, start..end)))
}

/// The byte where the character of this number starts, or the text's end.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// A part of a text, at boundaries of characters; still borrowed if the whole was.
fn part(text: Cow<'_, str>, range: Range<usize>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

fn unchanged(text: Cow<'_, str>) -> Failure<'_> {
    Failure {
        kind: Kind::FunctionEvaluation,
        value: Value::Text(text),
    }
}
