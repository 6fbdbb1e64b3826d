//! The sources of settings, each flattened to a layer: key path → value, with the place that set it.

use std::{collections::BTreeMap, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{ConfigFault, Origin};

/// Settings by key path (`log.embedded.fsync`).
pub(super) type Layer = BTreeMap<String, Entry>;

/// One setting as it was written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// A value before its type is known.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// Text in quotes.
    Text(String),
    /// From the environment or a flag: text that may mean a number or a boolean.
    Bare(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// An array of texts.
    List(Vec<String>),
    /// An array of tables; also what has nothing in it.
    Tables(Vec<Layer>),
    /// A table with nothing in it.
    EmptyTable,
    /// What no setting is made of; its name.
    Other(&'static str),
}

/// A setting from serve's command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// The flag, such as `--data`.
    pub flag: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    pub value: String,
}

/// The settings of a TOML text, or all its syntax faults.
pub(super) fn from_toml(text: &str, place: impl Fn(usize) -> Origin) -> Result<Layer, Vec<ConfigFault>> {
    let line_of = |offset: usize| {
        1 + text.as_bytes()[..offset.min(text.len())]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let mut layer = Layer::new();
        flatten("", table.get_ref(), &|offset| place(line_of(offset)), &mut layer);
        return Ok(layer);
    }
    let fault = |error: &toml::de::Error| ConfigFault {
        origin: place(error.span().map_or(0, |span| line_of(span.start))),
        key: String::new(),
        rule: format!("not TOML: {}", error.message()),
    };
    let mut faults: Vec<ConfigFault> = errors.iter().map(fault).collect();
    faults.sort();
    Err(faults)
}

/// The settings of a file, or why it has none.
pub(super) fn from_file(path: &Path) -> Result<Layer, Vec<ConfigFault>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![ConfigFault {
            origin: Origin::file(path, 0),
            key: String::new(),
            rule: format!("cannot be read: {error}"),
        }]
    })?;
    from_toml(&text, |line| Origin::file(path, line))
}

/// The settings of environment variables; those that are not named like a setting are passed over.
pub(super) fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Layer {
    let entry = |(name, value): (String, String)| {
        let key = key_of_variable(&name)?;
        let raw = Raw::Bare(value);
        let origin = Origin::Environment(name);
        Some((key, Entry { raw, origin }))
    };
    variables.filter_map(entry).collect()
}

/// The settings of flags.
pub(super) fn from_overrides(overrides: impl IntoIterator<Item = Override>) -> Layer {
    let entry = |set: Override| {
        let raw = Raw::Bare(set.value);
        let origin = Origin::Flag(set.flag.to_owned());
        (set.key.to_owned(), Entry { raw, origin })
    };
    overrides.into_iter().map(entry).collect()
}

/// `TIDINGS_LOG__EMBEDDED__FSYNC` → `log.embedded.fsync`. Below PROPERTIES a `_` stands for a dot, below HEADERS for `-`. Names
/// without `__` are not settings: TIDINGS_SERVER and TIDINGS_TOKEN are the client's, and Kubernetes sets TIDINGS_PORT and its like.
fn key_of_variable(name: &str) -> Option<String> {
    let path = name.strip_prefix("TIDINGS_")?.to_ascii_lowercase();
    if !path.contains("__") {
        return None;
    }
    let path = path.replace("__", ".");
    for (table, stands_for) in [(".properties.", "."), (".headers.", "-")] {
        if let Some((section, name)) = path.split_once(table) {
            return Some(format!("{section}{table}{}", name.replace('_', stands_for)));
        }
    }
    Some(path)
}

fn flatten(prefix: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Origin, layer: &mut Layer) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        if let DeValue::Table(inner) = value.get_ref()
            && !inner.is_empty()
        {
            flatten(&format!("{key}."), inner, place, layer);
        } else {
            let raw = raw(value, place);
            let origin = place(name.span().start);
            layer.insert(key, Entry { raw, origin });
        }
    }
}

fn raw(value: &Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Origin) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other("an integer of more than 64 bits"),
        },
        DeValue::Array(items) => (tables(items.iter(), place).map(Raw::Tables))
            .or_else(|| texts(items.iter()).map(Raw::List))
            .unwrap_or(Raw::Other("an array")),
        DeValue::Table(_) => Raw::EmptyTable,
        DeValue::Float(digits) => digits.as_str().parse().map_or(Raw::Other("a float"), Raw::Float),
        DeValue::Datetime(_) => Raw::Other("a date"),
    }
}

fn texts<'v, 'i: 'v>(items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>) -> Option<Vec<String>> {
    items.map(|item| Some(item.get_ref().as_str()?.to_owned())).collect()
}

fn tables<'v, 'i: 'v>(
    items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>,
    place: &dyn Fn(usize) -> Origin,
) -> Option<Vec<Layer>> {
    let layer_of = |item: &Spanned<DeValue<'_>>| {
        let mut layer = Layer::new();
        flatten("", item.get_ref().as_table()?, place, &mut layer);
        layer.insert(
            String::new(),
            Entry {
                raw: Raw::EmptyTable,
                origin: place(item.span().start),
            },
        );
        Some(layer)
    };
    items.map(layer_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_keys() {
        for (name, key) in [
            ("TIDINGS_SERVER__LISTEN", Some("server.listen")),
            (
                "TIDINGS_LOG__EMBEDDED__JOURNAL_BYTES",
                Some("log.embedded.journal_bytes"),
            ),
            (
                "TIDINGS_LOG__KAFKA__PROPERTIES__SASL_PASSWORD",
                Some("log.kafka.properties.sasl.password"),
            ),
            (
                "TIDINGS_TELEMETRY__OTLP__HEADERS__X_API_KEY",
                Some("telemetry.otlp.headers.x-api-key"),
            ),
            ("TIDINGS_SERVER", None),
            ("TIDINGS_PORT_4480_TCP_ADDR", None),
            ("PATH", None),
        ] {
            assert_eq!(key_of_variable(name).as_deref(), key, "{name}");
        }
    }

    #[test]
    fn every_syntax_fault_has_its_line() {
        let faults = from_toml("a = 1\nb =\n\nc = [\n", |line| Origin::file(Path::new("f"), line)).expect_err("faults");
        assert_eq!(faults[0].origin, Origin::file(Path::new("f"), 2));
        assert!(faults.len() >= 2, "{faults:?}");
    }
}
