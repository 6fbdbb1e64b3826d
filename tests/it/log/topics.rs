//! Topics: created, altered, deleted.

use std::time::Duration;

use tidings::{
    error::Reason,
    log::{Bounds, Cleanup, TopicSettings},
};

use super::{Backend, append, at, next, read_all, reason, record, settings, soon, topic, values};

pub(crate) async fn a_topic_is_created_once_and_listed(log: Backend) {
    let full = TopicSettings {
        partitions: 3,
        retention: Some(Duration::from_secs(60)),
        retention_bytes: Some(1 << 30),
        cleanup: Cleanup::Compact,
    };
    log.create_topic(&topic("b"), full.clone()).await.unwrap();
    log.create("a", 1).await;
    assert_eq!(
        reason(log.create_topic(&topic("b"), full.clone()).await),
        Reason::TopicExists
    );
    for partitions in [0, -1, 1001] {
        assert_eq!(
            reason(log.create_topic(&topic("c"), settings(partitions)).await),
            Reason::TopicInvalid
        );
    }
    let topics = log.topics().await.unwrap();
    assert_eq!(
        topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(log.names().await.unwrap(), ["a", "b"].map(topic));
    let found = log.topic(&topic("b")).await.unwrap().unwrap();
    assert_eq!((found.settings, &topics[1].name), (full, &found.name));
    assert_eq!(log.topic(&topic("c")).await.unwrap(), None);
}

pub(crate) async fn partitions_only_grow(log: Backend) {
    assert_eq!(
        reason(log.alter_topic(&topic("t"), settings(1)).await),
        Reason::TopicNotFound
    );
    log.create("t", 2).await;
    append(&*log, vec![record("t", "kept")]).await;
    assert_eq!(
        reason(log.alter_topic(&topic("t"), settings(1)).await),
        Reason::TopicInvalid
    );
    let altered = TopicSettings {
        retention: Some(Duration::from_secs(60)),
        ..settings(4)
    };
    log.alter_topic(&topic("t"), altered.clone()).await.unwrap();
    assert_eq!(log.topic(&topic("t")).await.unwrap().unwrap().settings, altered);
    assert_eq!(log.bounds(&[at("t", 3)]).await.unwrap(), [Bounds { start: 0, end: 0 }]);
    assert_eq!(values(&read_all(&*log, &at("t", 0), 0).await), ["kept"]);
}

pub(crate) async fn a_deleted_topic_ends_its_readers_and_starts_anew(log: Backend) {
    log.create("t", 1).await;
    append(&*log, vec![record("t", "old")]).await;
    let mut reader = log.read(&at("t", 0), 1, None);
    let name = topic("t");
    let (ended, deleted) = tokio::join!(next(&mut reader), log.delete_topic(&name));
    deleted.unwrap();
    assert_eq!(reason(ended), Reason::TopicNotFound);
    assert_eq!(reason(log.delete_topic(&topic("t")).await), Reason::TopicNotFound);
    assert_eq!(reason(log.append(vec![record("t", "x")]).await), Reason::TopicNotFound);
    log.create("t", 1).await;
    assert_eq!(log.bounds(&[at("t", 0)]).await.unwrap(), [Bounds { start: 0, end: 0 }]);
    append(&*log, vec![record("t", "new")]).await;
    assert_eq!(values(&read_all(&*log, &at("t", 0), 0).await), ["new"]);
}

pub(crate) async fn metadata_tells_of_topics(log: Backend) {
    let mut metadata = log.metadata();
    metadata.mark_unchanged();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    soon(metadata.changed()).await.unwrap();
    metadata.mark_unchanged();
    log.alter_topic(&topic("t"), settings(2)).await.unwrap();
    soon(metadata.changed()).await.unwrap();
    metadata.mark_unchanged();
    log.delete_topic(&topic("t")).await.unwrap();
    soon(metadata.changed()).await.unwrap();
    assert!(log.health().borrow().is_ok());
}
