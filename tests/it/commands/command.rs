//! `tidings commands send`, and `tidings subscribe --exec-command`, which answers.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Child;

use super::*;
use crate::harness::{SOON, clients::ORDERS, eventually};

/// A subscriber that answers each command by a shell command.
fn answering(server: &Server, client_id: &str, shell: &str) -> Child {
    let arguments = ["subscribe", "--group", "group", ORDERS, "--client-id", client_id];
    let mut command = server.command(arguments.into_iter().chain(["--exec-command", shell]));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start it")
}

async fn run(server: &Server, line: &str) -> Output {
    server
        .run(["commands", "send"].into_iter().chain(line.split(' ')))
        .await
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Waits until so many instances answer.
async fn until_there_are(server: &Server, count: usize) {
    eventually(SOON, "the instances", || async {
        let output = run(server, "version --group group --output json").await;
        (lines(&output).len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn answers_are_printed_and_the_exit_status_says_how_it_went() {
    let server = Server::start().await;
    let good = answering(&server, "good", "cat");
    until_there_are(&server, 1).await;
    let output = run(
        &server,
        r#"restore --group group --data {"entity":"user"} --reason why --output json"#,
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = &lines(&output)[0];
    assert_eq!(
        (&told["instance"]["clientId"], &told["outcome"]),
        (&"good".into(), &"COMMAND_OUTCOME_ANSWERED".into())
    );
    let echoed = &told["payload"]["value"];
    assert_eq!(
        (
            &echoed["name"],
            &echoed["payload"]["value"]["entity"],
            &echoed["sender"]
        ),
        (&"restore".into(), &"user".into(), &"anonymous".into())
    );
    let bad = answering(&server, "bad", "echo no such entity; exit 1");
    until_there_are(&server, 2).await;
    let output = run(&server, "restore --group group").await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("  good  OK\n"), "{text}");
    assert!(text.contains("  bad  UNKNOWN  exit status: 1\n"), "{text}");
    assert!(text.contains("no such entity"), "{text}");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.contains("restore: 1 of 2 did not answer OK"), "{talk}");
    drop((good, bad));
}

#[tokio::test]
async fn who_does_not_answer_is_1_nobody_there_is_2_and_nonsense_is_64() {
    let server = Server::start().await;
    let stream = server.subscribe(listening("group", "silent")).await;
    let output = run(&server, "restore --group group --timeout 3s --output json").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(lines(&output)[0]["outcome"], "COMMAND_OUTCOME_NO_ANSWER");
    let to_one = format!("restore --instance {} --timeout 3s", stream.opened.stream_id);
    assert_eq!(run(&server, &to_one).await.status.code(), Some(1));
    for (line, status) in [
        ("version --group nobody", 2),
        ("version --instance nobody", 2),
        ("Version --group group", 1),
        ("version --group group --data {", 64),
        ("version", 64),
        ("version --group g --instance i", 64),
    ] {
        let output = run(&server, line).await;
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
    }
}
