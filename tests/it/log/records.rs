//! Appending and reading.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use tidings::{
    error::Reason,
    log::{Batch, LogTime, NewRecord, Placed},
};

use super::{Backend, append, at, headers, next, read_all, reason, record, settings, topic, values};

pub(crate) async fn what_was_appended_is_read_as_it_was(log: Backend) {
    log.create("t", 1).await;
    let full = NewRecord {
        key: Some(Bytes::from_static(b"key")),
        headers: headers(&[("a", Some(b"1")), ("a", None), ("b", Some(b""))]),
        ..record("t", "value")
    };
    let empty = NewRecord {
        key: Some(Bytes::new()),
        ..record("t", "")
    };
    let null = NewRecord {
        value: None,
        ..record("t", "")
    };
    let placed = append(&*log, vec![full.clone(), empty, null]).await;
    assert_eq!(placed, [0, 1, 2].map(|offset| Placed { partition: 0, offset }));
    let read = read_all(&*log, &at("t", 0), 0).await;
    assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(
        (&read[0].key, &read[0].value, &read[0].headers),
        (&full.key, &full.value, &full.headers)
    );
    assert_eq!(
        (&read[1].key, &read[1].value),
        (&Some(Bytes::new()), &Some(Bytes::new()))
    );
    assert_eq!((&read[2].key, &read[2].value), (&None, &None));
}

pub(crate) async fn records_of_a_key_lie_in_the_partition_where_java_puts_them(log: Backend) {
    log.create("t", 7).await;
    // Utils.murmur2 of these is known from Kafka's own tests.
    for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
        let keyed = NewRecord {
            partition: None,
            key: Some(key.into()),
            ..record("t", "x")
        };
        let placed = append(&*log, vec![keyed]).await;
        assert_eq!(placed[0].partition, (hash & 0x7fff_ffff) % 7, "{key}");
    }
}

pub(crate) async fn records_without_a_key_of_one_call_stay_together_and_calls_are_spread(log: Backend) {
    log.create("t", 4).await;
    let mut used = BTreeMap::new();
    for _ in 0..40 {
        let keyless = NewRecord {
            partition: None,
            ..record("t", "x")
        };
        let placed = append(&*log, vec![keyless; 3]).await;
        assert!(placed.iter().all(|place| place.partition == placed[0].partition));
        *used.entry(placed[0].partition).or_insert(0) += 1;
    }
    assert!(used.len() > 1, "{used:?}");
}

pub(crate) async fn a_read_starts_anywhere_and_ends_before_until(log: Backend) {
    log.create("t", 1).await;
    for call in 0..10 {
        append(
            &*log,
            (0..10).map(|n| record("t", format!("{}", call * 10 + n))).collect(),
        )
        .await;
    }
    for from in [0, 1, 9, 10, 55, 99, 100] {
        for until in [from, from + 1, 57, 100] {
            let batches: Vec<Batch> = log
                .read(&at("t", 0), from, Some(until))
                .map(|batch| batch.unwrap())
                .collect()
                .await;
            let offsets: Vec<i64> = batches
                .iter()
                .flat_map(|batch| &batch.records)
                .map(|record| record.offset)
                .collect();
            assert_eq!(offsets, (from..until.min(100)).collect::<Vec<_>>(), "{from} to {until}");
            if let Some(last) = batches.last() {
                assert!(last.next >= until.min(100) && last.end == 100);
            }
            if until > 99 {
                break;
            }
        }
    }
}

pub(crate) async fn a_reader_at_the_end_gets_what_comes(log: Backend) {
    log.create("t", 1).await;
    let mut reader = log.read(&at("t", 0), 0, None);
    for n in 0..20 {
        let value = n.to_string();
        let (batch, _) = tokio::join!(next(&mut reader), append(&*log, vec![record("t", value.clone())]));
        assert_eq!(values(&batch.unwrap().records), [value]);
    }
}

pub(crate) async fn a_position_outside_is_gone(log: Backend) {
    log.create("t", 1).await;
    append(&*log, vec![record("t", "x")]).await;
    for from in [-1, 2, 100] {
        let mut reader = log.read(&at("t", 0), from, None);
        assert_eq!(reason(next(&mut reader).await), Reason::PositionGone, "{from}");
        assert!(reader.next().await.is_none());
    }
    for partition in [at("t", 1), at("other", 0)] {
        assert_eq!(
            reason(next(&mut log.read(&partition, 0, None)).await),
            Reason::TopicNotFound
        );
        assert_eq!(reason(log.bounds(&[partition]).await), Reason::TopicNotFound);
    }
}

