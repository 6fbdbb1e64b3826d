//! Resets of a group on three replicas, one of which dies, or freezes past its session, at each step of the protocol.

use std::time::Duration;

use nix::sys::signal::Signal;
use tidings::proto::tidings::v1::{
    Credit, GetResetRequest, GroupPartition, Open, Reset, ResetState, UndoResetRequest,
    subscribe_request::Frame as Sent, target::To,
};
use tokio::time::timeout;

use super::CONFIG;
use crate::{
    harness::{
        SOON, Server,
        clients::{Subscription, ids, open},
        eventually,
        status::{reason_of, resource},
    },
    resets::{ack, applying, create, group, numbers, plan, publish, reset, reset_applied, to, try_apply},
};

const EVENTS: usize = 120;
const PARTITIONS: i32 = 12;

/// Who dies, and when.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// The owner of partitions, before it hears of the reset.
    OwnerUnaware,
    /// The replica that was asked, once the reset is accepted and before anybody has moved anything.
    AskedAfterAccepting,
    /// The replica that was asked, so long after it was asked.
    Asked(u64),
    /// An owner, so long after another replica was asked.
    Owner(u64),
}

const POINTS: [Point; 10] = [
    Point::OwnerUnaware,
    Point::AskedAfterAccepting,
    Point::Asked(1),
    Point::Asked(6),
    Point::Asked(15),
    Point::Owner(1),
    Point::Owner(4),
    Point::Owner(8),
    Point::Owner(15),
    Point::Owner(40),
];

/// A stream that owns a share of the partitions and takes nothing.
fn owning() -> Open {
    Open {
        credit: Some(Credit { events: 0, bytes: 0 }),
        ..open("group")
    }
}

/// Three replicas, each with a share of the partitions of a group that has acked everything.
struct Trio {
    replicas: Vec<(Server, Subscription)>,
}

impl Trio {
    async fn start() -> Self {
        let first = Server::start_with(CONFIG).await;
        create(&first, PARTITIONS).await;
        publish(&first, 0..EVENTS).await;
        let mut stream = first.subscribe(open("group")).await;
        let all = stream.deliveries(EVENTS).await;
        assert_eq!(ack(&mut stream, &all).await, []);
        stream.close().await;
        let stream = first.subscribe(owning()).await;
        let mut trio = Self {
            replicas: vec![(first, stream)],
        };
        trio.complete().await;
        trio
    }

    /// As many replicas as at the start, each with partitions of its own.
    async fn complete(&mut self) {
        while self.replicas.len() < 3 {
            let server = self.replicas[0].0.replica().await;
            let stream = server.subscribe(owning()).await;
            self.replicas.push((server, stream));
        }
        let shared = async || {
            for (server, stream) in &self.replicas {
                let rows = group(server).await.partitions;
                let is_own = |row: &&GroupPartition| row.owner_replica_id == stream.opened.replica_id;
                if rows.iter().filter(is_own).count() != 4 {
                    return None;
                }
            }
            Some(())
        };
        eventually(SOON, "each replica to have its share", shared).await;
    }

    async fn committed(&self) -> Vec<i64> {
        let rows = group(&self.replicas[0].0).await.partitions;
        rows.iter().map(|row| row.committed.expect("committed")).collect()
    }

    /// What a replica that lives says of the reset, once it is done.
    async fn applied(&self, id: &str) -> Reset {
        let look = async || {
            let request = GetResetRequest {
                reset_id: id.to_owned(),
            };
            let answer = self.replicas[0].0.groups().get_reset(request).await.ok()?;
            answer
                .into_inner()
                .reset
                .filter(|reset| reset.state() == ResetState::Applied)
        };
        eventually(SOON, "the reset to be carried out", look).await
    }

    async fn kill(&mut self, index: usize) {
        let (mut server, _) = self.replicas.remove(index);
        server.kill().await;
    }

    /// Asks the second replica, and has somebody die meanwhile.
    async fn reset_with(&mut self, point: Point) -> Reset {
        let made = plan(&self.replicas[1].0, to(To::ShiftBy(-5))).await;
        let mut client = self.replicas[1].0.groups();
        let request = applying(&made);
        let asking = tokio::spawn(async move { client.apply_reset(request).await });
        let soon = |millis| timeout(Duration::from_millis(millis), std::future::pending::<()>());
        match point {
            Point::OwnerUnaware => {
                // It was frozen before, by `prepare`.
                self.kill(2).await;
            }
            Point::AskedAfterAccepting => {
                let accepted = async || (group(&self.replicas[1].0).await.active_reset_id == made.id).then_some(());
                eventually(SOON, "the reset to be accepted", accepted).await;
                self.replicas[1].0.signal(Signal::SIGKILL);
                for index in [0, 2] {
                    self.replicas[index].0.signal(Signal::SIGCONT);
                }
                self.kill(1).await;
            }
            Point::Asked(millis) => {
                let _ = soon(millis).await;
                self.kill(1).await;
            }
            Point::Owner(millis) => {
                let _ = soon(millis).await;
                self.kill(2).await;
            }
        }
        let answer = asking.await.expect("the call ended");
        match answer {
            Ok(answer) => assert_eq!(answer.into_inner().reset.expect("a reset").state(), ResetState::Applied),
            // Who asked must ask again: nobody knows whether it was accepted.
            Err(_) => self.ask_again(&made).await,
        }
        self.applied(&made.id).await
    }

