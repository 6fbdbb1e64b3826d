//! Tokens of issuers: keys from a file or from their server, exchanged while the bus runs, and every claim held against the rules.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tonic::Code;

use super::{Token, info};
pub(crate) use crate::harness::issuer::{Signer, claims, keys};
use crate::{
    harness::{SOON, Server, eventually, issuer::Id, status::refused},
    tls::Authority,
};

pub(crate) fn from_file(path: &Path) -> String {
    format!("{ISSUER}keys_file = \"{}\"\nleeway = \"0s\"\n", path.display())
}

const ISSUER: &str = "[[auth.issuers]]\nname = \"id\"\nissuer = \"https://id.test\"\naudience = [\"bus\"]\n\
                      algorithms = [\"ES256\"]\n";
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_token_of_an_issuer_is_its_subjects_and_a_forged_one_is_nobodys() {
    let (authority, signer, forger) = (Authority::new(), Signer::new("a"), Signer::new("a"));
    let server = Server::start_with(&from_file(&authority.written("keys.json", &keys(&[&signer])))).await;
    let told = async |token: &str| info(Token::new(token).on(server.channel())).await;
    let known = told(&signer.token("alice", HOUR)).await.expect("known");
    assert_eq!(known.principal, "id:alice");
    assert!(known.token_expire_time.is_some());
    let mut refusals = vec![forger.token("alice", HOUR)];
    for (claim, value) in [
        ("aud", json!("other")),
        ("iss", json!("https://other")),
        ("sub", json!("")),
        ("exp", json!("x")),
    ] {
        let mut claims = claims("alice", HOUR);
        claims[claim] = value;
        refusals.push(signer.sign(&claims));
    }
    let mut later = claims("alice", HOUR);
    later["nbf"] = later["exp"].clone();
    refusals.push(signer.sign(&later));
    let good = signer.token("alice", HOUR);
    let mut parts = good.split('.').skip(1);
    let (payload, signature) = (parts.next().expect("a payload"), parts.next().expect("a signature"));
    // {"alg":"none"}, and {"alg":"HS256","kid":"a"}
    refusals.push(format!("eyJhbGciOiJub25lIn0.{payload}."));
    refusals.push(format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"));
    refusals.push(format!("eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ.{payload}.{signature}"));
    for token in refusals {
        refused(told(&token).await, Code::Unauthenticated, "TOKEN_INVALID");
    }
    let mut old = claims("alice", HOUR);
    old["exp"] = json!(1_000);
    refused(told(&signer.sign(&old)).await, Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn keys_in_a_file_are_exchanged_and_bad_ones_are_not_taken() {
    let (authority, old, new) = (Authority::new(), Signer::new("old"), Signer::new("new"));
    let file = authority.written("keys.json", &keys(&[&old]));
    let server = Server::start_with(&from_file(&file)).await;
    let told = async |signer: &Signer| info(Token::new(&signer.token("alice", HOUR)).on(server.channel())).await;
    told(&old).await.expect("known");
    authority.written("keys.json", "{\"keys\":[]}");
    server
        .logged("no keys of the issuer id: no key in it can be used; those of before stay in force")
        .await;
    told(&old).await.expect("still known");
    authority.written("keys.json", &keys(&[&new]));
    eventually(SOON, "the new key", async || told(&new).await.ok()).await;
    refused(told(&old).await, Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn keys_come_from_the_issuers_server_and_unknown_ones_are_asked_for_now_and_then() {
    let (authority, old, new) = (Authority::new(), Signer::new("old"), Signer::new("new"));
    let id = Id::serve(&authority.sign("id"), keys(&[&old])).await;
    let ca = authority.file();
    let config = format!("{ISSUER}keys_url = \"{}\"\nkeys_ca = \"{}\"\n", id.url, ca.display());
    let server = Server::start_with(&config).await;
    let told = async |token: &str| info(Token::new(token).on(server.channel())).await;
    eventually(SOON, "the keys", async || told(&old.token("alice", HOUR)).await.ok()).await;
    *id.keys.lock().expect("not poisoned") = keys(&[&old, &new]);
    let asked = id.asked.load(Ordering::SeqCst);
    for _ in 0..50 {
        let forged = Signer::new("nobody").token("alice", HOUR);
        refused(told(&forged).await, Code::Unauthenticated, "TOKEN_INVALID");
    }
    assert!(
        id.asked.load(Ordering::SeqCst) <= asked + 1,
        "whoever forges tokens floods the issuer"
    );
    eventually(SOON, "the new key", async || told(&new.token("alice", HOUR)).await.ok()).await;
    told(&old.token("alice", HOUR)).await.expect("still known");
}

#[tokio::test]
async fn without_keys_nobody_is_told_that_a_token_is_bad() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let file = authority.directory().join("keys.json");
    let server = Server::start_with(&from_file(&file)).await;
    let told = async || info(Token::new(&signer.token("alice", HOUR)).on(server.channel())).await;
    refused(told().await, Code::Unavailable, "IDENTITY_UNAVAILABLE");
    authority.written("keys.json", &keys(&[&signer]));
    eventually(SOON, "the keys", async || told().await.ok()).await;
}
