//! Fields that break their rules, or that this version does not act on: refused by name.

use super::*;

#[tokio::test]
async fn fields_of_open_that_break_their_rules_are_named() {
    let server = Server::start().await;
    let cases: [(&str, &str, Open); 11] = [
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(0, 500_000_000),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(61, 0),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(-1, 0),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.max_frame_bytes",
            Open {
                max_frame_bytes: 1_000,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.max_frame_bytes",
            Open {
                max_frame_bytes: -1,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.client_id",
            Open {
                client_id: "c".repeat(201),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.on_gap",
            Open {
                on_gap: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.on_conflict",
            Open {
                on_conflict: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.credit_mode",
            Open {
                credit_mode: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.topics",
            Open {
                topics: vec![],
                ..open("new")
            },
        ),
        (
            "TOPIC_INVALID",
            "open.topics[1]",
            Open {
                topics: vec!["fine".into(), "a/b".into()],
                ..open("g")
            },
        ),
    ];
    for (reason, field, open) in cases {
        let refusal = refused(end_of_open(&server, open).await, Code::InvalidArgument, reason);
        assert_eq!(fields(&refusal), [field]);
    }
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

#[tokio::test]
async fn fields_of_open_that_are_not_built_are_refused_by_name() {
    let server = Server::start().await;
    let filter = Filter {
        dialect: Some(Dialect::Cesql("true".into())),
    };
    let start = |at| Some(Start { at: Some(at) });
    for (named, open) in [
        (
            "filter",
            Open {
                filter: Some(filter),
                ..open("g")
            },
        ),
        (
            "filter",
            Open {
                filter: Some(Filter::default()),
                ..open("g")
            },
        ),
        (
            "lease",
            Open {
                lease: period(30, 0),
                ..open("g")
            },
        ),
        (
            "retry",
            Open {
                retry: Some(Retry::default()),
                ..open("g")
            },
        ),
        (
            "commands",
            Open {
                commands: true,
                ..open("g")
            },
        ),
        (
            "DEAD_LETTER",
            Open {
                undecodable: Undecodable::DeadLetter.into(),
                ..open("g")
            },
        ),
        (
            "snapshot",
            Open {
                start: start(At::Snapshot("s".into())),
                ..open("g")
            },
        ),
        (
            "checkpoint",
            Open {
                start: start(At::Checkpoint("c".into())),
                ..open("g")
            },
        ),
        (
            "orders.*",
            Open {
                topics: vec!["orders.*".into()],
                ..open("g")
            },
        ),
        (
            "re:orders",
            Open {
                topics: vec!["re:orders".into()],
                ..open("g")
            },
        ),
    ] {
        let refusal = refused(end_of_open(&server, open).await, Code::Unimplemented, "NOT_SUPPORTED");
        assert!(refusal.message().contains(named), "{named}: {}", refusal.message());
    }
}
