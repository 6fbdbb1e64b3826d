//! Tables and laws of the language.

mod conformance;
mod laws;
mod syntax;

use super::{
    value::{Failure, Kind},
    *,
};
use crate::event::{
    Draft, Value as Attribute,
    tests::{draft, string},
};

/// Rows of `EXPRESSION [{NAME=TEXT; NAME:VALUE}] => VALUE [!ERROR]`, or `=> !parse`. `:` stands before a boolean or integer.
fn check(rows: &str) {
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (left, expected) = row.rsplit_once(" => ").expect("a row has ` => `");
        let (expression, attributes) = match left.rsplit_once(" {") {
            Some((expression, attributes)) => (expression, attributes.trim_end_matches('}')),
            None => (left, ""),
        };
        assert_eq!(outcome(expression, &event(attributes)), expected, "{row}");
    }
}

fn outcome(text: &str, event: &Event) -> String {
    let Ok(Expression(expr)) = Expression::parse(text) else {
        return "!parse".to_owned();
    };
    let mut fuel = Fuel::full();
    let evaluation = Evaluation { event, fuel: &mut fuel };
    let (value, error) = match { evaluation }.value(&expr) {
        Ok(value) => (value, ""),
        Err(Failure { kind, value }) => (value, name(kind)),
    };
    let value = match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
    };
    format!("{value}{error}")
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Math => " !math",
        Kind::Cast => " !cast",
        Kind::MissingAttribute => " !missing",
        Kind::FunctionEvaluation => " !function",
        Kind::Generic => " !generic",
    }
}

fn event(attributes: &str) -> Event {
    let mut draft = draft();
    for attribute in attributes.split("; ").filter(|attribute| !attribute.is_empty()) {
        let sign = attribute.find(['=', ':']).expect("NAME=TEXT or NAME:VALUE");
        let (name, text) = (&attribute[..sign], &attribute[sign + 1..]);
        set(&mut draft, name, text, attribute.as_bytes()[sign] == b'=');
    }
    draft.check().expect("a valid event")
}

fn set(draft: &mut Draft, name: &str, text: &str, is_text: bool) {
    let value = match (is_text, text.parse::<i32>()) {
        (true, _) => string(text),
        (false, Ok(number)) => Attribute::Integer(number),
        (false, Err(_)) => Attribute::Boolean(text == "true"),
    };
    match name {
        "id" => draft.id = text.into(),
        "source" => draft.source = text.into(),
        "type" => draft.ty = text.into(),
        _ => draft.attributes.push((name.into(), value)),
    }
}
