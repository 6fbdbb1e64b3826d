//! What the index forgets: what is over and too much, and what the log has no more.

use super::Index;

impl Index {
    /// What lies before `start` is gone: an operator gave the topic a retention.
    pub fn forget_before(&mut self, start: i64) {
        while let Some(at) = self.rows.keys().next().copied().filter(|at| *at < start) {
            self.forget(at);
        }
    }

    /// Beyond the most rows, the oldest that are redriven or discarded.
    pub(super) fn forget_oldest(&mut self) {
        while self.rows.len() > self.most {
            let Some(at) = self.resolved.pop_first() else { return };
            self.forget(at);
        }
    }

    fn forget(&mut self, at: i64) {
        let Some(row) = self.rows.remove(&at) else { return };
        self.offsets.remove(&row.id);
        for set in [&mut self.redriving, &mut self.held, &mut self.resolved] {
            set.remove(&at);
        }
        let Some(head) = row.head else { return };
        if let Some(members) = self.chains.get_mut(&head) {
            members.remove(&at);
            if members.is_empty() {
                self.chains.remove(&head);
            }
        }
    }
}
