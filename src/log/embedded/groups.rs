//! Groups of this process: their members' channels, the time a revoked partition may be held, and commits.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use rustc_hash::FxHashMap;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    coordinator::{Available, Coordinator, MemberId, Notice, Ticket},
    fault,
    members::{Hold, Joined},
    state::{CommitOp, Op},
    table::Shared,
    writer::{Item, Writer},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Assigned, Change, Commit, Committed, Membership, Release, TopicPartition, rules::check_commit},
    name::{Group, Topic},
};

/// How long a member may hold what was revoked.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Groups {
    shared: Arc<Shared>,
    queue: Sender<Item>,
    runtime: Handle,
    pub(crate) stop: CancellationToken,
    groups: Mutex<FxHashMap<Group, Running>>,
    /// How many groups there have been.
    begun: AtomicU64,
}

pub(crate) struct Running {
    pub(crate) coordinator: Coordinator,
    pub(crate) members: FxHashMap<MemberId, mpsc::UnboundedSender<Change>>,
}

impl Groups {
    pub(crate) fn start(shared: Arc<Shared>, queue: Sender<Item>) -> Arc<Self> {
        // From here on no change of topics is missed, whenever the task comes to run.
        let metadata = shared.metadata.subscribe();
        let groups = Arc::new(Self {
            shared,
            queue,
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            groups: Mutex::default(),
            begun: AtomicU64::new(0),
        });
        tokio::spawn(groups.clone().follow_topics(metadata));
        groups
    }

