//! What a member's client hears: the group gives and takes partitions, and waits for an answer to each.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer},
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::sync::Notify;

use super::{
    super::{client::Context, fault::failed, stranded::Stranded},
    client::Client,
};
use crate::error::Result;

/// The group gives or takes partitions, and waits for an answer.
#[derive(Clone)]
pub(super) struct Rebalance {
    pub(super) kind: Kind,
    pub(super) partitions: TopicPartitionList,
    is_incremental: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Assign,
    Revoke,
    /// As `Revoke`, but the group has taken the membership or the topics away already.
    Lose,
}

impl Rebalance {
    /// Answers: takes what is given, without fetching any of it, or lets go of what is taken.
    pub(super) async fn answer(self, client: &Arc<Client>) -> Result<()> {
        let answered = client.ask(move |consumer| self.give(consumer));
        answered.await?.map_err(|error| failed("answer the group", &error))
    }

    pub(super) fn give(&self, consumer: &StreamConsumer<Ear>) -> KafkaResult<()> {
        let given = self.give_to(consumer);
        *consumer.context().unanswered() = None;
        given
    }

    fn give_to<C: Consumer<Ear>>(&self, consumer: &C) -> KafkaResult<()> {
        match self.kind {
            Kind::Assign => take(consumer, &self.partitions, self.is_incremental),
            Kind::Revoke | Kind::Lose => let_go(consumer, &self.partitions, self.is_incremental),
        }
    }
}

fn take<C: Consumer<Ear>>(consumer: &C, partitions: &TopicPartitionList, is_incremental: bool) -> KafkaResult<()> {
    match is_incremental {
        true => consumer.incremental_assign(partitions)?,
        false => consumer.assign(partitions)?,
    }
    consumer.pause(partitions)
}

fn let_go<C: Consumer<Ear>>(consumer: &C, partitions: &TopicPartitionList, is_incremental: bool) -> KafkaResult<()> {
    match is_incremental {
        true => consumer.incremental_unassign(partitions),
        false => consumer.unassign(),
    }
}

/// Hears a client's events. They are served by `Client::next`, and here as the client closes.
pub(super) struct Ear {
    common: Context,
    /// librdkafka sends the next when the one before is answered, unless the membership is lost.
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// The last, until it is answered.
    unanswered: Mutex<Option<Rebalance>>,
    pub(super) called: Notify,
    reason: Mutex<String>,
    pub(super) is_closing: AtomicBool,
    /// How often the group has told what it gives.
    pub(super) told: AtomicU64,
}

impl Ear {
    pub(super) fn new(common: Context) -> Self {
        Self {
            common,
            rebalances: Mutex::default(),
            unanswered: Mutex::default(),
            called: Notify::new(),
            reason: Mutex::default(),
            is_closing: AtomicBool::new(false),
            told: AtomicU64::new(0),
        }
    }

    /// Nothing panics while it holds these locks, so poisoned ones are whole.
    pub(super) fn heard(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unanswered(&self) -> MutexGuard<'_, Option<Rebalance>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stranded(&self) -> &Stranded {
        &self.common.stranded
    }

    /// Whether the cluster can be reached, as far as is known.
    pub(super) fn is_reachable(&self) -> bool {
        self.common.is_reachable()
    }

    pub(super) fn last_reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.common.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
        self.common.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.common.stats_raw(statistics);
    }
}

impl ConsumerContext for Ear {
    /// Takes note; the answer is given later, but for the last ones.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let is_incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let kind = match RDKafkaErrorCode::from(event) {
            RDKafkaErrorCode::AssignPartitions => Kind::Assign,
            _ if consumer.assignment_lost() => Kind::Lose,
            _ => Kind::Revoke,
        };
        if kind == Kind::Assign {
            self.told.fetch_add(1, Ordering::SeqCst);
        }
        let rebalance = Rebalance {
            kind,
            partitions: partitions.clone(),
            is_incremental,
        };
        if self.is_closing.load(Ordering::SeqCst) {
            if let Err(error) = rebalance.give_to(consumer) {
                tracing::debug!(%error, "librdkafka: cannot answer the group");
            }
            self.called.notify_one();
            return;
        }
        *self.unanswered() = Some(rebalance.clone());
        self.heard().push_back(rebalance);
        self.called.notify_one();
    }
}
