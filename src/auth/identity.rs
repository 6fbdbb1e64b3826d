//! Identity: from what a caller shows to a principal, or to a refusal that tells an attacker nothing.

use std::{sync::Arc, time::SystemTime};

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::Value;

use super::{Claims, Digest, Issuer, Owner, Principal, Tokens, jwt::Refused, principal::Credential};
use crate::{
    error::{Error, Reason, Result},
    name::{Tenant, TenantWithin},
};

/// Longer tokens are refused unread.
const LONGEST_TOKEN: usize = 8 * 1024;

/// Everybody who is known, and how they show it.
#[derive(Default)]
pub struct Identity {
    pub tokens: Tokens,
    pub issuers: Vec<Arc<Issuer>>,
    /// Whether names in certificates count.
    pub certificates: bool,
    /// How such a name says of which tenant it is; `None` = of none.
    pub certificate_tenant: Option<TenantWithin>,
}

/// Whether a principal that was known still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Still,
    Expired,
    NoMore,
}

impl Identity {
    /// Whose token it is.
    pub async fn by_token(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>> {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(invalid());
        }
        if let Some(principal) = self.by_digest(Digest::of(token)) {
            return Ok(Arc::new(principal));
        }
        let issuer = self.issuer_of(token).ok_or_else(invalid)?;
        issuer.principal(token, now).await.map_err(|refused| match refused {
            Refused::Invalid | Refused::UnknownKey => invalid(),
            Refused::Expired => expired(),
            Refused::NoKeys => unavailable(),
        })
    }

    /// Whose certificate it is, by the names in it that were verified.
    pub fn by_certificate(&self, uris: &[String], hosts: &[String]) -> Option<Principal> {
        let name = uris.first().or(hosts.first()).filter(|_| self.certificates)?;
        let tenant = self.tenant_of(name).ok()?;
        let list = |names: &[String]| Value::from(names.to_vec());
        Some(Principal {
            name: format!("certificate:{name}"),
            claims: Claims::from_iter([("uri".to_owned(), list(uris)), ("dns".to_owned(), list(hosts))]),
            tenant,
            credential: Credential::Certificate(name.clone()),
            holds_until: None,
            expires: None,
        })
    }

    /// Whether it would be known again.
    pub fn knows(&self, principal: &Principal, now: SystemTime) -> Known {
        let is_known = match &principal.credential {
            Credential::Token(digest) => self.by_digest(*digest).is_some_and(|same| is_same(&same, principal)),
            Credential::Issuer(rules) => self.issuers.iter().any(|issuer| issuer.rules() == &**rules),
            Credential::Certificate(name) => {
                self.certificates && self.tenant_of(name).is_ok_and(|tenant| tenant == principal.tenant)
            }
        };
        match principal.holds_until {
            _ if !is_known => Known::NoMore,
            Some(end) if now >= end => Known::Expired,
            _ => Known::Still,
        }
    }

    /// Of which tenant a name in a certificate is; `Err` if it does not say so and should.
    fn tenant_of(&self, name: &str) -> Result<Option<Tenant>, ()> {
        match &self.certificate_tenant {
            None => Ok(None),
            Some(within) => within.tenant_in(name).map(Some).ok_or(()),
        }
    }

    fn by_digest(&self, digest: Digest) -> Option<Principal> {
        let Owner { name, tenant } = self.tokens.owner(&digest)?;
        Some(Principal {
            name: format!("token:{name}"),
            tenant: tenant.clone(),
            claims: Claims::new(),
            credential: Credential::Token(digest),
            holds_until: None,
            expires: None,
        })
    }

    /// The one that the token says, which nobody has proved yet.
    fn issuer_of(&self, token: &str) -> Option<&Arc<Issuer>> {
        let claims: Claims = insecure_decode_claims(token).ok()?;
        let named = claims.get("iss")?.as_str()?;
        self.issuers.iter().find(|issuer| issuer.rules().issuer == named)
    }
}

fn is_same(one: &Principal, other: &Principal) -> bool {
    one.name == other.name && one.tenant == other.tenant
}

/// No token, a bad one, or nobody's: callers are told no more.
pub fn invalid() -> Error {
    Error::new(
        Reason::TokenInvalid,
        "who calls is not known: each call needs a good token, `authorization: Bearer TOKEN`, or a certificate that is known",
    )
}

pub fn expired() -> Error {
    Error::new(Reason::TokenExpired, "the token has expired")
}

fn unavailable() -> Error {
    let text = "who calls cannot be told now: the server has no keys of the token's issuer yet";
    Error::new(Reason::IdentityUnavailable, text).retry_after(std::time::Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(within: Option<&str>, uri: &str) -> Option<(Identity, Principal)> {
        let identity = Identity {
            certificates: true,
            certificate_tenant: within.map(|text| TenantWithin::new(text).expect("valid")),
            ..Identity::default()
        };
        let principal = identity.by_certificate(&[uri.to_owned()], &["acme.example.com".to_owned()])?;
        Some((identity, principal))
    }

    #[test]
    fn a_certificate_is_of_the_tenant_in_its_name() {
        let uri = "spiffe://shop/acme/billing";
        let tenant = |shown: &(Identity, Principal)| shown.1.tenant().map(ToString::to_string);
        let of_acme = shown(Some("spiffe://shop/{tenant}/*"), uri).expect("known");
        assert_eq!(tenant(&of_acme), Some("acme".to_owned()));
        let of_none = shown(None, uri).expect("known");
        assert_eq!(tenant(&of_none), None);
        // Who should say it and does not is nobody.
        assert!(shown(Some("spiffe://shop/{tenant}/*"), "spiffe://other/acme/billing").is_none());
        // Whose tenant is another one after a change is not who it was.
        let now = SystemTime::now();
        assert_eq!(of_acme.0.knows(&of_acme.1, now), Known::Still);
        assert_eq!(of_none.0.knows(&of_acme.1, now), Known::NoMore);
        assert_eq!(of_acme.0.knows(&of_none.1, now), Known::NoMore);
    }

    #[test]
    fn a_token_whose_tenant_is_another_now_is_not_what_it_was() {
        let identity = |tenant: &str| Identity {
            tokens: Tokens::new([(
                Digest::of("secret"),
                Owner {
                    name: "a".to_owned(),
                    tenant: Tenant::new(tenant),
                },
            )]),
            ..Identity::default()
        };
        let principal = identity("acme").by_digest(Digest::of("secret")).expect("known");
        let now = SystemTime::now();
        assert_eq!(identity("acme").knows(&principal, now), Known::Still);
        assert_eq!(identity("beta").knows(&principal, now), Known::NoMore);
        assert_eq!(identity("").knows(&principal, now), Known::NoMore);
    }
}
