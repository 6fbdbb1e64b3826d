//! Fields that break their rules, or that this version does not act on: refused by name.

use super::*;

type Change = fn(&mut Open);

fn opening(change: Change) -> Open {
    let mut open = open("group");
    change(&mut open);
    open
}

fn retry(open: &mut Open) -> &mut Retry {
    open.retry.get_or_insert_default()
}

#[tokio::test]
async fn fields_of_open_that_break_their_rules_are_named() {
    let server = Server::start().await;
    let cases: [(&str, Change); 19] = [
        ("heartbeat_interval", |open| {
            open.heartbeat_interval = period(0, 500_000_000)
        }),
        ("heartbeat_interval", |open| open.heartbeat_interval = period(61, 0)),
        ("heartbeat_interval", |open| open.heartbeat_interval = period(-1, 0)),
        ("max_frame_bytes", |open| open.max_frame_bytes = 1_000),
        ("max_frame_bytes", |open| open.max_frame_bytes = -1),
        ("client_id", |open| open.client_id = "c".repeat(201)),
        ("on_gap", |open| open.on_gap = 99),
        ("undecodable", |open| open.undecodable = 99),
        ("lease", |open| open.lease = period(13 * 3_600, 0)),
        ("lease", |open| open.lease = period(-1, 0)),
        ("retry.initial", |open| retry(open).initial = period(-1, 0)),
        ("retry.factor", |open| retry(open).factor = 0.5),
        ("retry.factor", |open| retry(open).factor = f64::NAN),
        ("retry.maximum", |open| retry(open).maximum = period(25 * 3_600, 0)),
        ("retry.maximum", |open| {
            (retry(open).initial, retry(open).maximum) = (period(2, 0), period(1, 0))
        }),
        ("retry.jitter", |open| retry(open).jitter = 1.5),
        ("on_conflict", |open| open.on_conflict = 99),
        ("credit_mode", |open| open.credit_mode = 99),
        ("topics", |open| open.topics.clear()),
    ];
    for (field, change) in cases {
        let ended = end_of_open(&server, opening(change)).await;
        let refusal = refused(ended, Code::InvalidArgument, "REQUEST_INVALID");
        assert_eq!(fields(&refusal), [format!("open.{field}")]);
    }
    let bad_topic = opening(|open| open.topics.push("a/b".into()));
    let refusal = refused(
        end_of_open(&server, bad_topic).await,
        Code::InvalidArgument,
        "TOPIC_INVALID",
    );
    assert_eq!(fields(&refusal), ["open.topics[1]"]);
}

#[tokio::test]
async fn group_names_against_the_rule_are_refused() {
    let server = Server::start().await;
    for name in ["", "a b", "a/b", "ä", &"g".repeat(201)] {
        refused(
            end_of_open(&server, open(name)).await,
            Code::InvalidArgument,
            "GROUP_INVALID",
        );
    }
    server.subscribe(open(&"g".repeat(200))).await;
    server.subscribe(open("Group._-1")).await;
}
