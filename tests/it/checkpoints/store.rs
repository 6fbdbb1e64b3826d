//! What lies in the store: nothing half after a crash, nothing left over, and nothing said where it cannot be reached.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidings::proto::tidings::v1::{DeleteCheckpointRequest, ListCheckpointsRequest, put_checkpoint_request::Frame};
use tonic::Code;

use super::{Bed, MIB, Putting, delete, generations, get, header, list, noise, put, put_in, read, text, try_put};
use crate::harness::{
    SOON, eventually,
    status::{has_retry_info, refused},
};

/// All files below a directory, in order.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut all: Vec<PathBuf> = paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    all.sort();
    all
}

impl Bed {
    pub(super) fn objects(&self) -> PathBuf {
        self.store.path().join("objects")
    }

    /// The parts of all generations of a checkpoint that there are.
    pub(super) fn parts(&self, name: &str) -> Vec<PathBuf> {
        files(&self.objects().join("checkpoints").join(name).join("data"))
    }

    pub(super) fn manifests(&self, name: &str) -> Vec<PathBuf> {
        files(&self.objects().join("checkpoints").join(name).join("generations"))
    }
}

/// Waits until only these are kept, with a part for each.
pub(super) async fn eventually_kept(bed: &Bed, name: &str, kept: &[&str]) {
    let look = async || {
        let is_so = generations(&bed.server, name).await == kept && bed.parts(name).len() == kept.len();
        is_so.then_some(())
    };
    eventually(SOON, "older generations to go", look).await;
}

#[tokio::test]
async fn a_server_that_is_killed_midway_leaves_the_checkpoint_as_it_was() {
    let mut bed = Bed::start().await;
    put(&bed.server, header("c"), "before").await;
    let putting = Putting::begin(&bed.server);
    putting.send(Some(Frame::Header(header("c")))).await;
    for _ in 0..10 {
        putting.data(noise(MIB)).await;
    }
    let written = async || (bed.parts("c").len() > 1).then_some(());
    eventually(SOON, "a part to be written", written).await;
    bed.server.kill().await;
    assert!(putting.finish().await.is_err());
    let bed = bed.restart().await;
    assert_eq!(text(&bed.server, "c").await, "before");
    assert_eq!(generations(&bed.server, "c").await, ["c@1"]);
    assert_eq!(put(&bed.server, header("c"), "after").await.generation, 2);
    assert_eq!(text(&bed.server, "c").await, "after");
}

#[tokio::test]
async fn a_client_that_is_gone_midway_leaves_nothing() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "before").await;
    let putting = Putting::begin(&bed.server);
    putting.send(Some(Frame::Header(header("c")))).await;
    for _ in 0..10 {
        putting.data(noise(MIB)).await;
    }
    let written = async || (bed.parts("c").len() > 1).then_some(());
    eventually(SOON, "a part to be written", written).await;
    putting.call.abort();
    drop(putting);
    eventually_kept(&bed, "c", &["c@1"]).await;
    assert_eq!(text(&bed.server, "c").await, "before");
}

#[tokio::test]
async fn what_an_old_put_has_left_over_is_removed_and_what_may_be_in_use_is_not() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    let data = bed.objects().join("checkpoints/c/data");
    // A put that began in 2020, and one whose time nobody can tell.
    let (old, unknown) = ("016f5e66e80070008000000000000000", "something");
    for upload in [old, unknown] {
        fs::create_dir(data.join(upload)).expect("make a directory");
        fs::write(data.join(upload).join("00000001"), "left over").expect("write a file");
    }
    put(&bed.server, header("c"), "two").await;
    let removed = async || (!data.join(old).exists()).then_some(());
    eventually(SOON, "what is left over to be removed", removed).await;
    assert!(data.join(unknown).exists());
    assert_eq!(bed.parts("c").len(), 3);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_said_and_everything_is_there_when_it_is_back() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    let away = bed.store.path().join("away");
    fs::rename(bed.objects(), &away).expect("move the store");
    for in_its_place in ["nothing", "a file"] {
        if in_its_place == "a file" {
            fs::write(bed.objects(), "").expect("write a file");
        }
        let deletion = DeleteCheckpointRequest {
            name: "c".to_owned(),
            reason: "a test".to_owned(),
            ..Default::default()
        };
        for status in [
            try_put(&bed.server, header("c"), "two").await.expect_err("away"),
            read(&bed.server, "c", 0).await.2.expect_err("away"),
            list(&bed.server, ListCheckpointsRequest::default())
                .await
                .expect_err("away"),
            delete(&bed.server, deletion).await.expect_err("away"),
        ] {
            assert!(has_retry_info(&status), "{status:?}");
            refused::<()>(Err(status), Code::Unavailable, "STORE_UNAVAILABLE");
        }
    }
    fs::remove_file(bed.objects()).expect("remove the file");
    fs::rename(&away, bed.objects()).expect("move the store back");
    assert_eq!(text(&bed.server, "c").await, "one");
    assert_eq!(put(&bed.server, header("c"), "two").await.generation, 2);
}

#[tokio::test]
async fn a_store_that_goes_away_midway_stores_nothing() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    let putting = Putting::begin(&bed.server);
    putting.send(Some(Frame::Header(header("c")))).await;
    putting.data(noise(MIB)).await;
    let away = bed.store.path().join("away");
    fs::rename(bed.objects(), &away).expect("move the store");
    let refusal = async {
        for _ in 0..12 {
            putting.data(noise(MIB)).await;
        }
        putting.finish().await
    };
    refused(refusal.await, Code::Unavailable, "STORE_UNAVAILABLE");
    fs::rename(&away, bed.objects()).expect("move the store back");
    assert_eq!(generations(&bed.server, "c").await, ["c@1"]);
}

#[tokio::test]
async fn a_reader_that_is_slower_than_newer_generations_come_is_told_that_its_own_is_gone() {
    let bed = Bed::start_with("[checkpoints]\nkeep = 1").await;
    let bytes = noise(40 * MIB);
    put_in(&bed.server, header("c"), (&bytes, MIB)).await.expect("put");
    let request = tidings::proto::tidings::v1::GetCheckpointRequest {
        name: "c".to_owned(),
        generation: 0,
    };
    let frames = super::client(&bed.server).get_checkpoint(request).await;
    let mut frames = frames.expect("a checkpoint").into_inner();
    put(&bed.server, header("c"), "two").await;
    eventually_kept(&bed, "c", &["c@2"]).await;
    let end = async {
        while frames.message().await?.is_some() {}
        Ok::<(), tonic::Status>(())
    };
    refused(end.await, Code::NotFound, "CHECKPOINT_NOT_FOUND");
    assert_eq!(get(&bed.server, "c", 0).await.expect("get").1, b"two");
}
