//! `[[auth.policies]]`: which principals may do what.

use super::{layer::Raw, reader::Reader, setting::Setting};
use crate::name::{Pattern, Verb, tenant::TENANT};

/// One of `[[auth.policies]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub principals: Vec<String>,
    pub claims: Vec<(String, String)>,
    /// `None` = whatever the tenant, and those of none.
    pub tenants: Option<Vec<String>>,
    pub verbs: Vec<Verb>,
    pub topics: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    pub checkpoints: Vec<Pattern>,
}

pub(super) fn read(reader: &mut Reader, key: &str) -> Vec<Policy> {
    let tables = reader.take_tables(key);
    let mut policies = Vec::new();
    for mut table in tables {
        policies.extend(policy(&mut table));
        reader.finish_table(table);
    }
    policies
}

fn policy(table: &mut Reader) -> Option<Policy> {
    let principals: Vec<String> = table.optional("principals").unwrap_or_default();
    let tenants = table.optional::<Vec<String>>("tenants");
    let verbs = table.require::<Vec<Verb>>("verbs");
    let [topics, groups, checkpoints] = ["topics", "groups", "checkpoints"].map(|key| patterns(table, key));
    // Last, as what is shown of them is a table of its own.
    let claims = table.take_all::<String>("claims", |_| None);
    let is_for_some = !principals.is_empty() || !claims.is_empty() || tenants.is_some();
    table.demand(
        "principals",
        is_for_some,
        "claims or tenants must say who; [\"*\"] is everybody who is known",
    );
    table.demand(
        "verbs",
        verbs.as_ref().is_none_or(|verbs| !verbs.is_empty()),
        "must not be empty",
    );
    let is_on_some = !topics.is_empty() || !groups.is_empty() || !checkpoints.is_empty();
    table.demand(
        "topics",
        is_on_some,
        "groups or checkpoints must say with what; [\"**\"] is all",
    );
    Some(Policy {
        principals,
        claims,
        tenants,
        verbs: verbs?,
        topics,
        groups,
        checkpoints,
    })
}

fn patterns(table: &mut Reader, key: &str) -> Vec<Pattern> {
    let patterns = table.optional::<Vec<Pattern>>(key).unwrap_or_default();
    let has_both = |pattern: &Pattern| pattern.as_str().starts_with("re:") && pattern.as_str().contains(TENANT);
    let rule = "have no {tenant} in a regular expression";
    table.demand(key, !patterns.iter().any(has_both), rule);
    patterns
}

impl Setting for Verb {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = String::read(raw)?;
        let known = Self::ALL.iter().find(|(word, _)| *word == text);
        known.map(|(_, verb)| *verb).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}, not {text:?}", words.join(", "))
        })
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}
