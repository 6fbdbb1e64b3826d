//! One life of a membership: a client joins the group, and what the group gives and takes is told, until the membership is
//! left or lost. The next life has another client, so that nothing of this one can be done in the name of the next.

mod topics;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use self::topics::Silence;
use super::{
    Seat, Told,
    client::{Client, News},
    ear::{Kind, Rebalance},
    fence::Fence,
    proof::Proof,
    questions::Answer,
    refusal,
    sight::Sight,
    table::Place,
};
use crate::{
    error::Error,
    log::{Assigned, Change, Release, TopicPartition},
    name::Topic,
};

/// How long a member may hold what was revoked.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// How a life ends.
pub(super) enum End {
    /// Nobody wants the membership any more, or nobody hears what is told.
    Left,
    /// The group has taken the partitions away, or may have.
    Lost,
    /// There will be no membership.
    Failed(Error),
}

pub(super) struct Life {
    seat: Arc<Seat>,
    client: Arc<Client>,
    fence: Arc<Fence>,
    changes: mpsc::Sender<Told>,
    /// Those of the process before this life.
    naps: u64,
    /// Topics came or went.
    catalog: watch::Receiver<u64>,
    /// The topics that the member wants.
    wanted: watch::Receiver<Arc<[Topic]>>,
    /// The group's topics as its client was told of them.
    sight: Sight,
    asking: FuturesUnordered<BoxFuture<'static, Option<Answer>>>,
    looking: Option<BoxFuture<'static, ()>>,
    /// When to look because the group is silent.
    silence: Silence,
    /// What is revoked, until it is answered.
    revoked: Option<Rebalance>,
    /// `true` when the partitions are let go of, `false` when that took too long.
    release: Option<BoxFuture<'static, bool>>,
    proof: Proof,
}

impl Life {
    pub(super) fn new(seat: &Arc<Seat>, client: Arc<Client>, fence: &Arc<Fence>, changes: mpsc::Sender<Told>) -> Self {
        let mut catalog = seat.cluster.catalog.changes();
        catalog.mark_unchanged();
        Self {
            sight: Sight::of(seat),
            wanted: seat.topics.subscribe(),
            proof: Proof::new(&seat.cluster.options),
            seat: Arc::clone(seat),
            client,
            fence: Arc::clone(fence),
            changes,
            naps: seat.cluster.pulse.naps(),
            catalog,
            asking: FuturesUnordered::new(),
            looking: None,
            silence: Silence::begins(),
            revoked: None,
            release: None,
        }
    }

    /// Runs until the end. Whatever was announced and is lost by it is told as lost.
    pub(super) async fn run(mut self, gone: impl Future<Output = ()>) -> End {
        self.fence.enter(Arc::clone(&self.client));
        let end = tokio::select! {
            end = self.serve() => end,
            () = gone => End::Left,
        };
        let lost = self.fence.leave();
        self.client.over.cancel();
        self.naps = self.seat.cluster.pulse.naps();
        if !matches!(end, End::Left) {
            self.tell_of(lost, Change::Lost);
        }
        end
    }

