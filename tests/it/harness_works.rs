//! The harness keeps its word: what every other file here stands on.

use crate::{
    LOG,
    harness::{
        Server,
        clients::{open, order},
    },
};

#[tokio::test]
async fn a_server_starts_answers_and_stops() {
    let mut server = Server::start().await;
    let info = server
        .system()
        .get_info(tidings::proto::tidings::v1::GetInfoRequest {})
        .await;
    assert_eq!(info.expect("info").into_inner().log_backend, LOG.name());
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_killed_server_starts_again_on_its_directory() {
    let mut server = Server::start().await;
    server.publish(vec![order("1", "a")]).await;
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let deliveries = stream.deliveries(1).await;
    assert_eq!(deliveries[0].event.as_ref().expect("an event").id, "1");
    stream.ack(&deliveries);
    stream.close().await;
}
