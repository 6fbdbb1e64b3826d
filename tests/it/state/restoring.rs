//! What a restore sends: of each key what counts, nothing of deleted ones, and an end whatever the topic is like.

use tidings::proto::tidings::v1::{
    Change, Cleanup, Filter, RestoreRequest, Start, filter::Dialect, restore_response::Frame, start::At,
};
use tonic::Code;

use super::{
    Store, create_topic, event, ids, orders, publish_keyless, publish_large, publish_to, restore, snapshot,
    start_restore, try_restore, with,
};
use crate::harness::{
    SOON, Server,
    clients::{ORDERS, order},
    eventually,
    status::{fields, refused},
};

fn since(at: At) -> RestoreRequest {
    RestoreRequest {
        since: Some(Start { at: Some(at) }),
        ..orders()
    }
}

#[tokio::test]
async fn the_newest_resource_event_is_the_state_and_deleted_keys_have_none() {
    let server = Server::start().await;
    create_topic(&server, 3, Cleanup::Delete).await;
    let history = [
        event(1, "created", "a"),
        event(2, "completed", "a"),
        event(3, "created", "b"),
        event(4, "deleted", "b"),
        event(5, "completed", "c"),
        event(6, "posted", "d"),
        event(7, "modified", "d"),
        event(8, "deleted", "e"),
        event(9, "created", "e"),
    ];
    server.publish(history.into()).await;
    publish_keyless(&server, 10).await;
    let restored = restore(&server).await;
    assert_eq!(restored.ids(), ids("a=1 c=5 d=7 e=9"));
    let last = restored.last();
    assert_eq!((last.percent, last.sent_states, last.keyless_events), (100.0, 4, 1));
    assert_eq!((last.read_events, last.total_events), (10, 10));
    assert_eq!((restored.source(), restored.gaps.len()), ("", 0));
    let positions = &restored.caught_up.positions;
    assert_eq!(positions.iter().map(|at| at.offset).sum::<i64>(), 10);
    assert_eq!(positions.len(), 3);
}

#[tokio::test]
async fn a_snapshot_is_used_and_only_what_is_behind_it_is_read() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 2, Cleanup::Delete).await;
    server
        .publish((0..100).map(|n| event(n, "created", &format!("k{}", n % 10))).collect())
        .await;
    let taken = snapshot(&server).await;
    assert_eq!((taken.keys, taken.read_events), (10, 100));
    server
        .publish(vec![event(100, "deleted", "k1"), event(101, "created", "new")])
        .await;
    let restored = restore(&server).await;
    assert_eq!(
        restored.ids(),
        ids("k0=90 k2=92 k3=93 k4=94 k5=95 k6=96 k7=97 k8=98 k9=99 new=101")
    );
    assert_eq!(
        (restored.source(), restored.last().read_events),
        (taken.name.as_str(), 2)
    );
    let newer = snapshot(&server).await;
    assert_eq!((newer.keys, newer.read_events, newer.base), (10, 2, taken.name));
    let again = restore(&server).await;
    assert_eq!((again.ids(), again.last().read_events), (restored.ids(), 0));
}

#[tokio::test]
async fn a_restore_ends_on_topics_that_are_empty_and_where_nothing_matches() {
    let server = Server::start().await;
    create_topic(&server, 2, Cleanup::Delete).await;
    let restored = restore(&server).await;
    assert!(restored.states.is_empty());
    assert_eq!(
        (restored.last().percent, restored.caught_up.positions.len()),
        (100.0, 2)
    );
    let nothing = RestoreRequest {
        topics: vec!["nothing.**".to_owned()],
        ..Default::default()
    };
    let restored = try_restore(&server, nothing).await.expect("restore");
    assert_eq!(
        (restored.last().percent, restored.caught_up.positions.len()),
        (100.0, 0)
    );
}

#[tokio::test]
async fn a_filter_picks_states_by_their_newest_event_and_hides_the_last_ones() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server
        .publish(vec![
            event(1, "created", "a"),
            event(2, "created", "b"),
            event(3, "patched", "b"),
        ])
        .await;
    let filtered = RestoreRequest {
        filter: Some(Filter {
            dialect: Some(Dialect::Cesql("type LIKE '%created'".to_owned())),
        }),
        ..orders()
    };
    for _ in 0..2 {
        let restored = try_restore(&server, filtered.clone()).await.expect("restore");
        assert_eq!(restored.ids(), ids("a=1"));
        assert_eq!(
            (restored.caught_up.positions[0].offset, restored.last().percent),
            (3, 100.0)
        );
        snapshot(&server).await;
    }
}

