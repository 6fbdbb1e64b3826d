//! Pages: the token is the name after which the next page begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    bus::SnapshotName,
    error::{Error, Reason, Result},
};

const DEFAULT: usize = 100;
const MAX: usize = 1_000;

/// How many, and after which name.
pub(super) struct Page {
    pub(super) size: usize,
    pub(super) after: Option<String>,
}

impl Page {
    /// Size 0 is 100; more than 1,000 is 1,000.
    pub(super) fn new(size: i32, token: &str) -> Result<Self> {
        let size = match usize::try_from(size) {
            Ok(0) => DEFAULT,
            Ok(size) => size.min(MAX),
            Err(_) => return Err(fault("page_size", "is not negative")),
        };
        if token.is_empty() {
            return Ok(Self { size, after: None });
        }
        let name = URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let after = name.ok_or_else(not_ours)?;
        Ok(Self {
            size,
            after: Some(after),
        })
    }

    /// Cuts a list that has one more than the page, and gives the token of the next page.
    pub(super) fn cut<T>(&self, items: &mut Vec<T>, name: impl Fn(&T) -> &str) -> String {
        let more = items.len() > self.size;
        items.truncate(self.size);
        match items.last() {
            Some(last) if more => token(name(last)),
            _ => String::new(),
        }
    }

    /// The offset before which the page begins.
    pub(super) fn before(&self) -> Result<Option<i64>> {
        let offset = |text: &String| text.parse().map_err(|_| not_ours());
        self.after.as_ref().map(offset).transpose()
    }

    /// The snapshot behind which the page begins.
    pub(super) fn after_snapshot(&self) -> Result<Option<SnapshotName>> {
        let name = |text: &String| match text.parse::<SnapshotName>() {
            Ok(name) if name.id.is_some() => Ok(name),
            _ => Err(not_ours()),
        };
        self.after.as_ref().map(name).transpose()
    }
}

/// The token of the page behind this name, or before this offset.
pub(super) fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

fn not_ours() -> Error {
    fault("page_token", "is not one that this service gave")
}

fn fault(field: &str, rule: &str) -> Error {
    Error::fault(Reason::PageInvalid, field, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_and_others_are_refused() {
        let page = Page::new(2, "").expect("valid");
        let mut names = vec!["a", "b", "c"];
        let token = page.cut(&mut names, |name| name);
        assert_eq!(names, ["a", "b"]);
        assert_eq!(Page::new(0, &token).expect("valid").after.as_deref(), Some("b"));
        let mut last = vec!["c"];
        assert_eq!(page.cut(&mut last, |name| name), "");
        assert_eq!(Page::new(i32::MAX, "").expect("valid").size, MAX);
        for (size, token) in [(-1, ""), (1, "!"), (1, "_w")] {
            assert_eq!(
                Page::new(size, token).err().map(|error| error.reason()),
                Some(Reason::PageInvalid)
            );
        }
    }
}
