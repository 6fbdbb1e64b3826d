//! `tidings commands`: tells the instances of a group what to do, and prints what each answers.

use std::time::Duration;

use clap::{Args, Subcommand};
use prost_types::Any;
use serde_json::{Map, Value};
use tonic::Code;
use tonic_types::pb;

use super::{
    client::Client,
    failure::{self, Failure, Result},
    json,
    output::Output,
    publish::read_data,
    words,
};
use crate::proto::tidings::v1::{
    CommandOutcome, SendCommandRequest, SendCommandResponse, send_command_request::Target,
};

/// Of what others say, people see so many characters.
const MOST_TEXT: usize = 300;

#[derive(Debug, Subcommand)]
pub enum CommandsCommand {
    /// Sends a command and prints the answer of each instance as it comes. Exit status: 0 all answered OK, 1 some did not, 2 nobody there
    Send(Box<Send>),
}

#[derive(Debug, Args)]
pub struct Send {
    /// What to do, such as restore, reset, health_check or version
    name: String,
    /// To all instances of this group: its streams that take commands
    #[arg(long, required_unless_present = "instance", conflicts_with = "instance")]
    group: Option<String>,
    /// To one instance: the id of its stream
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// With what: a JSON object, or with --type the bytes of a message; text, or the content of a file (@FILE) or of stdin (@-)
    #[arg(long, value_name = "TEXT|@FILE")]
    data: Option<String>,
    /// The protobuf type of the data, such as io.shop.Restore; default: google.protobuf.Struct, made of the JSON object
    #[arg(long = "type", value_name = "TYPE", requires = "data")]
    ty: Option<String>,
    /// How long to wait for answers
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = words::parse_duration)]
    timeout: Duration,
    /// Why; it is kept in the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

impl CommandsCommand {
    /// The request, as far as it can be checked without a server.
    pub(super) fn prepare(self) -> Result<SendCommandRequest> {
        let Self::Send(send) = self;
        let Send { data, ty, .. } = &*send;
        let payload = data.as_deref().map(|data| payload(data, ty.as_deref())).transpose()?;
        let group = send.group.map(Target::Group);
        Ok(SendCommandRequest {
            name: send.name,
            payload,
            target: group.or(send.instance.map(Target::Instance)),
            timeout: Some(words::to_proto(send.timeout)),
            reason: send.reason,
        })
    }
}

fn payload(data: &str, ty: Option<&str>) -> Result<Any> {
    let data = read_data(data)?;
    let ty = ty.unwrap_or("google.protobuf.Struct");
    let value = match ty {
        "google.protobuf.Struct" => json::parse(ty, &data)
            .map_err(|error| Failure::usage(format!("--data: not a JSON object (or name its --type): {error}")))?,
        _ => data,
    };
    let type_url = match ty.contains('/') {
        true => ty.to_owned(),
        false => format!("type.googleapis.com/{ty}"),
    };
    Ok(Any { type_url, value })
}

pub(super) async fn run(request: SendCommandRequest, client: &Client, output: &mut Output) -> Result<()> {
    let failed = Failure::call(format!("send {}", request.name));
    let name = request.name.clone();
    let mut answers = client
        .commands()
        .send_command(request)
        .await
        .map_err(&failed)?
        .into_inner();
    let (mut all, mut well) = (0_u64, 0_u64);
    while let Some(answer) = answers.message().await.map_err(&failed)? {
        (all, well) = (all + 1, well + u64::from(is_well(&answer)));
        print(&answer, output)?;
        output.flush()?;
    }
    match well == all {
        true => Ok(()),
        false => Err(Failure::Local(format!(
            "{name}: {} of {all} did not answer OK",
            all - well
        ))),
    }
}

fn is_well(answer: &SendCommandResponse) -> bool {
    let code = answer.status.as_ref().map_or(0, |status| status.code);
    answer.outcome() == CommandOutcome::Answered && code == 0
}

fn print(answer: &SendCommandResponse, output: &mut Output) -> Result<()> {
    match output.is_json() {
        true => output.line(in_json(answer)?),
        false => output.text(in_text(answer)),
    }
}

