//! What is new in a table, for those who act on its rows.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Row, Table};

impl<R: Row> Table<R> {
    /// Changes whenever something was learned.
    pub(in crate::bus) fn changes(&self) -> watch::Receiver<i64> {
        self.reached.subscribe()
    }

    /// Where the row lies that was learned last; changes with each that holds, and not with those of other kinds.
    pub(in crate::bus) fn news(&self) -> watch::Receiver<i64> {
        self.learned.subscribe()
    }

    /// Rows that lie behind an offset of the topic.
    pub(in crate::bus) fn behind(&self, offset: i64) -> Vec<(String, Arc<R>)> {
        let rows = self.lock();
        let new = rows.iter().filter(|(_, kept)| kept.at > offset);
        new.map(|(key, kept)| (key.clone(), Arc::clone(&kept.row))).collect()
    }
}
