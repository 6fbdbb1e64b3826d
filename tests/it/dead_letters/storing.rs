//! What delivery stands on: letters come back to the byte, also the largest, and a deleted topic is made anew.

use tidings::{
    bus::dead_letters::{Asked, LetterReason, Why},
    name::Topic,
    proto::tidings::v1::DeadLetterFilter,
};
use tokio::sync::watch;

use super::letters::{GROUP, head, id, id_of, letter, nacked, store, store_at};
use crate::harness::{Server, tidings, within};

/// `limits.max_event_bytes` by default.
const LIMIT: usize = 1 << 20;

fn asked(id: &str) -> Asked {
    Asked {
        id: id.to_owned(),
        by: "me".to_owned(),
        reason: String::new(),
    }
}

#[tokio::test]
async fn a_letter_of_the_largest_event_is_written_and_loaded_to_the_byte() {
    let why = Why {
        detail: "d".repeat(5_000),
        client_id: "c".repeat(5_000),
        ..Why::new(LetterReason::Attempts)
    };
    let mut largest = letter(1, "a", why);
    let rest = largest.record.size() - largest.record.value.as_ref().map_or(0, bytes::Bytes::len);
    largest.record.value = Some(vec![7; LIMIT - rest].into());
    assert_eq!(largest.record.size(), LIMIT);
    let server = Server::start().await;
    let work = async |log| {
        let store = store(log);
        store
            .write(vec![largest.clone(), letter(2, "a", nacked())])
            .await
            .expect("written");
        store.ready().await.expect("known");
        store
            .redrive(vec![id_of(&largest)], &asked("r"))
            .await
            .expect("redriven");
        let redriving = store.redriving(&largest.source);
        assert_eq!(
            redriving.iter().map(|redriving| redriving.id).collect::<Vec<_>>(),
            [id_of(&largest)]
        );
        let loaded = store
            .load(&[redriving[0].at, redriving[0].at + 1], 10)
            .await
            .expect("loaded");
        let [loaded] = &loaded[..] else {
            panic!("{} letters are more than 10 bytes", loaded.len());
        };
        let (was, is) = (&largest.record, &loaded.letter.record);
        assert_eq!((&is.key, &is.value, &is.headers), (&was.key, &was.value, &was.headers));
        assert_eq!(
            (is.offset, is.time, &loaded.letter.source),
            (was.offset, was.time, &largest.source)
        );
        store.done(vec![loaded.id]).await.expect("done");
        store.ready().await.expect("known");
        assert!(store.redriving(&largest.source).is_empty());
    };
    server.with_log(work).await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_leaves_nothing_and_is_made_anew() {
    let (first, second) = (letter(1, "a", head()), letter(2, "b", head()));
    let topic = Topic::new(&format!("tidings.dead-letters.{GROUP}")).expect("valid");
    let server = Server::start().await;
    let work = async |log: std::sync::Arc<dyn tidings::log::Log>| {
        let store = store(std::sync::Arc::clone(&log));
        store.ready().await.expect("nothing to know");
        store.write(vec![first.clone(), first.clone()]).await.expect("written");
        store.ready().await.expect("known");
        let held = || store.quarantined(&first.source).into_values().collect::<Vec<_>>();
        assert_eq!(held(), [id_of(&first)]);
        let mut changes = store.changes();
        log.delete_topic(&topic).await.expect("deleted");
        let empty = async |changes: &mut watch::Receiver<i64>| {
            changes
                .wait_for(|reached| *reached == 0)
                .await
                .expect("the store lives");
        };
        within("the deletion to be noticed", empty(&mut changes)).await;
        assert!(held().is_empty());
        store.write(vec![second.clone()]).await.expect("written");
        store.ready().await.expect("known");
        assert_eq!(held(), [id_of(&second)]);
    };
    server.with_log(work).await;
}

#[tokio::test]
async fn the_topic_is_named_as_configured() {
    let template = "dlq-{group}-x";
    let server = Server::start_with(&format!("[delivery]\ndead_letter_topic = '{template}'\n")).await;
    let written = letter(1, "a", nacked());
    let work = async |log| {
        let store = store_at(template, log);
        store.write(vec![written.clone()]).await.expect("written");
    };
    let server = server.with_log(work).await;
    assert_eq!(server.matching(DeadLetterFilter::default()).await, [id(&written)]);
    let listed = server.run(["topics", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&format!("dlq-{GROUP}-x ")), "{listed}");
}

#[tokio::test]
async fn a_name_of_the_topic_that_cannot_be_one_is_refused() {
    for value in ["dlq", "{group}", "{group}-{group}", "a b {group}"] {
        let mut command = tidings();
        command
            .args(["config", "show"])
            .env("TIDINGS_DELIVERY__DEAD_LETTER_TOPIC", value);
        let output = within("config show", command.output()).await.expect("run");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && told.contains("must have {group} once"),
            "{told}"
        );
    }
}
