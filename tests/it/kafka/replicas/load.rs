//! The load of the replica tests: one publisher, which tells the checker, and the streams that take what it publishes.

use std::{sync::Arc, time::Duration};

use tidings::proto::tidings::v1::{Credit, CreditMode, Delivery, Open, PublishRequest};
use tokio::{sync::watch, task::JoinHandle, time::interval};
use tonic::Request;

use super::checker::{Checker, EventId};
use crate::harness::{
    Server,
    clients::{open, order, request},
};

pub(super) const KEYS: u64 = 40;
const GROUP: &str = "billing";

/// Publishes ten events each hundredth of a second, until told to stop; then answers when the last is acknowledged.
pub(super) struct Publisher {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Publisher {
    pub(super) fn start(server: &Server, checker: &Arc<Checker>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut client, checker) = (server.publisher(), Arc::clone(checker));
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(10));
            for round in 0.. {
                ticks.tick().await;
                if *stopped.borrow() {
                    return;
                }
                let events: Vec<EventId> = (0..10).map(|index| event(round * 10 + index)).collect();
                let mut call = Request::new(orders(&events));
                call.set_timeout(Duration::from_secs(100));
                client.publish(call).await.expect("publish");
                events.iter().for_each(|event| checker.published(event));
            }
        });
        Self { stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.expect("the publisher ended well");
    }
}

/// The keys take turns.
fn event(number: u64) -> EventId {
    (format!("k{}", number % KEYS), number / KEYS)
}

fn orders(events: &[EventId]) -> PublishRequest {
    request(
        events
            .iter()
            .map(|(key, number)| order(&format!("{key}/{number}"), key)),
    )
}

pub(super) fn event_of(delivery: &Delivery) -> EventId {
    let id = &delivery.event.as_ref().expect("an event").id;
    let (key, number) = id.split_once('/').expect("an id of ours");
    (key.to_owned(), number.parse().expect("a number"))
}

pub(super) fn group() -> Open {
    Open {
        credit_mode: CreditMode::OnSettle.into(),
        ..open(GROUP)
    }
}

/// A stream that is sent so many events, and more when it grants more credit.
pub(super) fn group_with_credit(events: i64) -> Open {
    Open {
        credit: Some(Credit { events, bytes: 0 }),
        credit_mode: CreditMode::Explicit.into(),
        ..group()
    }
}
