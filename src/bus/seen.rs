//! What each replica sees of the groups that it serves, told to all through `tidings.control`: any of them answers for all.
//!
//! ```text
//! tasks of groups ─▶ teller, each 5 s ─▶ seen/REPLICA/GROUP, what changed  ─▶ every replica ─▶ beside what it sees itself
//!                                        seen/REPLICA, a sign of life
//! ```
//!
//! A replica that serves no group writes nothing. One that has given no sign of life for 15 s is not believed. What it wrote it
//! removes when it stops, or others do after a minute.

mod row;
mod teller;
mod listening;

use std::{sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::row::{SeenRow, SeenTable};
use self::{row::place_of, teller::Teller};
use super::{Bus, Inner, group::GroupView};
use crate::{log::LogTime, name::Group};

/// What a replica wrote is believed for so long after its last sign of life.
const BELIEVED: Duration = Duration::from_secs(15);

/// What other replicas tell; nothing where the log serves this one alone.
pub(super) struct Seen {
    table: Option<Arc<SeenTable>>,
    /// Held while this replica tells what it sees.
    #[expect(clippy::disallowed_types, reason = "guards a sequence of calls to the log, not data")]
    telling: Arc<tokio::sync::Mutex<()>>,
    tellers: TaskTracker,
    stop: CancellationToken,
}

/// A group as one replica sees it.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) replica_id: Arc<str>,
    pub(super) view: Arc<GroupView>,
    /// When it was so.
    pub(super) at: LogTime,
}

/// What other replicas see, as far as they live.
pub(super) struct Others(FxHashMap<Group, Vec<Sight>>);

impl Seen {
    pub(super) fn of(table: Option<Arc<SeenTable>>) -> Self {
        Self {
            table,
            telling: Arc::default(),
            tellers: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// What this replica has told is removed; whatever it still serves, it tells no more of it.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tellers.close();
        self.tellers.wait().await;
    }
}

impl Bus {
    /// Begins to tell others what this replica sees.
    pub(super) fn tell_others(&self) {
        let Inner {
            seen, groups, commands, ..
        } = &*self.0;
        if let Some(table) = seen.table.clone() {
            let teller = Teller {
                table,
                active: Arc::clone(&groups.active),
                instances: Arc::clone(&commands.instances),
                telling: Arc::clone(&seen.telling),
                replica_id: self.0.replica_id.clone(),
            };
            seen.tellers.spawn(teller.run(seen.stop.clone()));
        }
    }
}

impl Inner {
    /// Of all groups. What others did in the last 5 s may be missing.
    pub(super) fn others(&self) -> Others {
        let rows = self.seen.table.as_ref().map_or_else(Vec::new, |table| table.under(""));
        let heard = teller::heard(&rows);
        let mut others = FxHashMap::<Group, Vec<Sight>>::default();
        for (key, row, _) in &rows {
            let Some((replica_id, Some(group))) = place_of(key) else {
                continue;
            };
            let at = heard.get(replica_id).copied().unwrap_or(LogTime(0));
            if let SeenRow::Serves(view) = &**row
                && replica_id != self.replica_id
                && teller::is_younger(at, BELIEVED)
                && let Ok(group) = Group::new(group)
            {
                let (replica_id, view) = (replica_id.into(), Arc::clone(view));
                others.entry(group).or_default().push(Sight { replica_id, view, at });
            }
        }
        Others(others)
    }

    /// Of this group: what this replica sees now, if it serves it, then what others do.
    pub(super) async fn sights(&self, group: &Group, others: &Others) -> Vec<Sight> {
        let mut sights = Vec::new();
        if let Some(handle) = self.groups.active.get(group)
            && let Some(view) = handle.describe().await
        {
            sights.push(Sight {
                replica_id: self.replica_id.as_str().into(),
                view: Arc::new(view),
                at: LogTime::now(),
            });
        }
        sights.extend(others.0.get(group).into_iter().flatten().cloned());
        sights.retain(|sight| !sight.view.is_empty());
        sights
    }
}
