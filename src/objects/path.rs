//! Paths of objects: names with slashes between them, whatever the names are made of.

use std::fmt;

use object_store::path::Path;

/// Where an object lies in its store. A name cannot lead elsewhere: what means something to a file system or in a URL, such as
/// `..` or `/`, is written in another way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectPath(Path);

impl ObjectPath {
    /// The first name.
    pub fn new(name: &str) -> Self {
        Self(Path::from_iter([name]))
    }

    /// One level further down.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self(self.0.clone().join(name))
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.0.filename().unwrap_or_default()
    }

    pub(super) fn of(path: Path) -> Self {
        Self(path)
    }

    pub(super) fn inner(&self) -> Path {
        self.0.clone()
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        for (name, shown) in [
            ("orders", "a/orders"),
            ("..", "a/%2E%2E"),
            (".", "a/%2E"),
            ("../../etc/passwd", "a/..%2F..%2Fetc%2Fpasswd"),
            ("b/c", "a/b%2Fc"),
        ] {
            assert_eq!(ObjectPath::new("a").join(name).to_string(), shown);
        }
    }
}
