//! JSON Web Tokens of one issuer: the signature by a key and an algorithm that are its own, then every claim that says for whom,
//! by whom and how long.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::{
    Claims, Digest, KeyRing, Principal,
    keys::KeySet,
    principal::{Credential, claim},
};
use crate::name::Tenant;

pub use jsonwebtoken::Algorithm;

/// Tokens that were verified, and need not be again while the keys stay the same.
const MOST_VERIFIED: usize = 10_000;
const LONGEST_SUBJECT: usize = 500;

/// What an issuer's tokens must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRules {
    /// Its principals' names begin with it.
    pub name: String,
    pub issuer: String,
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    /// The claim that says who it is.
    pub subject: String,
    /// The claim that says of which tenant it is, or a path to it; `None` = of none.
    pub tenant: Option<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// An issuer of tokens.
pub struct Issuer {
    rules: Arc<IssuerRules>,
    validation: Validation,
    keys: Arc<KeyRing>,
    verified: Mutex<Verified>,
}

#[derive(Default)]
struct Verified {
    by: Option<Arc<KeySet>>,
    tokens: FxHashMap<Digest, Arc<Principal>>,
}

/// Why a token is refused; for ourselves, callers are not told more than whether it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Invalid,
    Expired,
    /// It names a key that is not there.
    UnknownKey,
    /// There are no keys yet.
    NoKeys,
}

impl Issuer {
    pub fn new(rules: IssuerRules, keys: Arc<KeyRing>) -> Self {
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&rules.algorithms);
        validation.set_audience(&rules.audience);
        validation.set_issuer(&[&rules.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // These are looked at here, by a clock that tests can set.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        Self {
            rules: Arc::new(rules),
            validation,
            keys,
            verified: Mutex::default(),
        }
    }

    pub(super) fn rules(&self) -> &IssuerRules {
        &self.rules
    }

    /// Whose token it is. Keys that are not there are asked for.
    pub(super) async fn principal(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>, Refused> {
        match self.check(token, now) {
            Err(refused @ (Refused::UnknownKey | Refused::NoKeys)) => match self.keys.renew().await {
                true => self.check(token, now),
                false => Err(refused),
            },
            checked => checked,
        }
    }

    fn check(&self, token: &str, now: SystemTime) -> Result<Arc<Principal>, Refused> {
        let keys = self.keys.keys().ok_or(Refused::NoKeys)?;
        let digest = Digest::of(token);
        let known = self.verified(&keys).tokens.get(&digest).cloned();
        let principal = match known {
            Some(principal) => principal,
            None => {
                let principal = Arc::new(self.principal_of(self.verify(token, &keys)?)?);
                self.check_begin(&principal.claims, now)?;
                self.remember(&keys, digest, &principal);
                principal
            }
        };
        match principal.holds_until {
            Some(end) if now >= end => Err(Refused::Expired),
            _ => Ok(principal),
        }
    }

    /// Its claims, if the signature is good and it is meant for us.
    fn verify(&self, token: &str, keys: &KeySet) -> Result<Claims, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Invalid)?;
        if !self.rules.algorithms.contains(&header.alg) {
            return Err(Refused::Invalid);
        }
        let mut refused = match header.kid {
            Some(_) => Refused::UnknownKey,
            None => Refused::Invalid,
        };
        for key in keys.candidates(header.kid.as_deref(), header.alg) {
            match self.verify_with(token, (key, header.alg)) {
                Ok(claims) => return Ok(claims),
                Err(_) => refused = Refused::Invalid,
            }
        }
        Err(refused)
    }

    /// By the algorithm that the token says, which is one of the pinned ones: the library wants all that it is given to be of the
    /// key's kind.
    fn verify_with(&self, token: &str, (key, algorithm): (&DecodingKey, Algorithm)) -> Result<Claims, ErrorKind> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        let decoded = decode::<Claims>(token, key, &validation);
        decoded.map(|token| token.claims).map_err(|error| error.into_kind())
    }

    fn principal_of(&self, claims: Claims) -> Result<Principal, Refused> {
        let subject = claims.get(&self.rules.subject).and_then(Value::as_str);
        let is_name = |subject: &&str| {
            !subject.is_empty() && subject.len() <= LONGEST_SUBJECT && !subject.contains(char::is_control)
        };
        let subject = subject.filter(is_name).ok_or(Refused::Invalid)?;
        // One issuer, said as one text: the library takes lists too.
        if claims.get("iss").and_then(Value::as_str) != Some(&self.rules.issuer) {
            return Err(Refused::Invalid);
        }
        let tenant = match &self.rules.tenant {
            None => None,
            Some(path) => {
                let said = claim(&claims, path).and_then(Value::as_str);
                Some(said.and_then(Tenant::new).ok_or(Refused::Invalid)?)
            }
        };
        let expires = claims.get("exp").and_then(time).ok_or(Refused::Invalid)?;
        Ok(Principal {
            name: format!("{}:{subject}", self.rules.name),
            credential: Credential::Issuer(Arc::clone(&self.rules)),
            expires: Some(expires),
            holds_until: Some(expires.checked_add(self.rules.leeway).ok_or(Refused::Invalid)?),
            claims,
            tenant,
        })
    }

    fn check_begin(&self, claims: &Claims, now: SystemTime) -> Result<(), Refused> {
        let Some(begin) = claims.get("nbf") else { return Ok(()) };
        let begin = time(begin).ok_or(Refused::Invalid)?;
        match begin <= now + self.rules.leeway {
            true => Ok(()),
            false => Err(Refused::Invalid),
        }
    }

    fn remember(&self, keys: &Arc<KeySet>, digest: Digest, principal: &Arc<Principal>) {
        let mut verified = self.verified(keys);
        if verified.tokens.len() >= MOST_VERIFIED {
            verified.tokens.clear();
        }
        verified.tokens.insert(digest, Arc::clone(principal));
    }

    /// What these keys have verified; what others had is forgotten. Nothing panics while it holds this lock, so a poisoned one
    /// is whole.
    fn verified(&self, keys: &Arc<KeySet>) -> MutexGuard<'_, Verified> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if !verified.by.as_ref().is_some_and(|by| Arc::ptr_eq(by, keys)) {
            *verified = Verified {
                by: Some(Arc::clone(keys)),
                tokens: FxHashMap::default(),
            };
        }
        verified
    }
}

/// Seconds since 1970, maybe with a fraction.
fn time(value: &Value) -> Option<SystemTime> {
    let seconds = value
        .as_f64()
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
#[path = "jwt/tests.rs"]
mod tests;
