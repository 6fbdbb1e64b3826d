//! Topics: create, look at, change, list, delete, and what is refused.

use tidings::proto::tidings::v1::{
    Cleanup, CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListTopicsRequest, Topic, TopicSettings,
    UpdateTopicRequest,
};
use tonic::{Code, Status};

use crate::{
    LOG,
    harness::{
        Backend, Server,
        clients::{ORDERS, order},
        status::{fields, refused},
    },
};

fn partitions(count: i32) -> TopicSettings {
    TopicSettings {
        partitions: Some(count),
        ..Default::default()
    }
}

async fn create(server: &Server, name: &str, settings: Option<TopicSettings>) -> Result<Topic, Status> {
    let name = name.to_owned();
    let created = server
        .topics()
        .create_topic(CreateTopicRequest { name, settings })
        .await?;
    Ok(created.into_inner().topic.expect("a topic"))
}

async fn get(server: &Server, name: &str) -> Result<Topic, Status> {
    let name = name.to_owned();
    let found = server.topics().get_topic(GetTopicRequest { name }).await?;
    Ok(found.into_inner().topic.expect("a topic"))
}

async fn update(server: &Server, name: &str, settings: TopicSettings) -> Result<Topic, Status> {
    let request = UpdateTopicRequest {
        name: name.to_owned(),
        settings: Some(settings),
    };
    let updated = server.topics().update_topic(request).await?;
    Ok(updated.into_inner().topic.expect("a topic"))
}

async fn delete(server: &Server, name: &str) -> Result<(), Status> {
    let name = name.to_owned();
    server
        .topics()
        .delete_topic(DeleteTopicRequest { name })
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_topic_has_the_settings_it_was_created_with_after_a_restart_too() {
    let server = Server::start().await;
    let settings = TopicSettings {
        partitions: Some(3),
        retention: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        retention_bytes: Some(1 << 30),
        cleanup: Cleanup::Delete.into(),
    };
    create(&server, "events", Some(settings)).await.expect("create");
    create(&server, "plain", None).await.expect("create");
    let server = server.restart().await;
    assert_eq!(get(&server, "events").await.expect("there").settings, Some(settings));
    let plain = get(&server, "plain").await.expect("there");
    assert_eq!(plain.settings.expect("settings").partitions, Some(4));
    assert_eq!(plain.partitions.len(), 4);
    // Kafka keeps no time of a topic's creation.
    assert_eq!(plain.create_time.is_some(), LOG == Backend::Embedded);
}

#[tokio::test]
async fn settings_that_are_set_are_changed_and_partitions_only_grow() {
    let server = Server::start().await;
    create(&server, "events", Some(partitions(2))).await.expect("create");
    let retention = TopicSettings {
        retention_bytes: Some(5_000_000),
        ..Default::default()
    };
    let changed = update(&server, "events", retention)
        .await
        .expect("update")
        .settings
        .expect("settings");
    assert_eq!(
        (changed.partitions, changed.retention_bytes),
        (Some(2), Some(5_000_000))
    );
    update(&server, "events", partitions(5)).await.expect("update");
    let refusal = refused(
        update(&server, "events", partitions(4)).await,
        Code::InvalidArgument,
        "TOPIC_INVALID",
    );
    assert_eq!(fields(&refusal), ["settings.partitions"]);
    assert_eq!(get(&server, "events").await.expect("there").partitions.len(), 5);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let server = Server::start().await;
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "ü",
        &"t".repeat(250),
        "tidings.mine",
        "__mine",
    ] {
        refused(
            create(&server, name, None).await,
            Code::InvalidArgument,
            "TOPIC_INVALID",
        );
    }
    for count in [0, -1, 1_001] {
        let result = create(&server, "events", Some(partitions(count))).await;
        refused(result, Code::InvalidArgument, "TOPIC_INVALID");
    }
    let negative = |settings| create(&server, "events", Some(settings));
    let bytes = TopicSettings {
        retention_bytes: Some(-1),
        ..Default::default()
    };
    refused(negative(bytes).await, Code::InvalidArgument, "REQUEST_INVALID");
    let retention = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let time = TopicSettings {
        retention,
        ..Default::default()
    };
    refused(negative(time).await, Code::InvalidArgument, "REQUEST_INVALID");
    let cleanup = TopicSettings {
        cleanup: 9,
        ..Default::default()
    };
    refused(negative(cleanup).await, Code::InvalidArgument, "REQUEST_INVALID");
    create(&server, &server.longest_topic(), Some(partitions(1)))
        .await
        .expect("the longest name");
}

#[tokio::test]
async fn a_topic_exists_once_and_what_does_not_exist_is_not_found() {
    let server = Server::start().await;
    create(&server, "events", None).await.expect("create");
    refused(
        create(&server, "events", None).await,
        Code::AlreadyExists,
        "TOPIC_EXISTS",
    );
    for result in [
        get(&server, "nothing").await.map(|_| ()),
        update(&server, "nothing", partitions(5)).await.map(|_| ()),
        delete(&server, "nothing").await,
    ] {
        refused(result, Code::NotFound, "TOPIC_NOT_FOUND");
    }
    refused(
        delete(&server, "tidings.groups").await,
        Code::InvalidArgument,
        "TOPIC_INVALID",
    );
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_events_and_comes_back_empty() {
    let server = Server::start().await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), "a")).collect())
        .await;
    delete(&server, ORDERS).await.expect("delete");
    refused(get(&server, ORDERS).await, Code::NotFound, "TOPIC_NOT_FOUND");
    server.publish(vec![order("new", "a")]).await;
    let server = server.restart().await;
    let there = server.read_all(ORDERS).await;
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].position.as_ref().expect("set").offset, 0);
}

#[tokio::test]
async fn topics_are_listed_by_name_page_by_page() {
    let server = Server::start().await;
    let names: Vec<_> = (0..25).map(|n| format!("topic-{n:02}")).collect();
    for name in names.iter().rev() {
        create(&server, name, Some(partitions(1))).await.expect("create");
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListTopicsRequest {
            page_size: 10,
            page_token,
            internal: false,
        };
        let page = server.topics().list_topics(request).await.expect("a page").into_inner();
        assert!(page.topics.len() <= 10);
        listed.extend(page.topics.into_iter().map(|topic| topic.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, names);
    for (page_size, page_token) in [(-1, ""), (10, "!!")] {
        let request = ListTopicsRequest {
            page_size,
            page_token: page_token.to_owned(),
            internal: false,
        };
        refused(
            server.topics().list_topics(request).await,
            Code::InvalidArgument,
            "PAGE_INVALID",
        );
    }
}
