//! The command line as scripts and people use it: the real binary, its output and its exit status.

use std::process::{Output, Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    LOG,
    harness::{Server, tidings, within},
};

const ORDERS: &str = "io.shop.orders.resource";

#[tokio::test]
async fn bad_usage_is_64_and_help_is_0() {
    for (line, status) in [
        ("", 64),
        ("nonsense", 64),
        ("publish --type t", 64),
        ("publish --type t --source s --time yesterday", 64),
        ("read t --filter", 64),
        ("info --server ftp://127.0.0.1:1", 64),
        ("info --cert f", 64),
        ("--help", 0),
        ("--version", 0),
        ("subscribe --help", 0),
        ("completions bash", 0),
    ] {
        let output = run(line).await;
        assert_eq!(output.status.code(), Some(status), "{line}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_in_plain_words() {
    let output = run("info --server 127.0.0.1:1").await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.starts_with("tidings: cannot reach 127.0.0.1:1: "), "{told}");
    assert_eq!(told.lines().count(), 1);
}

#[tokio::test]
async fn the_printed_default_configuration_is_valid() {
    let printed = run("config default").await;
    assert_eq!(printed.status.code(), Some(0));
    let file = Written::new(&text(&printed.stdout));
    let checked = run(&format!("config check {}", file.path())).await;
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_told() {
    let file = Written::new("[server]\nlisten = 'here'\n[limit]\nstreams = 1\n");
    for command in ["config check", "config show --config", "serve --config"] {
        let output = run(&format!("{command} {}", file.path())).await;
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(
            told.contains(":2: server.listen: ") && told.contains(":4: limit.streams: "),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_is_in_force_is_shown_with_its_origin() {
    let mut command = tidings();
    command
        .args(["config", "show", "--data", "here"])
        .env("TIDINGS_LIMITS__STREAMS", "5");
    let output = within("config show", command.output()).await.expect("run");
    let shown = text(&output.stdout);
    assert!(shown.contains("\nstreams = 5  # TIDINGS_LIMITS__STREAMS\n"), "{shown}");
    assert!(shown.contains("\ndirectory = \"here\"  # --data\n"), "{shown}");
}

#[tokio::test]
async fn what_is_published_from_a_file_is_read_back_member_for_member() {
    let server = Server::start().await;
    let mut lines = String::from("# two events, and a comment\n\n");
    for (id, data) in [("1", r#"{"b": 1.50, "a": [null, "ä"]}"#), ("2", r#""text""#)] {
        lines.push_str(&format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"io.shop.orders.created","subject":"7","time":"2026-01-01T00:00:00.123456789+01:00","tenant":"a","datacontenttype":"application/json","data":{data}}}"#
        ));
        lines.push('\n');
    }
    let file = Written::new(&lines);
    let published = server
        .run(["publish", "--output", "json", "--from", &file.path()])
        .await;
    assert_eq!(text(&published.stderr), "published 2 events\n");
    assert_eq!(json(&published).len(), 2);
    let read = server.run(["read", ORDERS, "--output", "json"]).await;
    let expected: Vec<Value> = lines
        .lines()
        .skip(2)
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(json(&read), expected);
}

#[tokio::test]
async fn a_group_goes_on_after_what_max_ended_with() {
    let server = Server::start().await;
    for id in ["1", "2", "3"] {
        let line = [
            "publish",
            "--type",
            "io.shop.orders.created",
            "--source",
            "/shop",
            "--subject",
            "7",
            "--id",
            id,
        ];
        assert_eq!(server.run(line).await.status.code(), Some(0));
    }
    let first = server
        .run(["subscribe", "--group", "g", ORDERS, "--max", "2", "--output", "json"])
        .await;
    assert_eq!(ids(&first), ["1", "2"]);
    let rest = server
        .run(["subscribe", "--group", "g", ORDERS, "--max", "1", "--output", "json"])
        .await;
    assert_eq!(ids(&rest), ["3"]);
    let group = json(&server.run(["groups", "show", "g", "--output", "json"]).await);
    assert_eq!(group[0]["lagEvents"], "0");
}

#[tokio::test]
async fn read_prints_what_passes_its_filter() {
    let server = Server::start().await;
    for (id, ty) in [("1", "created"), ("2", "deleted"), ("3", "created")] {
        let ty = format!("io.shop.orders.{ty}");
        let line = [
            "publish",
            "--type",
            &ty,
            "--source",
            "/shop",
            "--subject",
            "7",
            "--id",
            id,
        ];
        assert_eq!(server.run(line).await.status.code(), Some(0));
    }
    let reading = ["read", ORDERS, "--output", "json", "--filter"];
    let read = server.run(reading.into_iter().chain(["type LIKE '%.created'"])).await;
    assert_eq!(ids(&read), ["1", "3"]);
    let refused = server.run(reading.into_iter().chain(["type LIKE created"])).await;
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    let place = "filter.cesql: at column 11: expected a string literal as the pattern of LIKE, found `created`";
    assert!(told.contains(place), "{told}");
}

#[tokio::test]
async fn a_signal_ends_a_subscription_with_its_acks_committed() {
    let server = Server::start().await;
    let line = [
        "publish",
        "--type",
        "io.shop.orders.created",
        "--source",
        "/shop",
        "--id",
        "1",
    ];
    assert_eq!(server.run(line).await.status.code(), Some(0));
    let mut subscribe = server.command(["subscribe", "--group", "g", ORDERS, "--output", "json"]);
    let mut process = subscribe.stdout(Stdio::piped()).spawn().expect("subscribe");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    within("an event", lines.next_line())
        .await
        .expect("read")
        .expect("a line");
    let id = process.id().expect("it runs").cast_signed();
    kill(Pid::from_raw(id), Signal::SIGTERM).expect("signal");
    let status = within("the end of subscribe", process.wait()).await.expect("wait");
    assert_eq!(status.code(), Some(0));
    let group = json(&server.run(["groups", "show", "g", "--output", "json"]).await);
    assert_eq!(group[0]["lagEvents"], "0");
}

#[tokio::test]
async fn a_command_that_fails_gets_its_event_again() {
    let server = Server::start().await;
    server
        .run([
            "publish",
            "--type",
            "io.shop.orders.created",
            "--source",
            "/shop",
            "--data",
            "x",
        ])
        .await;
    let marker = Written::new("");
    let command = format!("rm {0} 2>/dev/null && exit 1; cat", marker.path());
    let line = ["subscribe", "--group", "g", ORDERS, "--max", "1", "--exec", &command];
    let output = server.run(line).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stderr).contains("exit status: 1 in attempt 1"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(json(&output)[0]["data"], "x");
}

#[tokio::test]
async fn a_command_that_fails_as_often_as_the_group_allows_leaves_a_dead_letter() {
    let server = Server::start_with("[[delivery.groups]]\ngroup = \"g\"\ninitial = \"10ms\"\nmax_attempts = 3\n").await;
    for data in ["poison", "good"] {
        let order = [
            "--type",
            "io.shop.orders.created",
            "--source",
            "/shop",
            "--subject",
            "1",
        ];
        server
            .run(["publish"].into_iter().chain(order).chain(["--data", data]))
            .await;
    }
    // The second event comes once the first, which has its key, is given up.
    let command = "event=$(cat); case $event in *poison*) exit 3 ;; esac; echo \"$event\"";
    let line = ["subscribe", "--group", "g", ORDERS, "--max", "1", "--exec", command];
    let output = server.run(line).await;
    assert_eq!(json(&output)[0]["data"], "good");
    let told = text(&output.stderr);
    assert!(told.contains("exit status: 3 in attempt 3"), "{told}");
    assert!(!told.contains("in attempt 4"), "{told}");

    let listed = json(
        &server
            .run(["dead-letters", "list", "--group", "g", "--output", "json"])
            .await,
    );
    assert_eq!(listed.len(), 1);
    let letter = &listed[0];
    assert_eq!(
        (&letter["reason"], &letter["attempts"], &letter["detail"]),
        (
            &"DEAD_LETTER_REASON_ATTEMPTS".into(),
            &3.into(),
            &"exit status: 3".into()
        )
    );
    let id = letter["id"].as_str().expect("an id");
    server.run(["dead-letters", "redrive", "--group", "g", id]).await;
    let line = ["subscribe", "--group", "g", ORDERS, "--max", "1", "--exec", "cat"];
    assert_eq!(json(&server.run(line).await)[0]["data"], "poison");
}

#[tokio::test]
async fn topics_are_created_listed_and_deleted() {
    let server = Server::start().await;
    let create = [
        "topics",
        "create",
        "t",
        "--partitions",
        "2",
        "--retention",
        "7d",
        "--output",
        "json",
    ];
    let created = json(&server.run(create).await);
    assert_eq!(
        (
            &created[0]["settings"]["partitions"],
            &created[0]["settings"]["retention"]
        ),
        (&2.into(), &"604800s".into())
    );
    assert_eq!(server.run(create).await.status.code(), Some(1));
    assert!(text(&server.run(["topics", "list"]).await.stdout).contains("\nt "));
    assert_eq!(server.run(["topics", "delete", "t"]).await.status.code(), Some(64));
    assert_eq!(
        server.run(["topics", "delete", "t", "--yes"]).await.status.code(),
        Some(0)
    );
    let missing = server.run(["topics", "show", "t"]).await;
    assert_eq!(missing.status.code(), Some(2));
    let told =
        "tidings: show topic t: topic t does not exist; create it with: tidings topics create t (TOPIC_NOT_FOUND)\n";
    assert_eq!(text(&missing.stderr), told);
}

#[tokio::test]
async fn the_load_tool_measures_both_ways() {
    let server = Server::start().await;
    let published = json(
        &server
            .run([
                "bench", "publish", "--events", "500", "--size", "64", "--output", "json",
            ])
            .await,
    );
    let unary = [
        "bench",
        "publish",
        "--unary",
        "--callers",
        "4",
        "--events",
        "50",
        "--output",
        "json",
    ];
    assert_eq!(
        (&published[0]["events"], &json(&server.run(unary).await)[0]["events"]),
        (&500.into(), &50.into())
    );
    let subscribe = [
        "bench",
        "subscribe",
        "--events",
        "550",
        "--streams",
        "2",
        "--output",
        "json",
    ];
    let received = json(&server.run(subscribe).await);
    assert_eq!(received[0]["events"], 550);
    assert!(received[0]["latencyMilliseconds"]["p99"].as_f64() > Some(0.0));
    let info = json(&server.run(["info", "--output", "json"]).await);
    assert_eq!(info[0]["logBackend"], LOG.name());
}

fn ids(output: &Output) -> Vec<String> {
    json(output)
        .iter()
        .map(|event| event["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// What was printed, one JSON value a line.
fn json(output: &Output) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(parse).collect()
}

async fn run(line: &str) -> Output {
    let mut command = tidings();
    command.args(line.split_whitespace());
    within(line, command.output()).await.expect("run the command line")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file for a command to read.
struct Written {
    directory: TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let written = Self {
            directory: TempDir::with_prefix("tidings-test-").expect("make a directory"),
        };
        std::fs::write(written.path(), text).expect("write the file");
        written
    }

    fn path(&self) -> String {
        self.directory.path().join("file").display().to_string()
    }
}
