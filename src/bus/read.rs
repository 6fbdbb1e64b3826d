//! Read: events to a reader of its own, from a start to an end or for ever, without a group.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rustc_hash::FxHashSet;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

pub use super::sieve::ReadEvents;
use super::{
    Bus, Inner, draining,
    feed::FeedReader,
    group::{PartitionProgress, Waiting},
    groups::OnGap,
    sieve::{Sieve, Sifted, sift},
    start::{End, Gap, Start},
};
use crate::{
    error::{Error, Reason, Result},
    filter::Filter,
    log::TopicPartition,
    name::{Selectors, Tenant},
};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// What to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    pub topics: Selectors,
    pub start: Start,
    /// `None` with `follow` only.
    pub end: Option<End>,
    /// Which events; `None` = all. What is no well-formed event always passes: nothing is skipped silently.
    pub filter: Option<Filter>,
    /// Whose events, on topics that tenants share; `None` = everybody's.
    pub tenant: Option<Tenant>,
    pub follow: bool,
    /// End after so many events that pass; `None` = all.
    pub max_events: Option<u64>,
    pub on_gap: OnGap,
}

/// What a reader gets.
pub enum ReadFrame {
    /// Events of one partition, in order.
    Events(ReadEvents),
    CaughtUp(Vec<(TopicPartition, i64)>),
    Heartbeat {
        partitions: Vec<PartitionProgress>,
        waiting: Waiting,
    },
    Gap(Gap),
}

/// A read in progress. Dropping it ends it.
pub struct ReadSession {
    bus: Arc<Inner>,
    options: ReadOptions,
    reading: FuturesUnordered<BoxFuture<'static, (FeedReader, Option<Result<Sifted>>)>>,
    progress: Vec<PartitionProgress>,
    left: Option<u64>,
    told_caught_up: bool,
    metadata: watch::Receiver<u64>,
    gaps: Vec<Gap>,
    next_heartbeat: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Bus {
    /// Starts to read. Topics that are named must exist.
    pub async fn read(&self, options: ReadOptions) -> Result<ReadSession> {
        self.read_from(options, self.0.stream_permit()?).await
    }

    /// The same, where a place among the streams is held already.
    pub(super) async fn read_from(&self, options: ReadOptions, place: OwnedSemaphorePermit) -> Result<ReadSession> {
        let bus = Arc::clone(&self.0);
        let metadata = bus.log.metadata();
        let mut partitions = bus.partitions_of(&options.topics).await?;
        let bounds = bus.bounds_of(&options.topics, &mut partitions).await?;
        let starts = bus.resolve_start(&options.start, &partitions, &bounds).await?;
        let ends = match &options.end {
            Some(end) => bus
                .resolve_end(end, &partitions, &bounds)
                .await?
                .into_iter()
                .map(Some)
                .collect(),
            None => vec![None; partitions.len()],
        };
        let mut session = ReadSession {
            left: options.max_events,
            bus,
            options,
            reading: FuturesUnordered::new(),
            progress: Vec::new(),
            told_caught_up: false,
            metadata,
            gaps: Vec::new(),
            next_heartbeat: Instant::now() + HEARTBEAT,
            _permit: place,
        };
        for (((partition, bounds), start), end) in partitions.into_iter().zip(bounds).zip(starts).zip(ends) {
            let mut from = start;
            if let Some(gap) = Gap::at(&partition, start, bounds) {
                from = bounds.start;
                session.gap(gap)?;
            }
            session.add(partition, (from, end), bounds.end);
        }
        Ok(session)
    }
}

impl ReadSession {
    /// The next frame; `None` at the end. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<ReadFrame>> {
        if let Some(gap) = self.gaps.pop() {
            return Some(Ok(ReadFrame::Gap(gap)));
        }
        if self.left == Some(0) {
            return None;
        }
        let bus = Arc::clone(&self.bus);
        loop {
            if let Some(frame) = self.caught_up() {
                return Some(Ok(frame));
            }
            if self.reading.is_empty() && !self.options.follow {
                return None;
            }
            // Each arm is cancel-safe: a reader's position moves only with what it returns, and what was returned is used.
            tokio::select! {
                Some((reader, outcome)) = self.reading.next() => {
                    if let Some(frame) = self.received(reader, outcome).await {
                        self.next_heartbeat = Instant::now() + HEARTBEAT;
                        return Some(frame);
                    }
                }
                () = sleep_until(self.next_heartbeat) => return Some(Ok(self.heartbeat())),
                Ok(()) = self.metadata.changed(), if self.options.follow => {
                    if let Err(error) = self.add_new_partitions().await {
                        return Some(Err(error));
                    }
                }
                () = bus.draining.cancelled() => return Some(Err(draining())),
            }
        }
    }

