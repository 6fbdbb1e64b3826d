//! Commands, replies and answers for the wire and from it.

use std::time::Duration;

use prost_types::Any;
use tonic::Code;
use tonic_types::pb;

use super::{invalid, period, timestamp};
use crate::{
    bus::{
        CommandAnswer, CommandName, CommandOutcome, CommandPayload, CommandReply, CommandStatus, CommandTarget,
        NotDelivered, ReplyFault, SendCommand, SentCommand,
    },
    error::Result,
    name::Group,
    proto::tidings::v1::{self as wire, send_command_request::Target},
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// As long as the ids of streams ever are.
const MOST_INSTANCE: usize = 200;

/// What is to be sent, and at the latest answered before `left`, the caller's own deadline. Who asks is not in the request.
pub(in crate::grpc) fn send_command(
    request: wire::SendCommandRequest,
    (reason, by): (String, &str),
    left: Option<Duration>,
) -> Result<SendCommand> {
    let timeout = period(request.timeout, "timeout")?;
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(invalid("timeout", "is longer than 0; unset is 30 s"));
    }
    let timeout = timeout.or(left).unwrap_or(DEFAULT_TIMEOUT);
    Ok(SendCommand {
        name: CommandName::new(&request.name)?,
        target: target(request.target)?,
        payload: request.payload.map(payload),
        timeout: left.map_or(timeout, |left| timeout.min(left)),
        reason,
        by: by.to_owned(),
    })
}

fn target(target: Option<Target>) -> Result<CommandTarget> {
    match target {
        None => Err(invalid("target", "says to whom: a group or an instance")),
        Some(Target::Group(group)) => Ok(CommandTarget::Group(Group::new(&group)?)),
        Some(Target::Instance(id)) if id.is_empty() || id.len() > MOST_INSTANCE => {
            let rule = "is the id of an instance: the `stream_id` of its stream";
            Err(invalid("instance", rule))
        }
        Some(Target::Instance(id)) => Ok(CommandTarget::Instance(id)),
    }
}

pub(in crate::grpc) fn command_answer(answer: CommandAnswer) -> wire::SendCommandResponse {
    let (outcome, status, payload) = outcome(answer.outcome);
    wire::SendCommandResponse {
        instance: Some(wire::Instance {
            id: answer.instance.stream_id,
            client_id: answer.instance.client_id,
            replica_id: answer.instance.replica_id,
        }),
        status: Some(status),
        payload: payload.map(any),
        outcome: outcome.into(),
        command_id: answer.command_id,
    }
}

fn outcome(outcome: CommandOutcome) -> (wire::CommandOutcome, pb::Status, Option<CommandPayload>) {
    let of_bus = |code: Code, message: &str| pb::Status {
        code: code.into(),
        message: message.to_owned(),
        details: Vec::new(),
    };
    match outcome {
        CommandOutcome::Answered { status, payload } => (wire::CommandOutcome::Answered, status.into(), payload),
        CommandOutcome::NotDelivered(why) => {
            let (code, message) = not_delivered(why);
            (wire::CommandOutcome::NotDelivered, of_bus(code, message), None)
        }
        CommandOutcome::NoAnswer => {
            let message = "it did not answer in time; it may have carried the command out";
            let status = of_bus(Code::DeadlineExceeded, message);
            (wire::CommandOutcome::NoAnswer, status, None)
        }
        CommandOutcome::Gone => {
            let message = "its stream ended before it answered; it may have carried the command out";
            (wire::CommandOutcome::Gone, of_bus(Code::Unavailable, message), None)
        }
    }
}

fn not_delivered(why: NotDelivered) -> (Code, &'static str) {
    match why {
        NotDelivered::Busy => (
            Code::ResourceExhausted,
            "not delivered: it does not read its frames, or answers none of its commands",
        ),
        NotDelivered::TooLarge => (
            Code::ResourceExhausted,
            "not delivered: the command is larger than the messages that it takes (max_frame_bytes)",
        ),
        NotDelivered::Ending => (
            Code::Unavailable,
            "not delivered: the stream or its server is about to end",
        ),
        NotDelivered::Late => (
            Code::DeadlineExceeded,
            "not delivered: its server heard of the command when its time was over",
        ),
    }
}

pub(super) fn command(command: &SentCommand) -> wire::Command {
    wire::Command {
        command_id: command.id.clone(),
        name: command.name.as_str().to_owned(),
        payload: command.payload.clone().map(any),
        expire_time: Some(timestamp(command.expires)),
        sender: command.sender.clone(),
    }
}

pub(super) fn fault(command_id: String, fault: ReplyFault) -> wire::CommandFault {
    let reason = match fault {
        ReplyFault::Unknown => wire::CommandFaultReason::Unknown,
        ReplyFault::Late => wire::CommandFaultReason::Late,
        ReplyFault::Repeated => wire::CommandFaultReason::Repeated,
        ReplyFault::TooLarge => wire::CommandFaultReason::TooLarge,
        ReplyFault::NotWritten => wire::CommandFaultReason::NotWritten,
    };
    wire::CommandFault {
        command_id,
        reason: reason.into(),
    }
}

pub(in crate::grpc) fn command_reply(reply: wire::CommandReply) -> CommandReply {
    let status = reply.status.unwrap_or_default();
    CommandReply {
        command_id: reply.command_id,
        status: CommandStatus {
            code: status.code,
            message: status.message,
            details: status.details.into_iter().map(payload).collect(),
        },
        payload: reply.payload.map(payload),
    }
}

fn payload(any: Any) -> CommandPayload {
    CommandPayload {
        type_url: any.type_url,
        value: any.value.into(),
    }
}

fn any(payload: CommandPayload) -> Any {
    Any {
        type_url: payload.type_url,
        value: payload.value.into(),
    }
}

impl From<CommandStatus> for pb::Status {
    fn from(status: CommandStatus) -> Self {
        Self {
            code: status.code,
            message: status.message,
            details: status.details.into_iter().map(any).collect(),
        }
    }
}
