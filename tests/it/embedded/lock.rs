//! One server at a time has the log.

use crate::harness::{Server, clients::order, tidings, within};

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let mut second = tidings();
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(server.data())
        .env("TIDINGS_SERVER__OPS", "127.0.0.1:0");
    let refused = within("the refusal", second.output()).await.expect("run");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains(&server.data().display().to_string()), "{told}");
    assert!(
        told.contains("open") || told.contains("lock") || told.contains("use"),
        "{told}"
    );
    server.publish(vec![order("1", "a")]).await;
}
