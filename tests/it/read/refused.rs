//! What a read cannot mean, and what this version does not act on: refused by name.

use super::*;

#[tokio::test]
async fn what_a_read_cannot_mean_is_refused_by_name() {
    let server = with_events(1).await;
    let with_end = ReadRequest {
        follow: true,
        ..until(Until::Latest(()))
    };
    let bad_time = prost_types::Timestamp { seconds: 0, nanos: -1 };
    for (field, request) in [
        ("start", from(At::Committed(Committed {}))),
        ("start", from(At::Time(bad_time))),
        ("end", with_end),
        (
            "topics",
            ReadRequest {
                topics: vec![],
                ..reading()
            },
        ),
        (
            "max_events",
            ReadRequest {
                max_events: -1,
                ..reading()
            },
        ),
        ("start.positions[0]", from(At::Positions(positions(&[(9, 0)])))),
        ("start.positions[1]", from(At::Positions(positions(&[(0, 1), (0, 1)])))),
        ("end.positions[0]", until(Until::Positions(positions(&[(0, -1)])))),
    ] {
        let refusal = refused(
            read_result(&server, request).await,
            Code::InvalidArgument,
            "REQUEST_INVALID",
        );
        assert_eq!(fields(&refusal), [field]);
    }
    let topics = vec!["nothing".to_owned()];
    let unknown = ReadRequest { topics, ..reading() };
    let refusal = refused(read_result(&server, unknown).await, Code::NotFound, "TOPIC_NOT_FOUND");
    assert!(
        refusal.message().contains("tidings topics create nothing"),
        "{}",
        refusal.message()
    );
}

async fn read_result(server: &Server, request: ReadRequest) -> Result<Vec<ReadEvent>, tonic::Status> {
    server.read(request).await?.rest().await
}
