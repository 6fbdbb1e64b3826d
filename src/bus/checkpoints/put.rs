//! Putting a checkpoint: checked, streamed into parts, then one manifest is created that makes it exist, then its group is committed.

use std::collections::BTreeMap;

use super::{
    CheckpointInfo, Tie,
    manifest::{Entry, Manifest},
    shelf::Shelf,
    upload::Upload,
};
use crate::{
    bus::{Bus, Inner, draining},
    error::{Error, Reason, Result},
    log::{LogTime, TopicPartition},
    name::{CheckpointName, Group},
    objects::Created,
};

/// How often others may be faster.
const MOST_TRIES: usize = 100;

/// What is to be put.
#[derive(Clone, Debug)]
pub struct NewCheckpoint {
    pub name: CheckpointName,
    /// What comes next in each partition.
    pub positions: Vec<(TopicPartition, i64)>,
    /// The group that is committed there, and its epoch as the client saw it.
    pub group: Option<(Group, u64)>,
    /// The generation that this one follows; 0 = it is the first.
    pub expected_generation: Option<u64>,
    pub content_type: String,
    pub labels: BTreeMap<String, String>,
    /// What the bytes shall add up to.
    pub size: Option<u64>,
    pub sha256: Option<[u8; 32]>,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

/// What becomes of a put.
pub enum Begun {
    /// Its bytes are wanted.
    Upload(Box<Upload>),
    /// This call has stored it before.
    Stored(Box<CheckpointInfo>),
}

/// What is to be put, checked.
pub(super) struct Wanted {
    pub(super) new: NewCheckpoint,
    pub(super) tie: Option<Tie>,
    max_bytes: u64,
}

impl Bus {
    /// Checks all that can be known before the bytes come.
    pub async fn put_checkpoint(&self, new: NewCheckpoint) -> Result<Begun> {
        let bus = &self.0;
        if bus.draining.is_cancelled() {
            return Err(draining());
        }
        let shelf = Shelf::new(bus.objects()?, &new.name);
        if let Some((_, Entry::Stored(manifest))) = shelf.made_by(&new.request_id).await? {
            bus.commit_tie(&manifest.info).await?;
            return Ok(Begun::Stored(Box::new(manifest.info)));
        }
        bus.check_positions(&new.positions).await?;
        let tie = match &new.group {
            Some((group, epoch)) => Some(bus.tie_to(group, *epoch, &new.positions).await?),
            None => None,
        };
        let wanted = Wanted {
            new,
            tie,
            max_bytes: bus.settings.checkpoints.max_bytes,
        };
        wanted.check_size(wanted.new.size.unwrap_or(0))?;
        wanted.follow(newest_or_damaged(&shelf).await?)?;
        let permit = bus.transfer_permit()?;
        Ok(Begun::Upload(Box::new(Upload::new(bus, wanted, permit, shelf))))
    }

    pub(super) async fn finish_upload(&self, mut upload: Upload) -> Result<CheckpointInfo> {
        let bus = &self.0;
        let sha256 = upload.data.complete().await?;
        upload.wanted.new.check_bytes(upload.data.size, &sha256)?;
        let info = bus.store(&mut upload, sha256).await?;
        drop(upload);
        bus.tidy(&info.name);
        bus.commit_tie(&info).await?;
        Ok(info)
    }
}

impl Inner {
    /// Creates the generation that follows the newest one, whoever else does so at the same moment.
    async fn store(&self, upload: &mut Upload, sha256: [u8; 32]) -> Result<CheckpointInfo> {
        let shelf = Shelf::new(self.objects()?, &upload.wanted.new.name);
        for _ in 0..MOST_TRIES {
            let generation = upload.wanted.follow(newest_or_damaged(&shelf).await?)?;
            let manifest = upload.manifest(generation, sha256);
            let entry = Entry::Stored(Box::new(manifest.clone()));
            // From here on it may be there, whatever is answered.
            upload.data.is_named = true;
            let is_ours = match shelf.create(generation, &entry).await? {
                Created::New => true,
                // The store may have been asked twice.
                Created::Exists => shelf.entry(generation).await? == Some(entry),
            };
            if is_ours {
                let (checkpoint, size) = (manifest.info.label(), manifest.info.size);
                tracing::info!(checkpoint, size, by = manifest.info.by, "checkpoint stored");
                return Ok(manifest.info);
            }
            upload.data.is_named = false;
        }
        let text = format!("put checkpoint {}: others put it all the time", upload.wanted.new.name);
        Err(Error::new(Reason::CheckpointConflict, text))
    }

