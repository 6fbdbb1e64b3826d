//! What a life does about topics: it subscribes its client, has the group look when they come and go, and compares them with
//! what is assigned.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    super::{questions, table::Place},
    End, Life,
};
use crate::log::Change;

/// A group that has not been heard yet. Before it joins, a client asks for its topics; where the connection to do so is
/// closed meanwhile (librdkafka closes that to a bootstrap server once it knows the brokers) it is not answered, and asks
/// again a minute later. Any look at topics has it go on.
pub(super) enum Silence {
    Broken,
    Until(Instant, Duration),
}

impl Silence {
    const FIRST: Duration = Duration::from_secs(1);
    /// Then the client asks by itself.
    const LAST: Duration = Duration::from_secs(32);

    pub(super) fn begins() -> Self {
        Self::Until(Instant::now() + Self::FIRST, Self::FIRST)
    }

    /// Ready when it is worth looking at topics. Cancelled, it goes on where it was.
    pub(super) async fn lasts(&mut self) {
        let Self::Until(until, waited) = *self else {
            return std::future::pending().await;
        };
        sleep_until(until).await;
        *self = Self::after(until, waited);
    }

    fn after(until: Instant, waited: Duration) -> Self {
        match waited < Self::LAST {
            true => Self::Until(until + 2 * waited, 2 * waited),
            false => Self::Broken,
        }
    }
}

impl Life {
    /// The client joins with the topics that the member wants now; one that has joined already keeps what it has of them.
    pub(super) async fn subscribe(&mut self) -> Option<End> {
        self.wanted.mark_unchanged();
        let names = self.seat.names_on_cluster();
        self.client.subscribe(names).await.err().map(End::Failed)
    }

    /// Topics came, went or grew: the group is told to look.
    pub(super) fn look(&mut self) -> Option<End> {
        match self.sight.is_changed(&self.seat) {
            true => self.look_at_topics(),
            false => self.check(),
        }
    }

    pub(super) fn look_at_topics(&mut self) -> Option<End> {
        let looking = questions::look(Arc::clone(&self.seat), Arc::clone(&self.client));
        self.looking = Some(Box::pin(looking));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_group_is_looked_at_ever_later_until_its_client_asks_by_itself() {
        let began = Instant::now();
        let mut looks = Vec::new();
        let mut silence = Silence::Until(began + Silence::FIRST, Silence::FIRST);
        while let Silence::Until(until, waited) = silence {
            looks.push((until - began).as_secs());
            silence = Silence::after(until, waited);
        }
        assert_eq!(looks, [1, 3, 7, 15, 31, 63]);
    }
}
