//! Commits as a member, through the fence.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    TopicPartitionList,
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    super::{fault, lists::commit_list},
    Presence, Seat,
    fence::{Fence, Pass},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Commit, Member, TopicPartition},
    name::Topic,
};

/// While the group rebalances, which moves nothing of what is committed here.
const PAUSE: Duration = Duration::from_millis(50);
/// Rebalances that take longer have lost somebody.
const TRIES: usize = 200;

/// The handle of a member.
pub(super) struct Joined {
    seat: Arc<Seat>,
    fence: Arc<Fence>,
    /// One commit at a time.
    turn: Semaphore,
    presence: Arc<Presence>,
}

impl Joined {
    pub(super) fn new(seat: Arc<Seat>, fence: Arc<Fence>, presence: Arc<Presence>) -> Self {
        Self {
            seat,
            fence,
            turn: Semaphore::new(1),
            presence,
        }
    }

    fn refused(&self) -> Error {
        let group = &self.seat.group;
        let text = format!("commit for group {group}: partitions are not this member's any more");
        Error::new(Reason::GroupInUse, text).resource("group", group.as_str())
    }

    fn failed(&self, error: &KafkaError) -> Error {
        if error.rdkafka_error_code() != Some(Code::OffsetMetadataTooLarge) {
            return self.seat.failed("commit", error);
        }
        let group = &self.seat.group;
        let text = format!(
            "commit for group {group}: a note is longer than the brokers take; set offset.metadata.max.bytes to 4096 there"
        );
        Error::new(Reason::RequestTooLarge, text)
    }

    fn unavailable(&self, error: impl std::fmt::Display) -> Error {
        fault::unavailable(format!("commit for group {}: {error}", self.seat.group))
    }
}

#[async_trait]
impl Member for Joined {
    async fn commit(&self, commits: Vec<Commit>) -> Result<()> {
        self.seat.cluster.check_open()?;
        if commits.is_empty() {
            return Ok(());
        }
        let list = commit_list(&self.seat.cluster.names, &commits)?;
        let partitions: Vec<TopicPartition> = commits.into_iter().map(|commit| commit.partition).collect();
        if !self.is_current() {
            return Err(self.refused());
        }
        // What is committed here was ours when it was handed over, whatever is assigned to us while it waits.
        let mut pass = self.fence.begin(&partitions).ok_or_else(|| self.refused())?;
        let _turn = self.turn.acquire().await.map_err(|error| self.unavailable(error))?;
        let over = pass.client.over.clone();
        for _ in 0..TRIES {
            if !pass.is_valid() {
                return Err(self.refused());
            }
            let list = list.clone();
            let (returned, done) = tokio::select! {
                done = fault::blocking(move || commit(pass, &list)) => done?,
                () = over.cancelled() => return Err(self.unavailable("the membership was lost; it may be done or not")),
            };
            match done {
                Err(error) if is_rebalancing(&error) => (),
                done => return done.map_err(|error| self.failed(&error)),
            }
            pass = returned;
            sleep(PAUSE).await;
        }
        Err(self.unavailable("the group does not come to rest"))
    }

    fn subscribe(&self, topics: &[Topic]) {
        self.seat.topics.send_replace(topics.into());
    }

    fn is_current(&self) -> bool {
        self.presence.is_awake()
    }
}

/// Keeps the pass until it is done, even if nobody waits for it any more.
fn commit(pass: Pass, list: &TopicPartitionList) -> (Pass, KafkaResult<()>) {
    let done = pass.client.commit(list);
    (pass, done)
}

/// Refused only because the group is between two generations.
fn is_rebalancing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::RebalanceInProgress | Code::IllegalGeneration | Code::StaleMemberEpoch)
    )
}