    /// Older generations go, and what was left over; nobody waits for that.
    fn tidy(&self, name: &CheckpointName) {
        let (Ok(objects), keep) = (self.objects(), self.settings.checkpoints.keep) else {
            return;
        };
        let shelf = Shelf::new(objects, name);
        let name = name.clone();
        self.tasks.spawn(async move {
            let tidied = async {
                shelf.retire(keep).await?;
                shelf.sweep().await
            };
            if let Err(error) = tidied.await {
                tracing::warn!(checkpoint = %name, %error, "cannot remove older generations of a checkpoint; a later put does");
            }
        });
    }
}

/// The newest generation, and what it is; one that cannot be read is followed all the same.
async fn newest_or_damaged(shelf: &Shelf) -> Result<Option<(u64, Option<Entry>)>> {
    match shelf.newest().await {
        Ok(newest) => Ok(newest.map(|(generation, entry)| (generation, Some(entry)))),
        Err(error) if error.reason() == Reason::StoreDamaged => {
            let newest = shelf.generations().await?.pop();
            Ok(newest.map(|generation| (generation, None)))
        }
        Err(error) => Err(error),
    }
}

impl Wanted {
    pub(super) fn check_size(&self, size: u64) -> Result<()> {
        if size <= self.max_bytes {
            return Ok(());
        }
        let rule = format!(
            "a checkpoint has at most checkpoints.max_bytes = {} bytes",
            self.max_bytes
        );
        Err(Error::fault(Reason::RequestTooLarge, "data", rule))
    }

    /// The generation that comes after the newest one, if this put may follow that.
    fn follow(&self, newest: Option<(u64, Option<Entry>)>) -> Result<u64> {
        let (last, entry) = newest.map_or((0, None), |(generation, entry)| (generation, entry));
        let current = match &entry {
            Some(Entry::Deleted(_)) => 0,
            Some(Entry::Stored(_)) | None => last,
        };
        let name = &self.new.name;
        if let Some(expected) = self.new.expected_generation.filter(|expected| *expected != current) {
            let text = format!("put checkpoint {name}: generation {expected} is expected, and {current} is there");
            return Err(self.overtaken(text, current));
        }
        if let Some(Entry::Stored(manifest)) = &entry {
            self.check_ahead(manifest)?;
        }
        let damaged = || super::shelf::damaged("its generations are at their end", name, last);
        last.checked_add(1).ok_or_else(damaged)
    }

    /// What is tied to a group does not fall back behind what it was committed at: the events in between would be lost.
    fn check_ahead(&self, newest: &Manifest) -> Result<()> {
        if self.tie.is_none() || self.tie != newest.info.tie {
            return Ok(());
        }
        let at: BTreeMap<&TopicPartition, i64> = self.new.positions.iter().map(|(at, offset)| (at, *offset)).collect();
        let is_behind = |(partition, offset): &&(TopicPartition, i64)| at.get(partition).is_some_and(|at| at < offset);
        let Some((partition, offset)) = newest.info.positions.iter().find(is_behind) else {
            return Ok(());
        };
        let (label, topic, number) = (newest.info.label(), &partition.topic, partition.partition);
        let text = format!(
            "put checkpoint {}: {label} stands further on, at {topic}/{number}/{offset}",
            self.new.name
        );
        Err(self.overtaken(text, newest.info.generation))
    }

    fn overtaken(&self, text: String, current: u64) -> Error {
        let resource = format!("{}@{current}", self.new.name);
        Error::new(Reason::CheckpointConflict, text).resource("checkpoint", &resource)
    }
}

impl Upload {
    fn manifest(&self, generation: u64, sha256: [u8; 32]) -> Manifest {
        let new = &self.wanted.new;
        Manifest {
            info: CheckpointInfo {
                name: new.name.clone(),
                generation,
                positions: new.positions.clone(),
                size: self.data.size,
                sha256,
                content_type: new.content_type.clone(),
                labels: new.labels.clone(),
                tie: self.wanted.tie.clone(),
                created: LogTime::now(),
                by: new.by.clone(),
                request_id: new.request_id.clone(),
            },
            upload: self.data.upload.clone(),
            parts: self.data.parts.clone(),
        }
    }
}
