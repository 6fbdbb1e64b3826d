//! The state of a topic at exact positions, key by key: what a snapshot holds, and what has become of it since.
//!
//! ```text
//! snapshot ─────────────▶ ┐
//! log, from there to end ─▶ merged by key ─▶ entries, partition by partition, each key once
//! ```
//!
//! Where a snapshot turns out to be damaged midway, the one before it is taken and the log is read from there: the keys come in the
//! same order and add up to the same, so what was given out before stays right, and reading goes on behind it.

use super::{
    base::BaseReader,
    bases::Bases,
    block::Entry,
    gather::Gathered,
    manifest::{Manifest, join},
    marks::Marks,
    merge::{Merge, Source},
    part::{Known, Part, place},
    sources::{Sources, Wanted},
    tail::{Plan, Reading},
};
use crate::{
    bus::OnGap,
    error::{Error, Reason, Result},
    log::{Bounds, LogTime, Record, TopicPartition},
};

/// Gives out states.
pub(super) struct TopicReader {
    sources: Sources,
    wanted: Wanted,
    reading: Reading,
    bases: Bases,
    marks: Marks,
    /// Each is taken when its partition's turn comes.
    parts: Vec<Part>,
    current: usize,
    merge: Option<Merge>,
    /// The last key that was given out of the current partition.
    last: Option<Box<[u8]>>,
}

impl TopicReader {
    /// Nothing is read yet.
    pub(super) fn new(sources: Sources, wanted: Wanted, reading: Reading, bases: Bases) -> Self {
        Self {
            sources,
            marks: Marks::new(wanted.bounds.len()),
            wanted,
            reading,
            bases,
            parts: Vec::new(),
            current: 0,
            merge: None,
            last: None,
        }
    }

