//! Names of checkpoints, and of one generation of them.

use std::{fmt, sync::Arc};

use super::bad_character;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};

/// A checkpoint's name: 1 to 200 of `[A-Za-z0-9._-]`, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointName(Arc<str>);

impl CheckpointName {
    pub const MAX_LEN: usize = 200;

    /// `field` is where it was given.
    pub fn new(name: &str, field: &str) -> Result<Self> {
        let rule = if name.is_empty() {
            Some("a checkpoint's name must not be empty".to_owned())
        } else if name.len() > Self::MAX_LEN {
            Some(format!("a checkpoint's name has at most {} characters", Self::MAX_LEN))
        } else if name == "." || name == ".." {
            Some("a checkpoint cannot be called . or ..".to_owned())
        } else {
            bad_character(name).map(|c| format!("a checkpoint's name is made of A-Z a-z 0-9 . _ -, not of {c:?}"))
        };
        match rule {
            None => Ok(Self(name.into())),
            Some(rule) => Err(Error::fault(Reason::RequestInvalid, field, rule)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A checkpoint as it is named: `name` is its newest generation, `name@7` its seventh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CheckpointRef {
    pub name: CheckpointName,
    /// `None` = the newest.
    pub generation: Option<u64>,
}

impl CheckpointRef {
    pub fn new(text: &str, field: &str) -> Result<Self> {
        let (name, generation) = match text.split_once('@') {
            None => (text, None),
            Some((name, number)) => {
                let rule = "behind @ stands a generation, a whole number from 1";
                let number = number.parse().ok().filter(|number| *number > 0);
                (
                    name,
                    Some(number.ok_or_else(|| Error::fault(Reason::RequestInvalid, field, rule))?),
                )
            }
        };
        let name = CheckpointName::new(name, field)?;
        Ok(Self { name, generation })
    }
}

impl From<CheckpointRef> for String {
    fn from(reference: CheckpointRef) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for CheckpointRef {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(&text, "checkpoint")
    }
}

impl fmt::Display for CheckpointRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            None => write!(f, "{}", self.name),
            Some(generation) => write!(f, "{}@{generation}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_lead_nowhere() {
        assert!(CheckpointName::new(&"c".repeat(200), "name").is_ok());
        for bad in ["", ".", "..", "a/b", "../a", "a b", "a@1", "ä", "a\0", &"c".repeat(201)] {
            let error = CheckpointName::new(bad, "name").expect_err(bad);
            assert_eq!(error.field_faults()[0].field, "name");
        }
    }

    #[test]
    fn a_generation_stands_behind_the_name() {
        let newest = CheckpointRef::new("a.b", "start.checkpoint").expect("valid");
        assert_eq!((newest.to_string(), newest.generation), ("a.b".to_owned(), None));
        let seventh = CheckpointRef::new("a@7", "start.checkpoint").expect("valid");
        assert_eq!((seventh.to_string(), seventh.generation), ("a@7".to_owned(), Some(7)));
        for bad in ["a@", "a@0", "a@-1", "a@b", "@1", "a@1@2", "a@18446744073709551616"] {
            assert!(CheckpointRef::new(bad, "start.checkpoint").is_err(), "{bad}");
        }
    }
}
