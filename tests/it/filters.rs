//! Filters on Read: what passes is sent, what is hidden is passed over without a word, and progress tells of both.

use tidings::proto::{
    io::cloudevents::v1::CloudEvent,
    tidings::v1::{
        AttributeMatch, CreateTopicRequest, Filter, FilterList, Position, Positions, ReadEvent, ReadRequest, Start,
        TopicSettings, filter::Dialect, read_response::Frame, start::At,
    },
};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, order, text},
    status::{fields, refused},
};

/// Events with the ids 0 to `count`, the subjects `a` and `b` in turn, and an extension that some have.
async fn with_events(count: usize) -> Server {
    let server = Server::start().await;
    let settings = TopicSettings {
        partitions: Some(1),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    if count > 0 {
        server.publish((0..count).map(event).collect()).await;
    }
    server
}

fn event(number: usize) -> CloudEvent {
    let mut event = order(&number.to_string(), if number.is_multiple_of(2) { "a" } else { "b" });
    if number.is_multiple_of(3) {
        event.attributes.insert("third".to_owned(), text(&number.to_string()));
    }
    event
}

fn of(dialect: Dialect) -> Filter {
    Filter { dialect: Some(dialect) }
}

fn cesql(text: &str) -> Filter {
    of(Dialect::Cesql(text.to_owned()))
}

fn matching(name: &str, text: &str) -> AttributeMatch {
    AttributeMatch {
        attributes: [(name.to_owned(), text.to_owned())].into(),
    }
}

fn list(filters: Vec<Filter>) -> FilterList {
    FilterList { filters }
}

fn reading(filter: Filter) -> ReadRequest {
    ReadRequest {
        topics: vec![ORDERS.to_owned()],
        filter: Some(filter),
        ..Default::default()
    }
}

fn following(filter: Filter, at: At) -> ReadRequest {
    ReadRequest {
        start: Some(Start { at: Some(at) }),
        follow: true,
        ..reading(filter)
    }
}

fn ids(events: &[ReadEvent]) -> Vec<&str> {
    let read = events.iter().map(|read| read.event.as_ref().expect("an event"));
    read.map(|event| event.id.as_str()).collect()
}

async fn read(server: &Server, request: ReadRequest) -> Vec<ReadEvent> {
    let reading = server.read(request).await.expect("read");
    reading.rest().await.expect("to its end")
}

#[tokio::test]
async fn each_dialect_passes_what_it_says() {
    let server = with_events(10).await;
    let subject = |text| of(Dialect::Exact(matching("subject", text)));
    for (filter, expected) in [
        (subject("a"), vec!["0", "2", "4", "6", "8"]),
        (of(Dialect::Prefix(matching("id", "1"))), vec!["1"]),
        (of(Dialect::Suffix(matching("type", ".deleted"))), vec![]),
        (of(Dialect::Suffix(matching("third", "6"))), vec!["6"]),
        (
            of(Dialect::All(list(vec![subject("b"), cesql("EXISTS third")]))),
            vec!["3", "9"],
        ),
        (
            of(Dialect::Any(list(vec![cesql("id = 7"), cesql("third = 0")]))),
            vec!["0", "7"],
        ),
        (
            of(Dialect::Negate(Box::new(cesql("third >= 0")))),
            vec!["1", "2", "4", "5", "7", "8"],
        ),
        (cesql("id IN (2, 3, 5) AND subject LIKE '_'"), vec!["2", "3", "5"]),
        (cesql("true"), vec!["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
        (cesql("id"), vec![]),
        (
            (1..32).fold(cesql("id = 1"), |inner, _| of(Dialect::All(list(vec![inner])))),
            vec!["1"],
        ),
    ] {
        let there = read(&server, reading(filter.clone())).await;
        assert_eq!(ids(&there), expected, "{filter:?}");
        let offset = |read: &ReadEvent| read.position.clone().expect("set").offset.to_string();
        let offsets: Vec<_> = there.iter().map(offset).collect();
        assert_eq!(offsets, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn max_events_counts_what_passes() {
    let server = with_events(1_000).await;
    for most in [1, 2, 3, 499, 500] {
        let request = ReadRequest {
            max_events: most,
            ..reading(cesql("subject = 'b'"))
        };
        let there = read(&server, request).await;
        assert_eq!(there.len(), usize::try_from(most).expect("few"));
        let last = there.last().expect("at least one").position.clone().expect("set");
        assert_eq!(last.offset, most * 2 - 1);
    }
}

#[tokio::test]
async fn a_follower_catches_up_over_what_is_hidden_and_gets_what_passes_later() {
    let server = with_events(500).await;
    let filter = cesql("id = 'wanted'");
    let mut follower = server.read(following(filter, At::Earliest(()))).await.expect("read");
    let first = follower.next().await.expect("no error").expect("no end");
    let Frame::CaughtUp(caught_up) = first else {
        panic!("{first:?}");
    };
    assert_eq!(caught_up.positions[0].offset, 500);
    server.publish(vec![event(500), order("wanted", "a"), event(502)]).await;
    assert_eq!(ids(&follower.events(1).await), ["wanted"]);
}

#[tokio::test]
async fn heartbeats_are_resume_points_where_a_filter_hides_everything() {
    let server = with_events(20).await;
    let hidden = following(cesql("false"), At::Earliest(()));
    let mut follower = server.read(hidden).await.expect("read");
    let beat = loop {
        match follower.next().await.expect("no error").expect("no end") {
            Frame::Heartbeat(beat) => break beat,
            Frame::CaughtUp(_) => server.publish(vec![event(20)]).await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((beat.partitions[0].next, beat.partitions[0].lag_events), (21, 0));
    server.publish(vec![event(21)]).await;
    let here = Positions {
        positions: vec![Position {
            topic: ORDERS.to_owned(),
            partition: 0,
            offset: beat.partitions[0].next,
        }],
    };
    let mut resumed = server
        .read(following(cesql("true"), At::Positions(here)))
        .await
        .expect("read");
    assert_eq!(ids(&resumed.events(1).await), ["21"]);
}

#[tokio::test]
async fn filters_that_break_a_rule_are_refused_with_every_fault() {
    let server = with_events(0).await;
    let empty = AttributeMatch::default();
    let deep = (0..32).fold(cesql("true"), |inner, _| of(Dialect::Negate(Box::new(inner))));
    let broken = vec![
        Filter::default(),
        of(Dialect::Prefix(matching("", "x"))),
        of(Dialect::Any(list(vec![]))),
        of(Dialect::Negate(Box::new(cesql("id = ")))),
        cesql("NOSUCH(1)"),
    ];
    for (filter, expected) in [
        (Filter::default(), vec!["filter".to_owned()]),
        (of(Dialect::Exact(empty)), vec!["filter.exact.attributes".to_owned()]),
        (cesql(""), vec!["filter.cesql".to_owned()]),
        (
            cesql(&format!("'{}'", "x".repeat(8 * 1024))),
            vec!["filter.cesql".to_owned()],
        ),
        (deep, vec![format!("filter{}", ".negate".repeat(32))]),
        (
            of(Dialect::All(list(broken))),
            vec![
                "filter.all.filters[0]".to_owned(),
                "filter.all.filters[1].prefix.attributes.".to_owned(),
                "filter.all.filters[2].any.filters".to_owned(),
                "filter.all.filters[3].negate.cesql".to_owned(),
                "filter.all.filters[4].cesql".to_owned(),
            ],
        ),
    ] {
        let read = match server.read(reading(filter)).await {
            Ok(reading) => reading.rest().await,
            Err(status) => Err(status),
        };
        let refusal = refused(read, Code::InvalidArgument, "FILTER_INVALID");
        let cut = |field: &String| field.chars().take(100).collect::<String>();
        let told: Vec<_> = fields(&refusal).iter().map(cut).collect();
        assert_eq!(told, expected.iter().map(cut).collect::<Vec<_>>());
    }
}
