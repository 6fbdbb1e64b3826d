//! Offsets that the log has forgotten, as Kafka does with those of groups that have had no members for days.

use tidings::{log::Log, name::Topic};

use super::*;

async fn forget(log: &dyn Log) {
    log.forget(&tidings::name::Group::new("group").expect("valid"))
        .await
        .expect("forgotten");
}

async fn logged_warning(server: &Server) {
    server
        .logged("the log has forgotten where the group stood; it goes on there")
        .await;
}

#[tokio::test]
async fn a_group_whose_offsets_the_log_has_forgotten_goes_on_where_it_stood() {
    let server = with_events(20).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(20).await;
    // Of the last two, one is acked out of order.
    let (last, first) = got.split_last().expect("some");
    stream.ack(&first[..18]);
    stream.ack(std::slice::from_ref(last));
    stream.close().await;
    let server = server.with_log(async |log| forget(&*log).await).await;
    server.publish(vec![order("20", "20")]).await;
    let mut stream = server.subscribe(open("group")).await;
    assert!(!stream.opened.group_created);
    let mut again = numbers(&stream.deliveries(2).await);
    again.sort_unstable();
    assert_eq!(
        again,
        numbers(&[got[18].clone()]).into_iter().chain([20]).collect::<Vec<_>>()
    );
    logged_warning(&server).await;
}

#[tokio::test]
async fn a_group_that_began_at_the_end_and_has_acked_nothing_does_not_begin_at_the_start() {
    let server = with_events(10).await;
    drop(server.subscribe(starting("group", At::Latest(()))).await);
    let server = server.with_log(async |log| forget(&*log).await).await;
    server.publish(vec![order("new", "a")]).await;
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["new"]);
    logged_warning(&server).await;
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_read_from_its_start() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    stream.ack(&got);
    stream.close().await;
    let anew = async |log: std::sync::Arc<dyn Log>| {
        let topic = Topic::new(ORDERS).expect("valid");
        log.delete_topic(&topic).await.expect("deleted");
        forget(&*log).await;
    };
    let server = server.with_log(anew).await;
    server
        .publish((0..30).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(stream.deliveries(30).await.len(), 30);
}
