//! Who calls: credentials become principals. Plain values; what lies in files and on servers is handed in.
//!
//! ```text
//! token ──▶ Identity ──▶ Tokens (by digest) | Issuer (signature, claims) ──▶ Principal
//! names of a certificate ──────────────────────────────────────────────────▶ Principal
//! ```

mod principal;
mod tokens;
mod keys;
mod jwt;
mod identity;

pub use identity::{Identity, Known, expired, invalid};
pub use jwt::{Algorithm, Issuer, IssuerRules};
pub use keys::KeyRing;
pub use principal::{Claims, Principal};
pub use tokens::{Digest, Tokens};

use std::sync::Arc;

use tokio::sync::watch;

/// What is in force, which changes while the server runs.
#[derive(Clone)]
pub struct Auth(watch::Receiver<Arc<Identity>>);

impl Auth {
    pub fn new(current: watch::Receiver<Arc<Identity>>) -> Self {
        Self(current)
    }

    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.0.borrow())
    }

    /// Told of each change.
    pub fn changes(&self) -> watch::Receiver<Arc<Identity>> {
        self.0.clone()
    }
}