    async fn serve(&mut self) -> End {
        if let Some(end) = self.subscribe().await {
            return end;
        }
        loop {
            let client = Arc::clone(&self.client);
            // Every arm is cancel-safe: what a future returns is handled before the next select.
            let end = tokio::select! {
                news = client.next() => self.hear(news).await,
                Some(answer) = self.asking.next() => self.announce(answer),
                was_let_go = maybe(&mut self.release) => self.released(was_let_go),
                () = self.fence.ended() => None,
                () = self.seat.cluster.pulse.nap_after(self.naps) => Some(End::Lost),
                // The senders live as long as the cluster and the seat.
                _ = self.catalog.changed() => self.look(),
                _ = self.wanted.changed() => match self.subscribe().await {
                    None => self.look(),
                    end => end,
                },
                () = maybe(&mut self.looking) => self.check(),
                () = self.silence.lasts() => self.look_at_topics(),
                is_proven = self.proof.next(&client, &self.fence, &self.seat) => (!is_proven).then_some(End::Lost),
            };
            let end = match end {
                None => self.settle_up().await,
                end => end,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn hear(&mut self, news: News) -> Option<End> {
        match news {
            News::Error(error, words) => refusal::of(&self.seat, &error, &words).map(End::Failed),
            News::Stranded => Some(End::Lost),
            News::Rebalance(rebalance) => {
                self.silence = Silence::Broken;
                let partitions = self.seat.partitions(&rebalance.partitions);
                tracing::debug!(group = %self.seat.group, kind = ?rebalance.kind, ?partitions, "the group rebalances");
                match rebalance.kind {
                    Kind::Assign => self.assign(rebalance, partitions).await,
                    Kind::Revoke => self.revoke(rebalance, &partitions),
                    Kind::Lose => self.take_away(rebalance, &partitions),
                }
            }
        }
    }

    async fn assign(&mut self, rebalance: Rebalance, partitions: Vec<TopicPartition>) -> Option<End> {
        if let Err(error) = rebalance.answer(&self.client).await {
            tracing::warn!(group = %self.seat.group, %error, "cannot take what the group gives");
            return Some(End::Lost);
        }
        self.fence.with(|table| table.assign(partitions));
        let end = self.check();
        if self.fence.with(|table| table.has_missing()) {
            // The group knows of a topic sooner than the catalog.
            let catalog = Arc::clone(&self.seat.cluster.catalog);
            self.looking = Some(Box::pin(async move { catalog.refresh().await }));
        }
        end
    }

    fn revoke(&mut self, rebalance: Rebalance, partitions: &[TopicPartition]) -> Option<End> {
        let lost = self
            .fence
            .with(|table| table.check(|partition| self.seat.birth(partition)).lost);
        let held = self.fence.with(|table| table.revoke(partitions));
        self.revoked = Some(rebalance);
        if !self.tell_of(lost, Change::Deleted) {
            return Some(End::Left);
        }
        if held.is_empty() {
            return None;
        }
        let (release, released) = oneshot::channel();
        self.release = Some(Box::pin(async move { timeout(RELEASE_WITHIN, released).await.is_ok() }));
        let revoked = Change::Revoked {
            partitions: held,
            release: Release(release),
        };
        self.tell(revoked)
    }

    /// The group has taken partitions away: all of them, because it has put this member out, or those of topics that went.
    fn take_away(&mut self, rebalance: Rebalance, partitions: &[TopicPartition]) -> Option<End> {
        let exists = |partition: &TopicPartition| self.seat.birth(partition).is_some();
        if partitions.iter().any(exists) && self.fence.with(|table| table.are_all(partitions)) {
            tracing::info!(group = %self.seat.group, "the group has put this member out, joining anew");
            return Some(End::Lost);
        }
        let mut taken = self.fence.with(|table| table.revoke(partitions));
        self.fence.with(|table| table.let_go());
        taken.sort();
        let (lost, deleted) = taken.into_iter().partition(exists);
        self.revoked = Some(rebalance);
        let is_told = self.tell_of(lost, Change::Lost) && self.tell_of(deleted, Change::Deleted);
        (!is_told).then_some(End::Left)
    }

    fn released(&mut self, was_let_go: bool) -> Option<End> {
        let held = self.fence.with(|table| table.let_go());
        if was_let_go {
            return None;
        }
        tracing::warn!(group = %self.seat.group, ?held, "revoked partitions were held for too long");
        (!self.tell_of(held, Change::Lost)).then_some(End::Left)
    }

    fn announce(&mut self, answer: Option<Answer>) -> Option<End> {
        let Answer { places, committed } = answer?;
        let still_asked = |place: &Place| self.fence.with(|table| table.open(place));
        let assigned: Vec<Assigned> = (places.into_iter())
            .filter(still_asked)
            .map(|place| {
                let name = self.seat.cluster.names.on_cluster(&place.partition.topic);
                let committed = committed.get(&(name, place.partition.partition)).cloned();
                Assigned {
                    partition: place.partition,
                    committed,
                }
            })
            .collect();
        match assigned.is_empty() {
            true => None,
            false => self.tell(Change::Assigned(assigned)),
        }
    }

    /// After everything that happened: lets go of what is revoked, once nothing of it is left, and takes up what is free again.
    async fn settle_up(&mut self) -> Option<End> {
        if self.revoked.is_some() && self.fence.with(|table| table.remove_revoked()) {
            self.release = None;
            let revoked = self.revoked.take()?;
            if let Err(error) = revoked.answer(&self.client).await {
                tracing::warn!(group = %self.seat.group, %error, "cannot let go of what the group takes");
                return Some(End::Lost);
            }
        }
        self.check()
    }

    /// Tells what became of partitions. Whether it could be told.
    fn tell_of(&self, partitions: Vec<TopicPartition>, what: fn(Vec<TopicPartition>) -> Change) -> bool {
        partitions.is_empty() || self.tell(what(partitions)).is_none()
    }

    /// Whoever does not listen any more has let go of everything; whoever listens reads what few changes there are.
    fn tell(&self, change: Change) -> Option<End> {
        match self.changes.try_send((change, self.naps)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(group = %self.seat.group, "nobody reads what changes in the group, leaving it");
                Some(End::Left)
            }
        }
    }
}

/// The result of a future that may not be there; it is gone once it is ready.
async fn maybe<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(running) => {
            let result = running.await;
            *future = None;
            result
        }
        None => std::future::pending().await,
    }
}
