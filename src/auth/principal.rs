//! A principal: who calls, how they showed it, and for how long that holds.

use std::{fmt, sync::Arc, time::SystemTime};

use super::{Digest, IssuerRules};
use crate::name::Tenant;

/// What is known of a principal beside its name: the claims of its token, the names in its certificate.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Who calls.
pub struct Principal {
    pub(super) name: String,
    pub(super) claims: Claims,
    pub(super) tenant: Option<Tenant>,
    pub(super) credential: Credential,
    pub(super) holds_until: Option<SystemTime>,
    pub(super) expires: Option<SystemTime>,
}

/// How it was shown.
pub(super) enum Credential {
    Token(Digest),
    /// As the issuer's tokens had to be.
    Issuer(Arc<IssuerRules>),
    /// By this name in it.
    Certificate(String),
}

impl Principal {
    /// `token:billing`, `certificate:spiffe://shop/billing`, `keycloak:alice`: by its source, so that none can pass for another's.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Of which tenant it is, as its credential says; `None` = of none.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// When its token expires; `None` = never.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Until when it is taken: later than it expires, by as much as clocks may be apart.
    pub fn holds_until(&self) -> Option<SystemTime> {
        self.holds_until
    }
}

/// The claim of this name, or, as a path, one within others.
pub(super) fn claim<'a>(claims: &'a Claims, path: &str) -> Option<&'a serde_json::Value> {
    let within = || {
        let mut names = path.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    };
    claims.get(path).or_else(within)
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
