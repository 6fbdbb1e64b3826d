//! Tokens as a syntax tree: recursive descent by the precedence of section 3.6, with the first fault's place and what
//! would have been right there.

use std::ops::Range;

use super::{
    Expr, Like, MAX_NESTING, Operator, Test, TestKind,
    fault::SyntaxFault,
    functions::{FUNCTIONS, Function},
    lexer::{Token, tokens},
};

type Parsed<T = Expr> = Result<T, SyntaxFault>;

/// The whole text as one expression. Takes time by the length of the text, and stack by `MAX_NESTING`.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        text,
        tokens: tokens(text).map_err(|at| SyntaxFault::no_token(text, at, OPERAND))?,
        next: 0,
        nesting: 0,
    };
    let expr = parser.expression()?;
    match parser.tokens.get(parser.next) {
        None => Ok(expr),
        Some(_) => Err(parser.fault("an operator or the end")),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(Token<'t>, Range<usize>)>,
    next: usize,
    nesting: usize,
}

/// Operators from the loosest precedence to the closest.
const PRECEDENCE: [&[Operator]; 4] = [
    &[Operator::And, Operator::Or, Operator::Xor],
    &[
        Operator::Equal,
        Operator::Unequal,
        Operator::Less,
        Operator::AtMost,
        Operator::Greater,
        Operator::AtLeast,
    ],
    &[Operator::Add, Operator::Subtract],
    &[Operator::Multiply, Operator::Divide, Operator::Remainder],
];

const OPERAND: &str = "an attribute, a literal, a function, NOT, -, EXISTS or (";

impl<'t> Parser<'t> {
    fn expression(&mut self) -> Parsed {
        self.chain(0)
    }

    /// Operands joined by operators of this precedence.
    fn chain(&mut self, precedence: usize) -> Parsed {
        let Some(operators) = PRECEDENCE.get(precedence) else {
            return self.tested();
        };
        let first = self.chain(precedence + 1)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator().filter(|operator| operators.contains(operator)) {
            self.next += 1;
            rest.push((operator, self.chain(precedence + 1)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expr::Chain(Box::new(first), rest.into())
        })
    }

    /// An operand and the LIKE and IN behind it.
    fn tested(&mut self) -> Parsed {
        let first = self.operand()?;
        let mut tests = Vec::new();
        loop {
            let is_negated = self.skip_word("NOT");
            let kind = if self.skip_word("LIKE") {
                TestKind::Like(self.pattern()?)
            } else if self.skip_word("IN") {
                TestKind::In(self.set()?)
            } else if is_negated {
                return Err(self.fault("LIKE or IN behind NOT"));
            } else {
                break;
            };
            tests.push(Test { is_negated, kind });
        }
        Ok(if tests.is_empty() {
            first
        } else {
            Expr::Tested(Box::new(first), tests.into())
        })
    }

    fn operand(&mut self) -> Parsed {
        let at = self.next;
        self.next += 1;
        match self.tokens.get(at) {
            Some((Token::Open, _)) => {
                let inner = self.nested(Self::expression)?;
                self.close("an operator or )")?;
                Ok(inner)
            }
            Some((Token::Text(text), _)) => Ok(Expr::Text(text.as_ref().into())),
            Some((Token::Operator(sign @ (Operator::Add | Operator::Subtract)), _)) => self.signed(*sign),
            Some((Token::Word(word), _)) => self.word(word),
            _ => Err(self.fault_at(at, OPERAND)),
        }
    }

    /// A sign right before digits is part of the number; another minus is an operator.
    fn signed(&mut self, sign: Operator) -> Parsed {
        let at = self.next - 1;
        let end = self.tokens[at].1.end;
        if let Some((Token::Word(digits), place)) = self.tokens.get(self.next)
            && place.start == end
            && is_number(digits)
        {
            self.next += 1;
            return self.integer(at, &self.text[end - 1..place.end]);
        }
        match sign {
            Operator::Subtract => Ok(Expr::Minus(Box::new(self.nested(Self::operand)?))),
            _ => Err(self.fault("digits behind +")),
        }
    }

    fn word(&mut self, word: &'t str) -> Parsed {
        let at = self.next - 1;
        let is_call = matches!(self.tokens.get(self.next), Some((Token::Open, _)));
        match keyword(word) {
            Some("TRUE") => Ok(Expr::Boolean(true)),
            Some("FALSE") => Ok(Expr::Boolean(false)),
            Some("NOT") => Ok(Expr::Not(Box::new(self.nested(Self::operand)?))),
            Some("EXISTS") => {
                self.next += 1;
                let name = match self.tokens.get(at + 1) {
                    Some((Token::Word(name), _)) => attribute(name),
                    _ => None,
                };
                name.map(Expr::Exists)
                    .ok_or_else(|| self.fault_at(at + 1, "the name of an attribute behind EXISTS"))
            }
            Some(_) => Err(self.fault_at(at, OPERAND)),
            None if is_number(word) => self.integer(at, word),
            None if is_call => self.call(at, word),
            None => attribute(word)
                .map(Expr::Attribute)
                .ok_or_else(|| self.fault_at(at, "a name of letters a-z and digits, or a function with its (")),
        }
    }

    fn integer(&self, at: usize, digits: &str) -> Parsed {
        let number = digits.parse().map(Expr::Integer);
        number.map_err(|_| self.fault_at(at, "an integer from -2147483648 to 2147483647"))
    }

    fn call(&mut self, at: usize, word: &str) -> Parsed {
        let named = FUNCTIONS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(word));
        let Some((name, function, least, most)) = named else {
            let names = FUNCTIONS.map(|(name, ..)| name).join(", ");
            return Err(self.fault_at(at, &format!("one of the functions {names}")));
        };
        self.next += 1;
        let arguments = if self.skip(&Token::Close) {
            Vec::new()
        } else {
            self.nested(Self::list)?
        };
        if !(*least..=*most).contains(&arguments.len()) {
            let expected = format!("{name} with {}", counted(*least, *most));
            return Err(self.fault_at(at, &expected).but_found(arguments.len()));
        }
        Ok(Expr::Call(Function::clone(function), arguments.into()))
    }

    fn pattern(&mut self) -> Parsed<Like> {
        let Some((Token::Text(pattern), _)) = self.tokens.get(self.next) else {
            return Err(self.fault("a string literal as the pattern of LIKE"));
        };
        let pattern = Like::new(pattern);
        self.next += 1;
        Ok(pattern)
    }

    fn set(&mut self) -> Parsed<Box<[Expr]>> {
        if !self.skip(&Token::Open) {
            return Err(self.fault("( and the elements of IN"));
        }
        Ok(self.nested(Self::list)?.into())
    }

    /// Expressions between commas, at least one, up to the closing bracket.
    fn list(&mut self) -> Parsed<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.skip(&Token::Comma) {
            list.push(self.expression()?);
        }
        self.close("an operator, a comma or )")?;
        Ok(list)
    }

    fn close(&mut self, expected: &str) -> Parsed<()> {
        if self.skip(&Token::Close) {
            Ok(())
        } else {
            Err(self.fault(expected))
        }
    }

    /// The only way down: what nests deeper than the stack is meant for is a fault.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == MAX_NESTING {
            let expected = format!("at most {MAX_NESTING} levels of brackets, signs, NOT, IN and functions");
            return Err(self.fault(&expected));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// The operator that comes next.
    fn operator(&self) -> Option<Operator> {
        match &self.tokens.get(self.next)?.0 {
            Token::Operator(operator) => Some(*operator),
            Token::Word(word) => match keyword(word)? {
                "AND" => Some(Operator::And),
                "OR" => Some(Operator::Or),
                "XOR" => Some(Operator::Xor),
                _ => None,
            },
            _ => None,
        }
    }

    fn skip(&mut self, token: &Token<'_>) -> bool {
        let is_next = self.tokens.get(self.next).is_some_and(|(next, _)| next == token);
        self.next += usize::from(is_next);
        is_next
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let next = self.tokens.get(self.next);
        let is_next = matches!(next, Some((Token::Word(next), _)) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(is_next);
        is_next
    }

    /// At the token that comes next.
    fn fault(&self, expected: &str) -> SyntaxFault {
        self.fault_at(self.next, expected)
    }

    fn fault_at(&self, token: usize, expected: &str) -> SyntaxFault {
        let place = self.tokens.get(token).map(|(_, place)| place.clone());
        SyntaxFault::new(self.text, place, expected)
    }
}

const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"];

fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// The name of an attribute, in lower case, if it can be one.
fn attribute(word: &str) -> Option<Box<str>> {
    let is_name = keyword(word).is_none() && !word.contains('_');
    is_name.then(|| word.to_ascii_lowercase().into())
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn counted(least: usize, most: usize) -> String {
    match (least, most) {
        (1, usize::MAX) => "1 argument or more".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    }
}
