//! Groups with patterns.

use super::*;

/// Deliveries until all these events are there, each once.
async fn exactly(stream: &mut Subscription, expected: &[&str]) -> Vec<Delivery> {
    let got = stream.deliveries(expected.len()).await;
    assert_eq!(sorted(ids(&got)), expected);
    got
}

async fn lost(stream: &mut Subscription) -> Vec<(String, LostReason)> {
    let lost = |frame| match frame {
        Frame::Assignment(change) if !change.lost.is_empty() => Some(change.lost),
        _ => None,
    };
    let partitions = stream.until("a loss", lost).await;
    let row = |lost: &tidings::proto::tidings::v1::LostPartition| {
        let partition = lost.partition.as_ref().expect("a partition");
        (partition.topic.clone(), lost.reason())
    };
    partitions.iter().map(row).collect()
}

#[tokio::test]
async fn a_topic_that_comes_later_is_delivered_from_its_start_in_time_and_disturbs_nobody() {
    let server = Server::start().await;
    create(&server, "shop.a", 2).await;
    publish(&server, "shop.a", &["1", "2", "3"]).await;
    let mut stream = server.subscribe(matching("group", &["shop.*"])).await;
    assert_eq!(stream.opened.topics, ["shop.*"]);
    let held = exactly(&mut stream, &["1", "2", "3"]).await;
    let mut longest = Duration::ZERO;
    for n in 0..5 {
        let (topic, id) = (format!("shop.new-{n}"), format!("first of {n}"));
        let created = Instant::now();
        create(&server, &topic, 2).await;
        publish(&server, &topic, &[&id]).await;
        let got = exactly(&mut stream, &[&id]).await;
        longest = longest.max(created.elapsed());
        assert_eq!((topic_of(&got[0]), got[0].attempt), (topic.as_str(), 1));
        stream.ack(&got);
    }
    eprintln!("{LOG:?}: from creation to delivery within {longest:?}");
    assert!(longest < JOINS_WITHIN, "{longest:?}");
    // What was in flight all the while is the stream's own still, and does not come again.
    stream.ack(&held);
    stream.close().await;
    publish(&server, "shop.a", &["4"]).await;
    let mut again = server.subscribe(matching("group", &["shop.*"])).await;
    exactly(&mut again, &["4"]).await;
}

#[tokio::test]
async fn a_pattern_without_a_match_waits_and_then_delivers() {
    let server = Server::start().await;
    let mut stream = server.subscribe(matching("group", &["shop.**", "re:bank[.].*"])).await;
    assert_eq!(stream.opened.topics, ["re:bank[.].*", "shop.**"]);
    assert!(stream.opened.partitions.is_empty());
    create(&server, "other", 1).await;
    publish(&server, "other", &["not for us"]).await;
    let created = Instant::now();
    create(&server, "shop.eu.orders", 1).await;
    publish(&server, "shop.eu.orders", &["1"]).await;
    exactly(&mut stream, &["1"]).await;
    assert!(created.elapsed() < JOINS_WITHIN, "{:?}", created.elapsed());
    publish(&server, "shop.eu.orders", &["2"]).await;
    exactly(&mut stream, &["2"]).await;
    create(&server, "bank.x", 1).await;
    publish(&server, "bank.x", &["3"]).await;
    exactly(&mut stream, &["3"]).await;
}

#[tokio::test]
async fn a_deleted_topic_leaves_with_a_frame_and_comes_back_from_its_start() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b"] {
        create(&server, topic, 1).await;
        publish(&server, topic, &[topic]).await;
    }
    let mut stream = server.subscribe(matching("group", &["shop.*"])).await;
    let got = exactly(&mut stream, &["shop.a", "shop.b"]).await;
    stream.ack(&got);
    delete(&server, "shop.a").await;
    assert_eq!(
        lost(&mut stream).await,
        [("shop.a".to_owned(), LostReason::TopicDeleted)]
    );
    publish(&server, "shop.b", &["goes on"]).await;
    let got = exactly(&mut stream, &["goes on"]).await;
    stream.ack(&got);
    create(&server, "shop.a", 1).await;
    publish(&server, "shop.a", &["anew"]).await;
    exactly(&mut stream, &["anew"]).await;
    create(&server, "shop.c", 1).await;
    publish(&server, "shop.c", &["another"]).await;
    exactly(&mut stream, &["another"]).await;
}