    async fn ask_again(&self, made: &tidings::proto::tidings::v1::ResetPlan) {
        let again = async || match try_apply(&self.replicas[0].0, applying(made)).await {
            Ok(_) => Some(()),
            // By the call that was cut off.
            Err(status) if status.code() == tonic::Code::FailedPrecondition => Some(()),
            Err(_) => None,
        };
        eventually(SOON, "an answer", again).await;
    }

    fn prepare(&self, point: Point) {
        match point {
            Point::OwnerUnaware => self.replicas[2].0.signal(Signal::SIGSTOP),
            Point::AskedAfterAccepting => {
                for index in [0, 2] {
                    self.replicas[index].0.signal(Signal::SIGSTOP);
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whatever_step_a_reset_is_applied_whole_and_once() {
    let mut trio = Trio::start().await;
    let before = trio.committed().await;
    for point in POINTS {
        trio.prepare(point);
        let moved = trio.reset_with(point).await;
        let targets: Vec<i64> = before.iter().map(|offset| (offset - 5).max(0)).collect();
        assert_eq!(trio.committed().await, targets, "{point:?}");
        assert_eq!(moved.partitions.len(), before.len(), "{point:?}");
        trio.complete().await;
        let request = UndoResetRequest {
            reset_id: moved.id.clone(),
            reason: "and back".to_owned(),
            ..Default::default()
        };
        trio.replicas[0].0.groups().undo_reset(request).await.expect("undo");
        assert_eq!(trio.committed().await, before, "{point:?}");
    }
    let epoch = group(&trio.replicas[0].0).await.epoch;
    assert_eq!(epoch, 2 * POINTS.len() as u64, "each was accepted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_all_replicas_hear_of_a_reset_and_get_their_share_again() {
    let mut trio = Trio::start().await;
    let moved = reset(&trio.replicas[0].0, to(To::Earliest(()))).await;
    let mut seen = Vec::new();
    for (_, stream) in &mut trio.replicas {
        assert_eq!(reset_applied(stream).await.reset_id, moved.id);
        stream.grant(1_000, 0);
        let share = stream.at_least(1).await;
        assert!(share.iter().all(|delivery| delivery.reset_id == moved.id));
        stream.ack(&share);
        seen.extend(ids(&share));
    }
    while seen.len() < EVENTS {
        for (_, stream) in &mut trio.replicas {
            let more = timeout(Duration::from_millis(100), stream.at_least(1))
                .await
                .unwrap_or_default();
            stream.ack(&more);
            seen.extend(ids(&more));
        }
    }
    seen.sort_by_key(|id| id.parse::<usize>().expect("a number"));
    assert_eq!(seen, numbers(0..EVENTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_waits_for_a_frozen_replicas_session_and_nothing_moves_back_when_it_returns() {
    let mut trio = Trio::start().await;
    let before = trio.committed().await;
    let made = plan(&trio.replicas[0].0, to(To::Earliest(()))).await;
    let second = plan(&trio.replicas[1].0, to(To::Latest(()))).await;
    trio.replicas[2].0.signal(Signal::SIGSTOP);
    let (mut client, request) = (trio.replicas[0].0.groups(), applying(&made));
    let asking = tokio::spawn(async move { client.apply_reset(request).await });
    let accepted = async || (group(&trio.replicas[0].0).await.active_reset_id == made.id).then_some(());
    eventually(SOON, "the reset to be accepted", accepted).await;
    let refused = try_apply(&trio.replicas[1].0, applying(&second))
        .await
        .expect_err("one at a time");
    assert_eq!(
        (reason_of(&refused), resource(&refused)),
        ("RESET_ACTIVE".to_owned(), made.id.clone())
    );
    let done = asking
        .await
        .expect("the call ended")
        .expect("applied")
        .into_inner()
        .reset
        .expect("a reset");
    assert_eq!(done.partitions.len(), before.len());
    trio.replicas[2].0.signal(Signal::SIGCONT);
    trio.complete().await;
    assert_eq!(trio.committed().await, vec![0; before.len()]);
    trio.replicas[2].1.send(Sent::Close(Default::default()));
}
