//! `tidings dead-letters` as scripts and people use it.

use std::process::Output;

use serde_json::Value;

use super::letters::{GROUP, behind, head, id, letter, nacked};
use crate::harness::{Server, clients::open};

async fn run(server: &Server, line: &str) -> Output {
    server
        .run(["dead-letters"].into_iter().chain(line.split_whitespace()))
        .await
}

/// What was printed, one JSON value a line.
async fn json(server: &Server, line: &str) -> Vec<Value> {
    let output = run(server, &format!("--output json {line}")).await;
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text(&output.stdout).lines().map(parse).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn letters_are_listed_shown_redriven_and_discarded() {
    let first = letter(1, "a", head());
    let all = [first.clone(), letter(2, "a", behind(&first)), letter(3, "b", nacked())];
    let server = Server::with_letters(&all).await;
    // Without it there is no group to look for a letter in.
    let stream = server.subscribe(open(GROUP)).await;
    stream.close().await;
    let listed = json(&server, "list --group billing --max 2").await;
    let listed: Vec<&str> = listed.iter().filter_map(|letter| letter["id"].as_str()).collect();
    assert_eq!(listed, [id(&all[2]), id(&all[1])]);
    let shown = run(&server, &format!("show {} --payload", id(&all[2]))).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("\nstate          parked\n"), "{shown}");
    assert!(shown.ends_with("/test  b\n    data 3\n"), "{shown}");
    let trial = run(
        &server,
        "redrive --group billing --all --topic io.shop.orders.resource --dry-run",
    )
    .await;
    assert_eq!(
        (trial.status.code(), text(&trial.stderr).as_str()),
        (Some(0), "would redrive 3 letters\n")
    );
    let discarded = json(
        &server,
        &format!("discard --group billing {} --reason tests", id(&all[0])),
    )
    .await;
    let outcomes: Vec<&str> = discarded
        .iter()
        .filter_map(|result| result["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["DEAD_LETTER_OUTCOME_DISCARDED", "DEAD_LETTER_OUTCOME_FREED"]);
    let redriven = run(
        &server,
        &format!("redrive --group billing {} --request-id r", id(&all[2])),
    )
    .await;
    assert_eq!(text(&redriven.stderr), "redrives 1 letter as r\n");
    let state = &json(&server, "list --group billing --why nacked --state redriving").await[0];
    assert_eq!(
        (&state["redriveId"], &state["stateBy"]),
        (&"r".into(), &"anonymous".into())
    );
}

#[tokio::test]
async fn what_matches_nothing_is_2_and_what_makes_no_sense_is_64() {
    let server = Server::with_letters(&[letter(1, "a", nacked())]).await;
    for (line, status) in [
        ("redrive --group billing --all --state redriven", 1),
        ("redrive --group billing --all --topic others", 2),
        ("redrive --group billing 00000000000000ff", 2),
        ("show --group billing 00000000000000ff", 2),
        ("show 00000000000000ff", 2),
        ("list --group others", 2),
        ("redrive --group billing", 64),
        ("redrive --group billing 00000000000000ff --all", 64),
        ("redrive --group billing 00000000000000ff --topic t", 64),
        ("discard --group billing --all", 64),
        ("list", 64),
    ] {
        let output = run(&server, line).await;
        assert_eq!(output.status.code(), Some(status), "{line}: {}", text(&output.stderr));
    }
}
