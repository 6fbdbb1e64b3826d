//! Opening the files: what the manifest and the checkpoint say must be there; what the journals have beyond it is written to
//! the segments again; what was never known to be durable is cut. Anything else is damage, and opening is refused.
//!
//! ```text
//! manifest ▶ checkpoint ▶ journals, first time: operations ▶ cut the segments to the checkpoint
//!                                  second time: records   ▶ segments ▶ new checkpoint, new journal
//! ```
//!
//! Nothing counts until the manifest names the new checkpoint, so a crash on the way repeats it.

use std::{collections::BTreeMap, io, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    fault::{self, At},
    files,
    frame::{Frame, JOURNAL_HEADER, JournalHeader},
    journal::Journal,
    partition::Partition,
    record::Head,
    replay::Replay,
    scan::{self, Ending, Verdict},
    sheet::{self, Checkpoint, Manifest, Sheet},
    state::{INTERNAL, Op, State},
    table::Shared,
};
use crate::error::Result;

pub(crate) struct Recovered {
    pub(crate) manifest: Manifest,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    pub(crate) internal_end: i64,
    pub(crate) partitions: FxHashMap<(u32, i32), Arc<Partition>>,
}

/// Recovers. `cut` names the journal and the length of which nothing beyond counts: what a failed sync left behind.
pub(crate) fn recover(shared: &Shared, cut: Option<(u64, u64)>) -> Result<Recovered> {
    let layout = &shared.layout;
    for dir in [&layout.0, &layout.journals(), &layout.topics()] {
        shared.files.create_dir(dir).at("create", dir)?;
    }
    let Some(manifest) = read_sheet::<Manifest>(shared, &layout.manifest())? else {
        return found_log(shared);
    };
    let checkpoint = match manifest.checkpoint {
        0 => Checkpoint::default(),
        number => {
            let path = layout.checkpoint(number);
            read_sheet(shared, &path)?.ok_or_else(|| fault::missing(&path))?
        }
    };
    let journals = read_journals(shared, &manifest, cut, checkpoint)?;
    remove_superfluous(shared, &manifest)?;
    let replay = Replay::new(shared, &journals.state, &journals.checkpoint)?;
    if journals.is_empty {
        return reuse(shared, manifest, journals, replay);
    }
    replay_all(shared, manifest, journals, replay)
}

fn read_sheet<S: Sheet>(shared: &Shared, path: &std::path::Path) -> Result<Option<S>> {
    match files::read_whole(&*shared.files, path) {
        Ok(bytes) => sheet::decode(&bytes)
            .map(Some)
            .map_err(|what| fault::damaged(path, 0, &what)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault::failed(&format!("read {}", path.display()), error)),
    }
}

/// A new log, where there is nothing.
fn found_log(shared: &Shared) -> Result<Recovered> {
    let (files, layout) = (&*shared.files, &shared.layout);
    let journals = files.list(&layout.journals()).at("list", &layout.journals())?;
    let topics = files.list(&layout.topics()).at("list", &layout.topics())?;
    let first = "00000000000000000001.journal";
    if !topics.is_empty() || journals.iter().any(|name| name != first) {
        return Err(fault::missing(&layout.manifest()));
    }
    if !journals.is_empty() {
        let mut frames = 0_u32;
        let path = layout.journal(1);
        let seen = scan::scan(files, &path, Ending::Open, &mut |_, _| {
            frames += 1;
            Ok(())
        });
        // Created and not yet named by the manifest: nothing was ever written to it.
        if seen.is_ok() && frames > 0 {
            return Err(fault::missing(&layout.manifest()));
        }
    }
    let path = layout.journal(1);
    let journal = Journal::create(files, layout, 1, shared.options.journal_bytes).at("create", &path)?;
    let manifest = Manifest {
        first: 1,
        last: 1,
        ..Manifest::default()
    };
    write_manifest(shared, &manifest)?;
    let parent = layout.0.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        files.sync_dir(parent).at("sync", parent)?;
    }
    Ok(Recovered {
        manifest,
        journal,
        state: State::default(),
        internal_end: 0,
        partitions: FxHashMap::default(),
    })
}

fn write_manifest(shared: &Shared, manifest: &Manifest) -> Result<()> {
    let path = shared.layout.manifest();
    files::replace(&*shared.files, &path, &sheet::encode(manifest)).at("write", &path)
}

/// What the journals say, read for the first time.
struct Journals {
    checkpoint: Checkpoint,
    state: State,
    internal_end: i64,
    /// Where the frames of each end.
    lengths: BTreeMap<u64, u64>,
    newest: JournalHeader,
    is_empty: bool,
}