    pub(crate) fn join(self: &Arc<Self>, group: &Group, topics: &[Topic]) -> Membership {
        #[expect(
            clippy::disallowed_methods,
            reason = "few, told under a lock that cannot wait, and none may be lost"
        )]
        let (sender, changes) = mpsc::unbounded_channel();
        let id = self.turn(group, |running| {
            let id = running.coordinator.join(topics);
            running.members.insert(id, sender);
            id
        });
        let member = Arc::new(Joined {
            groups: self.clone(),
            group: group.clone(),
            id,
        });
        // The stream is a handle of the membership too.
        let changes = stream::unfold((changes, member.clone()), |(mut changes, member)| async move {
            let change = changes.recv().await?;
            Some((change, (changes, member)))
        });
        Membership {
            changes: changes.boxed(),
            member,
        }
    }

    pub(crate) async fn commit(
        self: &Arc<Self>,
        group: &Group,
        member: Option<MemberId>,
        commits: Vec<Commit>,
    ) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        let op = self.op(group, &commits)?;
        let partitions: Vec<_> = commits.into_iter().map(|commit| commit.partition).collect();
        let may = self.with(group, |running| {
            let coordinator = &mut running.coordinator;
            partitions
                .iter()
                .zip(op.topics())
                .all(|(partition, id)| coordinator.was_given(partition, id))
                && coordinator.begin_commit(member, &partitions)
        });
        if !may {
            return Err(in_use(group, member));
        }
        let hold = Hold {
            groups: self.clone(),
            group: group.clone(),
            partitions,
        };
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Item::Commit(op, answer, hold))
            .map_err(|_| fault::closed())?;
        answered.await.unwrap_or_else(|_| Err(fault::closed()))
    }

    /// On the writer's thread, behind all commits that came before.
    pub(crate) fn forget(&self, group: &Group, writer: &mut Writer) -> Result<()> {
        if self.with(group, |running| running.coordinator.has_members()) {
            return Err(in_use(group, None));
        }
        writer.change(Op::Forget {
            group: group.as_str().to_owned(),
        })
    }

    pub(crate) fn committed(&self, group: &Group, partition: &TopicPartition) -> Option<Committed> {
        let entry = self.shared.entry(&partition.topic)?;
        self.shared
            .read_state(|state| state.committed(group.as_str(), entry.id, partition.partition))
    }

    fn op(&self, group: &Group, commits: &[Commit]) -> Result<Op> {
        let op = |commit: &Commit| {
            let found = self.shared.partition(&commit.partition)?;
            check_commit(commit)?;
            Ok(CommitOp {
                id: found.topic,
                partition: found.number,
                offset: commit.offset,
                note: commit.note.clone(),
            })
        };
        let commits = commits.iter().map(op).collect::<Result<_>>()?;
        Ok(Op::Commit {
            group: group.as_str().to_owned(),
            commits,
        })
    }

    /// Changes a group, then moves it on and tells its members.
    pub(crate) fn turn<T>(self: &Arc<Self>, group: &Group, change: impl FnOnce(&mut Running) -> T) -> T {
        self.with(group, |running| {
            let result = change(running);
            self.move_on(group, running);
            result
        })
    }

    pub(crate) fn with<T>(&self, group: &Group, change: impl FnOnce(&mut Running) -> T) -> T {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let running = groups.entry(group.clone()).or_insert_with(|| Running {
            coordinator: Coordinator::starting_at(self.begun.fetch_add(1, Ordering::Relaxed) << 32),
            members: FxHashMap::default(),
        });
        let result = change(running);
        if running.coordinator.is_idle() {
            groups.remove(group);
        }
        result
    }

    pub(crate) fn move_on(self: &Arc<Self>, group: &Group, running: &mut Running) {
        let available = self.available(&running.coordinator.topics());
        for notice in running.coordinator.rebalance(&available) {
            self.tell(group, running, notice);
        }
    }

    fn available(&self, topics: &BTreeSet<Topic>) -> Available {
        let found = |topic: &Topic| {
            let entry = self.shared.entry(topic)?;
            Some((topic.clone(), (entry.id, entry.info.settings.partitions)))
        };
        topics.iter().filter_map(found).collect()
    }

    fn tell(self: &Arc<Self>, group: &Group, running: &Running, notice: Notice) {
        let (member, change) = match notice {
            Notice::Assigned(member, partitions) => {
                let assigned = partitions.into_iter().map(|partition| Assigned {
                    committed: self.committed(group, &partition),
                    partition,
                });
                (member, Change::Assigned(assigned.collect()))
            }
            Notice::Lost(member, partitions) => (member, Change::Lost(partitions)),
            Notice::Deleted(member, partitions) => (member, Change::Deleted(partitions)),
            Notice::Revoked(member, partitions, ticket) => {
                let (held, released) = oneshot::channel();
                self.runtime
                    .spawn(self.clone().await_release(group.clone(), ticket, released));
                (
                    member,
                    Change::Revoked {
                        partitions,
                        release: Release(held),
                    },
                )
            }
        };
        if let Some(channel) = running.members.get(&member) {
            let _ = channel.send(change);
        }
    }

    async fn await_release(self: Arc<Self>, group: Group, ticket: Ticket, released: oneshot::Receiver<()>) {
        tokio::select! {
            _ = released => self.turn(&group, |running| running.coordinator.release(ticket)),
            () = tokio::time::sleep(RELEASE_WITHIN) => self.turn(&group, |running| {
                if let Some(notice) = running.coordinator.expire(ticket) {
                    self.tell(&group, running, notice);
                }
            }),
            () = self.stop.cancelled() => {}
        }
    }

    async fn follow_topics(self: Arc<Self>, mut metadata: watch::Receiver<u64>) {
        loop {
            // Both arms are cancel-safe.
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = metadata.changed() => if changed.is_err() { return },
            }
            let names: Vec<Group> = {
                let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
                groups.keys().cloned().collect()
            };
            for group in names {
                self.turn(&group, |_| ());
            }
        }
    }

    /// Ends the members' changes.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.values_mut().for_each(|running| running.members.clear());
    }
}

fn in_use(group: &Group, member: Option<MemberId>) -> Error {
    let text = match member {
        None => format!("group {group} has members; only they can commit"),
        Some(_) => format!("this member of group {group} does not own all these partitions any more"),
    };
    Error::new(Reason::GroupInUse, text).resource("group", group.as_str())
}
