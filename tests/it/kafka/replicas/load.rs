//! The load of the replica tests: one publisher, and a consumer for each replica, all told to the checker.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidings::proto::tidings::v1::{
    Ack, Credit, CreditMode, Deliveries, Delivery, Open, PublishRequest, subscribe_request::Frame as Sent,
    subscribe_response::Frame,
};
use tokio::{sync::watch, task::JoinHandle, time::interval};
use tonic::{Request, transport::Channel};

use super::checker::{Checker, EventId, Who};
use crate::harness::{
    Server,
    clients::{Subscription, open, order, request, subscribe_through},
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

/// A stream that only looks on: it has no credit, and a heartbeat each second.
pub(super) fn watching() -> Open {
    Open {
        group: "watching".to_owned(),
        credit: None,
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..open("watching")
    }
}

/// Consumes and acks everything, until its server is gone.
pub(super) fn consume(server: &Server, checker: &Arc<Checker>) -> JoinHandle<()> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(run(server.channel(), number, Arc::clone(checker)))
}

async fn run(channel: Channel, number: usize, checker: Arc<Checker>) {
    let Ok(mut stream) = subscribe_through(channel, [Sent::Open(group())]).await else {
        return;
    };
    let mut consumer = Consumer::new(number, checker);
    loop {
        match stream.next().await {
            Ok(Some(frame)) => consumer.frame(frame, &stream),
            end => return eprintln!("consumer {number} ended: {end:?}"),
        }
    }
}

/// Follows one stream.
pub(super) struct Consumer {
    who: Who,
    checker: Arc<Checker>,
    sequence: u64,
    acked: HashMap<u64, Vec<EventId>>,
}

impl Consumer {
    pub(super) fn new(number: usize, checker: Arc<Checker>) -> Self {
        Self {
            who: (number, 0),
            checker,
            sequence: 0,
            acked: HashMap::new(),
        }
    }

    pub(super) fn frame(&mut self, frame: Frame, stream: &Subscription) {
        match frame {
            Frame::Deliveries(Deliveries { deliveries }) => {
                self.saw(&deliveries);
                self.ack(&deliveries, stream);
            }
            Frame::AckResult(result) => {
                let acked = self.acked.remove(&result.sequence).expect("a sequence of ours");
                self.checker.stale(result.faults.len());
                if result.committed && result.faults.is_empty() {
                    self.checker.committed(acked);
                }
            }
            // What is lost may come back, and then begins at what was committed meanwhile.
            Frame::Assignment(_) => self.who.1 += 1,
            _ => {}
        }
    }

    pub(super) fn saw(&self, deliveries: &[Delivery]) {
        deliveries
            .iter()
            .for_each(|delivery| self.checker.delivered(self.who, &event_of(delivery)));
    }

    pub(super) fn ack(&mut self, deliveries: &[Delivery], stream: &Subscription) {
        self.sequence += 1;
        self.acked
            .insert(self.sequence, deliveries.iter().map(event_of).collect());
        stream.send(Sent::Ack(Ack {
            delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
            sequence: self.sequence,
            ..Default::default()
        }));
    }
}
