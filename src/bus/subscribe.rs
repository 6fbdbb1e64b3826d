//! Subscribe: open a stream in a group, creating or changing the group where that is asked for.

mod settle;

use std::{sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Bus, Inner,
    commands::{Instance, InstanceName, Leaving, Listener, Place},
    delivery::{Credit, CreditMode},
    draining,
    group::{self, NewStream, Opened, PartitionProgress, Subscription},
    groups::{GroupRecord, OnGap, Undecodable},
    rules::RetryOverride,
    start::Start,
};
use crate::{
    error::{Error, Reason, Result},
    filter::Filter,
    name::{Group, Scope, Selectors},
    tab::Tab,
};

/// What a client opens a stream with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub group: Group,
    /// `None` = the group's.
    pub topics: Option<Selectors>,
    /// For a group that is created; `None` = earliest.
    pub start: Option<Start>,
    /// `None` = the group's.
    pub filter: Option<Filter>,
    /// `None` = the group's.
    pub on_gap: Option<OnGap>,
    /// `None` = the group's.
    pub undecodable: Option<Undecodable>,
    /// What is not set is the group's.
    pub retry: RetryOverride,
    /// `None` = as configured; `Some(None)` = for ever.
    pub lease: Option<Option<Duration>>,
    pub on_conflict: OnConflict,
    pub credit: Credit,
    pub credit_mode: CreditMode,
    pub client_id: String,
    pub heartbeat_interval: Duration,
    /// The largest command that the stream takes; `None` = it takes none.
    pub commands: Option<usize>,
    /// What the group may have, or the stream is not opened.
    pub scope: Scope,
    /// What its caller may have of events that are not settled, on all of its streams.
    pub tabs: Vec<Arc<Tab>>,
}

/// How often a stream that opens just when its group's task ends has it started again.
const MOST_STARTS: usize = 100;

/// What if the group has other settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Refuse,
    Replace,
}

impl Bus {
    /// Opens a stream; its first frame is `Opened`.
    pub async fn subscribe(&self, options: OpenOptions) -> Result<Subscription> {
        tokio::select! {
            opened = self.open(options) => opened,
            () = self.0.draining.cancelled() => Err(draining()),
        }
    }

    async fn open(&self, options: OpenOptions) -> Result<Subscription> {
        let bus = &self.0;
        let lease = bus.lease_of(&options)?;
        let permit = bus.stream_permit()?;
        let place = match options.commands {
            Some(_) => Some(bus.listen().await?),
            None => None,
        };
        let _one_at_a_time = bus.groups.active.lock(&options.group).await;
        let (record, created) = bus.settle_group(&options).await?;
        let opened = Opened {
            stream_id: format!("{}-{:08x}", bus.replica_id, fastrand::u32(..)),
            revision: record.revision,
            created,
            settings: record.settings.clone(),
            credit: clamp(options.credit, bus.settings.max_credit),
            credit_mode: options.credit_mode,
            heartbeat_interval: options.heartbeat_interval,
            lease,
            retry: record
                .settings
                .retry
                .over(bus.settings.delivery.of(&options.group).retry),
            epoch: record.epoch,
            partitions: bus.stand(&options.group, &record).await?,
        };
        let stream_id = opened.stream_id.clone();
        let mut subscription = bus.join(&options, &record, (opened, permit)).await?;
        if let Some(place) = place {
            subscription.listen(bus.begin_to_listen(&options, &stream_id, (&subscription, place)));
        }
        Ok(subscription)
    }
}

impl Inner {
    async fn join(
        self: &Arc<Self>,
        options: &OpenOptions,
        record: &Arc<GroupRecord>,
        (opened, mut permit): (Opened, OwnedSemaphorePermit),
    ) -> Result<Subscription> {
        for _ in 0..MOST_STARTS {
            let stream = NewStream {
                opened: opened.clone(),
                max_credit: self.settings.max_credit,
                client_id: options.client_id.clone(),
                tabs: options.tabs.clone(),
                permit,
                log: tracing::Span::current(),
            };
            let handle = self.running(&options.group, record).await?;
            if let Some(subscription) = handle.join(stream).await {
                return Ok(subscription);
            }
            // The task ended just then: its last stream had left. Start it again.
            permit = self.stream_permit()?;
        }
        // No task lives any more: the server is ending.
        Err(draining())
    }

