//! Static tokens, known by their SHA-256 alone.

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use crate::name::Tenant;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// Who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub tenant: Option<Tenant>,
}

/// Who has which token. A search by digest takes as long for a wrong one as it does for one that is nearly right: whoever tries
/// cannot choose the digest.
#[derive(Default)]
pub struct Tokens(FxHashMap<Digest, Owner>);

impl Tokens {
    pub fn new(tokens: impl IntoIterator<Item = (Digest, Owner)>) -> Self {
        Self(tokens.into_iter().collect())
    }

    /// Whose it is.
    pub(super) fn owner(&self, digest: &Digest) -> Option<&Owner> {
        self.0.get(digest)
    }
}
