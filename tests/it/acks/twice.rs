//! Acks and nacks of what is acked already: answered SETTLED, and nothing moves.

use tidings::proto::tidings::v1::{Action, ListDeadLettersRequest};

use super::*;

/// What a client may say of an event that it has acked: the same again, that it failed, that it never will do.
fn again(id: u64, sequence: u64) -> [Sent; 3] {
    let nack = |action: Action| {
        Sent::Nack(Nack {
            delivery_ids: vec![id],
            action: action.into(),
            sequence,
            ..Default::default()
        })
    };
    let ack = Sent::Ack(Ack {
        delivery_ids: vec![id],
        sequence,
        ..Default::default()
    });
    [ack, nack(Action::Retry), nack(Action::DeadLetter)]
}

/// Each is answered SETTLED, with a sequence and without.
async fn is_settled(stream: &mut Subscription, id: u64) {
    for sequence in [0, 7] {
        for frame in again(id, sequence) {
            stream.send(frame.clone());
            let result = stream.ack_result().await;
            assert_eq!(
                (result.sequence, faults(&result)),
                (sequence, vec![(id, id, Reason::Settled)]),
                "{frame:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_second_ack_or_a_nack_of_what_is_acked_is_answered_settled_and_moves_nothing() {
    let server = with_events(4).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(4).await;
    // Not committed yet, and above one that is not settled.
    stream.ack(&got[2..3]);
    is_settled(&mut stream, got[2].id).await;
    assert!(ack(&mut stream, &[got[1].id]).await.committed);
    is_settled(&mut stream, got[1].id).await;
    assert_eq!(committed(&server).await, 0, "the first is not acked");
    // Below the committed offset.
    assert!(ack(&mut stream, &[got[0].id]).await.committed);
    is_settled(&mut stream, got[0].id).await;
    assert_eq!(committed(&server).await, 3, "the fourth is not acked");
    server.publish(vec![order("4", "4")]).await;
    let next = stream.deliveries(1).await;
    assert_eq!(
        (ids(&next), next[0].attempt),
        (vec!["4".to_owned()], 1),
        "none came again"
    );
    assert!(ack(&mut stream, &[got[3].id, next[0].id]).await.committed);
    assert_eq!(committed(&server).await, 5);
    let request = ListDeadLettersRequest {
        group: "group".to_owned(),
        ..Default::default()
    };
    let letters = server.dead_letters().list_dead_letters(request).await;
    let letters = letters.expect("a page").into_inner().dead_letters;
    assert!(letters.is_empty(), "{letters:?}");
}
