//! Hands one command to a shell command; what that prints is the answer.

use std::process::Stdio;

use prost_types::Any;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command as Process},
};
use tonic::Code;
use tonic_types::pb;

use crate::{
    cli::{
        commands,
        failure::{Failure, Result},
        json,
        output::tell,
    },
    proto::tidings::v1::{Command, CommandReply},
};

/// What an answer may have, about; of a longer output nothing is sent.
const MOST_OUTPUT: u64 = 128 * 1024;

/// Runs the shell command with the command as JSON on its stdin. Exit status 0 is OK, another UNKNOWN; a JSON object that it prints
/// is sent back as one, other output as text.
pub(super) async fn answer(shell: &str, command: Command) -> Result<CommandReply> {
    let failed = |error| Failure::local(format!("run {shell}"), error);
    let mut child = Process::new("sh")
        .args(["-c", shell])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let output = talk(&mut child, line(&command)).await.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    let (status, payload) = match payload(&output) {
        _ if output.len() as u64 > MOST_OUTPUT => {
            let text = format!("its output has more than {MOST_OUTPUT} bytes");
            (Some((Code::ResourceExhausted, text)), None)
        }
        payload if status.success() => (None, payload),
        payload => (Some((Code::Unknown, status.to_string())), payload),
    };
    if let Some((_, text)) = &status {
        tell(format!("tidings: command {}: {text}", command.name));
    }
    Ok(CommandReply {
        command_id: command.command_id,
        status: status.map(|(code, message)| pb::Status {
            code: code.into(),
            message,
            details: Vec::new(),
        }),
        payload,
    })
}

/// Writes its stdin and reads its stdout, at the same time: it may do them in any order.
async fn talk(child: &mut Child, line: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // It may exit without reading; its exit status says what that means.
            let _ = stdin.write_all(&line).await;
        }
    };
    let read = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST_OUTPUT + 1).read_to_end(&mut output).await?;
        }
        Ok(output)
    };
    let ((), output) = tokio::join!(write, read);
    output
}

fn line(command: &Command) -> Vec<u8> {
    let payload = command.payload.as_ref().map(commands::any);
    let line = serde_json::json!({
        "commandId": command.command_id,
        "name": command.name,
        "payload": payload,
        "expireTime": command.expire_time.as_ref().map(ToString::to_string),
        "sender": command.sender,
    });
    format!("{line}\n").into_bytes()
}

fn payload(output: &[u8]) -> Option<Any> {
    let text = std::str::from_utf8(output).ok()?.trim_end();
    let of = |ty: &str, json: &[u8]| {
        let type_url = format!("type.googleapis.com/{ty}");
        json::parse(ty, json).map(|value| Any { type_url, value }).ok()
    };
    if text.is_empty() {
        return None;
    }
    let as_text = || {
        of(
            "google.protobuf.StringValue",
            serde_json::to_string(text).ok()?.as_bytes(),
        )
    };
    of("google.protobuf.Struct", text.as_bytes()).or_else(as_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            command_id: "i".to_owned(),
            name: "version".to_owned(),
            ..Command::default()
        }
    }

    #[tokio::test]
    async fn what_it_prints_is_the_answer_and_its_exit_status_says_how_it_went() {
        let told = answer("cat", command()).await.expect("run");
        let shown = commands::any(&told.payload.expect("a payload"));
        assert_eq!((&shown["value"]["name"], told.status), (&"version".into(), None));
        let told = answer("echo 1.2; exit 3", command()).await.expect("run");
        assert_eq!(commands::any(&told.payload.expect("a payload"))["value"], "1.2");
        let status = told.status.expect("a status");
        assert_eq!((status.code, status.message.as_str()), (2, "exit status: 3"));
        let silent = answer("true", command()).await.expect("run");
        assert_eq!((silent.payload, silent.status), (None, None));
    }

    #[tokio::test]
    async fn an_output_that_is_too_long_is_not_sent() {
        let told = answer("yes", command()).await.expect("run");
        assert_eq!((told.payload, told.status.map(|status| status.code)), (None, Some(8)));
    }
}