    /// What there is to say of each partition; all of it once the first state was asked for and none was given.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Known> {
        self.parts.iter().map(|part| &part.known)
    }

    pub(super) fn bases(&self) -> &Bases {
        &self.bases
    }

    /// The snapshot that the first partition stands on.
    pub(super) fn base(&self) -> Option<&Manifest> {
        self.parts.iter().find_map(|part| Some(&*part.base.as_ref()?.1))
    }

    /// The newest event that deletes all keys, among those that were read.
    pub(super) fn all_deleted(&self) -> Option<(TopicPartition, &Record)> {
        let all = self.parts.iter().filter_map(|part| {
            let (mark, record) = part.tail.as_ref()?.all_deleted.as_ref()?;
            Some((mark.time, &part.known.at, record))
        });
        all.max_by_key(|(time, ..)| *time)
            .map(|(_, at, record)| (at.clone(), record))
    }

    /// The next key with what became of it; those of a partition in order. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(TopicPartition, Entry)>> {
        while self.current < self.parts.len() {
            if self.parts[self.current].tail.is_none() {
                self.read_again(vec![self.current]).await?;
            }
            if self.merge.is_none() {
                self.merge = Some(self.merge_of(self.current));
            }
            let Some(merge) = &mut self.merge else { continue };
            match merge.next().await {
                Ok(Some(entry)) if self.last.as_ref().is_some_and(|last| *last >= entry.key) => {}
                Ok(Some(entry)) => {
                    self.last = Some(entry.key.clone());
                    return Ok(Some((self.parts[self.current].known.at.clone(), entry)));
                }
                Ok(None) => {
                    (self.merge, self.last) = (None, None);
                    self.parts[self.current].tail = None;
                    self.current += 1;
                }
                Err(error) if error.reason() == Reason::StoreDamaged => self.fall_back(&error).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Reads what has to be read before the first state can be told.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let numbers: Vec<i32> = (0..).take(self.wanted.bounds.len()).collect();
        for number in numbers {
            let part = self.part(number, 0).await?;
            self.parts.push(part);
        }
        if let Some(manifest) = self.base() {
            let marks: Vec<_> = manifest
                .partitions
                .iter()
                .map(|held| (held.partition, held.mark))
                .collect();
            marks
                .into_iter()
                .for_each(|(partition, mark)| self.marks.note(partition, mark));
        }
        let all = (0..self.parts.len()).collect();
        self.read_again(all).await?;
        // An event that deletes all keys was not known where another partition was read: it is read again with that known.
        let changed = (0..self.parts.len())
            .filter(|index| self.is_cut_within(*index))
            .collect();
        self.read_again(changed).await
    }

    /// A partition on a snapshot, the newest of those from `index` on; not read yet.
    async fn part(&mut self, number: i32, index: usize) -> Result<Part> {
        let at = TopicPartition {
            topic: self.wanted.topic.clone(),
            partition: number,
        };
        let bounds = self.bounds(number);
        let base = self.bases.get(index).await?;
        let held = base.as_ref().and_then(|(_, manifest)| manifest.partition(number));
        let from = match (&self.wanted.since, held) {
            (Some(since), _) => since[place(number)],
            (None, held) => held.map_or(0, |held| held.offset),
        };
        let begins = from.clamp(bounds.start.min(bounds.end), bounds.end);
        let gone = (from < begins).then_some((from, begins));
        let known = Known {
            at,
            until: bounds.end,
            missing: join(held.and_then(|held| held.missing), gone),
            newest: base.as_ref().and_then(|(_, manifest)| manifest.newest),
            mark: held.and_then(|held| held.mark),
            keyless: 0,
        };
        self.check(&known)?;
        Ok(Part {
            base,
            index,
            tail: None,
            known,
        })
    }

    /// Reads the log for these partitions, anew where it was read before.
    async fn read_again(&mut self, parts: Vec<usize>) -> Result<()> {
        let mut plans = Vec::with_capacity(parts.len());
        for index in &parts {
            let plan = self.plan(*index).await?;
            self.wanted.progress.expect(&plan);
            plans.push(plan);
        }
        let tails = self.sources.read(&self.reading, plans).await?;
        for (index, tail) in parts.into_iter().zip(tails) {
            let known = &mut self.parts[index].known;
            known.missing = join(known.missing, tail.missing);
            known.keyless = tail.keyless;
            known.newest = known.newest.max(tail.times.map(|(_, newest)| newest));
            if let Some((mark, _)) = &tail.all_deleted {
                known.mark = Some(*mark);
                self.marks.note(known.at.partition, Some(*mark));
            }
            self.parts[index].tail = Some(tail);
            self.check(&self.parts[index].known)?;
        }
        Ok(())
    }

    fn check(&self, known: &Known) -> Result<()> {
        match known.gap() {
            Some(gap) if self.wanted.on_gap == OnGap::Fail => Err(gap.error()),
            _ => Ok(()),
        }
    }

    async fn plan(&self, index: usize) -> Result<Plan> {
        let part = &self.parts[index];
        let (at, bounds) = (part.known.at.clone(), self.bounds(part.known.at.partition));
        let held = part.held();
        let before = self.marks.before(at.partition);
        let from = match &self.wanted.since {
            // Who is told that all keys are deleted must be told of those that were made since, however long it has known them.
            Some(since) if before > LogTime(i64::MIN) => {
                let made_since = self.sources.log.offsets_at(std::slice::from_ref(&at), before).await?[0];
                since[place(at.partition)].min(made_since)
            }
            Some(since) => since[place(at.partition)],
            None => held.map_or(0, |held| held.offset),
        };
        Ok(Plan {
            from: from.clamp(bounds.start.min(bounds.end), bounds.end),
            until: bounds.end,
            before,
            at,
        })
    }

    /// Whether a partition was read without knowing that some of its records count no more.
    fn is_cut_within(&self, index: usize) -> bool {
        let part = &self.parts[index];
        let before = self.marks.before(part.known.at.partition);
        let Some(tail) = part.tail.as_ref().filter(|tail| tail.plan.before < before) else {
            return false;
        };
        self.wanted.since.is_some() || tail.times.is_some_and(|(oldest, _)| oldest < before)
    }

    fn merge_of(&mut self, index: usize) -> Merge {
        let number = self.parts[index].known.at.partition;
        let before = self.marks.before(number);
        let part = &mut self.parts[index];
        let mut sources = Vec::new();
        let is_cleared = part.tail.as_ref().is_some_and(|tail| tail.all_deleted.is_some());
        if let Some((objects, manifest)) = part.base.clone().filter(|_| !is_cleared) {
            sources.push(Source::Base(Box::new(BaseReader::new(
                objects, manifest, number, before,
            ))));
        }
        let keys = part.tail.as_mut().map(|tail| Gathered::sources(&mut tail.keys));
        sources.extend(keys.into_iter().flatten());
        Merge::new(sources)
    }

    /// Goes on with the snapshot before, behind the last key that was given out.
    async fn fall_back(&mut self, error: &Error) -> Result<()> {
        self.merge = None;
        let part = &mut self.parts[self.current];
        // It is read again, whatever comes of this.
        part.tail = None;
        let (number, next) = (part.known.at.partition, part.index + 1);
        if let Some((_, manifest)) = &part.base {
            self.bases.pass_over(&manifest.id, error.text().to_owned());
        }
        self.parts[self.current] = self.part(number, next).await?;
        Ok(())
    }

    fn bounds(&self, number: i32) -> Bounds {
        self.wanted.bounds[place(number)]
    }
}
