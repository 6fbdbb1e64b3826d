//! The dialects, their rules and bounds, and how filters are stored.

use super::*;
use crate::event::{
    Value,
    tests::{string, with},
};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn exact(name: &str, text: &str) -> FilterSpec {
    FilterSpec::Exact(map(&[(name, text)]))
}

fn cesql(text: &str) -> FilterSpec {
    FilterSpec::Cesql(text.into())
}

fn negate(filter: FilterSpec) -> FilterSpec {
    FilterSpec::Negate(Box::new(filter))
}

fn event() -> Event {
    let attributes = [
        ("subject", string("keys")),
        ("time", Value::Timestamp("2018-04-26T14:48:09+02:00".into())),
        ("count", Value::Integer(-7)),
        ("flag", Value::Boolean(true)),
        ("blob", Value::Binary("abc".into())),
    ];
    with(&attributes).check().expect("a valid event")
}

fn passes(spec: FilterSpec) -> bool {
    Filter::compile(spec, "filter")
        .expect("a sound filter")
        .passes(&event())
}

/// As `FIELD: RULE`.
fn faults(spec: FilterSpec) -> Vec<String> {
    let error = Filter::compile(spec, "filter").expect_err("a filter with faults");
    assert_eq!(error.reason(), Reason::FilterInvalid);
    error.field_faults().iter().map(ToString::to_string).collect()
}

#[test]
fn each_dialect_passes_what_it_says() {
    let prefix = |name, text| FilterSpec::Prefix(map(&[(name, text)]));
    let suffix = |name, text| FilterSpec::Suffix(map(&[(name, text)]));
    for (spec, expected) in [
        (exact("subject", "keys"), true),
        (exact("subject", "Keys"), false),
        (exact("subject", "key"), false),
        (exact("type", "io.shop.orders.created"), true),
        (exact("specversion", "1.0"), true),
        (exact("time", "2018-04-26T14:48:09+02:00"), true),
        (exact("count", "-7"), true),
        (exact("flag", "true"), true),
        (exact("blob", "YWJj"), true),
        (exact("missing", "x"), false),
        (FilterSpec::Exact(map(&[("subject", "keys"), ("id", "1")])), true),
        (FilterSpec::Exact(map(&[("subject", "keys"), ("id", "2")])), false),
        (prefix("source", "/sh"), true),
        (prefix("source", "sh"), false),
        (prefix("missing", "s"), false),
        (suffix("type", ".created"), true),
        (suffix("type", ".crea"), false),
        (FilterSpec::All(vec![exact("id", "1"), exact("flag", "true")]), true),
        (FilterSpec::All(vec![exact("id", "1"), exact("flag", "false")]), false),
        (FilterSpec::Any(vec![exact("id", "2"), exact("flag", "true")]), true),
        (FilterSpec::Any(vec![exact("id", "2"), exact("flag", "false")]), false),
        (negate(exact("id", "1")), false),
        (negate(exact("missing", "x")), true),
        (cesql("count = -7 AND flag AND subject LIKE 'k%'"), true),
        (cesql("blob = 'YWJj'"), true),
        (cesql("time"), false),
        (cesql("'true'"), false),
        (cesql("missing = 'x'"), false),
        (negate(cesql("missing = 'x'")), true),
    ] {
        assert_eq!(passes(spec.clone()), expected, "{spec:?}");
    }
}

#[test]
fn the_examples_of_the_manual_are_true() {
    let attributes = [("region", string("eu-west")), ("priority", Value::Integer(5))];
    let mut draft = with(&attributes);
    draft.source = "https://shop.example/eu".into();
    let event = draft.check().expect("a valid event");
    let manual = include_str!("../../docs/filters.md");
    let rows = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.rsplit_once("` | "))
        .filter_map(|(text, answer)| Some((text, answer.strip_suffix(" |")?)))
        .filter(|(_, answer)| matches!(*answer, "yes" | "no"));
    let mut count = 0;
    for (text, answer) in rows {
        let filter = Filter::compile(cesql(text), "filter").expect(text);
        assert_eq!(filter.passes(&event), answer == "yes", "{text}");
        count += 1;
    }
    assert!(count > 10, "{count} examples were found");
    let fault = faults(FilterSpec::All(vec![cesql("true"), cesql("a LIKE x")]));
    assert!(manual.contains(&fault[0]), "{fault:?} is not in the manual");
}

