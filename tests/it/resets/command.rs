//! `tidings resets`: planned, applied, undone and listed from the command line.

use super::{ack, committed, with_events};
use crate::harness::clients::open;

#[tokio::test]
async fn a_reset_is_planned_applied_undone_and_listed() {
    let server = with_events(5).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(5).await;
    ack(&mut stream, &got).await;
    let planned = server
        .json(["resets", "plan", "group", "--to", "-2", "--reason", "why"])
        .await;
    let id = planned[0]["id"].as_str().expect("an id");
    assert_eq!(
        (&planned[0]["replayed"], &planned[0]["moves"][0]["toOffset"]),
        (&"2".into(), &"3".into())
    );
    let applied = server.json(["resets", "apply", id, "--reason", "because"]).await;
    assert_eq!(
        (&applied[0]["id"], &applied[0]["state"]),
        (&id.into(), &"RESET_STATE_APPLIED".into())
    );
    assert_eq!(committed(&server).await, 3);
    let shown = server
        .json(["resets", "undo", id, "--reason", "wrong", "--dry-run"])
        .await;
    assert_eq!(shown[0]["undoResetId"], id);
    assert_eq!(committed(&server).await, 3);
    server.json(["resets", "undo", id, "--reason", "wrong"]).await;
    assert_eq!(committed(&server).await, 5);
    let listed = server.json(["resets", "list", "--group", "group"]).await;
    assert_eq!((listed.len(), &listed[1]["id"]), (2, &id.into()));
    assert_eq!(server.json(["resets", "show", id]).await[0]["reason"], "because");
}

#[tokio::test]
async fn people_read_a_table_and_what_to_do_next_and_scripts_an_exit_status() {
    let server = with_events(5).await;
    let _stream = server.subscribe(open("group")).await;
    let planned = server
        .run(["resets", "plan", "group", "--to", "latest", "--reason", "why"])
        .await;
    let (table, talk) = (
        String::from_utf8_lossy(&planned.stdout),
        String::from_utf8_lossy(&planned.stderr),
    );
    assert!(
        table.contains("skipped       5 events") && table.contains("SENT AGAIN"),
        "{table}"
    );
    assert!(talk.contains("to apply: tidings resets apply "), "{talk}");
    let missing = server.run(["resets", "apply", "nothing", "--reason", "why"]).await;
    assert_eq!(missing.status.code(), Some(2));
    let unknown = server
        .run(["resets", "plan", "nobody", "--to", "latest", "--reason", "why"])
        .await;
    assert_eq!(unknown.status.code(), Some(2));
    let usage = server
        .run(["resets", "plan", "group", "--to", "nowhere", "--reason", "why"])
        .await;
    assert_eq!(usage.status.code(), Some(64));
}
