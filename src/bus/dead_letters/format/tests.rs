use proptest::{collection::vec, option, prelude::*};

use super::*;

fn group() -> Group {
    Group::new("billing").expect("valid")
}

fn headers(all: &[(String, Option<Vec<u8>>)]) -> Headers {
    let mut builder = HeadersBuilder::default();
    for (name, value) in all {
        builder.add_parts(&[name], value.as_deref());
    }
    builder.build()
}

fn letter(headers: Headers, why: Why) -> Letter {
    Letter {
        source: TopicPartition {
            topic: Topic::new("orders").expect("valid"),
            partition: 3,
        },
        record: Record {
            offset: 17,
            time: LogTime(1_700_000_000_123),
            key: Some("k".into()),
            value: None,
            headers,
        },
        why,
    }
}

/// As it lies on the dead-letter topic.
fn written(letter: &Letter) -> Record {
    Record {
        offset: 0,
        time: LogTime(5),
        headers: letter_headers(&group(), letter),
        ..letter.record.clone()
    }
}

fn whys() -> impl Strategy<Value = Why> {
    let times = (option::of(any::<i64>()), option::of(any::<i64>()));
    let ids = (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        option::of("[a-z]{0,9}"),
    );
    let texts = ("\\PC{0,20}", "\\PC{0,20}");
    (0..6_usize, texts, any::<(u32, u32)>(), times, ids, any::<bool>()).prop_map(
        |(reason, (detail, client_id), (attempts, failures), times, (behind, parent, redrive), quarantine)| Why {
            reason: LetterReason::ALL[reason],
            detail,
            attempts,
            failures,
            first_failure: times.0.map(LogTime),
            last_failure: times.1.map(LogTime),
            client_id,
            behind: behind.map(LetterId),
            quarantine,
            redrive,
            parent: parent.map(LetterId),
        },
    )
}

/// Names of others, and of ours among them.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{0,8}",
        Just(ID.to_owned()),
        Just(STATE.to_owned()),
        Just("tidings_topic".to_owned()),
        Just("tidings_offset".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_letter_is_read_as_it_was_written(own in vec((names(), option::of(vec(any::<u8>(), 0..9))), 0..6), why in whys()) {
        let letter = letter(headers(&own), why);
        let Some(Entry::Letter(id, read)) = read(&written(&letter)) else {
            return Err(TestCaseError::fail("no letter"));
        };
        prop_assert_eq!(id, LetterId::of(&group(), &letter));
        prop_assert_eq!(&read.record.headers, &letter.record.headers);
        prop_assert_eq!((read.record.offset, read.record.time), (letter.record.offset, letter.record.time));
        prop_assert_eq!((read.record.key, read.record.value), (letter.record.key, letter.record.value));
        prop_assert_eq!((read.source, read.why), (letter.source, letter.why));
    }

    #[test]
    fn any_record_can_be_read(
        own in vec((names(), option::of(vec(any::<u8>(), 0..9))), 0..6),
        tail in vec(any::<u8>(), 0..40),
        value in option::of(vec(any::<u8>(), 0..40)),
    ) {
        let mut encoded = headers(&own).encoded().to_vec();
        encoded.extend(tail);
        let record = Record {
            offset: 0,
            time: LogTime(0),
            key: None,
            value: value.map(Bytes::from),
            headers: Headers::from_encoded(encoded.into()),
        };
        let _ = read(&record);
    }

    #[test]
    fn our_headers_stay_within_their_headroom(detail in "\\PC{0,2000}", client_id in "\\PC{0,600}", mut why in whys()) {
        (why.detail, why.client_id) = (detail, client_id);
        (why.redrive, why.behind) = (Some("r".repeat(5_000)), Some(LetterId(1)));
        let letter = letter(Headers::default(), why);
        prop_assert!(letter_headers(&group(), &letter).size() < HEADROOM - 500);
    }
}

#[test]
fn a_letter_that_became_one_again_keeps_the_headers_of_the_first_time() {
    let first = letter(
        headers(&[("ce_id".to_owned(), Some(b"1".to_vec()))]),
        Why::new(LetterReason::Nacked),
    );
    let mut again = letter(letter_headers(&group(), &first), Why::new(LetterReason::Attempts));
    again.why.redrive = Some("r".to_owned());
    let Some(Entry::Letter(id, read)) = read(&written(&again)) else {
        panic!("no letter");
    };
    assert_eq!(
        (id, read.why.reason),
        (LetterId::of(&group(), &again), LetterReason::Attempts)
    );
    assert_ne!(id, LetterId::of(&group(), &first));
    assert_eq!(read.record.headers, letter_headers(&group(), &first));
}

#[test]
fn changes_are_json_and_read_as_they_were_written() {
    let request = Request {
        id: "r".to_owned(),
        ids: vec![LetterId(0xab)],
        by: "anonymous".to_owned(),
        reason: String::new(),
        time_ms: 7,
    };
    let text = r#"{"redrive":{"id":"r","ids":["00000000000000ab"],"by":"anonymous","reason":"","time":7}}"#;
    let redrive = Change::Redrive(request.clone());
    assert_eq!(change(&redrive).1, text);
    let done = Change::Done { ids: vec![LetterId(1)] };
    assert_eq!(change(&done).1, r#"{"done":{"ids":["0000000000000001"]}}"#);
    for written in [redrive, Change::Discard(request), done] {
        let (headers, value) = change(&written);
        let record = Record {
            offset: 0,
            time: LogTime(0),
            key: None,
            value: Some(value),
            headers,
        };
        let Some(Entry::State(read)) = read(&record) else {
            panic!("no change");
        };
        assert_eq!(read, written);
    }
}

#[test]
fn a_text_is_cut_between_characters() {
    assert_eq!((cut("aä", 2), cut("aä", 3), cut("", 1)), ("a", "aä", ""));
}
