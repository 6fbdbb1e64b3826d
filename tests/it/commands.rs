//! Commands to the instances of a group: who gets them, what becomes of each, and that none is given twice.

mod bounds;
mod command;
mod endings;
mod refused;
mod replies;

use tidings::proto::tidings::v1::{
    Command, CommandOutcome, CommandReply, Open, SendCommandRequest, SendCommandResponse, send_command_request::Target,
    subscribe_request::Frame as Sent, subscribe_response::Frame,
};
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming};

use crate::harness::{
    Server,
    clients::{Subscription, open, order},
    within,
};

/// A stream that takes commands.
pub(crate) fn listening(group: &str, client_id: &str) -> Open {
    Open {
        commands: true,
        client_id: client_id.to_owned(),
        ..open(group)
    }
}

pub(crate) fn to_group(group: &str, name: &str) -> SendCommandRequest {
    SendCommandRequest {
        name: name.to_owned(),
        target: Some(Target::Group(group.to_owned())),
        ..Default::default()
    }
}

pub(crate) fn to_instance(stream: &Subscription, name: &str) -> SendCommandRequest {
    SendCommandRequest {
        name: name.to_owned(),
        target: Some(Target::Instance(stream.opened.stream_id.clone())),
        ..Default::default()
    }
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn any(type_url: &str, value: impl Into<Vec<u8>>) -> prost_types::Any {
    prost_types::Any {
        type_url: type_url.to_owned(),
        value: value.into(),
    }
}

/// Sends, and gives the answers as they come.
pub(crate) async fn begin(
    server: &Server,
    request: SendCommandRequest,
) -> Result<Streaming<SendCommandResponse>, Status> {
    let answers = within("a command to be sent", server.commands().send_command(request)).await?;
    Ok(answers.into_inner())
}

/// Sends in the background, and collects all answers, by the labels of the instances.
pub(crate) fn send(
    server: &Server,
    request: SendCommandRequest,
) -> JoinHandle<Result<Vec<SendCommandResponse>, Status>> {
    let mut commands = server.commands();
    tokio::spawn(async move {
        let mut answers = commands.send_command(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await? {
            all.push(answer);
        }
        all.sort_by_key(|answer| label(answer).to_owned());
        Ok(all)
    })
}

/// All answers of a call that ends well.
pub(crate) async fn answers(call: JoinHandle<Result<Vec<SendCommandResponse>, Status>>) -> Vec<SendCommandResponse> {
    let answers = within("the end of the answers", call).await.expect("a call");
    answers.expect("it ends well")
}

pub(crate) async fn end_of(call: JoinHandle<Result<Vec<SendCommandResponse>, Status>>) -> Result<(), Status> {
    within("the end of the answers", call)
        .await
        .expect("a call")
        .map(|_| ())
}

fn label(answer: &SendCommandResponse) -> &str {
    answer
        .instance
        .as_ref()
        .map_or("", |instance| instance.client_id.as_str())
}

pub(crate) fn shown(answers: &[SendCommandResponse]) -> Vec<(&str, CommandOutcome, Code)> {
    let code = |answer: &SendCommandResponse| Code::from(answer.status.as_ref().expect("a status").code);
    answers
        .iter()
        .map(|answer| (label(answer), answer.outcome(), code(answer)))
        .collect()
}

pub(crate) const OK: (CommandOutcome, Code) = (CommandOutcome::Answered, Code::Ok);

fn reply(command: &Command) -> CommandReply {
    CommandReply {
        command_id: command.command_id.clone(),
        ..Default::default()
    }
}

/// Everything that a stream gets until it has events too: no command is among it.
async fn gets_no_command_until_a_delivery(stream: &mut Subscription) {
    let is_delivery = |frame| match frame {
        Frame::Deliveries(_) => Some(()),
        Frame::Command(command) => panic!("{command:?}"),
        _ => None,
    };
    stream.until("a delivery", is_delivery).await;
}

#[tokio::test]
async fn each_instance_of_a_group_gets_it_once_and_each_answer_is_told_once() {
    let server = Server::start().await;
    let mut all = Vec::new();
    for client in ["a", "b", "c"] {
        all.push(server.subscribe(listening("group", client)).await);
    }
    let request = SendCommandRequest {
        payload: Some(any("type.example/io.shop.Restore", [0, 255])),
        ..to_group("group", "restore")
    };
    let call = send(&server, request);
    let mut ids = Vec::new();
    for (code, stream) in (0..).zip(&mut all) {
        let command = stream.command().await;
        assert_eq!(
            (command.name.as_str(), command.sender.as_str()),
            ("restore", "anonymous")
        );
        assert_eq!(command.payload, Some(any("type.example/io.shop.Restore", [0, 255])));
        assert!(command.expire_time.is_some());
        let status = tonic_types::pb::Status {
            code: 5 * code,
            message: format!("told by {code}"),
            details: vec![any("type.example/d", [1])],
        };
        stream.send(Sent::CommandReply(CommandReply {
            status: Some(status),
            payload: Some(any("payload", format!("of {code}"))),
            ..reply(&command)
        }));
        ids.push(command.command_id);
    }
    let told = answers(call).await;
    let codes: Vec<_> = shown(&told);
    let answered = CommandOutcome::Answered;
    assert_eq!(
        codes,
        [
            ("a", answered, Code::Ok),
            ("b", answered, Code::NotFound),
            ("c", answered, Code::Aborted)
        ]
    );
    for (index, (answer, stream)) in told.iter().zip(&all).enumerate() {
        let (status, instance) = (answer.status.as_ref().unwrap(), answer.instance.as_ref().unwrap());
        assert_eq!(status.message, format!("told by {index}"));
        assert_eq!(status.details, [any("type.example/d", [1])]);
        assert_eq!(answer.payload, Some(any("payload", format!("of {index}"))));
        assert_eq!(instance.id, stream.opened.stream_id);
        assert_eq!(instance.replica_id, stream.opened.replica_id);
        assert_eq!(answer.command_id, ids[index]);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn other_streams_never_get_any() {
    let server = Server::start().await;
    let mut meant = server.subscribe(listening("group", "meant")).await;
    let mut deaf = server.subscribe(open("group")).await;
    let mut other = server.subscribe(listening("other", "")).await;
    let call = send(&server, to_group("group", "version"));
    let command = meant.command().await;
    assert_eq!(command.payload, None);
    meant.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("meant", OK.0, OK.1)]);
    // What streams get is in order: a command would have come before these.
    server
        .publish((0..20).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    gets_no_command_until_a_delivery(&mut deaf).await;
    gets_no_command_until_a_delivery(&mut other).await;
}

#[tokio::test]
async fn one_instance_is_told_alone_also_without_credit() {
    let server = Server::start().await;
    let quiet = Open {
        credit: None,
        ..listening("group", "one")
    };
    let mut one = server.subscribe(quiet).await;
    let mut another = server.subscribe(listening("group", "another")).await;
    let call = send(&server, to_instance(&one, "set_api_key"));
    let command = one.command().await;
    one.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("one", OK.0, OK.1)]);
    server.publish(vec![order("1", "a")]).await;
    gets_no_command_until_a_delivery(&mut another).await;
}

#[tokio::test]
async fn who_sent_what_to_whom_and_why_is_kept_without_the_payload() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let request = SendCommandRequest {
        payload: Some(any("type.example/Key", "confidential")),
        reason: "the old key leaked".to_owned(),
        ..to_group("group", "set_api_key")
    };
    let call = send(&server, request);
    let command = stream.command().await;
    stream.reply_ok(&command);
    answers(call).await;
    let kept = server.read_all("tidings.audit").await;
    let kept = kept.last().and_then(|read| read.event.clone()).expect("an event");
    assert_eq!(
        (kept.r#type.as_str(), kept.id.as_str()),
        ("tidings.commands.sent", command.command_id.as_str())
    );
    let text = format!("{kept:?}");
    for part in [
        "group",
        "anonymous",
        "set_api_key",
        "type.example/Key",
        "the old key leaked",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("confidential"), "{text}");
    let done = server.logged("done").await;
    assert_eq!(
        (&done["act"], &done["reason"]),
        (&"tidings.commands.sent".into(), &"the old key leaked".into())
    );
}
