//! The damage table of docs/embedded-log.md: what is done about each kind of damage.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tidings::{
    error::{Error, Reason},
    log::{
        Log,
        embedded::{EmbeddedLog, Kind, Options, verify},
    },
};

use super::{append, at, read_all, record, settings, topic, values};

/// One journal takes all; segments are small.
fn options(dir: &Path) -> Options {
    Options {
        journal_bytes: 4 << 20,
        segment_bytes: 16 << 10,
        ..Options::new(dir)
    }
}

/// A log as `kill -9` leaves it, with 100 records of 1 kB, each durable before the next.
async fn killed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    for n in 0..100 {
        append(&*log, vec![record("t", value(n))]).await;
    }
    let killed = copy(dir.path());
    log.close().await;
    killed
}

/// The same, closed and opened again: what it has lies in segments.
async fn closed() -> TempDir {
    let dir = killed().await;
    let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
    log.close().await;
    dir
}

fn value(n: usize) -> String {
    format!("{n}-{}", "v".repeat(1000))
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(from, to.path()).unwrap();
    to
}

/// Fails where a file goes away meanwhile.
fn copy_into(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() {
            fs::create_dir(to.join(&name))?;
            copy_into(&path, &to.join(&name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The files of a kind, in order.
fn files(dir: &Path, folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(
                dir,
                path.strip_prefix(dir).unwrap().to_str().unwrap(),
                extension,
            ));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn journal(dir: &Path) -> PathBuf {
    files(dir, "journal", "journal").pop().unwrap()
}

/// Where the bytes that were written end: the rest of the file is zeros.
fn end_of(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn write(file: &Path, bytes: &[u8], place: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .write_all_at(bytes, place)
        .unwrap();
}

fn flip(file: &Path, place: u64) {
    let byte = fs::read(file).unwrap()[usize::try_from(place).unwrap()];
    write(file, &[byte ^ 4], place);
}

fn cut(file: &Path, len: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(len)
        .unwrap();
}

async fn reopened(dir: &Path) -> Vec<String> {
    let log = EmbeddedLog::open(options(dir)).await.unwrap();
    let records = read_all(&*log, &at("t", 0), 0).await;
    let after = append(&*log, vec![record("t", "after")]).await;
    assert_eq!(after[0].offset, records.len() as i64);
    log.close().await;
    values(&records)
}

/// Opening is refused; the error and `verify` name the file and a place at or before `place`, not far from it.
async fn refused(dir: &Path, file: &Path, place: Option<u64>) -> Error {
    let error = EmbeddedLog::open(options(dir)).await.err().expect("opening is refused");
    assert_eq!(error.reason(), Reason::LogDamaged, "{error}");
    assert!(error.text().contains(file.to_str().unwrap()), "{error}");
    let report = verify(dir).unwrap();
    assert!(!report.is_sound());
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.file == file)
        .expect("verify finds it too");
    if let Some(place) = place {
        assert!(
            finding.place <= place && finding.place + 1200 > place,
            "{} for {place}",
            finding.place
        );
        assert!(error.text().contains(&format!("at byte {}", finding.place)), "{error}");
    }
    error
}

fn first(count: usize) -> Vec<String> {
    (0..count).map(value).collect()
}

#[tokio::test]
async fn without_damage_all_is_there_and_verify_says_so() {
    let dir = killed().await;
    let report = verify(dir.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.partitions[0].start, report.partitions[0].end), (0, 100));
    assert_eq!(reopened(dir.path()).await, first(100));
    let report = verify(dir.path()).unwrap();
    assert!(report.is_sound() && report.findings.is_empty(), "{report}");
    assert_eq!((report.partitions[0].end, report.journals.len()), (101, 1));
    assert!(report.partitions[0].segments > 5);
}

#[tokio::test]
async fn a_cut_tail_opens_with_the_last_whole_record() {
    let dir = killed().await;
    let end = end_of(&journal(dir.path()));
    cut(&journal(dir.path()), end - 10);
    assert_eq!(verify(dir.path()).unwrap().findings[0].kind, Kind::TornTail);
    assert_eq!(reopened(dir.path()).await, first(99));
}

#[tokio::test]
async fn an_unacknowledged_record_that_lacks_a_page_is_cut() {
    for attempt in 0..5 {
        let dir = killed().await;
        let before = end_of(&journal(dir.path()));
        let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
        append(&*log, vec![record("t", "y".repeat(100_000))]).await;
        let dir = copy(dir.path());
        log.close().await;
        let file = journal(dir.path());
        assert!(end_of(&file) < before + 200_000);
        write(&file, &[0; 4096], 4096 * (attempt * 3 + 2));
        let report = verify(dir.path()).unwrap();
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.findings[0].kind, Kind::TornTail);
        assert_eq!(reopened(dir.path()).await, first(100));
    }
}

#[tokio::test]
async fn zeros_in_the_durable_middle_are_refused() {
    let dir = killed().await;
    for attempt in 0..10 {
        let dir = copy(dir.path());
        let file = journal(dir.path());
        let place = 9_000 + attempt * 7_919;
        write(&file, &[0; 4096], place);
        refused(dir.path(), &file, Some(place)).await;
        let report = verify(dir.path()).unwrap();
        let lost = &report.findings[0].lost[0];
        assert_eq!((lost.topic.as_str(), lost.to), ("t", 100));
        assert!(lost.from > 0 && lost.from < 100);
        assert!(
            report.to_string().contains("cutting there loses t/0 from offset"),
            "{report}"
        );
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_durable_middle_is_refused() {
    let dir = killed().await;
    for attempt in 0..10 {
        let dir = copy(dir.path());
        let file = journal(dir.path());
        let place = 3_000 + attempt * 9_001;
        flip(&file, place);
        refused(dir.path(), &file, Some(place)).await;
    }
}

#[tokio::test]
async fn a_missing_journal_is_refused() {
    let dir = killed().await;
    let file = journal(dir.path());
    fs::remove_file(&file).unwrap();
    refused(dir.path(), &file, None).await;
    // The empty one of a closed log, too: nobody knows that it was empty.
    let dir = closed().await;
    let file = journal(dir.path());
    fs::remove_file(&file).unwrap();
    refused(dir.path(), &file, None).await;
}

#[tokio::test]
async fn a_sealed_journal_that_is_missing_short_or_damaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let small = |dir: &Path| Options {
        journal_bytes: 8 << 10,
        ..options(dir)
    };
    let log = EmbeddedLog::open(small(dir.path())).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    // Copies are taken until one is caught with more than one journal.
    let caught = loop {
        append(&*log, vec![record("t", value(0)); 9]).await;
        let caught = tempfile::tempdir().unwrap();
        if copy_into(dir.path(), caught.path()).is_ok()
            && files(caught.path(), "journal", "journal").len() > 1
            && verify(caught.path()).is_ok_and(|report| report.is_sound())
        {
            break caught;
        }
    };
    log.close().await;
    for damage in 0..3 {
        let dir = copy(caught.path());
        let sealed = files(dir.path(), "journal", "journal").remove(0);
        match damage {
            0 => fs::remove_file(&sealed).unwrap(),
            1 => cut(&sealed, 5_000),
            _ => flip(&sealed, end_of(&sealed) - 20),
        }
        refused(dir.path(), &sealed, None).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_segment_is_an_error_where_it_is_read() {
    let dir = closed().await;
    let segments = files(dir.path(), "topics", "segment");
    flip(&segments[2], 5_000);
    let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
    let mut reader = log.read(&at("t", 0), 0, Some(100));
    let mut read = 0;
    let error = loop {
        match crate::log::next(&mut reader).await {
            Ok(batch) => read = batch.next,
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), Reason::LogDamaged);
    assert!(error.text().contains(segments[2].to_str().unwrap()), "{error}");
    assert!(read > 10 && read < 50, "{read}");
    log.close().await;
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.findings.len(), &report.findings[0].file), (1, &segments[2]));
    assert!(report.findings[0].lost[0].from >= read, "{report}");
}

#[tokio::test]
async fn a_missing_or_short_segment_is_refused() {
    let dir = closed().await;
    for number in [0, 2] {
        let dir = copy(dir.path());
        let segment = files(dir.path(), "topics", "segment").remove(number);
        fs::remove_file(&segment).unwrap();
        refused(dir.path(), &segment, None).await;
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.findings[0].lost[0].topic, "t");
    }
    let segment = files(dir.path(), "topics", "segment").remove(1);
    cut(&segment, 4_000);
    let error = refused(dir.path(), &segment, None).await;
    assert!(error.text().contains("at byte 4000"), "{error}");
}

#[tokio::test]
async fn a_missing_or_damaged_manifest_or_checkpoint_is_refused() {
    let dir = closed().await;
    for (name, is_removed) in [
        ("manifest", true),
        ("manifest", false),
        ("checkpoint-", true),
        ("checkpoint-", false),
    ] {
        let dir = copy(dir.path());
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let file = names
            .into_iter()
            .find(|path| path.to_str().unwrap().contains(name))
            .unwrap();
        match is_removed {
            true => fs::remove_file(&file).unwrap(),
            false => flip(&file, 60),
        }
        refused(dir.path(), &file, None).await;
    }
}

#[tokio::test]
async fn a_missing_or_damaged_index_is_done_without() {
    let dir = closed().await;
    let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
    append(&*log, vec![record("t", "z".repeat(50_000)); 20]).await;
    log.close().await;
    for index in files(dir.path(), "topics", "index") {
        match index.to_str().unwrap().contains("-0.index") && fs::metadata(&index).unwrap().len() > 24 {
            true => flip(&index, 25),
            false => fs::remove_file(&index).unwrap(),
        }
    }
    let log = EmbeddedLog::open(options(dir.path())).await.unwrap();
    for from in [0, 57, 110] {
        let read = read_all(&*log, &at("t", 0), from).await;
        assert_eq!((read[0].offset, read.len() as i64), (from, 120 - from));
    }
    log.close().await;
}
