//! Looking through a log's directory without changing it: what is there, what is damaged, and what cutting would lose.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

use super::{
    Options,
    fault::{self, At},
    files::{self, RealFiles},
    frame::{Frame, JOURNAL_HEADER},
    recovery::apply_ops,
    report::{Finding, JournalReport, Kind, Lost, LostRecords, PartitionReport, Report},
    scan::{self, Ending, Scanner, Verdict},
    segment_read, segments,
    sheet::{self, Checkpoint, Manifest, PartitionSheet, Segment, Sheet},
    state::{INTERNAL, State},
    table::Shared,
};
use crate::error::{Error, Reason, Result};

/// Looks through a directory that no server has open. `Err` only if there is no log to look at: damage is in the report.
pub fn verify(directory: &Path) -> Result<Report> {
    if !directory.join("manifest").exists() && !directory.join("journal").exists() {
        let text = format!("{} holds no log", directory.display());
        return Err(Error::new(Reason::LogUnavailable, text));
    }
    let options = Options::new(directory);
    let _lock = match directory.join("lock").exists() {
        true => Some(super::lock(&options)?),
        false => None,
    };
    let mut verifier = Verifier {
        shared: Shared::new(options, Arc::new(RealFiles)),
        state: State::default(),
        ends: BTreeMap::new(),
        internal_end: 0,
        report: Report::new(directory),
    };
    let manifest = verifier.manifest()?;
    let checkpoint = verifier.checkpoint(&manifest)?;
    verifier.state = checkpoint.state.clone();
    verifier.internal_end = checkpoint.internal_end;
    for number in manifest.first..=manifest.last {
        verifier.journal(number, &manifest)?;
    }
    for sheet in &checkpoint.partitions {
        verifier.partition(sheet)?;
    }
    Ok(verifier.finish(&checkpoint))
}

struct Verifier {
    shared: Shared,
    state: State,
    /// Where the journals say partitions end.
    ends: BTreeMap<(u32, i32), i64>,
    internal_end: i64,
    report: Report,
}

impl Verifier {
    /// Where there is none, what the files' names say.
    fn manifest(&mut self) -> Result<Manifest> {
        let path = self.shared.layout.manifest();
        if let Some(manifest) = self.sheet(&path, "which journals there must be")? {
            return Ok(manifest);
        }
        let dir = self.shared.layout.journals();
        let names = self.shared.files.list(&dir).at("list", &dir)?;
        let journals = numbers(&names, "", ".journal");
        let names = self
            .shared
            .files
            .list(&self.shared.layout.0)
            .at("list", &self.shared.layout.0)?;
        Ok(Manifest {
            first: journals.iter().min().copied().unwrap_or(1),
            last: journals.iter().max().copied().unwrap_or(0),
            sealed: BTreeMap::new(),
            checkpoint: numbers(&names, "checkpoint-", "").into_iter().max().unwrap_or(0),
        })
    }

    fn checkpoint(&mut self, manifest: &Manifest) -> Result<Checkpoint> {
        if manifest.checkpoint == 0 {
            return Ok(Checkpoint::default());
        }
        let path = self.shared.layout.checkpoint(manifest.checkpoint);
        let checkpoint = self.sheet(
            &path,
            "topics, commits and the list of segments, as far as the journals lack them",
        )?;
        Ok(checkpoint.unwrap_or_default())
    }

