//! Of which tenant somebody is, is what their credential says, and nothing that they say themselves.

use std::time::Duration;

use serde_json::json;
use tidings::proto::tidings::v1::{Authenticate, SubscribeRequest, subscribe_request::Frame as Sent};
use tonic::Code;

use super::config;
use crate::{
    auth::{
        Token, info,
        issuers::{Signer, claims, from_file, keys},
    },
    harness::{Server, status::refused},
    policies::groups::{Stream, open},
    policies::shown as with_token,
    tls::Authority,
};

const HOUR: Duration = Duration::from_secs(3_600);

async fn server(authority: &Authority, signer: &Signer) -> Server {
    let issuer = from_file(&authority.written("keys.json", &keys(&[signer])));
    let policy = "[[auth.policies]]\nprincipals = [\"id:*\"]\nverbs = [\"subscribe\", \"publish\"]\ntopics = [\"**\"]\ngroups = [\"**\"]\n";
    Server::start_with(&config(&format!("{issuer}tenant = \"org.id\"\n{policy}"))).await
}

fn token(signer: &Signer, tenant: &serde_json::Value) -> String {
    let mut claims = claims("alice", HOUR);
    claims["org"] = json!({ "id": tenant });
    signer.sign(&claims)
}

#[tokio::test]
async fn tokens_say_of_which_tenant_and_those_that_should_and_do_not_are_refused() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let server = server(&authority, &signer).await;
    for (token, tenant) in [("acme", "acme"), ("root", "")] {
        assert_eq!(info(with_token(&server, token)).await.expect("known").tenant, tenant);
    }
    let told = async |token: String| info(Token::new(&token).on(server.channel())).await;
    assert_eq!(
        told(token(&signer, &json!("acme"))).await.expect("known").tenant,
        "acme"
    );
    for wrong in [
        json!(null),
        json!(""),
        json!("a.b"),
        json!("*"),
        json!(7),
        json!(["acme"]),
        json!("{tenant}"),
    ] {
        refused(
            told(token(&signer, &wrong)).await,
            Code::Unauthenticated,
            "TOKEN_INVALID",
        );
    }
    refused(
        told(signer.token("alice", HOUR)).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );
}

#[tokio::test]
async fn a_stream_goes_on_with_a_token_of_its_tenant_only() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let server = server(&authority, &signer).await;
    let channel = Token::new(&token(&signer, &json!("acme"))).on(server.channel());
    let mut stream = Stream::open(channel, open("acme.g", &["io.shop.**"]))
        .await
        .expect("a stream");
    let fresh = |tenant: &str| SubscribeRequest {
        frame: Some(Sent::Authenticate(Authenticate {
            token: token(&signer, &json!(tenant)),
        })),
    };
    stream.send(fresh("acme"));
    stream.send(fresh("beta"));
    refused(stream.end().await, Code::Unauthenticated, "TOKEN_INVALID");
}