/// `ID  LABEL  CODE  message`, and below what it gave.
fn in_text(answer: &SendCommandResponse) -> String {
    let (instance, status) = (answer.instance.clone().unwrap_or_default(), answer.status.clone());
    let status = status.unwrap_or_default();
    let label = words::or_dash((!instance.client_id.is_empty()).then_some(&instance.client_id));
    let code = failure::code_name(Code::from(status.code));
    let label = words::one_line(&label, MOST_TEXT);
    let mut text = format!("{}  {label}  {code}", instance.id);
    if !status.message.is_empty() {
        text.push_str(&format!("  {}", words::one_line(&status.message, MOST_TEXT)));
    }
    if let Some(payload) = &answer.payload {
        let payload = any(payload).to_string();
        text.push_str(&format!("\n    {}", words::one_line(&payload, MOST_TEXT)));
    }
    text.push('\n');
    text
}

/// The message in its JSON mapping, but that a payload of a type that is not known here has its bytes as `value`.
fn in_json(answer: &SendCommandResponse) -> Result<String> {
    let mut bare = answer.clone();
    let (payload, details) = (bare.payload.take(), bare.status.as_mut().map(take_details));
    let failed = |error: serde_json::Error| Failure::local("write JSON", error);
    let mut object: Map<String, Value> = serde_json::from_str(&json::of(&bare)?).map_err(failed)?;
    if let Some(payload) = payload {
        object.insert("payload".to_owned(), any(&payload));
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let details = details.unwrap_or_default();
        status.insert("details".to_owned(), details.iter().map(any).collect());
    }
    serde_json::to_string(&object).map_err(failed)
}

fn take_details(status: &mut pb::Status) -> Vec<Any> {
    std::mem::take(&mut status.details)
}

pub(super) fn any(any: &Any) -> Value {
    let known = json::of(any).ok().and_then(|text| serde_json::from_str(&text).ok());
    known.unwrap_or_else(|| {
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &any.value);
        serde_json::json!({ "@type": any.type_url, "value": value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tidings::v1::Instance;

    fn answer(outcome: CommandOutcome, code: i32, payload: Option<Any>) -> SendCommandResponse {
        SendCommandResponse {
            instance: Some(Instance {
                id: "r-1".to_owned(),
                client_id: String::new(),
                replica_id: "r".to_owned(),
            }),
            status: Some(pb::Status {
                code,
                ..pb::Status::default()
            }),
            payload,
            outcome: outcome.into(),
            command_id: "i".to_owned(),
        }
    }

    #[test]
    fn json_objects_are_sent_as_structs_and_shown_as_they_were() {
        let sent = payload("{\"a\": [1, null]}", None).expect("a payload");
        assert_eq!(sent.type_url, "type.googleapis.com/google.protobuf.Struct");
        let shown = in_json(&answer(CommandOutcome::Answered, 0, Some(sent))).expect("JSON");
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["payload"]["value"], serde_json::json!({"a": [1.0, null]}));
        assert_eq!(
            (
                &shown["outcome"],
                &shown["instance"]["clientId"],
                &shown["status"]["code"]
            ),
            (&"COMMAND_OUTCOME_ANSWERED".into(), &"".into(), &0.into())
        );
        for bad in ["", "1", "{", "[1]"] {
            assert_eq!(payload(bad, None).expect_err(bad).exit_status(), 64);
        }
    }

    #[test]
    fn messages_of_other_types_are_bytes() {
        let sent = payload("abc", Some("io.shop.Restore")).expect("a payload");
        assert_eq!(sent.type_url, "type.googleapis.com/io.shop.Restore");
        let expected = serde_json::json!({"@type": "type.googleapis.com/io.shop.Restore", "value": "YWJj"});
        assert_eq!(any(&sent), expected);
        let foreign = Any {
            type_url: "payload".to_owned(),
            value: b"{}".to_vec(),
        };
        assert_eq!(any(&foreign)["@type"], "payload");
        let text = in_text(&answer(CommandOutcome::NoAnswer, 4, Some(foreign)));
        assert_eq!(
            text,
            "r-1  -  DEADLINE_EXCEEDED\n    {\"@type\":\"payload\",\"value\":\"e30=\"}\n"
        );
    }

    #[test]
    fn only_an_answer_that_says_ok_is_well() {
        assert!(is_well(&answer(CommandOutcome::Answered, 0, None)));
        assert!(!is_well(&answer(CommandOutcome::Answered, 5, None)));
        assert!(!is_well(&answer(CommandOutcome::Gone, 14, None)));
    }
}