#[tokio::test]
async fn internal_topics_never_match() {
    let server = Server::start().await;
    let all = matching("group", &["**", "re:.*", "re:tidings[.].*", "re:__.*", "tidings.*"]);
    let mut stream = server.subscribe(all).await;
    create(&server, "a", 1).await;
    publish(&server, "a", &["1"]).await;
    let got = exactly(&mut stream, &["1"]).await;
    stream.ack(&got);
    // The group's own record lies in one.
    let listed = server.run(["groups", "show", "group", "--output", "json"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("\"a\"") && !listed.contains("tidings.groups"),
        "{listed}"
    );
    publish(&server, "a", &["2"]).await;
    exactly(&mut stream, &["2"]).await;
}

#[tokio::test]
async fn groups_with_patterns_of_their_own_and_beside_a_named_topic_see_what_they_match() {
    let server = Server::start().await;
    create(&server, "x.a", 1).await;
    let mut of_x = server.subscribe(matching("of-x", &["x.*"])).await;
    let mut of_all = server.subscribe(matching("of-all", &["*.b", "x.a"])).await;
    for (topic, id) in [("x.a", "1"), ("x.b", "2"), ("y.b", "3"), ("y.a", "4")] {
        if topic != "x.a" {
            create(&server, topic, 1).await;
        }
        publish(&server, topic, &[id]).await;
    }
    exactly(&mut of_x, &["1", "2"]).await;
    exactly(&mut of_all, &["1", "2", "3"]).await;
}

#[tokio::test]
async fn a_restarted_server_knows_the_patterns_and_goes_on_where_the_group_stood() {
    let server = Server::start().await;
    create(&server, "shop.a", 1).await;
    publish(&server, "shop.a", &["1", "2"]).await;
    let mut stream = server.subscribe(matching("group", &["shop.*"])).await;
    let got = exactly(&mut stream, &["1", "2"]).await;
    stream.ack(&got);
    stream.close().await;
    create(&server, "shop.b", 1).await;
    publish(&server, "shop.b", &["3"]).await;
    let server = server.restart().await;
    let mut stream = server
        .subscribe(Open {
            topics: vec![],
            ..open("group")
        })
        .await;
    assert_eq!(stream.opened.topics, ["shop.*"]);
    exactly(&mut stream, &["3"]).await;
    create(&server, "shop.c", 1).await;
    publish(&server, "shop.c", &["4"]).await;
    exactly(&mut stream, &["4"]).await;
    let conflict = server.open_refused(matching("group", &["shop.**"])).await;
    let refusal = refused(conflict, Code::FailedPrecondition, "GROUP_CONFLICT");
    assert!(refusal.message().contains("[shop.*]"), "{}", refusal.message());
}

#[tokio::test]
async fn the_start_of_a_group_holds_for_what_matches_then_and_later_topics_start_at_their_earliest() {
    let server = Server::start().await;
    create(&server, "shop.a", 1).await;
    publish(&server, "shop.a", &["old"]).await;
    let latest = Open {
        start: Some(Start {
            at: Some(At::Latest(())),
        }),
        ..matching("group", &["shop.*"])
    };
    let mut stream = server.subscribe(latest).await;
    assert_eq!(stream.opened.partitions[0].committed, Some(1));
    create(&server, "shop.b", 1).await;
    publish(&server, "shop.b", &["new 1"]).await;
    publish(&server, "shop.a", &["new 2"]).await;
    exactly(&mut stream, &["new 1", "new 2"]).await;
}

#[tokio::test]
async fn a_group_can_be_changed_from_names_to_a_pattern_and_back() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b"] {
        create(&server, topic, 1).await;
        publish(&server, topic, &[topic]).await;
    }
    let mut stream = server.subscribe(matching("group", &["shop.a"])).await;
    let got = exactly(&mut stream, &["shop.a"]).await;
    stream.ack(&got);
    for (topics, expected) in [(["shop.*"], ["shop.b"]), (["shop.b"], ["1"])] {
        let replacing = Open {
            on_conflict: OnConflict::Replace.into(),
            credit: None,
            ..matching("group", &topics)
        };
        server.subscribe(replacing).await;
        let changed = |frame| match frame {
            Frame::GroupChanged(changed) => Some(changed.topics),
            _ => None,
        };
        assert_eq!(stream.until("the change", changed).await, topics);
        if topics == ["shop.b"] {
            publish(&server, "shop.a", &["0"]).await;
            publish(&server, "shop.b", &["1"]).await;
        }
        let got = exactly(&mut stream, &expected).await;
        stream.ack(&got);
    }
}

#[tokio::test]
async fn a_pattern_that_matches_hundreds_of_topics_delivers_all_of_them() {
    let server = Server::start().await;
    let topics: usize = match LOG {
        Backend::Embedded => 300,
        Backend::Kafka => 50,
    };
    let mut stream = server.subscribe(matching("group", &["shop.*"])).await;
    let mut expected = Vec::new();
    for n in 0..topics {
        let topic = format!("shop.{n:04}");
        create(&server, &topic, 1).await;
        publish(&server, &topic, &[&topic]).await;
        expected.push(topic);
    }
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let got = exactly(&mut stream, &expected).await;
    assert!(got.iter().all(|delivery| delivery.attempt == 1));
}
