//! Checkpoints on several replicas that share a store: whoever is asked, whoever owns the partitions, and whoever dies.

use nix::sys::signal::Signal;
use tidings::proto::tidings::v1::{PutCheckpointHeader, Reason};
use tonic::Code;

use super::{CONFIG, SESSION};
use crate::{
    checkpoints::{Bed, Putting, at, generations, get, header, put, text, tied::tied, try_put},
    harness::{
        SOON, Server,
        clients::{ids, open},
        eventually,
        status::refused,
    },
    resets::{ack, committed, create, numbers, publish},
};

async fn bed() -> Bed {
    let bed = Bed::start_with(CONFIG).await;
    create(&bed.server, 1).await;
    publish(&bed.server, 0..10).await;
    bed
}

/// A put to this replica, all of it sent.
async fn begin(server: &Server, header: PutCheckpointHeader) -> tokio::task::JoinHandle<Result<(), tonic::Status>> {
    let putting = Putting::begin(server);
    putting
        .send(Some(
            tidings::proto::tidings::v1::put_checkpoint_request::Frame::Header(header),
        ))
        .await;
    putting.data("state").await;
    tokio::spawn(async move { putting.finish().await.map(|_| ()) })
}

#[tokio::test]
async fn the_replica_that_owns_the_partitions_commits_what_another_one_has_stored() {
    let bed = bed().await;
    let other = bed.server.replica().await;
    let mut stream = bed.server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    put(&other, tied(6), "state").await;
    assert_eq!(committed(&other).await, 6);
    assert_eq!(ack(&mut stream, &got[..6]).await, [Reason::Settled; 6]);
    assert_eq!(ack(&mut stream, &got[6..]).await, []);
    assert_eq!(committed(&other).await, 10);
    assert_eq!(text(&bed.server, "c").await, "state");
}

#[tokio::test]
async fn of_puts_to_two_replicas_at_once_one_follows_what_was_expected() {
    let bed = bed().await;
    let other = bed.server.replica().await;
    for generation in 0..5 {
        let expecting = || PutCheckpointHeader {
            expected_generation: Some(generation),
            ..header("c")
        };
        let (here, there) = tokio::join!(
            try_put(&bed.server, expecting(), "here"),
            try_put(&other, expecting(), "there")
        );
        let (expected, loser) = match here {
            Ok(_) => ("here", there),
            Err(_) => ("there", here),
        };
        refused(loser, Code::Aborted, "CHECKPOINT_CONFLICT");
        assert_eq!(text(&other, "c").await, expected);
        assert_eq!(
            get(&bed.server, "c", 0).await.expect("get").0.generation,
            generation + 1
        );
    }
}

#[tokio::test]
async fn an_owner_that_was_frozen_commits_when_it_is_back_although_who_asked_has_died() {
    let bed = bed().await;
    let mut other = bed.server.replica().await;
    let mut stream = bed.server.subscribe(open("group")).await;
    stream.deliveries(10).await;
    bed.server.signal(Signal::SIGSTOP);
    let asking = begin(&other, tied(6)).await;
    let told = async || bed.manifests_there("c").then_some(());
    eventually(SOON, "the checkpoint to be stored", told).await;
    // The owners are told right behind it.
    let written = async || (rows(&other).await > 0).then_some(());
    eventually(SOON, "the owners to be told", written).await;
    other.kill().await;
    let _ = asking.await;
    bed.server.signal(Signal::SIGCONT);
    let moved = async || (committed(&bed.server).await == 6).then_some(());
    eventually(SOON, "the commit", moved).await;
    assert_eq!(generations(&bed.server, "c").await, ["c@1"]);
}

#[tokio::test]
async fn who_owns_the_partition_next_commits_what_an_owner_that_died_has_not() {
    let bed = bed().await;
    let mut owner = bed.server.replica().await;
    let mut stream = owner.subscribe(open("group")).await;
    stream.deliveries(10).await;
    owner.signal(Signal::SIGSTOP);
    let asking = begin(&bed.server, tied(6)).await;
    let told = async || bed.manifests_there("c").then_some(());
    eventually(SOON, "the checkpoint to be stored", told).await;
    owner.kill().await;
    drop(stream);
    // Nobody else is in the group: the replica that was asked serves it, once the session of the dead one is over.
    let answer = tokio::time::timeout(SESSION + SOON, asking).await.expect("an answer");
    answer.expect("the call ran").expect("put");
    assert_eq!(committed(&bed.server).await, 6);
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(4).await), numbers(6..10));
    // What is behind is no more behind for being asked of the other replica.
    let again = PutCheckpointHeader {
        positions: at(7),
        ..tied(7)
    };
    put(&bed.server, again, "state").await;
    assert_eq!(committed(&bed.server).await, 7);
}

impl Bed {
    fn manifests_there(&self, name: &str) -> bool {
        let folder = self
            .store
            .path()
            .join("objects/checkpoints")
            .join(name)
            .join("generations");
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    }
}

/// Rows for owners, in the control topic.
async fn rows(server: &Server) -> usize {
    let events = server.read_all("tidings.control").await;
    let is_row = |event: &tidings::proto::tidings::v1::ReadEvent| {
        event.key.as_ref().is_some_and(|key| key.starts_with(b"covers/"))
    };
    events.iter().filter(|event| is_row(event)).count()
}
