//! What a life does about topics: it subscribes its client, has the group look when they come and go, and compares them with
//! what is assigned.

use std::sync::Arc;

use super::{
    super::{questions, table::Place},
    End, Life,
};
use crate::log::Change;

impl Life {
    /// The client joins with the topics that the member wants now; one that has joined already keeps what it has of them.
    pub(super) async fn subscribe(&mut self) -> Option<End> {
        self.wanted.mark_unchanged();
        let names = self.seat.names_on_cluster();
        self.client.subscribe(names).await.err().map(End::Failed)
    }

    /// Topics came, went or grew: the group is told to look.
    pub(super) fn look(&mut self) -> Option<End> {
        if self.sight.is_changed(&self.seat) {
            self.looking = Some(Box::pin(questions::look(
                Arc::clone(&self.seat),
                Arc::clone(&self.client),
            )));
        }
        self.check()
    }

    /// Compares what is assigned with the topics that exist.
    pub(super) fn check(&mut self) -> Option<End> {
        let checked = self
            .fence
            .with(|table| table.check(|partition| self.seat.birth(partition)));
        if !checked.found.is_empty() {
            self.ask(checked.found);
        }
        (!self.tell_of(checked.lost, Change::Deleted)).then_some(End::Left)
    }

    fn ask(&mut self, places: Vec<Place>) {
        let (seat, client, fence) = (
            Arc::clone(&self.seat),
            Arc::clone(&self.client),
            Arc::clone(&self.fence),
        );
        self.asking
            .push(Box::pin(questions::committed(seat, client, fence, places)));
    }
}
