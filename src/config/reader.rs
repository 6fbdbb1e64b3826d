//! Takes typed settings out of the layers and collects every fault on the way.

use std::{collections::BTreeSet, fmt::Display};

use super::{
    fault::{ConfigFault, Origin},
    layer::{Entry, Layer, Raw},
    setting::Setting,
};

/// Key prefixes that are fixed for later versions.
const LATER: [&str; 1] = ["conventions"];

/// Arrays of tables.
const TABLES: [&str; 8] = [
    "routes",
    "delivery.groups",
    "snapshots.schedule",
    "auth.tokens",
    "auth.issuers",
    "auth.policies",
    "auth.quotas",
    "tenants.shared",
];

/// What is in force for one key, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub key: String,
    /// As TOML.
    pub value: String,
    pub origin: Origin,
}

/// Settings being read. A faulty one is reported and its default taken, so that all others are read too.
pub(super) struct Reader {
    prefix: String,
    defaults: Layer,
    given: Layer,
    taken: BTreeSet<String>,
    pub(super) faults: Vec<ConfigFault>,
    pub(super) effective: Vec<Effective>,
}

impl Reader {
    pub(super) fn new(defaults: Layer, given: Layer) -> Self {
        Self {
            prefix: String::new(),
            defaults,
            given,
            taken: BTreeSet::new(),
            faults: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// A setting that has a default.
    pub(super) fn take<T: Setting>(&mut self, key: &str) -> T {
        match self.optional(key) {
            Some(value) => value,
            None => {
                let default = self.defaults.get(key).map(|entry| T::read(&entry.raw));
                let value = default
                    .and_then(Result::ok)
                    .expect("default.toml has a valid value for every key; tested");
                self.note(key, &value, Origin::Default);
                value
            }
        }
    }

    /// A setting whose default depends on others.
    pub(super) fn take_or<T: Setting>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or_else(|| {
            self.note(key, &default, Origin::Default);
            default
        })
    }

    /// All settings below `section`, whatever their names, without those that break a rule.
    pub(super) fn take_all<T: Setting>(
        &mut self,
        section: &str,
        rule: impl Fn(&str) -> Option<String>,
    ) -> Vec<(String, T)> {
        let below: Vec<String> = self.given.keys().filter(|key| lies_in(key, section)).cloned().collect();
        let mut settings = Vec::new();
        for key in below {
            let name = &key[section.len() + 1..];
            match (rule(name), self.optional(&key)) {
                (None, Some(value)) => settings.push((name.to_owned(), value)),
                (None, None) => {}
                (Some(rule), _) => self.fault(self.origin(&key), &key, rule),
            }
        }
        settings
    }

    /// A setting without a default that must be there; `None` was reported.
    pub(super) fn require<T: Setting>(&mut self, key: &str) -> Option<T> {
        if !self.given.contains_key(key) {
            let section = self.given.get("").map_or(Origin::Default, |entry| entry.origin.clone());
            self.fault(section, key, "is missing");
        }
        self.optional(key)
    }

    /// A setting that may be absent; a faulty one was reported.
    pub(super) fn optional<T: Setting>(&mut self, key: &str) -> Option<T> {
        self.taken.insert(key.to_owned());
        let Entry { raw, origin } = self.given.get(key)?.clone();
        match T::read(&raw) {
            Ok(value) => {
                self.note(key, &value, origin);
                Some(value)
            }
            Err(rule) => {
                self.fault(origin, key, rule);
                None
            }
        }
    }

    /// A setting that must keep a rule; where it does not, the fault is reported.
    pub(super) fn take_if<T: Setting + Copy>(&mut self, key: &str, holds: impl Fn(T) -> bool, rule: impl Display) -> T {
        let value = self.take::<T>(key);
        if !holds(value) {
            let origin = self.origin(key);
            self.fault(origin, key, format!("must be {rule}, not {}", value.show()));
        }
        value
    }

    /// Reports `key` if a rule that needs several settings does not hold.
    pub(super) fn demand(&mut self, key: &str, holds: bool, rule: impl Display) {
        if !holds {
            let origin = self.origin(key);
            self.fault(origin, key, rule);
        }
    }

    /// The readers of an array of tables; hand each back to [`Self::finish_table`].
    pub(super) fn take_tables(&mut self, key: &str) -> Vec<Self> {
        self.taken.insert(key.to_owned());
        let tables = match self.given.get(key).cloned() {
            Some(Entry {
                raw: Raw::Tables(tables),
                ..
            }) => tables,
            Some(Entry { origin, .. }) => {
                self.fault(origin, key, format!("must be an array of tables: [[{key}]]"));
                Vec::new()
            }
            None => Vec::new(),
        };
        let reader = |(index, table)| Self {
            prefix: format!("{key}[{index}]."),
            ..Self::new(Layer::new(), table)
        };
        tables.into_iter().enumerate().map(reader).collect()
    }

    pub(super) fn finish_table(&mut self, mut table: Self) {
        table.refuse_the_rest();
        self.faults.append(&mut table.faults);
        self.effective.append(&mut table.effective);
    }

    /// Reports what was set and never taken.
    pub(super) fn refuse_the_rest(&mut self) {
        let rest: Vec<(String, Entry)> = self
            .given
            .clone()
            .into_iter()
            .filter(|(key, _)| !self.is_known(key))
            .collect();
        for (key, entry) in rest {
            let rule = self.refusal(&key);
            self.fault(entry.origin, &key, rule);
        }
    }

    fn is_known(&self, key: &str) -> bool {
        let is_section = || self.taken.iter().any(|taken| lies_in(taken, key));
        self.taken.contains(key) || key.is_empty() || (matches!(self.given[key].raw, Raw::EmptyTable) && is_section())
    }

    fn refusal(&self, key: &str) -> String {
        let full = format!("{}{key}", self.prefix);
        if LATER.iter().any(|later| full == *later || lies_in(&full, later)) {
            "not supported by this version".to_owned()
        } else if let Some(tables) = TABLES.iter().find(|tables| lies_in(key, tables)) {
            format!("{tables} come from the file only")
        } else if self.taken.iter().any(|taken| lies_in(taken, key)) {
            "is a section, not a value".to_owned()
        } else {
            "unknown key; `tidings config default` lists all".to_owned()
        }
    }

    fn origin(&self, key: &str) -> Origin {
        self.given
            .get(key)
            .map_or(Origin::Default, |entry| entry.origin.clone())
    }

    fn note(&mut self, key: &str, value: &impl Setting, origin: Origin) {
        let key = format!("{}{key}", self.prefix);
        let value = value.show();
        self.effective.push(Effective { key, value, origin });
    }

    fn fault(&mut self, origin: Origin, key: &str, rule: impl Display) {
        let key = format!("{}{key}", self.prefix);
        let rule = rule.to_string();
        self.faults.push(ConfigFault { origin, key, rule });
    }
}

/// Whether `key` is below `section`.
fn lies_in(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}
