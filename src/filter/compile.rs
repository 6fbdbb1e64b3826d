//! From what was told to what can be asked: every rule of filters is checked here, and every fault found.

use std::collections::BTreeMap;

use super::{
    FilterSpec, MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_EXPRESSIONS_BYTES, MAX_NODES,
    cesql::Expression,
    matching::{Comparison, How, Test},
};
use crate::{error::Fault, event::text};

/// The filter's test, or all of its faults.
pub(super) fn compile(spec: &FilterSpec, field: &str) -> Result<Test, Vec<Fault>> {
    let mut compiler = Compiler::default();
    let test = compiler.test(spec, field, 1);
    compiler.check_totals(field);
    match test {
        Some(test) if compiler.faults.is_empty() => Ok(test),
        _ => Err(compiler.faults),
    }
}

/// Counts what is bounded, and collects faults. What gives `None` has left a fault.
#[derive(Default)]
struct Compiler {
    faults: Vec<Fault>,
    nodes: usize,
    expressions_bytes: usize,
}

impl Compiler {
    fn test(&mut self, spec: &FilterSpec, field: &str, depth: usize) -> Option<Test> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return self.fault(
                field,
                format!("filters stand in filters at most {MAX_DEPTH} levels deep"),
            );
        }
        // The fault is `check_totals`'s.
        if self.nodes > MAX_NODES {
            return None;
        }
        match spec {
            FilterSpec::Exact(texts) => self.attributes(How::Exact, texts, &format!("{field}.exact")),
            FilterSpec::Prefix(texts) => self.attributes(How::Prefix, texts, &format!("{field}.prefix")),
            FilterSpec::Suffix(texts) => self.attributes(How::Suffix, texts, &format!("{field}.suffix")),
            FilterSpec::All(filters) => self.list(filters, &format!("{field}.all"), depth).map(Test::All),
            FilterSpec::Any(filters) => self.list(filters, &format!("{field}.any"), depth).map(Test::Any),
            FilterSpec::Negate(filter) => {
                let test = self.test(filter, &format!("{field}.negate"), depth + 1)?;
                Some(Test::Negate(Box::new(test)))
            }
            FilterSpec::Cesql(text) => self.cesql(text, &format!("{field}.cesql")),
        }
    }

    fn list(&mut self, filters: &[FilterSpec], field: &str, depth: usize) -> Option<Vec<Test>> {
        if filters.is_empty() {
            return self.fault(format!("{field}.filters"), "has at least one filter");
        }
        let one = |(index, filter)| self.test(filter, &format!("{field}.filters[{index}]"), depth + 1);
        let tests: Vec<Option<Test>> = filters.iter().enumerate().map(one).collect();
        tests.into_iter().collect()
    }

    fn attributes(&mut self, how: How, texts: &BTreeMap<String, String>, field: &str) -> Option<Test> {
        if texts.is_empty() {
            return self.fault(format!("{field}.attributes"), "names at least one attribute");
        }
        self.nodes += texts.len();
        let before = self.faults.len();
        for (name, expected) in texts {
            let field = format!("{field}.attributes.{}", text::shown(name.as_bytes()));
            if let Err(rule) = check_name(name) {
                self.faults.push(Fault::new(field, rule));
            } else if expected.is_empty() {
                self.faults
                    .push(Fault::new(field, "the text to compare with is not empty"));
            }
        }
        if self.faults.len() > before {
            return None;
        }
        let one = |(name, text): (&String, &String)| Comparison::new(name, text);
        Some(Test::Attributes(how, texts.iter().map(one).collect()))
    }

    fn cesql(&mut self, text: &str, field: &str) -> Option<Test> {
        self.expressions_bytes += text.len();
        if text.len() > MAX_EXPRESSION_BYTES {
            let rule = format!(
                "an expression has at most {MAX_EXPRESSION_BYTES} bytes; this has {}",
                text.len()
            );
            return self.fault(field, rule);
        }
        match Expression::parse(text) {
            Ok(expression) => Some(Test::Cesql(expression)),
            Err(rule) => self.fault(field, rule.to_string()),
        }
    }

    fn check_totals(&mut self, field: &str) {
        if self.nodes > MAX_NODES {
            let rule = format!("has at most {MAX_NODES} filters and compared attributes, however they are nested");
            self.faults.push(Fault::new(field, rule));
        }
        if self.expressions_bytes > MAX_EXPRESSIONS_BYTES {
            let rule = format!("its expressions have at most {MAX_EXPRESSIONS_BYTES} bytes together");
            self.faults.push(Fault::new(field, rule));
        }
    }

    fn fault<T>(&mut self, field: impl Into<String>, rule: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(field, rule));
        None
    }
}

/// Only names that an attribute can have: another would never match, which nobody means.
fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("an attribute's name is not empty"),
        "data" => Err("data is not an attribute; filters see attributes only"),
        _ if name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')) => Ok(()),
        _ => Err("an attribute's name is made of lower-case letters a-z and digits 0-9"),
    }
}