    /// The group's task, started if it does not run.
    pub(super) async fn running(self: &Arc<Self>, group: &Group, record: &Arc<GroupRecord>) -> Result<group::Handle> {
        if let Some(deleted) = self.groups.known(group).filter(|known| known.is_deleted()) {
            return Err(deleted.deletion_error(group));
        }
        if let Some(handle) = self.groups.active.get(group) {
            // A change of the group may have been cut off after it was written.
            handle.replace(Arc::clone(record)).await;
            return Ok(handle);
        }
        self.check_running_groups(group)?;
        self.restore_standing(group, record.id).await?;
        let letters = self.dead_letters.of(group)?;
        let handle = group::start(self, group, (Arc::clone(record), letters));
        self.groups.active.insert(group, handle.clone());
        // What was learned before that was told to tasks that ran.
        if let Some(known) = self.groups.known(group) {
            handle.replace(known).await;
        }
        Ok(handle)
    }

    fn begin_to_listen(
        self: &Arc<Self>,
        options: &OpenOptions,
        stream_id: &str,
        (subscription, (place, from)): (&Subscription, (Place, i64)),
    ) -> (Listener, Leaving) {
        let name = InstanceName {
            stream_id: stream_id.to_owned(),
            client_id: options.client_id.clone(),
            replica_id: self.replica_id.clone(),
        };
        let takes = (subscription.control.command_box(), options.commands.unwrap_or(0));
        Listener::begin(self, Instance::new(options.group.clone(), name, takes, from), place)
    }

    fn lease_of(&self, options: &OpenOptions) -> Result<Option<Duration>> {
        let Some(lease) = options.lease else {
            return Ok(self.settings.delivery.of(&options.group).lease);
        };
        let longest = self.settings.delivery.max_lease;
        if lease.is_some_and(|lease| lease > longest) {
            let rule = format!("is at most delivery.max_lease = {longest:?}");
            return Err(Error::fault(Reason::RequestInvalid, "open.lease", rule));
        }
        Ok(lease)
    }

    fn check_running_groups(&self, group: &Group) -> Result<()> {
        let limit = self.settings.groups;
        if self.groups.active.running() < limit {
            return Ok(());
        }
        let text = format!("open group {group}: limits.groups = {limit} groups have open streams");
        Err(Error::new(Reason::Limit, text).retry_after(Duration::from_secs(5)))
    }

    /// Where the group stands in each partition there is.
    pub(super) async fn stand(&self, group: &Group, record: &GroupRecord) -> Result<Vec<PartitionProgress>> {
        let topics = &record.settings.topics;
        let mut partitions = self.existing_partitions(topics).await?;
        let bounds = self.bounds_of(topics, &mut partitions).await?;
        let committed = self.log.committed(group, &partitions).await?;
        let rows = partitions.into_iter().zip(bounds).zip(committed);
        Ok(rows
            .map(|((partition, bounds), committed)| {
                let committed = committed.map_or(bounds.start, |committed| committed.offset);
                let lag_time = (committed >= bounds.end).then_some(Duration::ZERO);
                PartitionProgress {
                    partition,
                    committed: Some(committed),
                    next: committed,
                    end: bounds.end,
                    lag_time,
                }
            })
            .collect())
    }
}

fn clamp(credit: Credit, max: Credit) -> Credit {
    let bytes = credit.bytes.map(|bytes| bytes.min(max.bytes.unwrap_or(i64::MAX)));
    Credit {
        events: credit.events.min(max.events),
        bytes,
    }
}
