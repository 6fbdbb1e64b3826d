//! Static tokens, known by their SHA-256 alone.

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// Who has which token. A search by digest takes as long for a wrong one as it does for one that is nearly right: whoever tries
/// cannot choose the digest.
#[derive(Default)]
pub struct Tokens(FxHashMap<Digest, String>);

impl Tokens {
    pub fn new(tokens: impl IntoIterator<Item = (Digest, String)>) -> Self {
        Self(tokens.into_iter().collect())
    }

    /// Whose it is.
    pub(super) fn owner(&self, digest: &Digest) -> Option<&str> {
        self.0.get(digest).map(String::as_str)
    }
}
