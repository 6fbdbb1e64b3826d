//! The layers, who may name whom, and which layer a path belongs to.

use super::source::Source;

/// Each layer and the layers it may name, from the top down. A module belongs to the longest layer that its path begins with.
const ARROWS: [(&str, &[&str]); 19] = [
    ("main", &["cli", "server", "telemetry", "config", "error"]),
    ("cli", &["proto", "event", "config", "name", "error"]),
    (
        "server",
        &[
            "grpc",
            "auth",
            "telemetry",
            "bus",
            "convention",
            "log",
            "log::embedded",
            "log::kafka",
            "objects",
            "scratch",
            "config",
            "proto",
            "event",
            "name",
            "error",
        ],
    ),
    // Of `log` only its values, which the bus gives and takes: ONLY_IN in tests/it/tidy.rs keeps the trait from it.
    (
        "grpc",
        &[
            "auth",
            "telemetry",
            "bus",
            "proto",
            "filter",
            "event",
            "log",
            "tab",
            "name",
            "error",
        ],
    ),
    ("auth", &["tab", "name", "error"]),
    ("telemetry", &["bus", "event", "log", "name", "error"]),
    (
        "bus",
        &[
            "convention",
            "filter",
            "event",
            "log",
            "objects",
            "scratch",
            "tab",
            "name",
            "error",
        ],
    ),
    ("convention", &["event", "log", "name", "error"]),
    ("proto", &["event", "error"]),
    ("filter", &["event", "error"]),
    ("event", &["name", "error"]),
    ("log::embedded", &["log", "name", "error"]),
    ("log::kafka", &["log", "name", "error"]),
    ("log", &["name", "error"]),
    ("objects", &["error"]),
    ("scratch", &["error"]),
    ("tab", &[]),
    ("config", &["name", "error"]),
    // Words: `name` makes errors, and errors tell names.
    ("name", &["error"]),
];

pub(crate) fn may_name(from: &str, layer: &str) -> bool {
    from == layer
        || from == "lib"
        || arrows_of(from).is_some_and(|below| below.contains(&layer))
        || (from, layer) == ("error", "name")
}

pub(crate) fn arrows_of(layer: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(name, _)| *name == layer).map(|(_, below)| *below)
}

/// The layers that a file names with `crate::`, `super::` or, in main, `tidings::`, and where.
pub(crate) fn layers_named(source: &Source) -> Vec<(String, usize)> {
    let module = source.module();
    let absolute = |segments: &[String]| match segments[0].as_str() {
        "crate" => Some(segments[1..].to_vec()),
        "tidings" if source.is_main() => Some(segments[1..].to_vec()),
        "super" => Some(from_parent(&module, segments)),
        _ => None,
    };
    let mut named: Vec<_> = source
        .named()
        .iter()
        .filter_map(|named| Some((layer(&absolute(&named.segments)?), named.line)))
        .collect();
    named.dedup();
    named
}

/// `super::super::x`, seen from a module, from the crate's root.
fn from_parent(module: &[String], segments: &[String]) -> Vec<String> {
    let up = segments.iter().take_while(|segment| *segment == "super").count();
    let parent = &module[..module.len().saturating_sub(up)];
    [parent, &segments[up..]].concat()
}

pub(crate) fn layer_of(source: &Source) -> String {
    if source.is_main() {
        "main".to_owned()
    } else {
        layer(&source.module())
    }
}

/// The longest layer that a path begins with, or else its first segment.
fn layer(path: &[String]) -> String {
    let whole = path.join("::");
    let known = ARROWS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| begins_with(&whole, name));
    match known.max_by_key(|name| name.len()) {
        Some(name) => name.to_owned(),
        None => path.first().map_or("lib", String::as_str).to_owned(),
    }
}

pub(crate) fn begins_with(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
