//! Reading a partition: from a seat in a lane, batch by batch.
//!
//! Offsets without records (markers of transactions, compaction) are passed over with the next record, or, where nothing
//! follows, once the brokers have said that there is no more: what was the end before they were asked is reached then.

mod batch;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use self::batch::Building;
use super::{
    fault::failed_with,
    lanes::{Lanes, Polled, Seat},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Batch, Reader, Record, TopicPartition},
};

/// After so long without news, look whether offsets without records are what is left.
const QUIET: Duration = Duration::from_secs(2);
/// Between two questions about the end, for a reader that catches up.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Before a seat is taken anew.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn read(lanes: Arc<Lanes>, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
    let changes = lanes.cluster.catalog.changes();
    let reading = Reading {
        lanes,
        partition: partition.clone(),
        next: from,
        until: until.unwrap_or(i64::MAX),
        changes,
        birth: None,
        seat: None,
        end: 0,
        bound: 0,
        asked_at: Instant::now(),
        look_at: None,
        is_at_end: false,
        failure: None,
    };
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await? {
            Ok(batch) => Some((Ok(batch), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Reading {
    lanes: Arc<Lanes>,
    partition: TopicPartition,
    next: i64,
    until: i64,
    changes: watch::Receiver<u64>,
    /// Of the topic; `None` before the first batch.
    birth: Option<u64>,
    seat: Option<Arc<Seat>>,
    /// The end as known, for those who want to know how far behind they are.
    end: i64,
    /// The end before the brokers were asked from where the seat is: when they say that there is no more, all below it was seen.
    bound: i64,
    asked_at: Instant,
    look_at: Option<Instant>,
    /// The brokers said that there is no more, and nothing came since.
    is_at_end: bool,
    /// Came behind the records of the last batch.
    failure: Option<Error>,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Batch>> {
        if self.birth.is_none()
            && let Err(error) = self.begin().await
        {
            return Some(Err(error));
        }
        while self.next < self.until {
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            match self.step().await {
                Ok(None) => {}
                Ok(Some(batch)) => return Some(Ok(batch)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    async fn begin(&mut self) -> Result<()> {
        let known = self.lanes.cluster.must_exist(&self.partition.topic).await?;
        let bounds = self.lanes.offsets.bounds(std::slice::from_ref(&self.partition)).await?;
        let bounds = bounds[0];
        (self.birth, self.end, self.bound) = (Some(known.birth), bounds.end, bounds.end);
        match (bounds.start..=bounds.end).contains(&self.next) {
            true => Ok(()),
            false => Err(self.gone()),
        }
    }

    /// Takes what is there, or waits for something to happen.
    async fn step(&mut self) -> Result<Option<Batch>> {
        let seat = self.seat().await?;
        let mut building = Building::new(self.next, self.until);
        let polled = seat.poll(|message| building.add(message));
        let is_over = building.is_over();
        let records = building.finish();
        if let Some(last) = records.last() {
            (self.next, self.look_at, self.is_at_end) = (last.offset + 1, None, false);
        }
        self.is_at_end |= matches!(polled, Polled::End);
        if is_over {
            self.next = self.until;
            return Ok(Some(self.batch(records)));
        }
        match polled {
            Polled::More => self.catch_up().await?,
            Polled::End if self.bound <= self.next => self.look_at = Some(Instant::now() + QUIET),
            Polled::Failed(code) => self.failure = self.failed(code).await,
            Polled::Evicted => self.seat = None,
            Polled::Drained | Polled::End => {}
        }
        if !records.is_empty() {
            return Ok(Some(self.batch(records)));
        }
        match polled {
            Polled::End if self.bound > self.next => {
                // All that was there has been seen: what is left are offsets without records.
                self.next = self.bound.min(self.until);
                return Ok(Some(self.batch(Vec::new())));
            }
            Polled::Drained | Polled::End => self.wait(&seat).await?,
            Polled::Evicted => sleep(PAUSE).await,
            Polled::More | Polled::Failed(_) => {}
        }
        Ok(None)
    }

    async fn seat(&mut self) -> Result<Arc<Seat>> {
        if let Some(seat) = &self.seat {
            return Ok(Arc::clone(seat));
        }
        let seat = self.lanes.take(&self.partition, self.next).await?;
        self.is_at_end = false;
        self.seat = Some(Arc::clone(&seat));
        Ok(seat)
    }

    async fn wait(&mut self, seat: &Seat) -> Result<()> {
        let _waiting = seat.wait(self.is_at_end);
        let look_at = self.look_at;
        let look = async move {
            match look_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = seat.news() => Ok(()),
            _ = self.changes.changed() => self.check_topic(),
            () = look => self.look_for_the_end().await,
        }
    }

    /// The topic that is read may have been deleted.
    fn check_topic(&self) -> Result<()> {
        let topic = &self.partition.topic;
        let known = self.lanes.cluster.catalog.known(topic);
        match known.map(|known| known.birth) == self.birth {
            true => Ok(()),
            false => Err(Error::no_such_topic(topic)),
        }
    }

    /// It was quiet for a while. If offsets without records are what is left, the brokers are asked from here once more.
    async fn look_for_the_end(&mut self) -> Result<()> {
        self.look_at = None;
        self.ask_for_the_end().await?;
        if self.end > self.next
            && let Some(seat) = &self.seat
        {
            self.bound = self.end;
            self.lanes.seek(seat, self.next);
        }
        Ok(())
    }

    /// There is more than a batch: say how much, but do not ask all the time.
    async fn catch_up(&mut self) -> Result<()> {
        match self.next >= self.end && self.asked_at.elapsed() >= ASK_AGAIN {
            true => self.ask_for_the_end().await,
            false => Ok(()),
        }
    }

    async fn ask_for_the_end(&mut self) -> Result<()> {
        self.asked_at = Instant::now();
        match self.lanes.offsets.ends(std::slice::from_ref(&self.partition)).await {
            Ok(ends) => self.end = ends[0],
            // The cluster is away for now; what it has is read when it is back.
            Err(error) if error.reason() == Reason::LogUnavailable => self.look_at = Some(Instant::now() + QUIET),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What an error of the consumer means for this reader; most are about connections, and pass.
    async fn failed(&self, code: Code) -> Option<Error> {
        let (topic, number) = (&self.partition.topic, self.partition.partition);
        let doing = format!("read {topic}/{number} at offset {}", self.next);
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(self.gone()),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => {
                self.lanes.cluster.catalog.refresh().await;
                self.check_topic().err()
            }
            Code::TopicAuthorizationFailed
            | Code::InvalidMessage
            | Code::BadMessage
            | Code::BadCompression
            | Code::UnsupportedCompressionType => Some(failed_with(&doing, code)),
            _ => {
                tracing::debug!(%code, "{doing}");
                None
            }
        }
    }

    fn gone(&self) -> Error {
        let (topic, number) = (&self.partition.topic, self.partition.partition);
        let text = format!("read {topic}/{number}: offset {} is not there (any more)", self.next);
        Error::new(Reason::PositionGone, text)
    }

    fn batch(&self, records: Vec<Record>) -> Batch {
        Batch {
            records,
            next: self.next,
            end: self.end.max(self.next),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            self.lanes.leave(seat);
        }
    }
}
