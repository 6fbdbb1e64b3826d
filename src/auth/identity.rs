//! Identity: from what a caller shows to a principal, or to a refusal that tells an attacker nothing.

use std::{sync::Arc, time::SystemTime};

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::Value;

use super::{Claims, Digest, Issuer, Principal, Tokens, jwt::Refused, principal::Credential};
use crate::error::{Error, Reason, Result};

/// Longer tokens are refused unread.
const LONGEST_TOKEN: usize = 8 * 1024;

/// Everybody who is known, and how they show it.
#[derive(Default)]
pub struct Identity {
    pub tokens: Tokens,
    pub issuers: Vec<Arc<Issuer>>,
    /// Whether names in certificates count.
    pub certificates: bool,
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
        let list = |names: &[String]| Value::from(names.to_vec());
        Some(Principal {
            name: format!("certificate:{name}"),
            claims: Claims::from_iter([("uri".to_owned(), list(uris)), ("dns".to_owned(), list(hosts))]),
            credential: Credential::Certificate,
            holds_until: None,
            expires: None,
        })
    }

    /// Whether it would be known again.
    pub fn knows(&self, principal: &Principal, now: SystemTime) -> Known {
        let is_known = match &principal.credential {
            Credential::Token(digest) => self.by_digest(*digest).is_some_and(|same| same.name == principal.name),
            Credential::Issuer(rules) => self.issuers.iter().any(|issuer| issuer.rules() == &**rules),
            Credential::Certificate => self.certificates,
        };
        match principal.holds_until {
            _ if !is_known => Known::NoMore,
            Some(end) if now >= end => Known::Expired,
            _ => Known::Still,
        }
    }

    fn by_digest(&self, digest: Digest) -> Option<Principal> {
        let name = self.tokens.owner(&digest)?;
        Some(Principal {
            name: format!("token:{name}"),
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
