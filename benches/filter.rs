//! What filters cost for each event: nanoseconds, the least of several runs, on one core.
//!
//! `cargo bench --bench filter`

#![expect(clippy::print_stdout, reason = "figures are this program's output")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use tidings::{
    event::{Draft, Event, Value},
    filter::{Filter, FilterSpec},
};

const BATCH: u32 = 10_000;
const RUNS: usize = 100;

/// All three comparisons of it are made.
const THREE: &str = "type = 'io.shop.orders.created' AND region = 'eu-west' AND priority > 3";

fn main() {
    println!("one filter");
    let exact = BTreeMap::from([
        ("type".to_owned(), "io.shop.orders.created".to_owned()),
        ("region".to_owned(), "eu-west".to_owned()),
        ("subject".to_owned(), "order-4711".to_owned()),
    ]);
    measure("exact, three attributes", &[compile(FilterSpec::Exact(exact))]);
    for (name, text) in [
        ("cesql, three comparisons", THREE),
        (
            "cesql, three of text",
            "type = 'io.shop.orders.created' AND region = 'eu-west' AND subject = 'order-4711'",
        ),
        ("cesql, LIKE with one %", "type LIKE '%.created'"),
        ("cesql, LIKE with three %", "source LIKE 'https://%/shop/%ers%'"),
        (
            "cesql, IN with ten",
            "region IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'eu-west')",
        ),
        (
            "cesql, LEFT and LENGTH",
            "LEFT(type, 8) = 'io.shop.' AND LENGTH(subject) = 10",
        ),
        ("cesql, missing attribute", "missing = 'x'"),
    ] {
        measure(name, &[cesql(text)]);
    }
    println!("several filters of three comparisons, each asked");
    for count in [1, 10, 100] {
        measure(&format!("{count} filters"), &vec![cesql(THREE); count]);
    }
    println!("compiling");
    let spec = FilterSpec::Cesql(THREE.to_owned());
    report("three comparisons", 1, || {
        let compiled = Filter::compile(black_box(spec.clone()), "filter");
        black_box(compiled.is_ok());
    });
}

fn cesql(text: &str) -> Filter {
    compile(FilterSpec::Cesql(text.to_owned()))
}

fn compile(spec: FilterSpec) -> Filter {
    Filter::compile(spec, "filter").expect("a sound filter")
}

/// Asks each filter about one event.
fn measure(name: &str, filters: &[Filter]) {
    let event = event();
    report(name, filters.len(), || {
        for filter in filters {
            black_box(filter.passes(black_box(&event)));
        }
    });
}

fn report(name: &str, count: usize, work: impl Fn()) {
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..BATCH / u32::try_from(count).unwrap_or(BATCH) {
            work();
        }
        least = least.min(start.elapsed());
    }
    let each = least.as_secs_f64() / f64::from(BATCH);
    let event = each * count as f64;
    println!(
        "  {name:<26} {:>7.0} ns/event {:>8.2} M evaluations/s",
        event * 1e9,
        1e-6 / each
    );
}

/// With the attributes that most events have, and two extensions.
fn event() -> Event {
    let text = |text: &str| Value::String(text.to_owned().into());
    let attributes = [
        ("subject", text("order-4711")),
        ("time", Value::Timestamp("2018-04-26T14:48:09+02:00".to_owned().into())),
        ("datacontenttype", text("application/json")),
        ("region", text("eu-west")),
        ("priority", Value::Integer(5)),
    ];
    let draft = Draft {
        id: "0196e40b-7e19-7de6-a918-a7b97abdf09f".to_owned().into(),
        source: "https://example.com/shop/orders".to_owned().into(),
        spec_version: "1.0".to_owned().into(),
        ty: "io.shop.orders.created".to_owned().into(),
        attributes: attributes.map(|(name, value)| (name.to_owned().into(), value)).into(),
        ..Draft::default()
    };
    draft.check().expect("a valid event")
}