pub(crate) async fn calls_keep_their_order(log: Backend) {
    log.create("t", 2).await;
    let mut receipts = Vec::new();
    for n in 0..300 {
        let records = vec![
            record("t", format!("{n}a")),
            NewRecord {
                partition: Some(1),
                ..record("t", "between")
            },
            record("t", format!("{n}b")),
        ];
        receipts.push(log.append(records).await.unwrap());
    }
    for (n, outcomes) in join_all(receipts).await.into_iter().enumerate() {
        let offsets: Vec<i64> = outcomes.into_iter().map(|outcome| outcome.unwrap().offset).collect();
        let n = n as i64;
        assert_eq!(offsets, [2 * n, n, 2 * n + 1]);
    }
    let expected: Vec<_> = (0..300).flat_map(|n| [format!("{n}a"), format!("{n}b")]).collect();
    assert_eq!(values(&read_all(&*log, &at("t", 0), 0).await), expected);
}

pub(crate) async fn many_callers_at_once_lose_nothing(log: Backend) {
    log.create("t", 3).await;
    let log = Arc::new(log);
    let callers = (0..64).map(|caller| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for n in 0..20 {
                let keyed = NewRecord {
                    partition: None,
                    key: Some(format!("caller {caller}").into()),
                    ..record("t", format!("{n}"))
                };
                append(&**log, vec![keyed]).await;
            }
        })
    });
    join_all(callers).await.into_iter().for_each(|caller| caller.unwrap());
    let mut seen: BTreeMap<Bytes, Vec<String>> = BTreeMap::new();
    for partition in 0..3 {
        for record in read_all(&**log, &at("t", partition), 0).await {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            seen.entry(record.key.unwrap()).or_default().push(value);
        }
    }
    assert_eq!(seen.len(), 64);
    let in_order: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    assert!(seen.values().all(|values| *values == in_order));
}

pub(crate) async fn an_unknown_topic_is_refused_and_nothing_is_written(log: Backend) {
    log.create("t", 1).await;
    let bad = [
        record("other", "x"),
        NewRecord {
            partition: Some(1),
            ..record("t", "x")
        },
    ];
    for bad in bad {
        assert_eq!(
            reason(log.append(vec![record("t", "x"), bad]).await),
            Reason::TopicNotFound
        );
    }
    assert_eq!(log.bounds(&[at("t", 0)]).await.unwrap()[0].end, 0);
    assert!(log.append(Vec::new()).await.unwrap().await.is_empty());
}

pub(crate) async fn a_record_that_is_too_large_is_refused_and_nothing_is_written(log: Backend) {
    log.create("t", 1).await;
    let large = record("t", vec![0; 64 << 20]);
    assert_eq!(
        reason(log.append(vec![record("t", "x"), large]).await),
        Reason::EventTooLarge
    );
    assert_eq!(log.bounds(&[at("t", 0)]).await.unwrap()[0].end, 0);
}

pub(crate) async fn times_never_go_back_and_offsets_are_found_by_them(log: Backend) {
    log.create("t", 1).await;
    for n in 0..50 {
        append(&*log, vec![record("t", n.to_string()); 3]).await;
    }
    let records = read_all(&*log, &at("t", 0), 0).await;
    assert!(records.is_sorted_by_key(|record| record.time));
    for time in records[0].time.0 - 1..=records[149].time.0 + 1 {
        let expected = records.iter().position(|record| record.time.0 >= time).unwrap_or(150) as i64;
        let found = log.offsets_at(&[at("t", 0)], LogTime(time)).await.unwrap();
        assert_eq!(found, [expected]);
    }
}

pub(crate) async fn batches_are_bounded_but_for_their_last_record(log: Backend) {
    log.create("t", 1).await;
    let sizes = [10, 3 << 20, 10, 400_000, 400_000, 400_000, 10];
    append(&*log, sizes.iter().map(|size| record("t", vec![b'x'; *size])).collect()).await;
    let batches: Vec<Batch> = log
        .read(&at("t", 0), 0, Some(7))
        .map(|batch| batch.unwrap())
        .collect()
        .await;
    let read: Vec<usize> = batches
        .iter()
        .flat_map(|batch| &batch.records)
        .map(|record| record.value.as_ref().unwrap().len())
        .collect();
    assert_eq!(read, sizes);
    for batch in &batches {
        let sizes: Vec<usize> = batch.records.iter().map(|record| record.size()).collect();
        let before_the_last: usize = sizes[..sizes.len() - 1].iter().sum();
        assert!(before_the_last < 256 << 10, "{sizes:?}");
    }
}

pub(crate) async fn a_closed_log_is_unavailable(log: Backend) {
    log.create("t", 1).await;
    let receipt = log.append(vec![record("t", "x")]).await.unwrap();
    let mut reader = log.read(&at("t", 0), 0, None);
    log.close().await;
    assert!(receipt.await[0].is_ok(), "what was handed over is finished");
    assert_eq!(reason(log.append(vec![record("t", "x")]).await), Reason::LogUnavailable);
    assert_eq!(
        reason(log.create_topic(&topic("u"), settings(1)).await),
        Reason::LogUnavailable
    );
    assert_eq!(reason(log.topics().await), Reason::LogUnavailable);
    let last = loop {
        match next(&mut reader).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(last.reason(), Reason::LogUnavailable);
}
