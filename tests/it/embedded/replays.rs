//! A replay that comes upon damage: it fails, says what is damaged, and the group goes on.

use std::{fs, os::unix::fs::FileExt as _, path::PathBuf};

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::ReplayState,
};

use crate::{
    harness::{
        Server,
        clients::{ids, open, order},
    },
    replays::{everything, start, until},
    resets::{ack, create, publish},
};

/// The largest segment below a directory.
fn largest_segment(directory: PathBuf) -> PathBuf {
    let (mut largest, mut left) = ((0, PathBuf::new()), vec![directory]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let (path, length) = entry
                .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
                .unwrap();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "segment") && length > largest.0 {
                largest = (length, path);
            }
        }
    }
    largest.1
}

#[tokio::test]
async fn a_replay_that_comes_upon_damage_fails_and_the_group_goes_on() {
    let mut server = Server::start().await;
    create(&server, 1).await;
    let large = |n: usize| CloudEvent {
        data: Some(Data::TextData("v".repeat(10_000))),
        ..order(&n.to_string(), &n.to_string())
    };
    server.publish((0..200).map(large).collect()).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(200).await;
    assert_eq!(ack(&mut stream, &got).await, []);
    stream.close().await;
    assert!(server.stop().await.success());
    let segment = largest_segment(server.data());
    let file = fs::OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    let (place, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 4], place).unwrap();
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let replay = start(&server, everything()).await;
    let failed = until(&server, &replay.id, "the replay to fail", |replay| {
        replay.state() == ReplayState::Failed
    })
    .await;
    assert!(
        failed.end_reason.contains("segment") && failed.end_principal.is_empty(),
        "{failed:?}"
    );
    // What it has sent is not taken back from whoever has read it.
    publish(&server, 1_000..1_001).await;
    loop {
        let got = stream.at_least(1).await;
        stream.ack(&got);
        if ids(&got).contains(&"1000".to_owned()) {
            break;
        }
    }
}
