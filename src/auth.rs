//! Who calls, and what they may. Plain values; what lies in files and on servers is handed in.
//!
//! ```text
//! token ──▶ Identity ──▶ Tokens (by digest) | Issuer (signature, claims) ──▶ Principal
//! names of a certificate ──────────────────────────────────────────────────▶ Principal ──▶ Policies ──▶ Rights
//! ```

mod principal;
mod tokens;
mod keys;
mod jwt;
mod identity;
mod policy;
mod wildcard;
mod quota;
mod ration;

pub use identity::{Identity, Known, expired, invalid};
pub use jwt::{Algorithm, Issuer, IssuerRules};
pub use keys::KeyRing;
pub use policy::{Policies, Policy, Rights};
pub use principal::{Claims, Principal};
pub use quota::{Allowance, Meters, Place, Quota, Quotas, Who};
pub use ration::Ration;
pub use tokens::{Digest, Owner, Tokens};
pub use wildcard::Wildcard;

use std::sync::Arc;

use tokio::sync::watch;

/// Who is known, and what they may.
pub struct Access {
    pub identity: Identity,
    pub policies: Policies,
    pub quotas: Quotas,
}

/// What is in force, which changes while the server runs.
#[derive(Clone)]
pub struct Auth {
    current: watch::Receiver<Arc<Access>>,
    meters: Arc<Meters>,
}

impl Auth {
    pub fn new(current: watch::Receiver<Arc<Access>>) -> Self {
        let meters = Arc::default();
        Self { current, meters }
    }

    pub fn now(&self) -> Arc<Access> {
        Arc::clone(&self.current.borrow())
    }

    /// What a principal has to keep now.
    pub fn allowance(&self, principal: &Principal) -> Allowance {
        self.current.borrow().quotas.of(principal, &self.meters)
    }

    /// What was used of quotas, whatever is in force.
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    /// Told of each change.
    pub fn changes(&self) -> watch::Receiver<Arc<Access>> {
        self.current.clone()
    }
}
