//! Dead letters: listed, shown, redriven and discarded, the same after a restart; what is refused.

pub(crate) mod letters;
mod command;
mod denied;
mod storing;

use tidings::{
    bus::dead_letters::{LetterReason, Why},
    log::LogTime,
    proto::{
        io::cloudevents::v1::cloud_event::Data,
        tidings::v1::{
            DeadLetter, DeadLetterFilter, DeadLetterReason, DeadLetterState, Filter, GetDeadLetterRequest,
            ListDeadLettersRequest, filter::Dialect,
        },
    },
};
use tonic::{Code, Status};

use self::letters::{GROUP, behind, discard, head, id, letter, nacked, outcomes, redrive, unreadable};
use crate::harness::{
    Server,
    clients::{ORDERS, open},
    status::{fields, refused},
    within,
};

use DeadLetterState::{Discarded, Parked, Redriving};

async fn show(server: &Server, id: &str, include_event: bool) -> Result<DeadLetter, Status> {
    let request = GetDeadLetterRequest {
        group: GROUP.to_owned(),
        id: id.to_owned(),
        include_event,
    };
    let shown = within("a dead letter", server.dead_letters().get_dead_letter(request)).await?;
    Ok(shown.into_inner().dead_letter.expect("a dead letter"))
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_why_it_is_one_and_with_its_event_when_asked() {
    let why = Why {
        detail: "no such customer".to_owned(),
        attempts: 5,
        failures: 4,
        first_failure: Some(LogTime(1_700_000_001_000)),
        last_failure: Some(LogTime(1_700_000_002_500)),
        client_id: "billing-1".to_owned(),
        ..Why::new(LetterReason::Attempts)
    };
    let written = letter(17, "a", why);
    let server = Server::with_letters(std::slice::from_ref(&written)).await;
    let shown = show(&server, &id(&written), false).await.expect("shown");
    assert_eq!((shown.event.as_ref(), shown.fault.as_ref()), (None, None));
    assert_eq!(
        (shown.group.as_str(), shown.state(), shown.reason()),
        (GROUP, Parked, DeadLetterReason::Attempts)
    );
    let position = shown.position.as_ref().expect("a position");
    assert_eq!(
        (position.topic.as_str(), position.partition, position.offset),
        (ORDERS, 1, 17)
    );
    assert_eq!(
        (shown.detail.as_str(), shown.client_id.as_str()),
        ("no such customer", "billing-1")
    );
    assert_eq!(
        (shown.attempts, shown.failures, shown.key.as_deref()),
        (5, 4, Some(&b"a"[..]))
    );
    assert_eq!(
        shown.last_failure_time.expect("set").to_string(),
        "2023-11-14T22:13:22.500Z"
    );
    assert_eq!(shown.log_time.expect("set").to_string(), "2023-11-14T22:13:20.017Z");
    let listed = server.letters(DeadLetterFilter::default()).await;
    assert_eq!(listed, [shown]);
    let event = show(&server, &id(&written), true)
        .await
        .expect("shown")
        .event
        .expect("an event");
    assert_eq!(
        (event.id.as_str(), event.data),
        ("17", Some(Data::TextData("data 17".to_owned())))
    );
}

#[tokio::test]
async fn a_dead_letter_that_is_no_event_is_shown_with_its_fault_and_its_bytes() {
    let written = unreadable(3);
    let server = Server::with_letters(std::slice::from_ref(&written)).await;
    let shown = show(&server, &id(&written), true).await.expect("shown");
    assert!(shown.fault.is_some());
    let event = shown.event.expect("an event");
    assert_eq!(event.data, Some(Data::BinaryData("data 3".into())));
}

#[tokio::test]
async fn pages_are_newest_first_and_stay_while_letters_are_added() {
    let mut all: Vec<_> = (0..5).map(|n| letter(n, "a", nacked())).collect();
    let server = Server::with_letters(&all).await;
    let request = |page_token: &str| ListDeadLettersRequest {
        group: GROUP.to_owned(),
        page_size: 2,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let ids = |letters: &[DeadLetter]| -> Vec<String> { letters.iter().map(|letter| letter.id.clone()).collect() };
    let first = server.letters_page(request("")).await.expect("a page");
    assert_eq!(ids(&first.dead_letters), [id(&all[4]), id(&all[3])]);
    all.push(letter(9, "a", nacked()));
    let server = server.and_letters(&all[5..]).await;
    let second = server
        .letters_page(request(&first.next_page_token))
        .await
        .expect("a page");
    assert_eq!(ids(&second.dead_letters), [id(&all[2]), id(&all[1])]);
    let last = server
        .letters_page(request(&second.next_page_token))
        .await
        .expect("a page");
    assert_eq!(
        (ids(&last.dead_letters), last.next_page_token.as_str()),
        (vec![id(&all[0])], "")
    );
}

#[tokio::test]
async fn a_page_is_cut_before_it_grows_too_large() {
    let key = "k".repeat(600_000);
    let all: Vec<_> = (0..3).map(|n| letter(n, &key, nacked())).collect();
    let server = Server::with_letters(&all).await;
    let mut request = ListDeadLettersRequest {
        group: GROUP.to_owned(),
        ..Default::default()
    };
    let first = server.letters_page(request.clone()).await.expect("a page");
    assert_eq!(first.dead_letters.len(), 2);
    request.page_token = first.next_page_token;
    let last = server.letters_page(request).await.expect("a page");
    assert_eq!((last.dead_letters.len(), last.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn letters_are_found_by_topic_reason_state_time_and_event() {
    let all = [
        letter(1, "a", nacked()),
        letter(2, "b", Why::new(LetterReason::TooLarge)),
        unreadable(3),
    ];
    let server = Server::with_letters(&all).await;
    server.redrive(redrive(&[id(&all[0])])).await.expect("redriven");
    let cesql = |text: &str| Filter {
        dialect: Some(Dialect::Cesql(text.to_owned())),
    };
    let past = prost_types::Timestamp {
        seconds: 1_600_000_000,
        nanos: 0,
    };
    let filter = |set: &dyn Fn(&mut DeadLetterFilter)| {
        let mut filter = DeadLetterFilter::default();
        set(&mut filter);
        filter
    };
    let everything = [id(&all[2]), id(&all[1]), id(&all[0])];
    for (matching, found) in [
        (filter(&|_| ()), &everything[..]),
        (filter(&|f| f.topic = ORDERS.to_owned()), &everything),
        (filter(&|f| f.topic = "others".to_owned()), &[]),
        (
            filter(&|f| f.reason = DeadLetterReason::TooLarge.into()),
            &everything[1..2],
        ),
        (filter(&|f| f.state = Redriving.into()), &everything[2..]),
        (filter(&|f| f.state = Parked.into()), &everything[..2]),
        (filter(&|f| f.start_time = Some(past)), &everything),
        (filter(&|f| f.end_time = Some(past)), &[]),
        (filter(&|f| f.filter = Some(cesql("subject = 'b'"))), &everything[1..2]),
        (filter(&|f| f.filter = Some(cesql("TRUE"))), &everything[1..]),
    ] {
        assert_eq!(server.matching(matching.clone()).await, found, "{matching:?}");
    }
}

#[tokio::test]
async fn redriving_twice_redrives_once_and_a_restart_changes_nothing() {
    let all = [letter(1, "a", nacked()), letter(2, "b", nacked())];
    let server = Server::with_letters(&all).await;
    let mut request = redrive(&[id(&all[0]), "00000000000000ff".to_owned()]);
    request.request_id = "again".to_owned();
    let first = server.redrive(request.clone()).await.expect("redriven");
    assert_eq!((first.redrive_id.as_str(), first.count), ("again", 1));
    let done = [
        (id(&all[0]), "REDRIVEN".to_owned()),
        ("00000000000000ff".to_owned(), "NOT_FOUND".to_owned()),
    ];
    assert_eq!(outcomes(&first.results), done);
    let server = server.restart().await;
    assert_eq!(server.redrive(request).await.expect("the same answer"), first);
    let other = server.redrive(redrive(&[id(&all[0])])).await.expect("nothing");
    assert_eq!(
        (other.count, outcomes(&other.results)),
        (0, vec![(id(&all[0]), "UNCHANGED".to_owned())])
    );
    let shown = show(&server, &id(&all[0]), false).await.expect("shown");
    assert_eq!(
        (shown.state(), shown.redrive_id.as_str(), shown.state_by.as_str()),
        (Redriving, "again", "anonymous")
    );
    assert_eq!(server.states().await, [(id(&all[1]), Parked), (id(&all[0]), Redriving)]);
}

/// Nobody knows of it: it left nothing on the log.
#[tokio::test]
async fn a_request_that_moved_nothing_moves_what_is_there_when_it_is_repeated() {
    let written = letter(1, "a", nacked());
    let server = Server::with_letters(&[letter(2, "b", nacked())]).await;
    let mut request = redrive(&[id(&written)]);
    request.request_id = "early".to_owned();
    let first = server.redrive(request.clone()).await.expect("nothing");
    let not_found = vec![(id(&written), "NOT_FOUND".to_owned())];
    assert_eq!((first.count, outcomes(&first.results)), (0, not_found));
    let server = server.and_letters(std::slice::from_ref(&written)).await;
    let second = server.redrive(request.clone()).await.expect("redriven");
    assert_eq!((second.redrive_id.as_str(), second.count), ("early", 1));
    assert_eq!(server.redrive(request).await.expect("the same answer"), second);
}

#[tokio::test]
async fn a_repeated_redrive_of_all_leaves_what_came_later() {
    let all = [letter(1, "a", nacked()), letter(2, "b", nacked())];
    let server = Server::with_letters(&all[..1]).await;
    let mut request = redrive(&[]);
    request.matching = Some(DeadLetterFilter::default());
    request.request_id = "all".to_owned();
    let first = server.redrive(request.clone()).await.expect("redriven");
    let server = server.and_letters(&all[1..]).await;
    assert_eq!(server.redrive(request).await.expect("the same answer"), first);
    assert_eq!(server.states().await, [(id(&all[1]), Parked), (id(&all[0]), Redriving)]);
}

#[tokio::test]
async fn a_trial_tells_the_count_and_the_first_and_changes_nothing() {
    let all: Vec<_> = (0..12).map(|n| letter(n, "a", nacked())).collect();
    let server = Server::with_letters(&all).await;
    let mut trial = redrive(&[]);
    (trial.matching, trial.validate_only) = (Some(DeadLetterFilter::default()), true);
    let would = server.redrive(trial).await.expect("a trial");
    assert_eq!(
        (would.count, would.sample.len(), would.redrive_id.as_str()),
        (12, 10, "")
    );
    assert_eq!(would.sample[0].id, id(&all[0]));
    let mut trial = discard(&[id(&all[3])]);
    (trial.reason, trial.validate_only) = (String::new(), true);
    assert_eq!(server.discard(trial).await.expect("a trial").count, 1);
    assert!(server.states().await.iter().all(|(_, state)| *state == Parked));
}

#[tokio::test]
async fn a_chain_is_redriven_whole() {
    let first = letter(1, "a", head());
    let all = [first.clone(), letter(2, "a", behind(&first)), letter(3, "b", nacked())];
    let server = Server::with_letters(&all).await;
    let done = server.redrive(redrive(&[id(&all[1])])).await.expect("redriven");
    let expected = [
        (id(&all[1]), "REDRIVEN".to_owned()),
        (id(&all[0]), "REDRIVEN".to_owned()),
    ];
    assert_eq!((done.count, outcomes(&done.results)), (2, expected.to_vec()));
    assert_eq!(server.states().await[0], (id(&all[2]), Parked));
    let shown = show(&server, &id(&all[1]), false).await.expect("shown");
    assert_eq!((shown.behind, shown.redrive_id), (id(&all[0]), done.redrive_id));
}

#[tokio::test]
async fn discarding_a_head_redrives_what_waited_behind_it() {
    let first = letter(1, "a", head());
    let all = [
        first.clone(),
        letter(2, "a", behind(&first)),
        letter(3, "a", behind(&first)),
    ];
    let server = Server::with_letters(&all).await;
    let done = server
        .discard(discard(&[id(&all[0]), id(&all[1])]))
        .await
        .expect("discarded");
    assert_eq!((done.count, done.freed_count), (2, 1));
    let outcome = |letter, outcome: &str| (id(letter), outcome.to_owned());
    let expected = [
        outcome(&all[0], "DISCARDED"),
        outcome(&all[1], "DISCARDED"),
        outcome(&all[2], "FREED"),
    ];
    assert_eq!(outcomes(&done.results), expected);
    let server = server.restart().await;
    let states = [
        (id(&all[2]), Redriving),
        (id(&all[1]), Discarded),
        (id(&all[0]), Discarded),
    ];
    assert_eq!(server.states().await, states);
    let shown = show(&server, &id(&all[0]), false).await.expect("shown");
    assert_eq!(
        (shown.state_reason.as_str(), shown.redrive_id.as_str()),
        ("of no use", "")
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = Server::with_letters(&[letter(1, "a", nacked())]).await;
    let missing = "00000000000000ff";
    refused(
        show(&server, missing, true).await,
        Code::NotFound,
        "DEAD_LETTER_NOT_FOUND",
    );
    refused(
        show(&server, "ff", true).await,
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    let group = |group: &str| ListDeadLettersRequest {
        group: group.to_owned(),
        ..Default::default()
    };
    refused(
        server.letters_page(group("other")).await,
        Code::NotFound,
        "GROUP_NOT_FOUND",
    );
    refused(
        server.letters_page(group("")).await,
        Code::InvalidArgument,
        "GROUP_INVALID",
    );
    let mut page = group(GROUP);
    page.page_token = "eA".to_owned();
    refused(server.letters_page(page).await, Code::InvalidArgument, "PAGE_INVALID");
    let mut without_reason = discard(&[missing.to_owned()]);
    without_reason.reason = " ".to_owned();
    let status = refused(
        server.discard(without_reason).await,
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    assert_eq!(fields(&status), ["reason"]);
    let mut both = redrive(&[missing.to_owned()]);
    both.matching = Some(DeadLetterFilter::default());
    let mut of_state = redrive(&[]);
    of_state.matching = Some(DeadLetterFilter {
        state: Discarded.into(),
        ..Default::default()
    });
    let mut long = redrive(&[missing.to_owned()]);
    long.request_id = "r".repeat(129);
    for (request, field) in [
        (redrive(&[]), "ids"),
        (redrive(&["x".to_owned()]), "ids[0]"),
        (both, "matching"),
        (of_state, "matching.state"),
        (long, "request_id"),
    ] {
        let status = refused(server.redrive(request).await, Code::InvalidArgument, "REQUEST_INVALID");
        assert_eq!(fields(&status), [field]);
    }
}

#[tokio::test]
async fn a_group_that_gave_nothing_up_has_no_dead_letters() {
    let server = Server::start().await;
    let _stream = server.subscribe(open(GROUP)).await;
    assert!(server.states().await.is_empty());
    let none = server
        .redrive(redrive(&["00000000000000ff".to_owned()]))
        .await
        .expect("nothing");
    assert_eq!(none.count, 0);
}