    /// Once, with `follow` only; also where all that there is was hidden by the filter.
    fn caught_up(&mut self) -> Option<ReadFrame> {
        if self.told_caught_up || !self.options.follow || self.progress.iter().any(|p| p.next < p.end) {
            return None;
        }
        self.told_caught_up = true;
        let positions = self.progress.iter().map(|p| (p.partition.clone(), p.next)).collect();
        Some(ReadFrame::CaughtUp(positions))
    }

    async fn received(&mut self, reader: FeedReader, outcome: Option<Result<Sifted>>) -> Option<Result<ReadFrame>> {
        let partition = reader.partition().clone();
        match outcome {
            // A follower's partition is gone. One that is read to its end stays a resume point, whatever was hidden.
            None if self.options.follow => {
                self.progress.retain(|progress| progress.partition != partition);
                None
            }
            None => None,
            Some(Ok(sifted)) => {
                self.read_on(reader);
                self.events(partition, sifted).map(Ok)
            }
            Some(Err(error)) if error.reason() == Reason::PositionGone => self.over_gap(reader).await,
            Some(Err(error)) => self.failed(&partition, error),
        }
    }

    /// A topic that only matches may be deleted: what else is read goes on.
    fn failed(&mut self, partition: &TopicPartition, error: Error) -> Option<Result<ReadFrame>> {
        if error.reason() != Reason::TopicNotFound || self.options.topics.names(&partition.topic) {
            return Some(Err(error));
        }
        self.progress.retain(|progress| progress.partition != *partition);
        // There may be another of its name already.
        self.metadata.mark_changed();
        None
    }

    fn events(&mut self, partition: TopicPartition, mut sifted: Sifted) -> Option<ReadFrame> {
        if let Some(left) = &mut self.left {
            *left -= sifted.keep_first(*left);
        }
        if let Some(progress) = self
            .progress
            .iter_mut()
            .find(|progress| progress.partition == partition)
        {
            progress.next = sifted.next();
            progress.end = progress.end.max(sifted.end());
        }
        sifted.into_events(partition).map(ReadFrame::Events)
    }

    /// Retention overtook the reader.
    async fn over_gap(&mut self, reader: FeedReader) -> Option<Result<ReadFrame>> {
        let partition = reader.partition().clone();
        let bounds = match self.bus.log.bounds(std::slice::from_ref(&partition)).await {
            Ok(bounds) => bounds[0],
            Err(error) => return self.failed(&partition, error),
        };
        let gap = Gap::at(&partition, reader.position(), bounds);
        let from = gap.as_ref().map_or(reader.position(), |gap| gap.to);
        self.read_on(self.bus.feeds.reader(partition, from, reader.until()));
        match gap {
            Some(gap) if self.options.on_gap == OnGap::Fail => Some(Err(gap.error())),
            gap => gap.map(|gap| Ok(ReadFrame::Gap(gap))),
        }
    }

    fn gap(&mut self, gap: Gap) -> Result<()> {
        if self.options.on_gap == OnGap::Fail {
            return Err(gap.error());
        }
        self.gaps.push(gap);
        Ok(())
    }

    fn heartbeat(&mut self) -> ReadFrame {
        self.next_heartbeat = Instant::now() + HEARTBEAT;
        let reachable = self.bus.log.health().borrow().is_ok();
        let waiting = if !reachable {
            Waiting::LogUnavailable
        } else if self.progress.iter().all(|progress| progress.next >= progress.end) {
            Waiting::CaughtUp
        } else {
            Waiting::Nothing
        };
        ReadFrame::Heartbeat {
            partitions: self.progress.clone(),
            waiting,
        }
    }

    /// Partitions born while following are read from their start.
    async fn add_new_partitions(&mut self) -> Result<()> {
        let mut new = self.bus.partitions_of(&self.options.topics).await?;
        let known: FxHashSet<_> = self.progress.iter().map(|progress| &progress.partition).collect();
        new.retain(|partition| !known.contains(partition));
        for partition in new {
            self.add(partition, (0, None), 0);
        }
        Ok(())
    }

    fn add(&mut self, partition: TopicPartition, (from, until): (i64, Option<i64>), end: i64) {
        let end = until.map_or(end, |until| until.min(end));
        self.progress
            .push(PartitionProgress::reader(partition.clone(), from, end));
        self.read_on(self.bus.feeds.reader(partition, from, until));
    }

    fn read_on(&self, mut reader: FeedReader) {
        let lens = self.bus.lens(self.options.tenant.as_ref(), &reader.partition().topic);
        let sieve = Sieve::new(lens, self.options.filter.clone());
        self.reading.push(Box::pin(async move {
            let outcome = match reader.next().await {
                Some(Ok(chunk)) => Some(Ok(sift(chunk, &sieve).await)),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            (reader, outcome)
        }));
    }
}
