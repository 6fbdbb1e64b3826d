//! Tidiness: who may name whom, what may be used where, and how large things may grow, proved from the sources.
//!
//! A failure names the file, the line and the rule. The rules are tables here; there are no lists of exceptions.

mod layers;
mod source;

use std::fmt::Write as _;

use layers::{arrows_of, begins_with, layer_of, layers_named, may_name};
use source::{Source, sources, top};

const MAX_FILE: usize = 300;
const MAX_FUNCTION: usize = 40;
/// Tests may tell longer stories.
const MAX_TEST_FILE: usize = 500;

/// What may be named only in some modules (paths by their beginning), and the modules that may.
const ONLY_IN: [(&[&str], &[&str]); 16] = [
    (
        &[
            "tonic",
            "tonic_prost",
            "tonic_types",
            "tonic_reflection",
            "prost",
            "prost_types",
        ],
        &["proto", "grpc", "cli", "server"],
    ),
    (&["crate::log::Log"], &["server", "bus", "log"]),
    (&["rdkafka"], &["log::kafka"]),
    (&["object_store", "url"], &["objects"]),
    (&["tempfile"], &["scratch"]),
    (
        &[
            "opentelemetry",
            "opentelemetry_http",
            "opentelemetry_otlp",
            "opentelemetry_sdk",
            "opentelemetry_prometheus",
            "prometheus",
            "tracing_subscriber",
        ],
        &["telemetry"],
    ),
    (&["axum"], &["server"]),
    (&["jsonwebtoken"], &["auth"]),
    (&["reqwest"], &["server::keys", "telemetry::http"]),
    (&["rustls", "tokio_rustls", "webpki"], &["server"]),
    (&["clap", "clap_complete", "indicatif"], &["cli"]),
    (&["toml"], &["config"]),
    (&["winnow"], &["filter"]),
    (
        &[
            "std::env::var",
            "std::env::vars",
            "std::env::var_os",
            "std::env::vars_os",
            "env::var",
            "env::vars",
        ],
        &["config"],
    ),
    (
        &["std::fs", "tokio::fs"],
        &[
            "log::embedded",
            "objects",
            "scratch",
            "config",
            "cli",
            "server::tls",
            "server::auth",
            "server::keys",
        ],
    ),
    (&["std::process"], &["cli"]),
];

/// Tests of one log, and those for which it makes no difference.
const ON_KAFKA_ONLY: &[&str] = &["kafka"];
const EMBEDDED_ONLY: &[&str] = &[
    "auth", "embedded", "docs", "fanout", "floods", "policies", "tenants", "tidy", "tls",
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "shared",
];

#[test]
fn modules_name_only_what_lies_below_them() {
    let mut faults = Faults::default();
    for source in sources("src") {
        for (layer, line) in layers_named(&source) {
            let from = layer_of(&source);
            if !may_name(&from, &layer) {
                faults.add(
                    &source,
                    line,
                    format!("`{from}` may not name `{layer}`: see ARROWS in tests/it/tidy/layers.rs"),
                );
            }
        }
    }
    faults.none();
}

#[test]
fn every_module_has_a_layer() {
    let mut faults = Faults::default();
    for source in sources("src") {
        let layer = layer_of(&source);
        if !matches!(layer.as_str(), "lib" | "error") && arrows_of(&layer).is_none() {
            faults.add(
                &source,
                1,
                format!("`{layer}` has no row in ARROWS in tests/it/tidy/layers.rs: say what it may name"),
            );
        }
    }
    faults.none();
}

#[test]
fn what_belongs_to_one_layer_stays_there() {
    let mut faults = Faults::default();
    for source in sources("src").iter().filter(|source| !source.is_main()) {
        let module = source.module().join("::");
        for named in source.named() {
            let path = named.segments.join("::");
            for (paths, modules) in ONLY_IN {
                let ruled = paths.iter().any(|ruled| begins_with(&path, ruled));
                if ruled && !modules.iter().any(|allowed| begins_with(&module, allowed)) {
                    faults.add(
                        source,
                        named.line,
                        format!("`{path}` may be named only in {}", modules.join(", ")),
                    );
                }
            }
        }
    }
    faults.none();
}

