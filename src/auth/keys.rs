//! The keys of an issuer: read from a JWK set, kept until there are others, asked for when a token names one that is not there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// How many keys without a name a signature is tried with.
const MOST_TRIED: usize = 8;
/// How long a call waits for keys that were asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keys that an issuer signs with.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The only algorithm that it is for.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// `Err` says why there is none that can be used. Keys that are not for signatures are passed over.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("not a JWK set: {error}"))?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("not a JWK set: it has no keys")?;
        let keys: Vec<Key> = keys.iter().filter_map(Key::read).collect();
        match keys.is_empty() {
            true => Err("no key in it can be used".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// Those that may have made a signature.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            id.is_none_or(|id| key.id.as_deref() == Some(id)) && key.algorithm.is_none_or(|only| only == algorithm)
        };
        self.0.iter().filter(fits).take(MOST_TRIED).map(|key| &key.key)
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let is_other = matches!(jwk.common.public_key_use, Some(ref used) if *used != PublicKeyUse::Signature);
        // A secret that many can read signs nothing.
        if is_other || matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return None;
        }
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(algorithm) => Some(algorithm.to_string().parse().ok()?),
        };
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// An issuer's keys, and those who wait for others. Whoever fetches keys waits with [`KeyRing::wanted`] and puts what comes.
pub struct KeyRing {
    /// `None` = there were none yet.
    keys: watch::Sender<Option<Arc<KeySet>>>,
    looks: watch::Sender<Option<Instant>>,
    wanted: Notify,
    /// The least time between two looks.
    pause: Duration,
}

impl KeyRing {
    pub fn new(pause: Duration) -> Self {
        Self {
            keys: watch::Sender::new(None),
            looks: watch::Sender::new(None),
            wanted: Notify::new(),
            pause,
        }
    }

    /// The keys that there are now, as a JWK set; `Err` says what is wrong with them, and those of before stay.
    pub fn put(&self, text: &[u8]) -> Result<(), String> {
        let parsed = KeySet::parse(text);
        if let Ok(keys) = parsed {
            self.keys.send_replace(Some(Arc::new(keys)));
            self.looked();
            return Ok(());
        }
        self.looked();
        parsed.map(|_| ())
    }

    /// They were asked for, whatever came of it.
    pub fn looked(&self) {
        self.looks.send_replace(Some(Instant::now()));
    }

    /// Ready when somebody wants other keys.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.borrow().clone()
    }

    /// Has the keys asked for again, unless that was done just now; answers whether it was.
    pub(super) async fn renew(&self) -> bool {
        let mut looks = self.looks.subscribe();
        let last = *looks.borrow_and_update();
        if last.is_some_and(|last| last.elapsed() < self.pause) {
            return false;
        }
        self.wanted.notify_one();
        matches!(timeout(PATIENCE, looks.changed()).await, Ok(Ok(())))
    }
}