    fn sheet<S: Sheet>(&mut self, path: &Path, holds: &str) -> Result<Option<S>> {
        let what = match files::read_whole(&RealFiles, path) {
            Ok(bytes) => match sheet::decode(&bytes) {
                Ok(sheet) => return Ok(Some(sheet)),
                Err(what) => what,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it is missing".into(),
            Err(error) => return Err(fault::failed(&format!("read {}", path.display()), error)),
        };
        self.report.find(Finding {
            kind: Kind::Damage,
            file: path.to_path_buf(),
            place: 0,
            what: format!("{what}; it says {holds}"),
            lost: Vec::new(),
        });
        Ok(None)
    }

    fn journal(&mut self, number: u64, manifest: &Manifest) -> Result<()> {
        let path = self.shared.layout.journal(number);
        let ending = manifest
            .sealed
            .get(&number)
            .map_or(Ending::Open, |len| Ending::Sealed(*len));
        let mut journal = JournalReport {
            file: path.clone(),
            ..JournalReport::default()
        };
        let Some(file) = self.file(&path)? else {
            return Ok(());
        };
        let mut scanner = match Scanner::new(&file, &path) {
            Ok(scanner) => scanner,
            Err(error) => return self.damage(&path, 0, error.text(), Vec::new()),
        };
        let mut ops = Vec::new();
        let mut data = Vec::new();
        let mut take = |frame: &Frame, records: &[u8]| {
            journal.frames += 1;
            journal.records += u64::from(frame.count);
            match frame.topic {
                INTERNAL => ops.push((*frame, records.to_vec())),
                _ => data.push(*frame),
            }
            Ok(())
        };
        let stop = scanner.frames(JOURNAL_HEADER as u64, ending, &mut take)?;
        journal.bytes = stop.place;
        self.report.journals.push(journal);
        self.apply(&path, ops)?;
        for frame in data {
            let end = self.ends.entry((frame.topic, frame.partition)).or_default();
            *end = (*end).max(frame.base + i64::from(frame.count));
        }
        self.judge(&path, &mut scanner, stop, ending)
    }

    fn apply(&mut self, path: &Path, ops: Vec<(Frame, Vec<u8>)>) -> Result<()> {
        for (frame, records) in ops {
            if let Err(what) = apply_ops(&mut self.state, &mut self.internal_end, &frame, &records) {
                self.damage(path, frame.position, &what, Vec::new())?;
            }
        }
        Ok(())
    }

    /// Says what the place is where the frames stopped, and what lies behind it.
    fn judge(&mut self, path: &Path, scanner: &mut Scanner<'_>, stop: scan::Stop, ending: Ending) -> Result<()> {
        let (kind, place, what) = match scan::judge(stop, ending) {
            Verdict::Damaged(place, what) => (Kind::Damage, place, what),
            Verdict::Ends(place) if matches!(ending, Ending::Open) && self.is_torn(path, place)? => {
                (Kind::TornTail, place, "what was being written when the log stopped")
            }
            Verdict::Ends(_) => return Ok(()),
        };
        let mut lost = Lost::default();
        let mut later = stop.later;
        while let Some(from) = later {
            let mut count = |frame: &Frame, _: &[u8]| {
                let known = self.ends.get(&(frame.topic, frame.partition));
                let from = known.map_or(frame.base, |end| frame.base.min(*end));
                lost.add(frame.topic, frame.partition, from..frame.base + i64::from(frame.count));
                Ok(())
            };
            let next = scanner.frames(from, Ending::Open, &mut count)?;
            later = next.later.filter(|later| *later > from);
        }
        let file = path.to_path_buf();
        let lost = lost.named(&self.state);
        self.report.find(Finding {
            kind,
            file,
            place,
            what: what.to_owned(),
            lost,
        });
        Ok(())
    }

    fn is_torn(&self, path: &Path, place: u64) -> Result<bool> {
        let Some(file) = self.file_quietly(path)? else {
            return Ok(false);
        };
        let mut bytes = vec![0; 1 << 16];
        let read = files::File::read_at(&file, &mut bytes, place).at("read", path)?;
        Ok(bytes[..read].iter().any(|byte| *byte != 0))
    }

    fn partition(&mut self, sheet: &PartitionSheet) -> Result<()> {
        let Some(topic) = self.state.topics.get(&sheet.topic) else {
            return Ok(());
        };
        let start = topic.start(sheet.partition);
        for segment in sheet.segments.iter().filter(|segment| segment.end > start) {
            self.segment(sheet, segment)?;
        }
        Ok(())
    }

    fn segment(&mut self, sheet: &PartitionSheet, segment: &Segment) -> Result<()> {
        let name = segment.name(sheet.topic, sheet.partition);
        let path = self.shared.layout.segment(name);
        let mut lost = Lost::default();
        lost.add(sheet.topic, sheet.partition, segment.base..segment.end);
        let Some(file) = self.file(&path)? else {
            if let Some(finding) = self.report.findings.last_mut() {
                finding.lost = lost.named(&self.state);
            }
            return Ok(());
        };
        let mut header = [0; segments::HEADER as usize];
        let read = files::File::read_at(&file, &mut header, 0).at("read", &path)?;
        if let Err(what) = segments::check_header(&header[..read], name) {
            return self.damage(&path, 0, what, lost.named(&self.state));
        }
        let mut next = segment.base;
        let (place, what) = match segment_read::first_bad(&file, &path, segment.len, &mut next)? {
            None => return Ok(()),
            Some(bad) => bad,
        };
        let mut lost = Lost::default();
        lost.add(sheet.topic, sheet.partition, next..segment.end);
        self.damage(&path, place, what, lost.named(&self.state))
    }

    fn damage(&mut self, path: &Path, place: u64, what: &str, lost: Vec<LostRecords>) -> Result<()> {
        self.report.find(Finding {
            kind: Kind::Damage,
            file: path.to_path_buf(),
            place,
            what: what.to_owned(),
            lost,
        });
        Ok(())
    }

    /// `None`, and a finding, if it is missing.
    fn file(&mut self, path: &Path) -> Result<Option<fs::File>> {
        let file = self.file_quietly(path)?;
        if file.is_none() {
            self.damage(path, 0, "it is missing", Vec::new())?;
        }
        Ok(file)
    }

    fn file_quietly(&self, path: &Path) -> Result<Option<fs::File>> {
        match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).at("open", path),
        }
    }

    fn finish(mut self, checkpoint: &Checkpoint) -> Report {
        for (id, topic) in &self.state.topics {
            for partition in 0..topic.partitions {
                let sheet = checkpoint
                    .partitions
                    .iter()
                    .find(|sheet| sheet.topic == *id && sheet.partition == partition);
                let in_journals = self.ends.get(&(*id, partition)).copied().unwrap_or(0);
                self.report.partitions.push(PartitionReport {
                    topic: topic.name.clone(),
                    partition,
                    start: topic.start(partition),
                    end: in_journals
                        .max(sheet.map_or(0, |sheet| sheet.end))
                        .max(topic.start(partition)),
                    segments: sheet.map_or(0, |sheet| sheet.segments.len()),
                    bytes: sheet.map_or(0, |sheet| sheet.segments.iter().map(|segment| segment.len).sum()),
                });
            }
        }
        self.report
    }
}

fn numbers(names: &[String], prefix: &str, suffix: &str) -> Vec<u64> {
    let number = |name: &String| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
    names.iter().filter_map(number).collect()
}