#[test]
fn every_fault_is_told_with_its_place() {
    let names = FilterSpec::Exact(map(&[("", "x"), ("Id", "x"), ("data", "x"), ("id", ""), ("a\n", "x")]));
    let spec = FilterSpec::All(vec![
        names,
        FilterSpec::Prefix(map(&[])),
        FilterSpec::Any(vec![]),
        negate(negate(cesql("a ="))),
        cesql(&"a".repeat(MAX_EXPRESSION_BYTES + 1)),
        exact("id", "1"),
    ]);
    let starts = [
        "filter.all.filters[0].exact.attributes.: an attribute's name is not empty",
        "filter.all.filters[0].exact.attributes.Id: an attribute's name is made of lower-case letters",
        "filter.all.filters[0].exact.attributes.a\\n: an attribute's name is made of",
        "filter.all.filters[0].exact.attributes.data: data is not an attribute",
        "filter.all.filters[0].exact.attributes.id: the text to compare with is not empty",
        "filter.all.filters[1].prefix.attributes: names at least one attribute",
        "filter.all.filters[2].any.filters: has at least one filter",
        "filter.all.filters[3].negate.negate.cesql: at column 4: expected an attribute, a literal",
        "filter.all.filters[4].cesql: an expression has at most 8192 bytes; this has 8193",
    ];
    let faults = faults(spec);
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault} does not start with {start}");
    }
}

#[test]
fn filters_have_bounds() {
    let deep = |levels: usize| (1..levels).fold(cesql("true"), |spec, _| negate(spec));
    assert!(Filter::compile(deep(MAX_DEPTH), "filter").is_ok());
    assert!(faults(deep(MAX_DEPTH + 1))[0].ends_with("filters stand in filters at most 32 levels deep"));

    let wide = |count: usize| FilterSpec::Any(vec![cesql("false"); count]);
    assert!(Filter::compile(wide(MAX_NODES - 1), "filter").is_ok());
    let rule = "filter: has at most 1000 filters and compared attributes, however they are nested";
    assert_eq!(faults(wide(MAX_NODES)), [rule]);

    let long = format!("'{}' = id", "x".repeat(MAX_EXPRESSION_BYTES - 7));
    let many = |count: usize| FilterSpec::Any(vec![cesql(&long); count]);
    assert!(Filter::compile(many(8), "filter").is_ok());
    assert_eq!(
        faults(many(9)),
        ["filter: its expressions have at most 65536 bytes together"]
    );
}

#[test]
fn filters_are_stored_as_json_and_equal_where_they_were_told_the_same() {
    let spec = FilterSpec::All(vec![
        exact("id", "1"),
        negate(FilterSpec::Any(vec![
            cesql("true"),
            FilterSpec::Suffix(map(&[("type", "d")])),
        ])),
    ]);
    let json = serde_json::to_string(&spec).expect("serializable");
    let expected = r#"{"all":[{"exact":{"id":"1"}},{"negate":{"any":[{"cesql":"true"},{"suffix":{"type":"d"}}]}}]}"#;
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<FilterSpec>(&json).expect("deserializable"), spec);

    let compile = |spec| Filter::compile(spec, "filter").expect("sound");
    let filter = compile(spec.clone());
    assert_eq!(filter, compile(spec.clone()));
    assert_eq!(filter, filter.clone());
    assert_ne!(filter, compile(cesql("true")));
    assert_ne!(compile(cesql("true")), compile(cesql("TRUE")));
    assert_eq!(filter.spec(), &spec);
}
