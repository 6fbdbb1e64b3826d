//! Live and past events of the same keys at once: never two of a key in hands, each in its own order, nothing missing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tidings::proto::tidings::v1::{Deliveries, Delivery, subscribe_response::Frame};
use tokio::task::JoinSet;

use super::{done, everything, start};
use crate::{
    harness::{
        Server,
        clients::{Subscription, open_with_credit, order},
        within,
    },
    resets::{committed, create},
};

const KEYS: usize = 5;
const PAST: usize = 400;
const LIVE: usize = 400;

/// What is in the hands of consumers, and what they had last of each key.
#[derive(Default)]
struct Checker {
    held: HashSet<String>,
    last: HashMap<(bool, String), usize>,
    past: HashSet<usize>,
    live: HashSet<usize>,
    faults: Vec<String>,
}

impl Checker {
    fn took(&mut self, delivery: &Delivery) {
        let (key, number) = (key(delivery), number(delivery));
        let is_past = !delivery.replay_id.is_empty();
        if !self.held.insert(key.clone()) {
            self.faults.push(format!("{number} of {key} while another is held"));
        }
        let last = self.last.insert((is_past, key.clone()), number);
        if last.is_some_and(|last| last >= number) {
            self.faults
                .push(format!("{number} of {key} after {last:?}, past: {is_past}"));
        }
        if is_past {
            self.past.insert(number)
        } else {
            self.live.insert(number)
        };
    }

    fn is_complete(&self) -> bool {
        self.past.len() == PAST && self.live.len() == LIVE
    }
}

fn key(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.key.as_ref().expect("a key")).into_owned()
}

fn number(delivery: &Delivery) -> usize {
    let id = &delivery.event.as_ref().expect("an event").id;
    id.parse().expect("a number")
}

fn events(numbers: std::ops::Range<usize>) -> Vec<tidings::proto::io::cloudevents::v1::CloudEvent> {
    numbers
        .map(|n| order(&n.to_string(), &format!("key-{}", n % KEYS)))
        .collect()
}

/// Takes events, holds a few of them, and lets them go in any order.
async fn consume(mut stream: Subscription, checker: Arc<Mutex<Checker>>) {
    let mut held: Vec<Delivery> = Vec::new();
    while !checker.lock().expect("sound").is_complete() {
        let frame = tokio::time::timeout(std::time::Duration::from_millis(200), stream.next()).await;
        if let Ok(Ok(Some(Frame::Deliveries(Deliveries { deliveries })))) = frame {
            deliveries
                .iter()
                .for_each(|delivery| checker.lock().expect("sound").took(delivery));
            held.extend(deliveries);
        }
        while !held.is_empty() && (held.len() > 2 || fastrand::bool()) {
            let one = held.swap_remove(fastrand::usize(..held.len()));
            // From the ack on another may have the key.
            checker.lock().expect("sound").held.remove(&key(&one));
            stream.ack(&[one]);
            stream.grant(1, 0);
        }
    }
    stream.ack(&held);
    stream.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_ever_in_two_hands_and_each_keeps_its_order() {
    let server = Server::start().await;
    create(&server, 2).await;
    server.publish(events(0..PAST)).await;
    let mut first = server.subscribe(crate::harness::clients::open("group")).await;
    let mut left = PAST;
    while left > 0 {
        let got = first.at_least(1).await;
        left -= got.len();
        first.ack(&got);
    }
    first.close().await;
    let replay = start(&server, everything()).await;
    let checker = Arc::<Mutex<Checker>>::default();
    let mut consumers = JoinSet::new();
    for _ in 0..3 {
        let stream = server.subscribe(open_with_credit("group", 5)).await;
        consumers.spawn(consume(stream, Arc::clone(&checker)));
    }
    for from in (PAST..PAST + LIVE).step_by(20) {
        server.publish(events(from..from + 20)).await;
    }
    within("both to be complete", async {
        while let Some(ended) = consumers.join_next().await {
            ended.expect("the consumer ended well");
        }
    })
    .await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.gone, over.failed), (PAST as i64, 0, 0));
    assert_eq!(committed(&server).await, (PAST + LIVE) as i64);
    let checker = checker.lock().expect("sound");
    assert!(
        checker.faults.is_empty(),
        "{} faults: {:?}",
        checker.faults.len(),
        checker.faults
    );
}
