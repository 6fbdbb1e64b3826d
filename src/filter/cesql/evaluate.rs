//! The value of an expression for one event: total, left to right, up to the first error.

use std::borrow::Cow;

use super::{
    Expr, Fuel, Operator, Test, TestKind,
    functions::Function,
    value::{Evaluated, Failure, Kind, Type, Value},
};
use crate::event::{Event, SPEC_VERSION, Value as Attribute};

/// What an expression is evaluated with.
pub(super) struct Evaluation<'e, 'f> {
    pub(super) event: &'e Event,
    pub(super) fuel: &'f mut Fuel,
}

impl<'e> Evaluation<'e, '_> {
    /// Recurses as deep as the parser lets expressions nest.
    pub(super) fn value(&mut self, expr: &'e Expr) -> Evaluated<'e> {
        match expr {
            Expr::Boolean(value) => Ok(Value::Boolean(*value)),
            Expr::Integer(number) => Ok(Value::Integer(*number)),
            Expr::Text(text) => Ok(Value::Text(Cow::Borrowed(text))),
            Expr::Attribute(name) => self.attribute(name),
            Expr::Exists(name) => Ok(Value::Boolean(self.exists(name))),
            Expr::Not(operand) => {
                let value = self.value(operand).and_then(|value| value.boolean());
                Ok(Value::Boolean(!value.map_err(zero(Type::Boolean))?))
            }
            Expr::Minus(operand) => {
                let value = self.value(operand).and_then(|value| value.integer());
                number(value.map_err(zero(Type::Integer))?.checked_neg())
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Tested(first, tests) => self.tested(first, tests),
            Expr::Chain(first, rest) => self.chain(first, rest),
        }
    }

    /// Texts as they are in the event, a timestamp as it was written; binary data as base64.
    fn attribute(&mut self, name: &str) -> Evaluated<'e> {
        let event = self.event;
        let text = match name {
            "type" => &event.ty,
            "source" => &event.source,
            "id" => &event.id,
            "specversion" => SPEC_VERSION,
            _ => match event.attribute(name) {
                None => return Err(Failure::zero(Kind::MissingAttribute, Type::Boolean)),
                Some(Attribute::Boolean(value)) => return Ok(Value::Boolean(*value)),
                Some(Attribute::Integer(number)) => return Ok(Value::Integer(*number)),
                Some(binary @ Attribute::Binary(bytes)) => {
                    self.fuel.burn(bytes.len().saturating_mul(2))?;
                    return Ok(Value::Text(binary.text()));
                }
                Some(
                    Attribute::String(text)
                    | Attribute::Uri(text)
                    | Attribute::UriRef(text)
                    | Attribute::Timestamp(text),
                ) => text,
            },
        };
        self.fuel.burn(text.len())?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn exists(&self, name: &str) -> bool {
        matches!(name, "id" | "source" | "type" | "specversion") || self.event.attribute(name).is_some()
    }

    fn call(&mut self, function: Function, arguments: &'e [Expr]) -> Evaluated<'e> {
        let values: Evaluated<'e, Vec<Value<'e>>> = arguments.iter().map(|argument| self.value(argument)).collect();
        function.call(&mut values.map_err(zero(function.result()))?, self.fuel)
    }

    fn tested(&mut self, first: &'e Expr, tests: &'e [Test]) -> Evaluated<'e> {
        let mut value = self.value(first).map_err(zero(Type::Boolean))?;
        for test in tests {
            let holds = match &test.kind {
                TestKind::Like(pattern) => pattern.matches(&value.text(), self.fuel)?,
                TestKind::In(set) => self.is_in(&value, set)?,
            };
            value = Value::Boolean(holds != test.is_negated);
        }
        Ok(value)
    }

    /// Elements are cast to the value's type, one after the other, until one is equal.
    fn is_in(&mut self, value: &Value<'e>, set: &'e [Expr]) -> Evaluated<'e, bool> {
        for element in set {
            let element = self.value(element).map_err(zero(Type::Boolean))?;
            if value.equals(&element).map_err(zero(Type::Boolean))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn chain(&mut self, first: &'e Expr, rest: &'e [(Operator, Expr)]) -> Evaluated<'e> {
        // Operators of one chain have one precedence, and so one type.
        let result = rest.first().map_or(Type::Boolean, |(operator, _)| operator.result());
        let mut left = self.value(first).map_err(zero(result))?;
        for (operator, right) in rest {
            left = self.operation(left, *operator, right).map_err(|failure| Failure {
                kind: failure.kind,
                value: Value::zero(result),
            })?;
        }
        Ok(left)
    }

    fn operation(&mut self, left: Value<'e>, operator: Operator, right: &'e Expr) -> Evaluated<'e> {
        if let Operator::And | Operator::Or = operator {
            let left = left.boolean()?;
            let is_settled = left == (operator == Operator::Or);
            return Ok(Value::Boolean(if is_settled {
                left
            } else {
                self.value(right)?.boolean()?
            }));
        }
        let right = self.value(right)?;
        match operator {
            // The right operand's type is the one that counts (section 3.7).
            Operator::Equal => Ok(Value::Boolean(right.equals(&left)?)),
            Operator::Unequal => Ok(Value::Boolean(!right.equals(&left)?)),
            Operator::Xor | Operator::And | Operator::Or => Ok(Value::Boolean(left.boolean()? != right.boolean()?)),
            _ => numeric(left.integer()?, operator, right.integer()?),
        }
    }
}

fn numeric<'v>(left: i32, operator: Operator, right: i32) -> Evaluated<'v> {
    match operator {
        Operator::Less => Ok(Value::Boolean(left < right)),
        Operator::AtMost => Ok(Value::Boolean(left <= right)),
        Operator::Greater => Ok(Value::Boolean(left > right)),
        Operator::AtLeast => Ok(Value::Boolean(left >= right)),
        Operator::Add => number(left.checked_add(right)),
        Operator::Subtract => number(left.checked_sub(right)),
        Operator::Multiply => number(left.checked_mul(right)),
        Operator::Divide => number(left.checked_div(right)),
        // Of the smallest number by -1 nothing remains, though the quotient has no room.
        Operator::Remainder if right == -1 => Ok(Value::Integer(0)),
        Operator::Remainder => number(left.checked_rem(right)),
        Operator::And | Operator::Or | Operator::Xor | Operator::Equal | Operator::Unequal => {
            Err(Failure::zero(Kind::Generic, Type::Boolean))
        }
    }
}

/// `None` is beyond 32 bits, or divided by 0.
fn number<'v>(result: Option<i32>) -> Evaluated<'v> {
    result
        .map(Value::Integer)
        .ok_or(Failure::zero(Kind::Math, Type::Integer))
}

/// The failure of an operand, as its operator's.
fn zero<'v>(of: Type) -> impl Fn(Failure<'_>) -> Failure<'v> {
    move |failure| failure.within(of)
}
