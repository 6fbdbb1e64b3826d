//! `tidings checkpoints`, and `--from checkpoint:NAME`.

use std::{fs, process::Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{Bed, text};
use crate::{
    harness::{clients::open, within},
    resets::committed,
};

async fn run(bed: &Bed, line: &str) -> (Option<i32>, String, String) {
    let output = bed.server.run(line.split_whitespace()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn json(bed: &Bed, line: &str) -> Vec<Value> {
    let (status, stdout, stderr) = run(bed, &format!("--output json {line}")).await;
    assert_eq!(status, Some(0), "{line}: {stderr}");
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn a_state_is_put_listed_shown_written_started_from_and_deleted() {
    let bed = Bed::with_events(5).await;
    let _stream = bed.server.subscribe(open("group")).await;
    let (from, to) = (bed.store.path().join("from"), bed.store.path().join("to"));
    fs::write(&from, "the state").expect("write a file");
    let line = format!(
        "checkpoints put c --data {} --at io.shop.orders.resource/0/3 --group group --epoch 0 --expect 0 --label a=b --content-type text/plain",
        from.display()
    );
    let stored = json(&bed, &line).await;
    assert_eq!(
        (&stored[0]["generation"], &stored[0]["size"]),
        (&"1".into(), &"9".into())
    );
    assert_eq!(committed(&bed.server).await, 3);
    let listed = json(&bed, "checkpoints list").await;
    assert_eq!((listed.len(), &listed[0]), (1, &stored[0]));
    let (_, table, _) = run(&bed, "checkpoints list c").await;
    assert!(
        table.contains("io.shop.orders.resource/0/3") && table.contains("GENERATION"),
        "{table}"
    );
    let (_, shown, _) = run(&bed, "checkpoints show c@1").await;
    assert!(
        shown.contains("\ngroup         group, epoch 0\n") && shown.contains("\nlabels        a=b\n"),
        "{shown}"
    );
    assert_eq!(run(&bed, "checkpoints show c --data -").await.1, "the state");
    let (status, _, told) = run(&bed, &format!("checkpoints show c --data {}", to.display())).await;
    assert_eq!(
        (status, told),
        (Some(0), format!("wrote 9 bytes to {}\n", to.display()))
    );
    assert_eq!(fs::read_to_string(&to).expect("read a file"), "the state");
    let events = json(&bed, "read io.shop.orders.resource --from checkpoint:c").await;
    assert_eq!(events.len(), 2);
    let (_, _, told) = run(&bed, "checkpoints delete c --reason tests").await;
    assert_eq!(told, "deleted checkpoint c\n");
    for missing in [
        "checkpoints show c",
        "checkpoints delete c --reason tests",
        "read t --from checkpoint:c",
    ] {
        assert_eq!(run(&bed, missing).await.0, Some(2), "{missing}");
    }
}

#[tokio::test]
async fn stdin_is_stored_and_what_cannot_be_read_or_is_damaged_leaves_nothing() {
    let bed = Bed::start().await;
    let mut command = bed.server.command(["checkpoints", "put", "c", "--data", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("run it");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all("from stdin".as_bytes()).await.expect("write");
    drop(stdin);
    assert!(within("the command", child.wait()).await.expect("it ran").success());
    assert_eq!(text(&bed.server, "c").await, "from stdin");
    let directory = bed.store.path().display().to_string();
    let (status, _, told) = run(&bed, &format!("checkpoints put c --data {directory}")).await;
    assert_eq!(status, Some(1), "{told}");
    assert_eq!(text(&bed.server, "c").await, "from stdin");
    fs::write(&bed.parts("c")[0], "damaged").expect("write a file");
    let to = bed.store.path().join("to");
    let (status, _, told) = run(&bed, &format!("checkpoints show c --data {}", to.display())).await;
    assert_eq!(status, Some(1));
    assert!(told.contains("STORE_DAMAGED"), "{told}");
    let left: Vec<_> = fs::read_dir(bed.store.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
