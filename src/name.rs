//! Names that can only be made valid: topics, groups, checkpoints and tenants.

mod checkpoint;
pub mod pattern;
mod scope;
mod selector;
pub mod template;
mod tenancy;
pub mod tenant;
mod tenant_within;
mod verb;

pub use checkpoint::{CheckpointName, CheckpointRef};
pub use pattern::Pattern;
pub use scope::Scope;
pub use selector::{Selector, Selectors};
pub use tenancy::{Keys, Shared, Tenancy};
pub use tenant::{RouteTopic, Tenant, TenantPattern};
pub use tenant_within::TenantWithin;
pub use verb::Verb;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::{Error, Fault, Reason, Result};

/// A topic's name: 1 to 249 of `[A-Za-z0-9._-]`, and neither `.` nor `..` (Kafka's rule).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    pub const MAX_LEN: usize = 249;

    pub fn new(name: &str) -> Result<Self> {
        match Self::fault_in(name) {
            None => Ok(Self(name.into())),
            Some(rule) => Err(Error::faults(Reason::TopicInvalid, vec![Fault::new("topic", rule)])),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bus's own topics, and Kafka's: not for clients to publish to, nor matched by patterns.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with("tidings.") || self.0.starts_with("__")
    }

    fn fault_in(name: &str) -> Option<String> {
        if name.is_empty() {
            return Some("a topic's name must not be empty".into());
        }
        if name.len() > Self::MAX_LEN {
            return Some(format!(
                "a topic's name has at most {} characters; this has {}",
                Self::MAX_LEN,
                name.chars().count()
            ));
        }
        if name == "." || name == ".." {
            return Some("a topic cannot be called . or ..".into());
        }
        bad_character(name).map(|c| format!("a topic's name is made of A-Z a-z 0-9 . _ -, not of {c:?}"))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group's name: 1 to 200 of `[A-Za-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(Arc<str>);

impl Group {
    pub const MAX_LEN: usize = 200;

    pub fn new(name: &str) -> Result<Self> {
        let rule = if name.is_empty() {
            Some("a group's name must not be empty".to_owned())
        } else if name.len() > Self::MAX_LEN {
            Some(format!("a group's name has at most {} characters", Self::MAX_LEN))
        } else {
            bad_character(name).map(|c| format!("a group's name is made of A-Z a-z 0-9 . _ -, not of {c:?}"))
        };
        match rule {
            None => Ok(Self(name.into())),
            Some(rule) => Err(Error::fault(Reason::GroupInvalid, "group", rule)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn bad_character(name: &str) -> Option<char> {
    name.chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafka() {
        let longest = "a".repeat(249);
        for good in ["a", "io.shop.orders.resource", "A_b-c.9", "...", longest.as_str()] {
            assert!(Topic::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "ä", "a b", &"a".repeat(250)] {
            let error = Topic::new(bad).expect_err(bad);
            assert_eq!(error.reason(), Reason::TopicInvalid);
            assert_eq!(error.field_faults()[0].field, "topic");
        }
    }

    #[test]
    fn group_names_are_bounded() {
        assert!(Group::new(&"g".repeat(200)).is_ok());
        for bad in ["", "a b", "a/b", &"g".repeat(201)] {
            assert_eq!(Group::new(bad).expect_err(bad).reason(), Reason::GroupInvalid);
        }
    }
}
