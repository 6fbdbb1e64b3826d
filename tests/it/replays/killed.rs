//! A server that is killed while a replay is started or stopped: asked again, it is started or stopped once.

use std::time::Duration;

use tidings::proto::tidings::v1::{ListReplaysRequest, Replay, ReplayState, StartReplayRequest, StopReplayRequest};
use tokio::time::timeout;

use super::{caught_up, everything, replay_ids, show, start, try_start};
use crate::harness::{Server, clients::open};

/// After so many milliseconds it is killed.
const KILLS: [u64; 6] = [0, 1, 2, 4, 8, 16];

async fn list(server: &Server) -> Vec<Replay> {
    let all = ListReplaysRequest::default();
    server
        .replays()
        .list_replays(all)
        .await
        .expect("list")
        .into_inner()
        .replays
}

/// How often something of this type was audited of this replay.
async fn audited(server: &Server, ty: &str, id: &str) -> usize {
    let events = server.read_all("tidings.audit").await;
    let acts = events.iter().filter_map(|event| event.event.as_ref());
    acts.filter(|event| event.r#type == ty && event.id.starts_with(id))
        .count()
}

#[tokio::test]
async fn a_start_or_a_stop_that_is_cut_off_is_finished_when_it_is_asked_for_again() {
    let (mut server, stream) = caught_up(5).await;
    drop(stream);
    for (round, after) in KILLS.into_iter().enumerate() {
        let request = StartReplayRequest {
            request_id: format!("start-{after}"),
            ..everything()
        };
        let (mut client, asked) = (server.replays(), request.clone());
        let asking = tokio::spawn(async move { client.start_replay(asked).await });
        let _ = timeout(Duration::from_millis(after), std::future::pending::<()>()).await;
        server = server.restart().await;
        let _ = asking.await.expect("the call ended");
        let replay = start(&server, request.clone()).await;
        assert_eq!(try_start(&server, request).await.expect("the same").id, replay.id);
        let listed = list(&server).await;
        assert_eq!(
            (listed.len(), &listed[0].id),
            (round + 1, &replay.id),
            "killed after {after} ms"
        );
        assert!(audited(&server, "tidings.replays.started", &replay.id).await >= 1);
        let mut stream = server.subscribe(open("group")).await;
        assert_eq!(replay_ids(&stream.deliveries(5).await), [replay.id.as_str(); 5]);
        let stop = StopReplayRequest {
            replay_id: replay.id.clone(),
            reason: "enough".to_owned(),
            request_id: String::new(),
        };
        let (mut client, asked) = (server.replays(), stop.clone());
        let asking = tokio::spawn(async move { client.stop_replay(asked).await });
        let _ = timeout(Duration::from_millis(after), std::future::pending::<()>()).await;
        server = server.restart().await;
        let _ = asking.await.expect("the call ended");
        server.replays().stop_replay(stop).await.expect("stop it");
        assert_eq!(show(&server, &replay.id).await.state(), ReplayState::Stopped);
        assert!(audited(&server, "tidings.replays.stopped", &replay.id).await >= 1);
    }
}
