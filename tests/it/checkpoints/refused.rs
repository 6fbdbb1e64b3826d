//! What is refused, with the field and the rule, and what that leaves behind: nothing.

use tidings::proto::tidings::v1::{GetCheckpointRequest, Position, PutCheckpointHeader, put_checkpoint_request::Frame};
use tonic::{Code, Status};

use super::{Bed, MIB, Putting, at, client, generations, header, put_in, try_put};
use crate::harness::{
    SOON,
    clients::{ORDERS, open},
    eventually,
    status::{fields, has_retry_info, reason_of, refused},
    within,
};

/// A put of this name whose first part is written.
async fn begun(bed: &Bed, name: &str) -> Putting {
    let (putting, before) = (Putting::begin(&bed.server), bed.parts(name).len());
    putting.send(Some(Frame::Header(header(name)))).await;
    for _ in 0..5 {
        putting.data(super::noise(MIB)).await;
    }
    let written = async || (bed.parts(name).len() > before).then_some(());
    eventually(SOON, "a part to be written", written).await;
    putting
}

fn position(topic: &str, partition: i32, offset: i64) -> Position {
    Position {
        topic: topic.to_owned(),
        partition,
        offset,
    }
}

fn standing(positions: Vec<Position>) -> PutCheckpointHeader {
    PutCheckpointHeader {
        positions,
        ..header("c")
    }
}

fn tied(group: &str, epoch: Option<u64>, positions: Vec<Position>) -> PutCheckpointHeader {
    PutCheckpointHeader {
        group: group.to_owned(),
        group_epoch: epoch,
        ..standing(positions)
    }
}

#[tokio::test]
async fn names_lead_nowhere_else() {
    let bed = Bed::start().await;
    for name in [
        "",
        ".",
        "..",
        "../c",
        "a/b",
        "a\\b",
        "a@1",
        "a b",
        "ä",
        "a\0b",
        &"c".repeat(201),
    ] {
        let status = refused(
            try_put(&bed.server, header(name), "").await,
            Code::InvalidArgument,
            "REQUEST_INVALID",
        );
        assert_eq!(fields(&status), ["header.name"], "{name}");
        let request = GetCheckpointRequest {
            name: name.to_owned(),
            generation: 0,
        };
        let answer = client(&bed.server).get_checkpoint(request).await;
        assert_eq!(fields(&answer.expect_err(name)), ["name"], "{name}");
    }
    let longest = "c".repeat(200);
    try_put(&bed.server, header(&longest), "x").await.expect("put");
    assert_eq!(generations(&bed.server, "").await, [format!("{longest}@1")]);
}

#[tokio::test]
async fn each_fault_of_a_header_is_told_by_its_field_and_nothing_is_stored() {
    let bed = Bed::with_events(5).await;
    let stream = bed.server.subscribe(open("group")).await;
    let other = bed.server.subscribe(tidings::proto::tidings::v1::Open {
        topics: vec!["others".to_owned()],
        ..open("elsewhere")
    });
    let other = other.await;
    for (wanted, expected) in faults_of_positions().into_iter().chain(faults_of_labels()) {
        let shown = format!("{:.300}", format!("{wanted:?}"));
        let answer = try_put(&bed.server, wanted, "four").await;
        let status = answer.expect_err(&shown);
        assert_eq!(
            (status.code(), fields(&status).join(" ").as_str()),
            (Code::InvalidArgument, expected),
            "{shown}"
        );
    }
    let nobody = tied("nobody", Some(0), at(1));
    refused(
        try_put(&bed.server, nobody, "").await,
        Code::NotFound,
        "GROUP_NOT_FOUND",
    );
    let bad = tied("a b", Some(0), at(1));
    refused(
        try_put(&bed.server, bad, "").await,
        Code::InvalidArgument,
        "GROUP_INVALID",
    );
    assert!(generations(&bed.server, "").await.is_empty());
    assert!(bed.parts("c").is_empty());
    drop((stream, other));
}

fn faults_of_positions() -> Vec<(PutCheckpointHeader, &'static str)> {
    vec![
        (standing(vec![position("nothing", 0, 0)]), "header.positions[0]"),
        (standing(vec![position("a b", 0, 0)]), "header.positions.topic"),
        (standing(vec![position(ORDERS, 1, 0)]), "header.positions[0]"),
        (standing(vec![position(ORDERS, -1, 0)]), "header.positions[0]"),
        (standing(at(-1)), "header.positions[0]"),
        (standing(at(6)), "header.positions[0]"),
        (standing([at(1), at(1)].concat()), "header.positions[1]"),
        (
            standing([at(6), vec![position("nothing", 0, 0)]].concat()),
            "header.positions[1] header.positions[0]",
        ),
        (standing(vec![position(ORDERS, 0, 0); 10_001]), "header.positions"),
        (tied("group", None, at(1)), "header.group_epoch"),
        (tied("", Some(0), at(1)), "header.group_epoch"),
        (tied("group", Some(0), Vec::new()), "header.positions"),
        (tied("elsewhere", Some(0), at(1)), "header.positions[0]"),
    ]
}

