//! `SnapshotName`: how clients name a snapshot: a topic, `@` and an id, or a topic alone for its newest.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Reason},
    name::Topic,
};

/// Of one snapshot, or the newest of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SnapshotName {
    pub topic: Topic,
    /// `None` = the newest.
    pub id: Option<String>,
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for SnapshotName {
    type Err = String;

    /// `Err` is the rule that it breaks.
    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, id) = match text.split_once('@') {
            None => (text, None),
            Some((topic, id)) => (topic, Some(id)),
        };
        let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if id.is_some_and(|id| !is_id(id)) {
            return Err("is a topic, or a topic, @ and 32 hexadecimal digits".to_owned());
        }
        let topic = Topic::new(topic).map_err(|error| {
            let rules = error.field_faults().first();
            rules.map_or_else(String::new, |fault| fault.rule.clone())
        })?;
        Ok(Self {
            topic,
            id: id.map(str::to_owned),
        })
    }
}

impl SnapshotName {
    pub(super) fn of(topic: &Topic, id: &str) -> Self {
        Self {
            topic: topic.clone(),
            id: Some(id.to_owned()),
        }
    }

    pub(super) fn not_found(&self) -> Error {
        let text = match &self.id {
            Some(_) => format!(
                "there is no snapshot {self}; list them with: tidings snapshots list {}",
                self.topic
            ),
            None => format!(
                "topic {topic} has no snapshot; take one with: tidings snapshots create {topic}",
                topic = self.topic
            ),
        };
        Error::new(Reason::SnapshotNotFound, text).resource("snapshot", &self.to_string())
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{}@{id}", self.topic),
            None => write!(f, "{}", self.topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown_and_nothing_leads_elsewhere() {
        let id = "0192f0c1a2b37c4d8e5f60718293a4b5";
        for text in ["orders", &format!("io.shop.orders.resource@{id}")] {
            assert_eq!(text.parse::<SnapshotName>().expect(text).to_string(), text);
        }
        for bad in [
            "",
            "@",
            "orders@",
            "orders@latest",
            "..",
            "../orders",
            "a/b",
            &format!("@{id}"),
            &format!("..@{id}"),
            &format!("orders@../{}", &id[3..]),
            &format!("orders@{}", id.to_uppercase()),
            &format!("orders@{id}@{id}"),
        ] {
            assert!(bad.parse::<SnapshotName>().is_err(), "{bad}");
        }
    }
}
