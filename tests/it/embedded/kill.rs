//! `kill -9` at random, of a real process: nothing acknowledged is lost.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tidings::log::{Log, NewRecord, embedded::EmbeddedLog};

use super::{append, at, open, read_all, record, settings, topic, values};

const ROUNDS: usize = 50;
const DIRECTORY: &str = "TIDINGS_TEST_KILL_DIRECTORY";

/// The child of the test below, which names its directory; by itself it appends a little to a directory of its own.
#[tokio::test]
async fn a_child_appends_and_says_what_is_durable() {
    let own = tempfile::tempdir().unwrap();
    let given = std::env::var_os(DIRECTORY).map(PathBuf::from);
    let log = open(given.as_deref().unwrap_or(own.path())).await;
    let count = if given.is_some() { 1_000_000 } else { 3 };
    for n in 0..count {
        let records = (0..4).map(|partition| NewRecord {
            partition: Some(partition % 2),
            ..record("t", format!("{n}-{partition}-{}", "x".repeat(n % 700)))
        });
        if given.is_none() && n == 0 {
            log.create_topic(&topic("t"), settings(2)).await.unwrap();
        }
        let records: Vec<_> = records.collect();
        let texts: Vec<_> = records
            .iter()
            .map(|record| String::from_utf8(record.value.clone().unwrap().into()).unwrap())
            .collect();
        for (placed, text) in append(&*log, records).await.into_iter().zip(texts) {
            say(&format!("\nacked {} {} {text}", placed.partition, placed.offset));
        }
    }
    log.close().await;
}

/// Not through the test harness, which would keep it.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    log.create_topic(&topic("t"), settings(2)).await.unwrap();
    log.close().await;
    let mut acked: BTreeMap<(i32, i64), String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let before = acked.len();
        kill_after(dir.path(), fastrand::usize(1..300), &mut acked);
        assert!(acked.len() > before, "the child wrote nothing in round {round}");
        let log = open(dir.path()).await;
        check(&log, &acked, round).await;
        log.close().await;
    }
}

/// Starts the child, reads so many acknowledgements, kills it, and takes what else it had said.
fn kill_after(dir: &Path, count: usize, acked: &mut BTreeMap<(i32, i64), String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "embedded::kill::a_child_appends_and_says_what_is_durable",
            "--nocapture",
        ])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut seen = 0;
    while lines.read_line(&mut line).unwrap() > 0 {
        // A line without its end was cut by the kill.
        if let (Some(text), true) = (line.strip_prefix("acked "), line.ends_with('\n')) {
            let mut parts = text.trim_end().splitn(3, ' ');
            let place = (
                parts.next().unwrap().parse().unwrap(),
                parts.next().unwrap().parse().unwrap(),
            );
            acked.insert(place, parts.next().unwrap().to_owned());
            seen += 1;
            if seen == count {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
}

async fn check(log: &EmbeddedLog, acked: &BTreeMap<(i32, i64), String>, round: usize) {
    for partition in 0..2 {
        let records = read_all(log, &at("t", partition), 0).await;
        assert!(
            records.iter().enumerate().all(|(n, record)| record.offset == n as i64),
            "a hole in round {round}"
        );
        let found = values(&records);
        for ((_, offset), value) in acked.range((partition, 0)..(partition + 1, 0)) {
            let found = found.get(usize::try_from(*offset).unwrap());
            assert_eq!(found, Some(value), "lost {partition}/{offset} in round {round}");
        }
    }
}
