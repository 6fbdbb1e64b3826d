//! The command line as scripts and people use it: the real binary, its output and its exit status.

use std::process::Output;

use tempfile::TempDir;

use crate::harness::{tidings, within};

#[tokio::test]
async fn bad_usage_is_64_and_help_is_0() {
    for (line, status) in [
        ("", 64),
        ("nonsense", 64),
        ("publish --type t", 64),
        ("publish --type t --source s --time yesterday", 64),
        ("read t --filter true", 64),
        ("info --server https://127.0.0.1:1", 64),
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
