//! Reads with patterns.

use super::*;

fn following(topics: &[&str]) -> ReadRequest {
    ReadRequest {
        follow: true,
        ..reading(topics)
    }
}

#[tokio::test]
async fn a_read_by_pattern_gives_what_matches_and_ends() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b", "shop.b.c", "bank.a"] {
        create(&server, topic, 2).await;
        publish(&server, topic, &[topic]).await;
    }
    // The bus writes an internal topic for it.
    let _stream = server.subscribe(matching("group", &["shop.a"])).await;
    for (topics, expected) in [
        (&["shop.*"][..], &["shop.a", "shop.b"][..]),
        (&["shop.**", "bank.a"], &["bank.a", "shop.a", "shop.b", "shop.b.c"]),
        (&["re:.*[.]a"], &["bank.a", "shop.a"]),
        (&["**"], &["bank.a", "shop.a", "shop.b", "shop.b.c"]),
        (&["re:.*"], &["bank.a", "shop.a", "shop.b", "shop.b.c"]),
        (&["re:tidings.*|__.*"], &[]),
        (&["nothing.*"], &[]),
    ] {
        let got = server.read(reading(topics)).await.expect("read").rest().await;
        assert_eq!(read_ids(&got.expect("to its end")), expected, "{topics:?}");
    }
    let unknown = server.read(reading(&["shop.*", "nothing"])).await;
    let refusal = match unknown {
        Ok(reading) => reading.rest().await.map(|_| ()),
        Err(status) => Err(status),
    };
    refused(refusal, Code::NotFound, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_follower_gets_topics_that_come_later_from_their_start_and_goes_on_when_one_is_deleted() {
    let server = Server::start().await;
    let mut follower = server.read(following(&["shop.*"])).await.expect("read");
    match follower.next().await.expect("no error") {
        Some(ReadFrame::CaughtUp(caught_up)) => assert!(caught_up.positions.is_empty()),
        other => panic!("{other:?}"),
    }
    for topic in ["shop.a", "other", "shop.b"] {
        let created = Instant::now();
        create(&server, topic, 2).await;
        publish(&server, topic, &[topic]).await;
        if topic != "other" {
            assert_eq!(read_ids(&follower.events(1).await), [topic]);
            assert!(created.elapsed() < JOINS_WITHIN, "{:?}", created.elapsed());
        }
    }
    delete(&server, "shop.a").await;
    publish(&server, "shop.b", &["goes on"]).await;
    assert_eq!(read_ids(&follower.events(1).await), ["goes on"]);
    create(&server, "shop.a", 1).await;
    publish(&server, "shop.a", &["anew"]).await;
    assert_eq!(read_ids(&follower.events(1).await), ["anew"]);
}

#[tokio::test]
async fn a_follower_of_names_and_patterns_ends_with_a_topic_that_it_names() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b"] {
        create(&server, topic, 1).await;
    }
    let follower = server.read(following(&["shop.*", "shop.b"])).await.expect("read");
    delete(&server, "shop.a").await;
    delete(&server, "shop.b").await;
    refused(follower.rest().await, Code::NotFound, "TOPIC_NOT_FOUND");
}