#[tokio::test]
async fn on_a_compacted_topic_the_newest_event_is_the_state_and_one_without_data_deletes() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Compact).await;
    let mut without_data = event(4, "patched", "b");
    without_data.data = None;
    let history = vec![
        event(1, "created", "a"),
        event(2, "completed", "a"),
        event(3, "created", "b"),
        without_data,
        event(5, "created", "c"),
    ];
    server.publish(history).await;
    for _ in 0..2 {
        assert_eq!(restore(&server).await.ids(), ids("a=2 c=5"));
        snapshot(&server).await;
    }
}

#[tokio::test]
async fn since_tells_what_has_changed_and_what_was_deleted() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server
        .publish(vec![
            event(0, "created", "a"),
            event(1, "created", "b"),
            event(2, "created", "c"),
        ])
        .await;
    let taken = snapshot(&server).await;
    server
        .publish(vec![
            event(3, "patched", "b"),
            event(4, "deleted", "c"),
            event(5, "deleted", "never"),
        ])
        .await;
    let changed = try_restore(&server, since(At::Snapshot(taken.name)))
        .await
        .expect("restore");
    assert_eq!(
        (changed.ids(), changed.deleted()),
        (ids("b=3"), vec!["c".to_owned(), "never".to_owned()])
    );
    assert_eq!((changed.source(), changed.last().read_events), ("", 3));
    let all = try_restore(&server, since(At::Earliest(()))).await.expect("restore");
    assert_eq!((all.ids(), all.deleted().len()), (ids("a=0 b=3"), 2));
    let none = try_restore(&server, since(At::Latest(()))).await.expect("restore");
    assert_eq!((none.states.len(), none.last().read_events), (0, 0));
}

#[tokio::test]
async fn an_event_that_deletes_all_keys_does_so_in_all_partitions() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 3, Cleanup::Delete).await;
    let old = |n| event(n, "created", &format!("old{n}"));
    server.publish((0..20).map(old).collect()).await;
    snapshot(&server).await;
    next_millisecond().await;
    server.publish(vec![event(20, "deletedAll", "any")]).await;
    next_millisecond().await;
    server
        .publish((21..31).map(|n| event(n, "created", &format!("new{n}"))).collect())
        .await;
    let expected: Vec<String> = (21..31).map(|n| format!("new{n}={n}")).collect();
    let expected = ids(&expected.join(" "));
    // From a snapshot before it, from one behind it, and from the log.
    assert_eq!(restore(&server).await.ids(), expected);
    assert_eq!(snapshot(&server).await.keys, 10);
    assert_eq!(restore(&server).await.ids(), expected);
    let told = try_restore(&server, since(At::Earliest(()))).await.expect("restore");
    assert_eq!(told.states[0].change(), Change::AllDeleted);
    assert_eq!(told.states[0].key, None);
    assert_eq!(told.ids(), expected);
}

/// What is appended from now on is newer than what was.
pub(super) async fn next_millisecond() {
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_millis()
    };
    let before = now();
    eventually(SOON, "the next millisecond", async || (now() > before).then_some(())).await;
}

#[tokio::test]
async fn several_topics_are_restored_one_after_the_other() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b"] {
        publish_to(&server, topic, vec![order("1", "x"), order("2", "y")]).await;
    }
    publish_to(&server, "other", vec![order("3", "z")]).await;
    let request = RestoreRequest {
        topics: vec!["shop.*".to_owned()],
        ..Default::default()
    };
    let restored = try_restore(&server, request).await.expect("restore");
    let topics: Vec<&str> = restored
        .states
        .iter()
        .map(|state| state.position.as_ref().expect("set").topic.as_str())
        .collect();
    assert_eq!(topics, ["shop.a", "shop.a", "shop.b", "shop.b"]);
    let sources: Vec<&str> = restored
        .last()
        .sources
        .iter()
        .map(|source| source.topic.as_str())
        .collect();
    assert_eq!(sources, ["shop.a", "shop.b"]);
}

#[tokio::test]
async fn much_is_restored_with_little_memory() {
    let store = Store::new();
    let server = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    create_topic(&server, 3, Cleanup::Delete).await;
    publish_large(&server, 12_000, 1_000).await;
    let before = server.memory();
    let restored = restore(&server).await;
    assert_eq!(restored.states.len(), 12_000);
    let taken = snapshot(&server).await;
    assert_eq!(taken.keys, 12_000);
    assert!(taken.bytes > 10_000_000, "{taken:?}");
    let again = restore(&server).await;
    assert_eq!((again.ids(), again.last().read_events), (restored.ids(), 0));
    assert!(
        server.memory() < before + (100 << 20),
        "{} after {before}",
        server.memory()
    );
}

