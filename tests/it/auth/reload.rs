//! Who may call changes while the bus runs; what is no good changes nothing.

use nix::sys::signal::Signal;
use tonic::Code;

use super::{Token, info, token_of};
use crate::{
    harness::{SOON, Server, eventually, status::refused},
    tls::Authority,
};

fn with_file(authority: &Authority, tokens: &str) -> String {
    let file = authority.written("auth.toml", &tokens.replace("auth.tokens", "tokens"));
    format!("[auth]\nfile = \"{}\"\n", file.display())
}

#[tokio::test]
async fn tokens_come_and_go_without_a_new_start() {
    let authority = Authority::new();
    let server = Server::start_with(&with_file(&authority, &token_of("a", "first"))).await;
    let told = async |token: &str| info(Token::new(token).on(server.channel())).await;
    assert_eq!(told("first").await.expect("known").principal, "token:a");
    with_file(
        &authority,
        &format!("{}{}", token_of("a", "first"), token_of("a", "second")),
    );
    eventually(SOON, "the second token", async || told("second").await.ok()).await;
    told("first").await.expect("still known");
    with_file(&authority, &token_of("a", "second"));
    eventually(SOON, "the end of the first token", async || told("first").await.err()).await;
    told("second").await.expect("still known");
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told() {
    let authority = Authority::new();
    let server = Server::start_with(&with_file(&authority, &token_of("a", "first"))).await;
    let told = async |token: &str| info(Token::new(token).on(server.channel())).await;
    authority.written("auth.toml", "[[tokens]]\nname = ");
    let message = "the configuration of who may call is no good; what was before stays in force";
    let line = server.logged(message).await;
    assert_eq!(line["level"], "ERROR");
    told("first").await.expect("still known");
    with_file(&authority, &token_of("a", "second"));
    eventually(SOON, "the mended file", async || told("second").await.ok()).await;
    refused(told("first").await, Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn sighup_has_it_read_again_and_ends_nobody() {
    let server = Server::start_with(&token_of("a", "first")).await;
    server.signal(Signal::SIGHUP);
    server
        .logged("who may call, and what, is as the configuration says now")
        .await;
    info(Token::new("first").on(server.channel()))
        .await
        .expect("still known");
    let open = Server::start().await;
    open.signal(Signal::SIGHUP);
    open.logged("SIGHUP: telemetry.log_level is as it was").await;
}
