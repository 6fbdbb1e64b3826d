//! Restore: the state of topics, then what comes, as one stream without a gap or a duplicate in between.
//!
//! ```text
//! ends ─▶ topic by topic: read what is behind its snapshot ─▶ states ─▶ CaughtUp(ends) ─▶ Read from the ends
//! ```

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::OwnedSemaphorePermit,
    task::consume_budget,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    planning::{TopicPlan, plans},
    restoring::{Counter, KeyState, RestoreFrame},
    topic::TopicReader,
};
use crate::{
    bus::{Bus, Gap, OnGap, ReadFrame, ReadOptions, ReadSession, Start, draining},
    error::{Error, Reason, Result},
    filter::Filter,
    log::TopicPartition,
    name::{Selectors, Tenant, Topic},
};

/// Between two frames that say how far it is.
const TELL: Duration = Duration::from_secs(1);
/// States are sent together up to so many, or so many bytes.
const TOGETHER: usize = 1_000;
const TOGETHER_BYTES: usize = 256 << 10;

/// What to restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    pub topics: Selectors,
    /// Only what has changed since there; `None` = the whole state.
    pub since: Option<Start>,
    pub filter: Option<Filter>,
    /// Whose states, on topics that tenants share; `None` = everybody's.
    pub tenant: Option<Tenant>,
    pub follow: bool,
    pub on_gap: OnGap,
}

/// A restore in progress. Dropping it ends it.
pub struct RestoreSession {
    bus: Bus,
    options: RestoreOptions,
    /// Topics that were not begun.
    topics: VecDeque<TopicPlan>,
    /// Up to where the states go.
    ends: Vec<(TopicPartition, i64)>,
    /// To be sent next.
    ready: VecDeque<RestoreFrame>,
    counter: Counter,
    tell_at: Instant,
    /// Gaps that were told.
    told: Vec<Gap>,
    phase: Phase,
    /// Its place among the streams, and among restores.
    stream: Option<OwnedSemaphorePermit>,
    permit: Option<OwnedSemaphorePermit>,
}

enum Phase {
    /// The next topic comes, if there is one.
    Between,
    /// A topic is read.
    Reading(Topic, AbortOnDropHandle<Result<TopicReader>>),
    /// Its states are sent.
    Sending(Topic, Box<TopicReader>),
    /// All states are sent.
    CaughtUp,
    Following(Box<ReadSession>),
    Ended,
}

impl Bus {
    /// Begins a restore. Topics that are named must exist.
    pub async fn restore(&self, options: RestoreOptions) -> Result<RestoreSession> {
        let bus = &self.0;
        let (stream, permit) = (Some(bus.stream_permit()?), Some(bus.restore_permit()?));
        let mut partitions = bus.partitions_of(&options.topics).await?;
        let bounds = bus.bounds_of(&options.topics, &mut partitions).await?;
        let since = match &options.since {
            Some(since) => Some(bus.resolve_start(since, &partitions, &bounds).await?),
            None => None,
        };
        let ends = partitions
            .iter()
            .cloned()
            .zip(bounds.iter().map(|bounds| bounds.end))
            .collect();
        let mut ready = VecDeque::new();
        let topics = plans(&partitions, &bounds, since);
        let topics: VecDeque<TopicPlan> = topics
            .into_iter()
            .map(|plan| plan.checked(&options, &mut ready))
            .collect::<Result<_>>()?;
        let mut counter = Counter::new(topics.len());
        ready.push_front(RestoreFrame::Progress(counter.now()));
        Ok(RestoreSession {
            bus: self.clone(),
            options,
            topics,
            ends,
            ready,
            counter,
            tell_at: Instant::now() + TELL,
            told: Vec::new(),
            phase: Phase::Between,
            stream,
            permit,
        })
    }
}

