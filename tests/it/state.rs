//! The state of topics: snapshots are taken, restores read from them, and what goes wrong is found and told.

mod command;
mod damage;
mod following;
mod gone;
mod histories;
mod killed;
mod names;
mod restoring;
mod scheduled;
mod snapshots;
mod starting;

use std::{collections::BTreeMap, path::PathBuf};

use tempfile::TempDir;
use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{
        CaughtUp, Change, Cleanup, CreateSnapshotRequest, CreateTopicRequest, Gap, GetSnapshotRequest, KeyState,
        ListSnapshotsRequest, PublishRequest, ReadEvent, RestoreProgress, RestoreRequest, Snapshot, TopicSettings,
        restore_response::Frame, state_service_client::StateServiceClient,
    },
};
use tonic::{Status, Streaming, transport::Channel};

use crate::harness::{
    Server,
    clients::{ORDERS, order, text},
    within,
};

/// A store of the test's own, which outlives its servers.
pub(crate) struct Store(TempDir);

impl Store {
    pub(crate) fn new() -> Self {
        Self(TempDir::with_prefix("tidings-store-").expect("make a directory"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// A server's configuration with this store; `more` stands in its section.
    pub(crate) fn config(&self, more: &str) -> String {
        format!("[snapshots]\nstore = \"file://{}\"\n{more}\n", self.path().display())
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::start_with(&self.config("")).await
    }

    /// Where a snapshot lies.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> PathBuf {
        let (topic, id) = snapshot.name.split_once('@').expect("a name");
        self.path().join("snapshots").join(topic).join(id)
    }
}

pub(crate) fn client(server: &Server) -> StateServiceClient<Channel> {
    StateServiceClient::new(server.channel()).max_decoding_message_size(64 << 20)
}

pub(crate) async fn create_topic(server: &Server, partitions: i32, cleanup: Cleanup) {
    let settings = TopicSettings {
        partitions: Some(partitions),
        cleanup: cleanup.into(),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
}

/// An event of this happening, such as `deleted`.
pub(crate) fn event(id: usize, happening: &str, key: &str) -> CloudEvent {
    CloudEvent {
        r#type: format!("io.shop.orders.{happening}"),
        ..order(&id.to_string(), key)
    }
}

/// Events of so many keys with so many bytes each, which do not compress.
pub(crate) async fn publish_large(server: &Server, keys: usize, bytes: usize) {
    let mut random = fastrand::Rng::with_seed(7);
    let all: Vec<usize> = (0..keys).collect();
    for some in all.chunks((2 << 20) / bytes) {
        let large = |id: &usize| CloudEvent {
            data: Some(Data::BinaryData(
                (0..bytes).map(|_| random.u8(..)).collect::<Vec<_>>().into(),
            )),
            ..event(*id, "created", &id.to_string())
        };
        server.publish(some.iter().map(large).collect()).await;
    }
}

/// An event without a key.
pub(crate) async fn publish_keyless(server: &Server, id: usize) {
    let mut event = event(id, "created", "");
    event.attributes.remove("subject");
    server.publish(vec![event]).await;
}

pub(crate) async fn try_snapshot(server: &Server, request: CreateSnapshotRequest) -> Result<Snapshot, Status> {
    let answer = within("a snapshot", client(server).create_snapshot(request)).await?;
    Ok(answer.into_inner().snapshot.expect("a snapshot"))
}

pub(crate) fn of_orders() -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        topic: ORDERS.to_owned(),
        reason: "test".to_owned(),
        request_id: String::new(),
    }
}

pub(crate) async fn snapshot(server: &Server) -> Snapshot {
    try_snapshot(server, of_orders()).await.expect("take a snapshot")
}

pub(crate) async fn show(server: &Server, name: &str) -> Result<Snapshot, Status> {
    let name = name.to_owned();
    let answer = within("a snapshot", client(server).get_snapshot(GetSnapshotRequest { name })).await?;
    Ok(answer.into_inner().snapshot.expect("a snapshot"))
}

pub(crate) async fn list(server: &Server) -> Vec<Snapshot> {
    let request = ListSnapshotsRequest::default();
    let answer = within("a list", client(server).list_snapshots(request)).await;
    answer.expect("list snapshots").into_inner().snapshots
}

pub(crate) fn orders() -> RestoreRequest {
    RestoreRequest {
        topics: vec![ORDERS.to_owned()],
        ..Default::default()
    }
}

/// A restore in progress.
pub(crate) struct Restoring(Streaming<tidings::proto::tidings::v1::RestoreResponse>);

/// What came before CaughtUp.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) states: Vec<KeyState>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) progress: Vec<RestoreProgress>,
    pub(crate) caught_up: CaughtUp,
}

