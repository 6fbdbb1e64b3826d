//! The tables in `tidings.control`, all fed by one reader of it.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    covers::CoversTable,
    notes::NotesTable,
    replays::{ReplayedTable, ReplaysTable},
    resets::{MovesTable, ResetsTable},
    seen::SeenTable,
    stands::StandsTable,
    state::{DeletionsTable, SnapshotsTable},
    table::{Followed, Table, follow},
};
use crate::log::Log;

pub(super) struct ControlTables {
    pub(super) notes: Arc<NotesTable>,
    pub(super) resets: Arc<ResetsTable>,
    pub(super) moves: Arc<MovesTable>,
    pub(super) stands: Arc<StandsTable>,
    pub(super) snapshots: Arc<SnapshotsTable>,
    pub(super) deletions: Arc<DeletionsTable>,
    pub(super) covers: Arc<CoversTable>,
    pub(super) replays: Arc<ReplaysTable>,
    pub(super) replayed: Arc<ReplayedTable>,
    /// `None` = nobody else uses the log.
    pub(super) seen: Option<Arc<SeenTable>>,
}

impl ControlTables {
    /// Follows the topic until `stop`.
    pub(super) fn start(log: &Arc<dyn Log>, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let control = Self {
            notes: Table::new(Arc::clone(log)),
            resets: Table::new(Arc::clone(log)),
            moves: Table::new(Arc::clone(log)),
            stands: Table::new(Arc::clone(log)),
            snapshots: Table::new(Arc::clone(log)),
            deletions: Table::new(Arc::clone(log)),
            covers: Table::new(Arc::clone(log)),
            replays: Table::new(Arc::clone(log)),
            replayed: Table::new(Arc::clone(log)),
            seen: log.is_shared().then(|| Table::new(Arc::clone(log))),
        };
        follow(control.all(), tasks, stop);
        control
    }

    fn all(&self) -> Vec<Arc<dyn Followed>> {
        let mut all: Vec<Arc<dyn Followed>> = vec![
            Arc::<NotesTable>::clone(&self.notes),
            Arc::<ResetsTable>::clone(&self.resets),
            Arc::<MovesTable>::clone(&self.moves),
            Arc::<StandsTable>::clone(&self.stands),
            Arc::<SnapshotsTable>::clone(&self.snapshots),
            Arc::<DeletionsTable>::clone(&self.deletions),
            Arc::<CoversTable>::clone(&self.covers),
            Arc::<ReplaysTable>::clone(&self.replays),
            Arc::<ReplayedTable>::clone(&self.replayed),
        ];
        all.extend(self.seen.clone().map(|seen| seen as Arc<dyn Followed>));
        all
    }
}
