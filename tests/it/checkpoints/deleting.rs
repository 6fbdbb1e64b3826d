//! Deleting checkpoints: whole, once, audited, and without counting anew.

use std::fs;

use tidings::proto::{io::cloudevents::v1::cloud_event::Data, tidings::v1::DeleteCheckpointRequest};
use tonic::Code;

use super::{Bed, delete, generations, get, header, put, text};
use crate::harness::{SOON, eventually, status::refused};

fn deletion(name: &str, request_id: &str) -> DeleteCheckpointRequest {
    DeleteCheckpointRequest {
        name: name.to_owned(),
        expected_generation: None,
        reason: "of no use".to_owned(),
        request_id: request_id.to_owned(),
    }
}

#[tokio::test]
async fn a_deleted_checkpoint_is_gone_with_its_bytes_and_its_generations_are_not_counted_anew() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    put(&bed.server, header("c"), "two").await;
    put(&bed.server, header("d"), "other").await;
    let elsewhere = DeleteCheckpointRequest {
        expected_generation: Some(1),
        ..deletion("c", "")
    };
    refused(
        delete(&bed.server, elsewhere).await,
        Code::Aborted,
        "CHECKPOINT_CONFLICT",
    );
    assert_eq!(text(&bed.server, "c").await, "two");
    let here = DeleteCheckpointRequest {
        expected_generation: Some(2),
        ..deletion("c", "r")
    };
    delete(&bed.server, here).await.expect("deleted");
    for generation in 0..=3 {
        refused(
            get(&bed.server, "c", generation).await,
            Code::NotFound,
            "CHECKPOINT_NOT_FOUND",
        );
    }
    assert!(bed.parts("c").is_empty() && generations(&bed.server, "c").await.is_empty());
    assert_eq!(generations(&bed.server, "").await, ["d@1"]);
    delete(&bed.server, deletion("c", "r")).await.expect("the same answer");
    refused(
        delete(&bed.server, deletion("c", "")).await,
        Code::NotFound,
        "CHECKPOINT_NOT_FOUND",
    );
    refused(
        delete(&bed.server, deletion("x", "")).await,
        Code::NotFound,
        "CHECKPOINT_NOT_FOUND",
    );
    let first = tidings::proto::tidings::v1::PutCheckpointHeader {
        expected_generation: Some(0),
        ..header("c")
    };
    assert_eq!(put(&bed.server, first, "anew").await.generation, 4);
    delete(&bed.server, deletion("c", "r"))
        .await
        .expect("the same answer, and nothing more");
    assert_eq!(text(&bed.server, "c").await, "anew");
    assert_eq!(generations(&bed.server, "c").await, ["c@4"]);
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_brings_nothing_back_and_is_finished_when_it_is_asked_for_again() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    put(&bed.server, header("c"), "two").await;
    let kept: Vec<_> = bed.manifests("c").iter().chain(&bed.parts("c")).cloned().collect();
    let kept: Vec<_> = kept
        .into_iter()
        .map(|file| (fs::read(&file).expect("read a file"), file))
        .collect();
    delete(&bed.server, deletion("c", "r")).await.expect("deleted");
    // As if it had died behind its first step.
    for (bytes, file) in kept {
        fs::create_dir_all(file.parent().expect("a folder")).expect("make a directory");
        fs::write(file, bytes).expect("write a file");
    }
    let bed = bed.restart().await;
    refused(get(&bed.server, "c", 0).await, Code::NotFound, "CHECKPOINT_NOT_FOUND");
    assert!(generations(&bed.server, "c").await.is_empty() && generations(&bed.server, "").await.is_empty());
    delete(&bed.server, deletion("c", "r")).await.expect("finished");
    assert!(bed.parts("c").is_empty() && bed.manifests("c").len() == 1);
}

#[tokio::test]
async fn a_damaged_checkpoint_can_be_deleted() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    fs::write(&bed.manifests("c")[0], "x").expect("write a file");
    delete(&bed.server, deletion("c", "")).await.expect("deleted");
    assert!(generations(&bed.server, "").await.is_empty());
}

#[tokio::test]
async fn a_deletion_says_why_and_is_audited() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    let silent = DeleteCheckpointRequest {
        reason: " ".to_owned(),
        ..deletion("c", "")
    };
    refused(
        delete(&bed.server, silent).await,
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    delete(&bed.server, deletion("c", "r")).await.expect("deleted");
    let audited = async || {
        let events = bed.server.read_all("tidings.audit").await;
        events
            .into_iter()
            .find_map(|event| event.event.filter(|event| event.id == "deleted-c@2"))
    };
    let event = eventually(SOON, "the audit", audited).await;
    assert_eq!(event.r#type, "tidings.checkpoints.deleted");
    let Some(Data::TextData(data)) = event.data else {
        panic!("no text")
    };
    assert_eq!(data, r#"{"name":"c","generation":2,"request_id":"r"}"#);
}
