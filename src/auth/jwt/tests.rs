use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
use proptest::prelude::*;
use rcgen::KeyPair;
use serde_json::json;

use super::*;

/// A key that signs, and its public half as a JWK of this name.
struct Signer {
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn new(id: &str) -> Self {
        let pair = KeyPair::generate().expect("a key");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a JWK");
        jwk.common.key_id = Some(id.to_owned());
        Self {
            jwk: serde_json::to_value(jwk).expect("JSON"),
            key,
        }
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id.to_owned());
        encode(&header, claims, &self.key).expect("a token")
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn issuer(signers: &[&Signer]) -> Issuer {
    let ring = KeyRing::new(Duration::ZERO);
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    ring.put(json!({ "keys": keys }).to_string().as_bytes()).expect("keys");
    let rules = IssuerRules {
        name: "id".to_owned(),
        issuer: "https://id".to_owned(),
        audience: vec!["bus".to_owned(), "other".to_owned()],
        // Of two kinds, as while an issuer changes over.
        algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        subject: "sub".to_owned(),
        tenant: None,
        leeway: Duration::from_secs(30),
    };
    Issuer::new(rules, Arc::new(ring))
}

fn claims() -> Value {
    json!({ "iss": "https://id", "aud": "bus", "sub": "alice", "exp": 1_000, "nbf": 500 })
}

fn with(name: &str, value: &Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
        value => claims[name] = value.clone(),
    }
    claims
}

#[test]
fn a_good_token_is_its_subjects_until_it_expires() {
    let signer = Signer::new("a");
    let issuer = issuer(&[&signer]);
    let token = signer.sign("a", &claims());
    let principal = issuer.check(&token, at(600)).expect("good");
    assert_eq!((principal.name(), principal.expires()), ("id:alice", Some(at(1_000))));
    for (now, outcome) in [
        (469, Err(Refused::Invalid)),
        (470, Ok(())),
        (1_029, Ok(())),
        (1_030, Err(Refused::Expired)),
    ] {
        // A server that has not seen the token before says the same as one that has.
        let fresh = self::issuer(&[&signer]).check(&token, at(now)).map(|_| ());
        assert_eq!(fresh, outcome, "{now}");
    }
    assert_eq!(issuer.check(&token, at(1_030)).map(|_| ()), Err(Refused::Expired));
    let many = signer.sign("a", &with("aud", &json!(["x", "other"])));
    assert!(issuer.check(&many, at(600)).is_ok());
}

#[test]
fn each_claim_must_be_right() {
    let signer = Signer::new("a");
    let issuer = issuer(&[&signer]);
    for (name, value) in [
        ("iss", json!("https://other")),
        ("iss", json!(["https://id"])),
        ("iss", Value::Null),
        ("aud", json!("busy")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("a\nb")),
        ("exp", Value::Null),
        ("exp", json!("1000")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("nbf", json!("500")),
        ("nbf", json!(700)),
    ] {
        let token = signer.sign("a", &with(name, &value));
        let refused = issuer.check(&token, at(600)).map(|_| ());
        assert_eq!(refused, Err(Refused::Invalid), "{name} = {value}");
    }
}

#[test]
fn a_signature_by_another_key_or_algorithm_is_none() {
    let (signer, other) = (Signer::new("a"), Signer::new("a"));
    let issuer = issuer(&[&signer]);
    assert_eq!(
        issuer.check(&other.sign("a", &claims()), at(600)).map(|_| ()),
        Err(Refused::Invalid)
    );
    assert_eq!(
        issuer.check(&other.sign("b", &claims()), at(600)).map(|_| ()),
        Err(Refused::UnknownKey)
    );
    let secret = EncodingKey::from_secret(signer.jwk.to_string().as_bytes()).expect("a key");
    let symmetric = encode(&Header::new(Algorithm::HS256), &claims(), &secret).expect("a token");
    assert_eq!(issuer.check(&symmetric, at(600)).map(|_| ()), Err(Refused::Invalid));
    let good = signer.sign("a", &claims());
    let payload = good.split('.').nth(1).expect("a payload");
    // {"alg":"none","typ":"JWT"}
    for unsigned in [
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}."),
        format!("{good}x"),
        payload.to_owned(),
    ] {
        assert_eq!(
            issuer.check(&unsigned, at(600)).map(|_| ()),
            Err(Refused::Invalid),
            "{unsigned}"
        );
    }
}

#[test]
fn keys_that_are_taken_back_verify_nothing_any_more() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = issuer(&[&old]);
    let token = old.sign("old", &claims());
    assert!(issuer.check(&token, at(600)).is_ok());
    let set = json!({ "keys": [new.jwk, { "kty": "oct", "k": "AAAA" }, { "kty": "?" }, 7] });
    issuer.keys.put(set.to_string().as_bytes()).expect("keys");
    assert_eq!(issuer.check(&token, at(600)).map(|_| ()), Err(Refused::UnknownKey));
    assert!(issuer.check(&new.sign("new", &claims()), at(600)).is_ok());
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        issuer.keys.put(bad.as_bytes()).expect_err(bad);
    }
    assert!(issuer.check(&new.sign("new", &claims()), at(600)).is_ok());
}

proptest! {
    #[test]
    fn no_text_passes_and_none_panics(text in r"[A-Za-z0-9_.-]{0,80}|\PC{0,40}") {
        let signer = Signer::new("a");
        prop_assert!(issuer(&[&signer]).check(&text, at(600)).is_err());
    }
}
