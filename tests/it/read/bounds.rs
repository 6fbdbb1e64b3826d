//! Where a read starts and ends.

use super::*;

#[tokio::test]
async fn starts_are_inclusive() {
    let server = with_events(40).await;
    let there = server.read_all(ORDERS).await;
    let ends = [0, 1].map(|partition| there.iter().filter(|read| place(read).0 == partition).count());
    assert_eq!(read(&server, from(At::Earliest(()))).await.len(), 40);
    assert_eq!(read(&server, from(At::Latest(()))).await, []);
    let mut got = read(&server, from(At::Positions(positions(&[(0, 3)])))).await;
    got.sort_unstable();
    assert_eq!((got[0], got.len()), ((0, 3), 37));
    assert!(got.contains(&(1, 0)), "partitions not named start at the earliest");
    let at_the_ends: Vec<_> = (0..)
        .zip(ends)
        .map(|(partition, end)| (partition, i64::try_from(end).expect("few")))
        .collect();
    assert_eq!(read(&server, from(At::Positions(positions(&at_the_ends)))).await, []);
}

#[tokio::test]
async fn ends_are_exclusive() {
    let server = with_events(40).await;
    assert_eq!(read(&server, until(Until::Latest(()))).await.len(), 40);
    let of_one = until(Until::Positions(positions(&[(1, 3)])));
    assert_eq!(read(&server, of_one).await, [(1, 0), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn times_mean_the_logs_clock_and_bound_both_ends() {
    let server = with_events(0).await;
    for n in 0..60 {
        publish(&server, n..n + 1).await;
    }
    let there = server.read_all(ORDERS).await;
    let time = |read: &ReadEvent| read.log_time.map(|time| (time.seconds, time.nanos)).expect("a time");
    let mut times: Vec<_> = there.iter().map(time).collect();
    times.sort_unstable();
    let middle = times[30];
    let at = prost_types::Timestamp {
        seconds: middle.0,
        nanos: middle.1,
    };
    let later = times.iter().filter(|time| **time >= middle).count();
    assert_eq!(read(&server, from(At::Time(at))).await.len(), later);
    assert_eq!(read(&server, until(Until::Time(at))).await.len(), 60 - later);
    let both = ReadRequest {
        end: Some(End {
            until: Some(Until::Time(at)),
        }),
        ..from(At::Time(at))
    };
    assert_eq!(read(&server, both).await, []);
    let far = prost_types::Timestamp {
        seconds: 1 << 33,
        nanos: 0,
    };
    assert_eq!(read(&server, from(At::Time(far))).await, []);
}

#[tokio::test]
async fn max_events_ends_the_read_with_and_without_follow() {
    let server = with_events(50).await;
    for count in [1, 7, 50] {
        let bounded = ReadRequest {
            max_events: count,
            ..reading()
        };
        assert_eq!(read(&server, bounded).await.len(), usize::try_from(count).expect("few"));
        let bounded = ReadRequest {
            max_events: count,
            follow: true,
            ..from(At::Earliest(()))
        };
        assert_eq!(read(&server, bounded).await.len(), usize::try_from(count).expect("few"));
    }
}

#[tokio::test]
async fn a_position_that_the_log_does_not_have_is_told_as_a_gap() {
    let server = with_events(10).await;
    let request = from(At::Positions(positions(&[(0, 1_000), (1, 0)])));
    let mut reading = server.read(request).await.expect("read");
    let Some(Frame::Gap(gap)) = reading.next().await.expect("no error") else {
        panic!("no gap");
    };
    assert_eq!((gap.partition, gap.from_offset, gap.to_offset), (0, 1_000, 0));
    assert_eq!(gap.reason(), GapReason::Truncated);
    assert_eq!(reading.rest().await.expect("to its end").len(), 10);
}
