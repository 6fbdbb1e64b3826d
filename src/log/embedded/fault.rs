//! The log's errors, from what failed and where.

use std::{io, path::Path};

use crate::error::{Error, Reason, Result};

/// Says what was being done to which file.
pub(crate) trait At<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| failed(&format!("{doing} {}", path.display()), error))
    }
}

/// A call of the operating system failed.
pub(crate) fn failed(doing: &str, error: io::Error) -> Error {
    let reason = if is_full(&error) {
        Reason::LogFull
    } else {
        Reason::LogUnavailable
    };
    Error::new(reason, format!("{doing}: {error}")).caused_by(error)
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// What is stored is not what was written.
pub(crate) fn damaged(path: &Path, place: u64, what: &str) -> Error {
    Error::new(
        Reason::LogDamaged,
        format!("{} is damaged at byte {place}: {what}", path.display()),
    )
}

/// What must be there is not.
pub(crate) fn missing(path: &Path) -> Error {
    Error::new(Reason::LogDamaged, format!("{} is missing", path.display()))
}

pub(crate) fn closed() -> Error {
    Error::new(Reason::LogUnavailable, "the log is closed")
}

/// The same error again, for another caller.
pub(crate) fn again(error: &Error) -> Error {
    Error::new(error.reason(), error.text())
}
