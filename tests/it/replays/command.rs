//! `tidings replays`: started, watched to their end, shown, listed and stopped from the command line.

use super::caught_up;
use crate::resets::ack;

#[tokio::test]
async fn a_replay_is_started_waited_for_shown_and_listed() {
    let (server, mut stream) = caught_up(5).await;
    let position = format!("{}/0/1", crate::harness::clients::ORDERS);
    let line = [
        "replays",
        "start",
        "--group",
        "group",
        "--from",
        &position,
        "--filter",
        "id <> '3'",
    ];
    let line = line.into_iter().chain(["--rate", "1000", "--reason", "why", "--wait"]);
    let consuming = async {
        let again = stream.deliveries(3).await;
        ack(&mut stream, &again).await;
    };
    let (started, ()) = tokio::join!(server.json(line), consuming);
    assert_eq!(
        (&started[0]["state"], &started[0]["acked"]),
        (&"REPLAY_STATE_DONE".into(), &"3".into())
    );
    let id = started[0]["id"].as_str().expect("an id");
    let shown = server.json(["replays", "show", id]).await;
    assert_eq!((&shown[0]["reason"], &shown[0]["hidden"]), (&"why".into(), &"1".into()));
    assert_eq!(shown[0]["partitions"][0]["nextOffset"], "5");
    let listed = server.json(["replays", "list", "--group", "group"]).await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &id.into()));
}

#[tokio::test]
async fn people_read_what_it_does_and_scripts_an_exit_status() {
    let (server, _stream) = caught_up(5).await;
    let started = server
        .run(["replays", "start", "--group", "group", "--reason", "why"])
        .await;
    let (text, talk) = (
        String::from_utf8_lossy(&started.stdout).into_owned(),
        String::from_utf8_lossy(&started.stderr).into_owned(),
    );
    assert!(
        text.contains("running") && text.contains("of 5 events") && text.contains("NEXT"),
        "{text}"
    );
    assert!(talk.contains("tidings replays show "), "{talk}");
    let second = server
        .run(["replays", "start", "--group", "group", "--reason", "why"])
        .await;
    assert_eq!(second.status.code(), Some(1));
    let listed = server.json(["replays", "list"]).await;
    let id = listed[0]["id"].as_str().expect("an id");
    let stopped = server.run(["replays", "stop", id, "--reason", "enough"]).await;
    let text = String::from_utf8_lossy(&stopped.stdout);
    assert!(text.contains("stopped") && text.contains("enough"), "{text}");
    assert_eq!(server.run(["replays", "show", "nothing"]).await.status.code(), Some(2));
    let unknown = ["replays", "start", "--group", "nobody", "--reason", "why"];
    assert_eq!(server.run(unknown).await.status.code(), Some(2));
    assert_eq!(
        server.run(["replays", "start", "--group", "group"]).await.status.code(),
        Some(64)
    );
}