fn read_journals(
    shared: &Shared,
    manifest: &Manifest,
    cut: Option<(u64, u64)>,
    checkpoint: Checkpoint,
) -> Result<Journals> {
    let mut journals = Journals {
        state: checkpoint.state.clone(),
        internal_end: checkpoint.internal_end,
        checkpoint,
        lengths: BTreeMap::new(),
        newest: JournalHeader { number: 0, nonce: 0 },
        is_empty: cut.is_none(),
    };
    for number in manifest.first..=manifest.last {
        let ending = match (manifest.sealed.get(&number), cut) {
            (Some(len), _) => Ending::Sealed(*len),
            (None, Some((journal, durable))) if journal == number => Ending::Sealed(durable),
            _ => Ending::Open,
        };
        journals.read(shared, number, ending)?;
    }
    Ok(journals)
}

impl Journals {
    fn read(&mut self, shared: &Shared, number: u64, ending: Ending) -> Result<()> {
        let path = shared.layout.journal(number);
        if !exists(shared, &path)? {
            return Err(fault::missing(&path));
        }
        let (state, end) = (&mut self.state, &mut self.internal_end);
        let mut apply = |frame: &Frame, records: &[u8]| match frame.topic {
            INTERNAL => {
                apply_ops(state, end, frame, records).map_err(|what| fault::damaged(&path, frame.position, &what))
            }
            _ => Ok(()),
        };
        let (header, stop) = scan::scan(&*shared.files, &path, ending, &mut apply)?;
        if header.number != number {
            return Err(fault::damaged(&path, 0, "the header is that of another journal"));
        }
        match scan::judge(stop, ending) {
            Verdict::Damaged(place, what) => Err(fault::damaged(&path, place, what)),
            Verdict::Ends(len) => {
                self.lengths.insert(number, len);
                self.newest = header;
                self.is_empty &= len == JOURNAL_HEADER as u64;
                Ok(())
            }
        }
    }
}

fn exists(shared: &Shared, path: &std::path::Path) -> Result<bool> {
    match shared.files.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|_| true).at("open", path),
    }
}

pub(crate) fn apply_ops(state: &mut State, end: &mut i64, frame: &Frame, records: &[u8]) -> Result<(), String> {
    if frame.base > *end {
        return Err("operations before it are missing".into());
    }
    let mut rest = records;
    while let Ok(head) = Head::read(rest) {
        let op = Op::decode(head.value(rest).unwrap_or_default())?;
        state.apply(op);
        rest = &rest[head.len..];
    }
    *end = (*end).max(frame.base + i64::from(frame.count));
    Ok(())
}

/// Removes what a crash left half done.
fn remove_superfluous(shared: &Shared, manifest: &Manifest) -> Result<()> {
    let (files, layout) = (&*shared.files, &shared.layout);
    let known = |number: u64| (manifest.first..=manifest.last).contains(&number);
    for name in files.list(&layout.journals()).at("list", &layout.journals())? {
        let number = name.strip_suffix(".journal").and_then(|number| number.parse().ok());
        if !number.is_some_and(known) {
            let path = layout.journals().join(name);
            files.remove(&path).at("remove", &path)?;
        }
    }
    let current = layout.checkpoint(manifest.checkpoint);
    for name in files.list(&layout.0).at("list", &layout.0)? {
        let path = layout.0.join(&name);
        if name.ends_with(".new") || (name.starts_with("checkpoint-") && path != current) {
            files.remove(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Goes on with the journal that a clean stop left empty.
fn reuse(shared: &Shared, manifest: Manifest, journals: Journals, replay: Replay<'_>) -> Result<Recovered> {
    let path = shared.layout.journal(manifest.last);
    let file = shared.files.open(&path).at("open", &path)?;
    if manifest.first != manifest.last {
        return replay_all(shared, manifest, journals, replay);
    }
    Ok(Recovered {
        journal: Journal::reuse(file, journals.newest).at("open", &path)?,
        manifest,
        internal_end: journals.internal_end,
        partitions: replay.into_partitions(),
        state: journals.state,
    })
}

fn replay_all(shared: &Shared, old: Manifest, journals: Journals, mut replay: Replay<'_>) -> Result<Recovered> {
    let layout = &shared.layout;
    for (number, len) in &journals.lengths {
        let path = layout.journal(*number);
        let mut write = |frame: &Frame, records: &[u8]| match frame.topic {
            INTERNAL => Ok(()),
            _ => replay.frame(&journals.state, frame, records, &path),
        };
        scan::scan(&*shared.files, &path, Ending::Sealed(*len), &mut write)?;
    }
    let checkpoint = old.checkpoint + 1;
    replay.finish(&journals.state, journals.internal_end, checkpoint)?;
    let number = old.last + 1;
    let path = layout.journal(number);
    let reserve = shared.options.journal_bytes;
    let journal = Journal::create(&*shared.files, layout, number, reserve).at("create", &path)?;
    let manifest = Manifest {
        first: number,
        last: number,
        sealed: BTreeMap::new(),
        checkpoint,
    };
    write_manifest(shared, &manifest)?;
    remove_superfluous(shared, &manifest)?;
    Ok(Recovered {
        manifest,
        journal,
        internal_end: journals.internal_end,
        partitions: replay.into_partitions(),
        state: journals.state,
    })
}