fn faults_of_labels() -> Vec<(PutCheckpointHeader, &'static str)> {
    let long = |count| "x".repeat(count);
    let labels = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
    vec![
        (with(|it| it.content_type = long(201)), "header.content_type"),
        (with(|it| it.labels = labels(33)), "header.labels"),
        (
            with(|it| it.labels = [(long(64), String::new())].into()),
            "header.labels",
        ),
        (
            with(|it| it.labels = [("a".to_owned(), long(257))].into()),
            "header.labels",
        ),
        (with(|it| it.size = Some(-1)), "header.size"),
        (with(|it| it.size = Some(5)), "header.size"),
        (with(|it| it.sha256 = vec![1; 31].into()), "header.sha256"),
        (with(|it| it.sha256 = vec![1; 32].into()), "header.sha256"),
        (with(|it| it.request_id = long(129)), "header.request_id"),
    ]
}

fn with(change: impl FnOnce(&mut PutCheckpointHeader)) -> PutCheckpointHeader {
    let mut changed = header("c");
    change(&mut changed);
    changed
}

#[tokio::test]
async fn what_was_announced_is_held_against_what_came() {
    use sha2::{Digest as _, Sha256};
    let bed = Bed::start().await;
    let announced = PutCheckpointHeader {
        size: Some(4),
        sha256: Sha256::digest("four").to_vec().into(),
        ..header("c")
    };
    for other in ["", "fou", "fours", "fivf"] {
        let answer = try_put(&bed.server, announced.clone(), other).await;
        refused(answer, Code::InvalidArgument, "REQUEST_INVALID");
    }
    let stored = try_put(&bed.server, announced.clone(), "four").await.expect("put");
    assert_eq!((stored.generation, stored.sha256), (1, announced.sha256));
}

#[tokio::test]
async fn frames_come_in_their_order() {
    let bed = Bed::start().await;
    let frame = |name: &str| Some(Frame::Header(header(name)));
    let data = || Some(Frame::Data("x".into()));
    for frames in [
        vec![],
        vec![data()],
        vec![Some(Frame::Finish(()))],
        vec![frame("c")],
        vec![frame("c"), data()],
        vec![data(), frame("c")],
        vec![frame("c"), frame("c")],
        vec![frame("c"), data(), frame("d")],
        vec![None],
        vec![frame("c"), None],
    ] {
        let putting = Putting::begin(&bed.server);
        for frame in frames.clone() {
            putting.send(frame).await;
        }
        let status = refused(putting.end().await, Code::InvalidArgument, "FRAME_UNEXPECTED");
        assert_eq!(fields(&status), ["frame"], "{frames:?}");
    }
    assert!(generations(&bed.server, "").await.is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_stored() {
    let bed = Bed::start_with("[checkpoints]\nmax_bytes = \"6MiB\"").await;
    let over = super::noise(6 * MIB + 1);
    let status = refused(
        put_in(&bed.server, header("c"), (&over, MIB)).await,
        Code::InvalidArgument,
        "REQUEST_TOO_LARGE",
    );
    assert!(status.message().contains("checkpoints.max_bytes"), "{status:?}");
    let announced = PutCheckpointHeader {
        size: Some(6 * MIB as i64 + 1),
        ..header("c")
    };
    refused(
        try_put(&bed.server, announced, "").await,
        Code::InvalidArgument,
        "REQUEST_TOO_LARGE",
    );
    let frame = super::noise(4 * MIB + 1);
    let answer = put_in(&bed.server, header("c"), (&frame, 4 * MIB + 1)).await;
    let status = refused(answer, Code::InvalidArgument, "REQUEST_TOO_LARGE");
    assert!(status.message().contains("limits.max_request_bytes"), "{status:?}");
    let most = over.slice(..6 * MIB);
    assert_eq!(
        put_in(&bed.server, header("c"), (&most, MIB))
            .await
            .expect("put")
            .generation,
        1
    );
}

#[tokio::test]
async fn more_at_once_than_there_is_room_for_try_again() {
    let bed = Bed::start_with("[checkpoints]\ntransfers = 1").await;
    let one = begun(&bed, "c").await;
    let refusals: [Status; 2] = [
        try_put(&bed.server, header("d"), "").await.expect_err("no room"),
        super::get(&bed.server, "c", 0).await.expect_err("no room"),
    ];
    for status in refusals {
        assert!(has_retry_info(&status));
        refused::<()>(Err(status), Code::ResourceExhausted, "LIMIT");
    }
    one.finish().await.expect("put");
    try_put(&bed.server, header("d"), "").await.expect("there is room");
}

#[tokio::test]
async fn a_server_that_stops_ends_puts_and_reads() {
    let mut bed = Bed::start().await;
    let bytes = super::noise(40 * MIB);
    put_in(&bed.server, header("c"), (&bytes, MIB)).await.expect("put");
    let request = GetCheckpointRequest {
        name: "c".to_owned(),
        generation: 0,
    };
    let mut frames = client(&bed.server)
        .get_checkpoint(request)
        .await
        .expect("a checkpoint")
        .into_inner();
    let putting = begun(&bed, "c").await;
    let ending = async {
        let answer = putting.answer().await;
        assert_eq!(reason_of(&answer.expect_err("it stops")), "DRAINING");
        let end = async {
            while frames.message().await?.is_some() {}
            Ok::<(), Status>(())
        };
        assert_eq!(
            reason_of(&within("the end", end).await.expect_err("it stops")),
            "DRAINING"
        );
    };
    let (status, ()) = tokio::join!(bed.server.stop(), ending);
    assert!(status.success());
    let bed = bed.restart().await;
    assert_eq!(generations(&bed.server, "c").await, ["c@1"]);
}
