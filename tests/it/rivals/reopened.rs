//! A stream that is closed and opened again at once.

use super::*;

const ROUNDS: usize = 50;
/// Below the 3 s for which a broker by default lets a group wait that forms anew.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_stream_closed_and_reopened_at_once_gets_events_at_once() {
    let server = with_partitions(2, "").await;
    publish(&server, 0..1).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    stream.ack(&got);
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        match round % 2 {
            0 => stream.close().await,
            _ => drop(stream),
        }
        let reopened = Instant::now();
        stream = server.subscribe(open("group")).await;
        let new = format!("round-{round}");
        server.publish(vec![order(&new, "a")]).await;
        arrives(&mut stream, &new).await;
        took.push(reopened.elapsed());
    }
    took.sort_unstable();
    eprintln!(
        "reopened: half within {:?}, all within {:?}",
        took[ROUNDS / 2],
        took[ROUNDS - 1]
    );
    assert!(took[ROUNDS - 1] < AT_ONCE, "{took:?}");
}

/// A dropped stream may not have committed its ack, so the event before can come again, once.
async fn arrives(stream: &mut Subscription, id: &str) {
    loop {
        let got = stream.at_least(1).await;
        stream.ack(&got);
        if ids(&got).iter().any(|found| found == id) {
            return;
        }
    }
}
