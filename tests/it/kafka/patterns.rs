//! Topics by pattern on Kafka: replicas that share a group, the protocol of KIP-848, brokers that let a new group wait.

#![expect(clippy::print_stderr, reason = "what was measured, for those who look")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tidings::proto::tidings::v1::{
    Assignment, Deliveries, Delivery, LostReason, ReadRequest, subscribe_response::Frame,
};

use crate::{
    harness::{
        Server,
        clients::{Subscription, ids},
        kafka::Broker,
        within,
    },
    patterns::{JOINS_WITHIN, create, delete, matching, publish, read_ids, reading, sorted},
};

const EVENTS: usize = 10;

/// Two replicas, each with a stream of a group on `shop.*`.
struct Pair {
    servers: [Server; 2],
    streams: [Subscription; 2],
    published: usize,
    seen: BTreeSet<String>,
}

impl Pair {
    async fn start(config: &str) -> Self {
        let first = Server::start_with(config).await;
        let second = first.replica().await;
        create(&first, "shop.a", 4).await;
        let open = || matching("group", &["shop.*"]);
        let streams = [first.subscribe(open()).await, second.subscribe(open()).await];
        Self {
            servers: [first, second],
            streams,
            published: 0,
            seen: BTreeSet::new(),
        }
    }

    /// Publishes to the topic and takes everything there is, acked at once: each event comes once, in time.
    async fn deliver(&mut self, topics: &[&str], since: Instant) -> Duration {
        let mut expected = BTreeSet::new();
        for topic in topics {
            let numbers = self.published..self.published + EVENTS;
            let new: Vec<String> = numbers.map(|n| format!("{n} to {topic}")).collect();
            self.published += EVENTS;
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            publish(&self.servers[1], topic, &new).await;
            expected.extend(new.into_iter().map(str::to_owned));
        }
        while !expected.is_subset(&self.seen) {
            let [one, two] = &mut self.streams;
            tokio::select! {
                got = taken(one) => self.see(&got),
                got = taken(two) => self.see(&got),
            }
        }
        since.elapsed()
    }

    /// The next change of what a replica has.
    async fn assignment(&mut self) -> (usize, Assignment) {
        let change = |frame| match frame {
            Frame::Assignment(change) => Some(change),
            _ => None,
        };
        let [one, two] = &mut self.streams;
        tokio::select! {
            change = one.until("a change", change) => (0, change),
            change = two.until("a change", change) => (1, change),
        }
    }

    fn see(&mut self, got: &[Delivery]) {
        for id in ids(got) {
            assert!(self.seen.insert(id.clone()), "{id} came twice");
        }
    }
}

/// The next deliveries, acked.
async fn taken(stream: &mut Subscription) -> Vec<Delivery> {
    let deliveries = |frame| match frame {
        Frame::Deliveries(Deliveries { deliveries }) => Some(deliveries),
        _ => None,
    };
    let got = stream.until("deliveries", deliveries).await;
    stream.ack(&got);
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_topics_that_come_later_each_event_once_and_in_time() {
    let mut pair = Pair::start("").await;
    let mut longest = Duration::ZERO;
    for round in 0..4 {
        let (topic, created) = (format!("shop.{round}"), Instant::now());
        create(&pair.servers[round % 2], &topic, 2).await;
        let took = pair.deliver(&["shop.a", &topic], created).await;
        longest = longest.max(took);
        pair.deliver(&["shop.a", &topic], Instant::now()).await;
    }
    eprintln!("two replicas: from creation to delivery of everything within {longest:?}");
    assert!(longest < JOINS_WITHIN, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_through_one_replica_leaves_the_streams_of_both_and_the_others_go_on() {
    let mut pair = Pair::start("").await;
    create(&pair.servers[0], "shop.b", 4).await;
    let mut owned = [BTreeSet::new(), BTreeSet::new()];
    while owned.iter().any(|owned| owned.len() != 4) {
        let (stream, change) = pair.assignment().await;
        for lost in change.lost.iter().filter_map(|lost| lost.partition.as_ref()) {
            owned[stream].remove(&(lost.topic.clone(), lost.partition));
        }
        let gained = change.gained.into_iter();
        owned[stream].extend(gained.map(|gained| (gained.topic, gained.partition)));
    }
    delete(&pair.servers[0], "shop.b").await;
    let mut deleted = 0;
    while deleted < 4 {
        let (_, change) = pair.assignment().await;
        for lost in change.lost {
            let partition = lost.partition.as_ref().expect("a partition");
            if partition.topic == "shop.b" {
                assert_eq!(lost.reason(), LostReason::TopicDeleted);
                deleted += 1;
            }
        }
    }
    pair.deliver(&["shop.a"], Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_left_alone_gets_what_comes_and_readers_see_topics_of_other_replicas() {
    let mut pair = Pair::start("").await;
    let following = ReadRequest {
        follow: true,
        ..reading(&["shop.*"])
    };
    let mut reader = pair.servers[0].read(following).await.expect("read");
    pair.deliver(&["shop.a"], Instant::now()).await;
    reader.events(EVENTS).await;
    create(&pair.servers[1], "shop.b", 2).await;
    publish(&pair.servers[1], "shop.b", &["1"]).await;
    assert_eq!(read_ids(&reader.events(1).await), ["1"]);
    pair.servers[1].kill().await;
    create(&pair.servers[0], "shop.c", 2).await;
    publish(&pair.servers[0], "shop.c", &["2"]).await;
    let left = &mut pair.streams[0];
    let both = async {
        let mut seen = BTreeSet::new();
        while !seen.contains("2") {
            seen.extend(ids(&taken(left).await));
        }
    };
    within("the topic that came after the other replica went", both).await;
    assert_eq!(read_ids(&reader.events(1).await), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_kip_848_take_up_topics_too() {
    let mut pair = Pair::start("[log.kafka.properties]\n'group.protocol' = 'consumer'\n").await;
    for round in 0..2 {
        let (topic, created) = (format!("shop.{round}"), Instant::now());
        create(&pair.servers[round], &topic, 2).await;
        let took = pair.deliver(&["shop.a", &topic], created).await;
        eprintln!("KIP-848: from creation to delivery of everything within {took:?}");
        assert!(took < JOINS_WITHIN, "{took:?}");
        pair.deliver(&["shop.a", &topic], Instant::now()).await;
    }
}

/// Kafka's own default: a group that is new waits 3 s for more members.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_topic_that_matches_comes_in_time_where_new_groups_wait_for_members() {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=3000"]).await;
    let server = Server::start_on(&broker, "").await;
    let mut stream = server.subscribe(matching("group", &["shop.*"])).await;
    for n in 0..3 {
        let (topic, created) = (format!("shop.{n}"), Instant::now());
        create(&server, &topic, 1).await;
        publish(&server, &topic, &[&topic]).await;
        let got = stream.deliveries(1).await;
        assert_eq!(sorted(ids(&got)), [topic]);
        eprintln!("new group: from creation to delivery within {:?}", created.elapsed());
        assert!(created.elapsed() < JOINS_WITHIN, "{:?}", created.elapsed());
    }
}
