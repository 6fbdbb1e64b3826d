//! Policies change while the server runs: who loses a right loses its streams, and a broken file changes nothing.

use std::time::Duration;

use serde_json::json;
use tidings::proto::tidings::v1::{ReadRequest, subscriber_service_client::SubscriberServiceClient};

use super::{
    denied,
    groups::{Stream, open},
    policy, publish, read, shown, with_admin,
};
use crate::{
    auth::issuers::{Signer, claims, from_file, keys},
    harness::{SOON, Server, eventually, within},
    tls::Authority,
};

const MINE: &str = "topics = [\"mine\"]\ngroups = [\"g\"]";

/// A server whose policies of `a` are in a file of their own.
async fn server(authority: &Authority, policies: &str) -> Server {
    let file = written(authority, policies);
    let config = with_admin("").replacen("[[auth", &format!("[auth]\nfile = \"{}\"\n[[auth", file.display()), 1);
    let server = Server::start_with(&config).await;
    publish(shown(&server, "root"), "mine", "1").await.expect("published");
    server
}

fn written(authority: &Authority, policies: &str) -> std::path::PathBuf {
    authority.written("auth.toml", &policies.replace("auth.policies", "policies"))
}

#[tokio::test]
async fn streams_end_whose_right_was_taken() {
    let authority = Authority::new();
    let all = "\"subscribe\", \"read\", \"publish\"";
    let server = server(&authority, &policy(all, MINE)).await;
    let mut subscribed = Stream::open(shown(&server, "a"), open("g", &["mine"]))
        .await
        .expect("a stream");
    assert_eq!(subscribed.event().await.expect("an event"), "1");
    let following = ReadRequest {
        topics: vec!["*".to_owned()],
        follow: true,
        ..Default::default()
    };
    let mut reader = SubscriberServiceClient::new(shown(&server, "a"));
    let mut reading = reader.read(following).await.expect("a stream").into_inner();
    // What another policy still allows goes on.
    written(&authority, &policy("\"read\"", "topics = [\"mine\", \"more\"]"));
    denied(subscribed.end().await);
    assert_eq!(read(shown(&server, "a"), &["*"]).await.expect("allowed"), ["1"]);
    denied(publish(shown(&server, "a"), "mine", "2").await);
    written(&authority, &policy("\"read\"", "topics = [\"more\"]"));
    let ended = within("the end of the read", async {
        while reading.message().await?.is_some() {}
        Ok(())
    });
    denied::<()>(ended.await);
}

#[tokio::test]
async fn a_broken_file_leaves_the_policies_as_they_were() {
    let authority = Authority::new();
    let server = server(&authority, &policy("\"read\"", MINE)).await;
    written(&authority, &policy("\"reed\"", MINE));
    let message = "the configuration of who may call is no good; what was before stays in force";
    let line = server.logged(message).await;
    assert!(
        line["level"] == "ERROR" && line["error"].as_str().expect("why").contains("verbs: must be one of"),
        "{line}"
    );
    read(shown(&server, "a"), &["mine"]).await.expect("still allowed");
    written(&authority, &policy("\"publish\"", MINE));
    eventually(SOON, "the mended file", async || {
        read(shown(&server, "a"), &["mine"]).await.err()
    })
    .await;
    publish(shown(&server, "a"), "mine", "2").await.expect("allowed now");
}

#[tokio::test]
async fn claims_of_a_token_give_rights() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let issuer = from_file(&authority.written("keys.json", &keys(&[&signer])));
    let policy = "[[auth.policies]]\nclaims = { \"realm.roles\" = \"ops\", scope = \"bus.*\" }\n\
                  verbs = [\"publish\"]\ntopics = [\"mine\"]\n";
    let server = Server::start_with(&format!("{issuer}{policy}")).await;
    let with = async |roles: &[&str], scope: &str| {
        let mut claims = claims("alice", Duration::from_secs(3_600));
        claims["realm"] = json!({ "roles": roles });
        claims["scope"] = json!(scope);
        publish(shown(&server, &signer.sign(&claims)), "mine", "1").await
    };
    with(&["dev", "ops"], "openid bus.write").await.expect("allowed");
    for (roles, scope) in [(&["dev"][..], "openid bus.write"), (&["ops"], "openid"), (&[], "")] {
        denied(with(roles, scope).await);
    }
}
