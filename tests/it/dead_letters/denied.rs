//! A log that says for a moment that the dead letters' topic is not there: nothing of it is forgotten.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tidings::{
    error::{Error, Reason, Result},
    log::{
        Bounds, Commit, Committed, Log, LogTime, Membership, NewRecord, Reader, Receipt, TopicInfo, TopicPartition,
        TopicSettings,
    },
    name::{Group, Topic},
};
use tokio::sync::watch;

use super::letters::{behind, head, id_of, letter, store};
use crate::harness::Server;

/// A log that denies all topics when it is told to, as a broker does that knows of none yet.
struct Denying {
    log: Arc<dyn Log>,
    is_denying: watch::Sender<bool>,
}

#[async_trait]
impl Log for Denying {
    async fn partitions(&self, topic: &Topic) -> Result<Option<i32>> {
        let is_denying = *self.is_denying.borrow();
        match is_denying {
            true => Ok(None),
            false => self.log.partitions(topic).await,
        }
    }

    fn read(&self, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
        let reader = self.log.read(partition, from, until);
        if until.is_some() {
            return reader;
        }
        let mut denying = self.is_denying.subscribe();
        let error = Error::no_such_topic(&partition.topic);
        let denied = async move { denying.wait_for(|is_denying| *is_denying).await.is_ok() };
        let end = stream::once(async { Err(error) });
        reader.take_until(Box::pin(denied)).chain(end).boxed()
    }

    async fn create_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.log.create_topic(topic, settings).await
    }

    async fn alter_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.log.alter_topic(topic, settings).await
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<()> {
        self.log.delete_topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics().await
    }

    async fn names(&self) -> Result<Vec<Topic>> {
        self.log.names().await
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicInfo>> {
        self.log.topic(topic).await
    }

    fn metadata(&self) -> watch::Receiver<u64> {
        self.log.metadata()
    }

    fn health(&self) -> watch::Receiver<Result<(), Arc<str>>> {
        self.log.health()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt> {
        self.log.append(records).await
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
        self.log.bounds(partitions).await
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>> {
        self.log.offsets_at(partitions, time).await
    }

    async fn join(&self, group: &Group, topics: &[Topic]) -> Result<Membership> {
        self.log.join(group, topics).await
    }

    async fn has_members(&self, group: &Group) -> Result<bool> {
        self.log.has_members(group).await
    }

    async fn committed(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        self.log.committed(group, partitions).await
    }

    async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()> {
        self.log.commit(group, commits).await
    }

    async fn forget(&self, group: &Group) -> Result<()> {
        self.log.forget(group).await
    }
    async fn foreign_groups(&self) -> Result<Vec<(Group, usize)>> {
        self.log.foreign_groups().await
    }
    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }
    async fn close(&self) {
        self.log.close().await;
    }
}

#[tokio::test]
async fn a_topic_that_the_log_denies_for_a_moment_is_not_forgotten() {
    let first = letter(1, "a", head());
    let server = Server::start().await;
    let work = async |log: Arc<dyn Log>| {
        let (is_denying, _) = watch::channel(false);
        let denying = Arc::new(Denying { log, is_denying });
        let store = store(Arc::clone(&denying) as Arc<dyn Log>);
        store.write(vec![first.clone()]).await.expect("written");
        store.ready().await.expect("known");
        let held = || store.quarantined(&first.source).into_values().collect::<Vec<_>>();
        let mut changes = store.changes();
        denying.is_denying.send_replace(true);
        let denied = store.ready().await.expect_err("nobody knows whether this is all");
        assert_eq!(
            (denied.reason(), denied.retry_delay()),
            (Reason::LogUnavailable, Some(Duration::from_secs(1)))
        );
        assert_eq!(held(), [id_of(&first)]);
        denying.is_denying.send_replace(false);
        store.ready().await.expect("it is the same topic");
        assert!(*changes.borrow_and_update() > 0);
        assert_eq!(held(), [id_of(&first)]);
        let later = letter(2, "a", behind(&first));
        store.write(vec![later.clone()]).await.expect("written");
        store.ready().await.expect("known");
        assert!(store.is_parked(id_of(&later)) && store.is_parked(id_of(&first)));
    };
    server.with_log(work).await;
}