#[test]
fn files_and_functions_stay_small() {
    let mut faults = Faults::default();
    for source in sources("src") {
        let (lines, limit) = (source.lines(), if source.is_test() { MAX_TEST_FILE } else { MAX_FILE });
        if lines > limit {
            faults.add(
                &source,
                limit,
                format!("{lines} lines, at most {limit} without tests: which second thing is in it?"),
            );
        }
        for function in source.functions() {
            if function.lines > MAX_FUNCTION {
                let text = format!(
                    "`{}` has {} lines, at most {MAX_FUNCTION}: name its steps",
                    function.name, function.lines
                );
                faults.add(&source, function.line, text);
            }
        }
    }
    for source in sources("tests").iter().filter(|source| source.lines() > MAX_TEST_FILE) {
        faults.add(
            source,
            MAX_TEST_FILE,
            format!("{} lines, at most {MAX_TEST_FILE} in tests", source.lines()),
        );
    }
    faults.none();
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut faults = Faults::default();
    let all = sources("src").into_iter().chain(sources("tests"));
    for source in all.filter(|source| !source.path.ends_with("/tests.rs")) {
        let first: Vec<&str> = source
            .text
            .lines()
            .map_while(|line| line.strip_prefix("//! "))
            .collect();
        if !first.join(" ").contains('.') {
            faults.add(
                &source,
                1,
                "a file opens with a sentence that says what it is for: `//! ….`".to_owned(),
            );
        }
        let name = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs")
            .to_owned();
        if EMPTY_NAMES.contains(&name.as_str()) {
            faults.add(
                &source,
                1,
                format!("`{name}` says nothing of what is inside: name the one thing it is for"),
            );
        }
    }
    faults.none();
}

#[test]
fn code_says_why_it_cannot_fail() {
    let mut faults = Faults::default();
    for source in sources("src") {
        for line in source.in_code(&[".", "unwrap", "(", ")"]) {
            faults.add(
                &source,
                line,
                "no unwrap: return an error, or `expect(\"why it cannot fail\")`".to_owned(),
            );
        }
    }
    faults.none();
}

#[test]
fn tests_run_and_wait_for_what_they_mean() {
    let mut faults = Faults::default();
    for source in sources("src").into_iter().chain(sources("tests")) {
        for line in source.in_tests(&["#", "[", "ignore"]) {
            faults.add(&source, line, "no #[ignore]: a test runs or fails".to_owned());
        }
        for line in source.in_tests(&["sleep", "("]) {
            faults.add(
                &source,
                line,
                "no sleep in tests: wait for what you mean, with `eventually`".to_owned(),
            );
        }
    }
    faults.none();
}

#[test]
fn every_test_file_is_run_on_both_logs() {
    let programs = [
        ("tests/it/main.rs", ON_KAFKA_ONLY),
        ("tests/it/on_kafka.rs", EMBEDDED_ONLY),
    ];
    let mut faults = Faults::default();
    for (path, not_there) in programs {
        let program = Source::read(path.as_ref());
        for source in sources("tests/it") {
            let name = source.path.trim_start_matches("tests/it/").trim_end_matches(".rs");
            let is_root = programs.iter().any(|(root, _)| *root == source.path);
            let wanted = !name.contains('/') && !is_root && !not_there.contains(&name);
            if wanted && !program.text.contains(&format!("mod {name};")) {
                faults.add(
                    &source,
                    1,
                    format!("{path} has no line `mod {name};`: nothing here runs there"),
                );
            }
        }
    }
    faults.none();
}

#[test]
fn the_rules_see_what_they_forbid() {
    let source = Source::of("src/bus/publish.rs", SAMPLE.to_owned());
    let layers: Vec<_> = layers_named(&source)
        .into_iter()
        .map(|(layer, line)| format!("{line} {layer}"))
        .collect();
    assert_eq!(layers, ["3 event", "3 log", "3 log::embedded", "4 bus", "6 grpc"]);
    assert!(
        source
            .named()
            .iter()
            .any(|named| named.segments == ["tonic", "Status"] && named.line == 7)
    );
    assert_eq!(source.in_code(&[".", "unwrap", "(", ")"]), [8]);
    assert_eq!(source.in_tests(&["sleep", "("]), [16]);
    let functions: Vec<_> = source
        .functions()
        .iter()
        .map(|function| (function.line, function.lines))
        .collect();
    assert_eq!((functions, source.lines()), (vec![(5, 5)], 11));
    assert!(may_name("bus", "log") && !may_name("bus", "grpc") && !may_name("bus", "log::embedded"));
}

/// Its line numbers are in the test above.
const SAMPLE: &str = "//! A sample.

use crate::{event::Event as E, log::{self, embedded::{Journal}}};
use super::delivery; // crate::config in a comment
fn sample(a: [u8; 4]) -> [u8; 4] {
    select! { _ = crate::grpc::serve() => () }
    let _: ::tonic::Status = \"crate::cli\".into();
    a.get(0..4).unwrap()
}

trait T { fn without_body(&self) -> [u8; 2]; }
#[cfg(test)]
mod tests {
    #[test]
    fn waits() {
        sleep(1);
        crate::server::run().unwrap();
    }
}
";

#[derive(Default)]
struct Faults(String);

impl Faults {
    fn add(&mut self, source: &Source, line: usize, rule: String) {
        let _ = write!(self.0, "\n  {}:{line}: {rule}", source.path);
    }

    fn none(self) {
        assert!(self.0.is_empty(), "in {}:{}", top().display(), self.0);
    }
}
