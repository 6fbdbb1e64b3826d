//! Dead letters on replicas: each tells the same, whoever moved what.

use tidings::{
    bus::dead_letters::{LetterReason, Why},
    log::kafka::{KafkaLog, Options},
    proto::tidings::v1::DeadLetterState::{Discarded, Parked, Redriving},
};

use crate::{
    dead_letters::letters::{behind, discard, head, id, letter, nacked, outcomes, redrive, store},
    harness::{Server, backend::unique_prefix, kafka::Broker},
};

#[tokio::test]
async fn replicas_tell_the_same_of_dead_letters_and_redrive_once() {
    let first = letter(1, "a", head());
    let all = [first.clone(), letter(2, "a", behind(&first)), letter(3, "b", nacked())];
    let one = Server::with_letters(&all).await;
    let other = one.replica().await;
    // Both know the topic already when the other moves something.
    assert_eq!(one.states().await, other.states().await);
    one.redrive(redrive(&[id(&all[0])])).await.expect("redriven");
    let twice = other.redrive(redrive(&[id(&all[1])])).await.expect("nothing");
    assert_eq!(outcomes(&twice.results), [(id(&all[1]), "UNCHANGED".to_owned())]);
    other.discard(discard(&[id(&all[2])])).await.expect("discarded");
    let expected = [
        (id(&all[2]), Discarded),
        (id(&all[1]), Redriving),
        (id(&all[0]), Redriving),
    ];
    assert_eq!(one.states().await, expected);
    assert_eq!(other.states().await, expected);
}

#[tokio::test]
async fn of_two_replicas_that_redrive_at_once_one_does() {
    let all: Vec<_> = (0..20).map(|n| letter(n, "a", nacked())).collect();
    let one = Server::with_letters(&all).await;
    let other = one.replica().await;
    assert!(other.states().await.iter().all(|(_, state)| *state == Parked));
    let ids: Vec<String> = all.iter().map(id).collect();
    let (here, there) = tokio::join!(one.redrive(redrive(&ids)), other.redrive(redrive(&ids)));
    let (here, there) = (here.expect("an answer"), there.expect("an answer"));
    assert_eq!(here.count + there.count, 20);
}

#[tokio::test]
async fn a_topic_for_the_largest_events_takes_their_dead_letters() {
    let mut options = Options::new(Broker::shared().await.address());
    (options.topic_prefix, options.max_record_bytes) = (unique_prefix(), 1 << 20);
    let why = Why {
        detail: "d".repeat(5_000),
        client_id: "c".repeat(5_000),
        redrive: Some("r".repeat(5_000)),
        ..Why::new(LetterReason::Attempts)
    };
    let mut largest = letter(1, "a", why);
    let rest = largest.record.size() - largest.record.value.as_ref().map_or(0, bytes::Bytes::len);
    largest.record.value = Some((0..(1 << 20) - rest).map(|_| fastrand::u8(..)).collect());
    let store = store(KafkaLog::open(options).await.expect("open the log"));
    store.write(vec![largest]).await.expect("written");
}