/// Here it has no place there at first.
#[tokio::test]
async fn what_has_no_room_in_memory_goes_to_files() {
    let store = Store::new();
    let place = tempfile::NamedTempFile::new().expect("a file");
    let spill = format!("spill_directory = \"{}\"\n", place.path().display());
    let memory = "memory = \"4MiB\"\n";
    let server = Server::start_with(&store.config(&format!("{memory}{spill}"))).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(12_000, "created", "first")]).await;
    assert_eq!(restore(&server).await.states.len(), 1, "with so little no file is made");
    publish_large(&server, 12_000, 1_000).await;
    let mut restoring = start_restore(&server, orders()).await.expect("begun");
    let status = restoring.caught_up().await.expect_err("no place for files");
    assert!(status.message().contains("temporary file"), "{status:?}");
    server.configure(&store.config(memory));
    let server = server.restart().await;
    assert_eq!(restore(&server).await.states.len(), 12_001);
}

#[tokio::test]
async fn restores_beyond_the_limit_are_refused_until_one_has_caught_up() {
    let store = Store::new();
    let server = Server::start_with(&store.config("restores = 1")).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    publish_large(&server, 400, 50_000).await;
    // Its client takes nothing but the first frame.
    let mut slow = start_restore(&server, orders()).await.expect("restore");
    assert!(matches!(slow.next().await, Ok(Some(Frame::RestoreProgress(_)))));
    let status = refused(
        start_restore(&server, orders()).await.map(|_| ()),
        Code::ResourceExhausted,
        "LIMIT",
    );
    assert!(status.message().contains("snapshots.restores"), "{}", status.message());
    assert_eq!(slow.caught_up().await.expect("restore").states.len(), 400);
    assert_eq!(restore(&server).await.states.len(), 400);
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_with_its_field() {
    let server = Server::start().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    let committed = At::Committed(tidings::proto::tidings::v1::Committed {});
    for (request, code, reason, field) in [
        (
            RestoreRequest::default(),
            Code::InvalidArgument,
            "REQUEST_INVALID",
            "topics",
        ),
        (since(committed), Code::InvalidArgument, "REQUEST_INVALID", "since"),
        (
            since(At::Snapshot("../x".to_owned())),
            Code::InvalidArgument,
            "REQUEST_INVALID",
            "since.snapshot",
        ),
        (
            RestoreRequest {
                topics: vec!["a/b".to_owned()],
                ..Default::default()
            },
            Code::InvalidArgument,
            "TOPIC_INVALID",
            "topics[0]",
        ),
        (
            RestoreRequest { on_gap: 9, ..orders() },
            Code::InvalidArgument,
            "REQUEST_INVALID",
            "on_gap",
        ),
        (
            RestoreRequest {
                filter: Some(Filter {
                    dialect: Some(Dialect::Cesql("type =".to_owned())),
                }),
                ..orders()
            },
            Code::InvalidArgument,
            "FILTER_INVALID",
            "filter.cesql",
        ),
    ] {
        let status = refused(try_restore(&server, request).await, code, reason);
        assert_eq!(fields(&status), [field]);
    }
    let unknown = RestoreRequest {
        topics: vec!["unknown".to_owned()],
        ..Default::default()
    };
    refused(try_restore(&server, unknown).await, Code::NotFound, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_record_that_is_no_well_formed_event_is_told_with_its_fault() {
    let server = Server::start().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![with(event(1, "created", "a"), "extra", "x")]).await;
    let server = server
        .with_log(async |log| {
            let mut headers = tidings::log::HeadersBuilder::default();
            headers.add("ce_id", b"broken");
            let record = tidings::log::NewRecord {
                topic: tidings::name::Topic::new(ORDERS).expect("valid"),
                partition: Some(0),
                key: Some("a".into()),
                value: Some("raw".into()),
                headers: headers.build(),
            };
            let outcomes = log.append(vec![record]).await.expect("append").await;
            assert!(outcomes[0].is_ok());
        })
        .await;
    let restored = restore(&server).await;
    let [state] = &restored.states[..] else {
        panic!("not one state: {:?}", restored.states);
    };
    assert_eq!(state.fault.as_ref().expect("a fault").field, "ce_specversion");
    assert_eq!(state.position.as_ref().expect("set").offset, 1);
}
