//! Events of a system that knows nothing of this bus: types without dots, times to the nanosecond, extensions as text.

use std::{collections::HashMap, fs};

use serde_json::{Value, json};
use tidings::proto::tidings::v1::Open;
use tokio::sync::mpsc;

use crate::harness::{
    Server,
    clients::{open, request},
    within,
};

const ROUTES: &str = r#"
    [[routes]]
    type = "*"
    topic = "portal-event"
    key = "host"
"#;

const HOSTS: [&str; 3] = [
    "01964b05-552a-7c4b-9184-6857e7f3dc5f",
    "01964b05-5532-7c79-8cde-191dcbd421b8",
    "01964b05-5540-7aaa-8000-000000000001",
];

/// Events as the portal writes them, a few of each host, numbered by `nonce`.
fn events() -> Vec<Value> {
    let data = [
        json!({"name": "Pet Store", "spec": "---\nopenapi: \"3.1.0\"\n", "servers": [{"url": "http://petstore.example/v1"}]}),
        json!({"propertyValue": "openjdk-21.0.14", "active": true, "note": null}),
        json!({"counts": [0, -1, 2.5, 9007199254740993u64], "nested": {"a": {"b": [[], {}]}}}),
        json!("a text of its own"),
        json!(["ü", "日本", "\u{1f600}", "tab\there"]),
        json!({}),
    ];
    let types = [
        "ServiceSpecUpdatedEvent",
        "ConfigPropertyCreatedEvent",
        "HostDeletedEvent",
    ];
    let times = [
        "2025-08-20T21:16:11.538207875Z",
        "2025-08-20T23:16:11.538207870+02:00",
        "2025-08-20T16:46:11.5-04:30",
        "2025-08-20T21:16:11Z",
    ];
    let event = |n: usize| {
        json!({
            "specversion": "1.0",
            "id": format!("0198c956-e392-72bc-a783-{n:012x}"),
            "source": "https://portal.example/light-portal",
            "type": types[n % types.len()],
            "subject": format!("{}|com.example.pets|1.0.{n}", HOSTS[n % 3]),
            "time": times[n % times.len()],
            "datacontenttype": "application/json",
            "host": HOSTS[n % 3],
            "user": "01964b05-5532-7c79-8cde-191dcbd421b8",
            "nonce": n.to_string(),
            "aggregatetype": "ServiceSpec",
            "aggregateversion": "2",
            "data": data[n % data.len()],
        })
    };
    (0..24).map(event).collect()
}

/// A server to which the command line has published all events from a file.
async fn with_events() -> Server {
    let server = Server::start_with(ROUTES).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.jsonl");
    let lines: Vec<_> = events().iter().map(Value::to_string).collect();
    fs::write(&file, lines.join("\n")).expect("write the file");
    let path = file.to_str().expect("a path of text");
    let published = server.run(["publish", "--from", path]).await;
    assert!(published.status.success(), "{published:?}");
    server
}

#[tokio::test]
async fn a_file_of_events_comes_back_member_for_member() {
    let server = with_events().await;
    let read = server.run(["read", "portal-event", "--output", "json"]).await;
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).expect("text");
    let mut got: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    got.sort_by_key(|event| event["id"].as_str().map(str::to_owned));
    assert_eq!(got, events());
}

#[tokio::test]
async fn a_group_of_four_streams_gets_each_hosts_events_in_order() {
    let server = with_events().await;
    let (sender, mut merged) = mpsc::channel(100);
    for _ in 0..4 {
        let opening = Open {
            topics: vec!["portal-event".to_owned()],
            ..open("portal")
        };
        let (mut stream, sender) = (server.subscribe(opening).await, sender.clone());
        tokio::spawn(async move {
            loop {
                for delivery in stream.at_least(1).await {
                    if sender.send(delivery.clone()).await.is_err() {
                        return;
                    }
                    stream.ack(&[delivery]);
                }
            }
        });
    }
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for _ in 0..24 {
        let delivery = within("an event", merged.recv()).await.expect("an event");
        let (key, event) = (delivery.key.expect("a key"), delivery.event.expect("an event"));
        let number: usize = event
            .id
            .rsplit('-')
            .next()
            .and_then(|hex| usize::from_str_radix(hex, 16).ok())
            .expect("hex");
        assert_eq!(key, HOSTS[number % 3].as_bytes());
        let expected = last.get(&key[..]).map_or(number % 3, |last| last + 3);
        assert_eq!(number, expected);
        last.insert(key.to_vec(), number);
    }
    assert_eq!(last.len(), 3);
}

#[tokio::test]
async fn what_the_command_line_reads_another_server_takes() {
    let (server, other) = (with_events().await, Server::start_with(ROUTES).await);
    let there = server.read_all("portal-event").await;
    assert_eq!(there.len(), 24);
    for read in there {
        other
            .try_publish(request([read.event.expect("an event")]))
            .await
            .expect("what was read can be published");
    }
    let there = other.read_all("portal-event").await;
    let positions: Vec<_> = there.iter().map(|read| read.position.clone()).collect();
    assert_eq!(there.len(), 24, "{positions:?}");
}