impl Restoring {
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Status> {
        let message = within("a frame of a restore", self.0.message()).await?;
        Ok(message.and_then(|message| message.frame))
    }

    pub(crate) async fn caught_up(&mut self) -> Result<Restored, Status> {
        let mut restored = Restored::default();
        loop {
            match self.next().await? {
                Some(Frame::RestoreState(states)) => restored.states.extend(states.states),
                Some(Frame::RestoreProgress(progress)) => restored.progress.push(progress),
                Some(Frame::Gap(gap)) => {
                    assert!(
                        restored.states.is_empty(),
                        "a gap is told before what it may have made wrong"
                    );
                    restored.gaps.push(gap);
                }
                Some(Frame::CaughtUp(caught_up)) => {
                    restored.caught_up = caught_up;
                    return Ok(restored);
                }
                other => panic!("unexpected before CaughtUp: {other:?}"),
            }
        }
    }

    /// So many events behind CaughtUp at least, as they come.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<ReadEvent> {
        let mut got = Vec::new();
        while got.len() < count {
            match self.next().await.expect("no error") {
                Some(Frame::ReadEvents(events)) => got.extend(events.events),
                Some(Frame::Heartbeat(_)) => {}
                other => panic!("unexpected after {} of {count} events: {other:?}", got.len()),
            }
        }
        got
    }
}

impl Restored {
    /// The id of each key's event. No key comes twice.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let mut ids = BTreeMap::new();
        for state in self.states.iter().filter(|state| state.change() == Change::Set) {
            let id = state.event.as_ref().expect("an event").id.clone();
            let key = key(state);
            assert!(ids.insert(key.clone(), id).is_none(), "{key} came twice");
        }
        ids
    }

    /// Keys that are told as deleted.
    pub(crate) fn deleted(&self) -> Vec<String> {
        let deleted = self.states.iter().filter(|state| state.change() == Change::Deleted);
        let mut keys: Vec<String> = deleted.map(key).collect();
        keys.sort();
        keys
    }

    pub(crate) fn last(&self) -> &RestoreProgress {
        self.progress.last().expect("progress is told at the end")
    }

    /// The snapshot that the only topic was restored from; empty = none.
    pub(crate) fn source(&self) -> &str {
        match &self.last().sources[..] {
            [source] => &source.snapshot,
            other => panic!("not one topic: {other:?}"),
        }
    }
}

fn key(state: &KeyState) -> String {
    let key = state.key.as_ref().expect("a key");
    String::from_utf8(key.to_vec()).expect("text")
}

pub(crate) async fn start_restore(server: &Server, request: RestoreRequest) -> Result<Restoring, Status> {
    let answers = within("a restore", client(server).restore(request)).await?;
    Ok(Restoring(answers.into_inner()))
}

pub(crate) async fn try_restore(server: &Server, request: RestoreRequest) -> Result<Restored, Status> {
    let mut restoring = start_restore(server, request).await?;
    let restored = restoring.caught_up().await?;
    assert_eq!(restoring.next().await?, None, "it ends there");
    Ok(restored)
}

pub(crate) async fn restore(server: &Server) -> Restored {
    try_restore(server, orders()).await.expect("restore")
}

/// `a=1 b=2` as a map.
pub(crate) fn ids(pairs: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| {
        let (key, id) = pair.split_once('=').expect("a pair");
        (key.to_owned(), id.to_owned())
    };
    pairs.split_whitespace().map(pair).collect()
}

/// Something that is published to a topic by name.
pub(crate) async fn publish_to(server: &Server, topic: &str, events: Vec<CloudEvent>) {
    let request = PublishRequest {
        events,
        topic: topic.to_owned(),
        ..Default::default()
    };
    server.try_publish(request).await.expect("publish");
}

/// The same event with another attribute.
pub(crate) fn with(mut event: CloudEvent, name: &str, value: &str) -> CloudEvent {
    event.attributes.insert(name.to_owned(), text(value));
    event
}
