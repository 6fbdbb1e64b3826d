//! Laws: nothing panics, whatever is parsed and whatever it is evaluated on; LIKE is what a regular expression says.

use proptest::{collection::vec, prelude::*};
use regex::Regex;

use super::*;
use crate::event::tests::any_event;

/// Pieces of the language, and some that are none: rows of them often parse.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "id", "source", "type", "subject", "time", "missing", "n", "SpecVersion", "datacontenttype",
            "1", "0", "-7", "+3", "2147483647", "-2147483648", "true", "FALSE", "'a'", "\"b\"", "''", "'%'", "'1'",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "AND", "or", "XOR", "LIKE '%a_'", "IN (1, 'a')",
            "NOT LIKE '\\%'", "NOT IN (id)",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            "(", ")", "NOT", "-", "EXISTS id", "ABS(", "LEFT(id, 2)", "RIGHT(source, n)", "SUBSTRING(type, -2, 1)",
            "CONCAT(id, 1)", "CONCAT_WS('-', ", ",", "UPPER(", "INT(", "BOOL('x')", "STRING(n)", "TRIM(' a ')", "LENGTH(",
        ]).prop_map(str::to_owned),
        1 => "[ -~äß😀]{0,4}",
    ];
    vec(piece, 1..12).prop_map(|pieces| pieces.join(" "))
}

/// Expressions that parse: operands joined, nested a few levels.
fn expression() -> impl Strategy<Value = String> {
    let operand = prop::sample::select(vec![
        "id",
        "subject",
        "time",
        "missing",
        "n",
        "1",
        "0",
        "-2147483648",
        "true",
        "'a'",
        "'1'",
        "''",
        "EXISTS time",
    ]);
    operand.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        let operators = prop::sample::select(vec!["=", "!=", "<", ">=", "+", "-", "*", "/", "%", "AND", "OR", "XOR"]);
        let unary = prop::sample::select(vec![
            "NOT ", "- ", "ABS", "LENGTH", "UPPER", "LOWER", "TRIM", "INT", "BOOL", "STRING",
        ]);
        let binary = prop::sample::select(vec!["LEFT", "RIGHT", "SUBSTRING", "CONCAT", "CONCAT_WS"]);
        prop_oneof![
            3 => (inner.clone(), operators, inner.clone()).prop_map(|(a, operator, b)| format!("{a} {operator} ({b})")),
            2 => (unary, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            1 => (binary, inner.clone(), inner.clone()).prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) IN ({b}, 'a')")),
        ]
    })
}

/// What a pattern means, in the words of another engine.
fn as_regex(pattern: &str) -> Regex {
    let mut regex = "(?s)^".to_owned();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (piece, len) = match first {
            '%' => (".*".to_owned(), 1),
            '_' => (".".to_owned(), 1),
            '\\' if rest[1..].starts_with(['%', '_']) => (regex::escape(&rest[1..2]), 2),
            other => (regex::escape(&other.to_string()), other.len_utf8()),
        };
        regex.push_str(&piece);
        rest = &rest[len..];
    }
    Regex::new(&(regex + "$")).expect("an expression of escaped pieces")
}

proptest! {
    #[test]
    fn any_bytes_get_a_verdict(bytes in vec(any::<u8>(), 0..200), event in any_event()) {
        outcome(&String::from_utf8_lossy(&bytes), &event);
    }

    #[test]
    fn any_row_of_pieces_gets_a_verdict(text in soup(), event in any_event()) {
        outcome(&text, &event);
    }

    #[test]
    fn what_parses_has_a_value_of_the_same_type_for_every_event(text in expression(), event in any_event()) {
        let outcome = outcome(&text, &event);
        prop_assert_ne!(&outcome, "!parse", "{}", text);
        prop_assert!(!outcome.ends_with("!generic"), "{}: {}", text, outcome);
    }

    #[test]
    fn a_settled_operator_does_not_look_further(text in expression(), event in any_event()) {
        prop_assert_eq!(outcome(&format!("false AND ({text})"), &event), "false");
        prop_assert_eq!(outcome(&format!("true OR ({text})"), &event), "true");
    }

    #[test]
    fn only_true_without_an_error_passes(text in expression(), event in any_event()) {
        let expression = Expression::parse(&text).expect("an expression");
        prop_assert_eq!(expression.holds(&event, &mut Fuel::full()), outcome(&text, &event) == "true");
    }

    #[test]
    fn like_is_what_a_regular_expression_says(pattern in "[ab_%\\\\ä]{0,10}", text in "[abc_%\\\\ä]{0,12}") {
        let matched = Like::new(&pattern).matches(&text, &mut Fuel::full());
        prop_assert_eq!(matched.ok(), Some(as_regex(&pattern).is_match(&text)));
    }

    #[test]
    fn like_finds_what_was_filled_in(fills in vec("[ab]{0,3}", 1..5), literals in vec("[ab]{0,2}", 5)) {
        let pattern: String = literals.iter().take(fills.len()).map(|literal| format!("{literal}%")).collect();
        let text: String = literals.iter().zip(&fills).map(|(literal, fill)| format!("{literal}{fill}")).collect();
        prop_assert_eq!(Like::new(&pattern).matches(&text, &mut Fuel::full()).ok(), Some(true));
    }
}
