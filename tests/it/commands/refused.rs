//! Commands that are not sent: bad fields by name, and nobody there.

use super::*;
use crate::harness::status::{fields, refused, resource};

async fn refusal(server: &Server, request: SendCommandRequest, code: Code, reason: &str) -> Status {
    refused(end_of(send(server, request)).await, code, reason)
}

#[tokio::test]
async fn fields_that_break_their_rules_are_named() {
    let server = Server::start().await;
    let good = || to_group("group", "restore");
    let named = |name: &str| to_group("group", name);
    let timed = |seconds, nanos| SendCommandRequest {
        timeout: Some(prost_types::Duration { seconds, nanos }),
        ..good()
    };
    let sized = |bytes: usize| SendCommandRequest {
        payload: Some(any("t", vec![0; bytes])),
        ..good()
    };
    let targeted = |target| SendCommandRequest { target, ..good() };
    let instance = |id: String| targeted(Some(Target::Instance(id)));
    let reasoned = SendCommandRequest {
        reason: "r".repeat(1_001),
        ..good()
    };
    let _stream = server.subscribe(listening("group", "")).await;
    for (field, request) in [
        ("name", named("")),
        ("name", named("Restore")),
        ("name", named("health-check")),
        ("name", named(&"a".repeat(101))),
        ("timeout", timed(0, 0)),
        ("timeout", timed(-1, 0)),
        ("timeout", timed(3_600, 1)),
        ("payload", sized(256 * 1024)),
        ("target", targeted(None)),
        ("instance", instance(String::new())),
        ("instance", instance("i".repeat(201))),
        ("reason", reasoned),
    ] {
        let status = refusal(&server, request, Code::InvalidArgument, "REQUEST_INVALID").await;
        assert_eq!(fields(&status), [field]);
    }
    refusal(
        &server,
        to_group("a b", "restore"),
        Code::InvalidArgument,
        "GROUP_INVALID",
    )
    .await;
}

#[tokio::test]
async fn nobody_there_is_not_found() {
    let server = Server::start().await;
    let status = refusal(&server, to_group("group", "version"), Code::NotFound, "GROUP_NOT_FOUND").await;
    assert_eq!(resource(&status), "group");
    let stream = server.subscribe(open("group")).await;
    let status = refusal(
        &server,
        to_group("group", "version"),
        Code::NotFound,
        "INSTANCE_NOT_FOUND",
    )
    .await;
    assert_eq!(resource(&status), "group");
    for id in [stream.opened.stream_id.as_str(), "nobody", "no-body"] {
        let request = SendCommandRequest {
            target: Some(Target::Instance(id.to_owned())),
            ..to_group("", "version")
        };
        let status = refusal(&server, request, Code::NotFound, "INSTANCE_NOT_FOUND").await;
        assert_eq!(resource(&status), id);
    }
    let listener = server.subscribe(listening("group", "")).await;
    listener.close().await;
    refusal(
        &server,
        to_group("group", "version"),
        Code::NotFound,
        "INSTANCE_NOT_FOUND",
    )
    .await;
}