impl RestoreSession {
    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<RestoreFrame>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if matches!(self.phase, Phase::Ended) {
                return None;
            }
            if self.bus.0.draining.is_cancelled() {
                return Some(Err(draining()));
            }
            if let Err(error) = self.go_on().await {
                return Some(Err(error));
            }
        }
    }

    /// One step; what is to be sent is ready then.
    async fn go_on(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Between => match self.topics.pop_front() {
                Some(plan) => self.begin(plan),
                None => self.catch_up(),
            },
            Phase::Reading(topic, mut reading) => tokio::select! {
                opened = &mut reading => match opened.unwrap_or_else(|_| Err(draining())) {
                    Err(error) if self.may_go(&topic, &error) => self.without(&topic),
                    opened => self.opened(topic, opened?)?,
                },
                () = sleep_until(self.tell_at) => {
                    self.phase = Phase::Reading(topic, reading);
                    self.tell();
                }
            },
            Phase::Sending(topic, reader) => self.send(topic, reader).await?,
            Phase::CaughtUp if self.options.follow => self.phase = Phase::Following(Box::new(self.read_on().await?)),
            Phase::CaughtUp | Phase::Ended => self.phase = Phase::Ended,
            Phase::Following(mut session) => {
                let frame = session.next().await;
                self.phase = Phase::Following(session);
                self.follow(frame)?;
            }
        }
        Ok(())
    }

    /// Reads on a task of its own: a slow client holds up nobody who waits for memory.
    fn begin(&mut self, plan: TopicPlan) {
        let (bus, topic) = (Arc::clone(&self.bus.0), plan.topic.clone());
        let (progress, on_gap) = (self.counter.current(), self.options.on_gap);
        let read = async move { plan.open(&bus, progress, on_gap).await };
        let reading = AbortOnDropHandle::new(self.bus.0.tasks.spawn(read));
        self.phase = Phase::Reading(topic, reading);
    }

    /// A topic that a pattern means, and that was deleted meanwhile.
    fn may_go(&self, topic: &Topic, error: &Error) -> bool {
        error.reason() == Reason::TopicNotFound && !self.options.topics.names(topic)
    }

    fn without(&mut self, topic: &Topic) {
        self.counter.gone();
        self.ends.retain(|(partition, _)| partition.topic != *topic);
    }

    fn opened(&mut self, topic: Topic, reader: TopicReader) -> Result<()> {
        self.counter.opened(&topic, &reader);
        self.tell();
        self.tell_gaps(&reader);
        if self.options.since.is_some()
            && let Some((at, record)) = reader.all_deleted()
        {
            let state = KeyState::all_deleted(at, record.clone());
            let lens = self.bus.0.lens(self.options.tenant.as_ref(), &topic);
            if lens.is_none_or(|lens| lens.shows(&state.item)) {
                self.ready.push_back(RestoreFrame::States(vec![state]));
            }
        }
        self.phase = Phase::Sending(topic, Box::new(reader));
        Ok(())
    }

    async fn send(&mut self, topic: Topic, mut reader: Box<TopicReader>) -> Result<()> {
        let (mut states, mut bytes) = (Vec::new(), 0);
        let lens = self.bus.0.lens(self.options.tenant.as_ref(), &topic);
        let is_shown = |state: &KeyState| lens.as_ref().is_none_or(|lens| lens.shows(&state.item));
        let is_over = loop {
            if states.len() >= TOGETHER || bytes >= TOGETHER_BYTES || Instant::now() >= self.tell_at {
                break false;
            }
            let Some((at, entry)) = reader.next().await? else {
                break true;
            };
            self.counter.passed(1);
            if let Some(state) = KeyState::of(at, &entry, &self.options).filter(is_shown) {
                bytes += state.item.cost();
                states.push(state);
            }
            consume_budget().await;
        };
        self.tell_gaps(&reader);
        if !states.is_empty() {
            self.counter.sent(states.len() as u64);
            self.ready.push_back(RestoreFrame::States(states));
        }
        self.counter.look_at(&topic, &reader);
        if Instant::now() >= self.tell_at {
            self.tell();
        }
        match is_over {
            true => self.counter.finished(&reader),
            false => self.phase = Phase::Sending(topic, reader),
        }
        Ok(())
    }

    /// Each gap once, before the states that it may have made wrong.
    fn tell_gaps(&mut self, reader: &TopicReader) {
        for gap in reader.parts().filter_map(|known| known.gap()) {
            if !self.told.contains(&gap) {
                self.told.push(gap.clone());
                self.ready.push_back(RestoreFrame::Gap(gap));
            }
        }
    }

    fn tell(&mut self) {
        self.tell_at = Instant::now() + TELL;
        self.ready.push_back(RestoreFrame::Progress(self.counter.now()));
    }

    fn catch_up(&mut self) {
        self.tell();
        self.ready.push_back(RestoreFrame::CaughtUp(self.ends.clone()));
        // What comes now is a stream like others.
        self.permit = None;
        self.phase = Phase::CaughtUp;
    }

    async fn read_on(&mut self) -> Result<ReadSession> {
        let there = self.bus.0.partitions_of(&self.options.topics).await?;
        let positions = self.ends.iter().filter(|(partition, _)| there.contains(partition));
        let options = ReadOptions {
            topics: self.options.topics.clone(),
            start: Start::Positions(positions.cloned().collect()),
            end: None,
            filter: self.options.filter.clone(),
            tenant: self.options.tenant.clone(),
            follow: true,
            max_events: None,
            on_gap: self.options.on_gap,
        };
        match self.stream.take() {
            Some(place) => self.bus.read_from(options, place).await,
            None => self.bus.read(options).await,
        }
    }

    fn follow(&mut self, frame: Option<Result<ReadFrame>>) -> Result<()> {
        let frame = match frame.transpose()? {
            None => {
                self.phase = Phase::Ended;
                return Ok(());
            }
            // That was told where the states ended.
            Some(ReadFrame::CaughtUp(_)) => return Ok(()),
            Some(ReadFrame::Events(events)) => RestoreFrame::Events(events),
            Some(ReadFrame::Gap(gap)) => RestoreFrame::Gap(gap),
            Some(ReadFrame::Heartbeat { partitions, waiting }) => RestoreFrame::Heartbeat { partitions, waiting },
        };
        self.ready.push_back(frame);
        Ok(())
    }
}
