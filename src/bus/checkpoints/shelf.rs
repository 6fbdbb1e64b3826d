//! Where one checkpoint lies in the store: its generations, and the parts of each; and what is removed there.
//!
//! What a generation names is removed after it, so that nobody is led to what is gone. Parts that no generation names are left
//! over by puts that were cut off; they are removed by later ones, once no put can need them any more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use rustc_hash::FxHashSet;
use uuid::Uuid;

use super::manifest::{Entry, Manifest};
use crate::{
    error::{Error, Reason, Result},
    name::{CheckpointName, CheckpointRef},
    objects::{Created, ObjectPath, Objects},
};

/// The folder of all checkpoints.
pub(super) const ROOT: &str = "checkpoints";
/// Calls that are recognized when they are repeated: those that made the last generations.
const REMEMBERED: usize = 10;
/// How often a generation may be replaced while it is looked for.
const MOST_LOOKS: usize = 10;
/// Nobody writes larger manifests.
const MOST_BYTES: u64 = 64 << 20;
/// Of what no generation names. No put takes so long, whatever clocks say.
const LEFT_OVER: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Shelf {
    objects: Objects,
    name: CheckpointName,
}

impl Shelf {
    pub(super) fn new(objects: &Objects, name: &CheckpointName) -> Self {
        Self {
            objects: objects.clone(),
            name: name.clone(),
        }
    }

    /// All that are there, in order; also those that say that it was deleted.
    pub(super) async fn generations(&self) -> Result<Vec<u64>> {
        let below = self.folder().join("generations");
        let listed: Vec<_> = self.objects.list(&below).await?.try_collect().await?;
        let mut generations: Vec<u64> = listed.iter().filter_map(|listed| number(listed.path.name())).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// `None` = there is none. `STORE_DAMAGED` if it cannot be read.
    pub(super) async fn entry(&self, generation: u64) -> Result<Option<Entry>> {
        let path = self.generation(generation);
        let Some(bytes) = self.objects.get(&path, MOST_BYTES).await? else {
            return Ok(None);
        };
        let entry = Entry::from_bytes(&bytes, &self.name, generation);
        entry.map(Some).map_err(|cause| {
            let (name, before) = (&self.name, generation.saturating_sub(1));
            let text = format!("{path} is damaged: {cause}; the generation before it may be there as {name}@{before}");
            damaged(&text, name, generation)
        })
    }

    /// The newest generation and what it is. `None` = there never was any.
    pub(super) async fn newest(&self) -> Result<Option<(u64, Entry)>> {
        for _ in 0..MOST_LOOKS {
            let Some(newest) = self.generations().await?.pop() else {
                return Ok(None);
            };
            // It is gone only if a newer one has come.
            if let Some(entry) = self.entry(newest).await? {
                return Ok(Some((newest, entry)));
            }
        }
        let text = format!("read checkpoint {}: the store lists what it does not have", self.name);
        Err(Error::new(Reason::StoreUnavailable, text).retry_after(Duration::from_secs(1)))
    }

    /// Creates a generation, durably, unless somebody else has.
    pub(super) async fn create(&self, generation: u64, entry: &Entry) -> Result<Created> {
        let bytes = entry.to_bytes(&self.name, generation);
        self.objects.create(&self.generation(generation), bytes.into()).await
    }

    pub(super) fn part(&self, upload: &str, number: usize) -> ObjectPath {
        self.upload(upload).join(&format!("{number:08}"))
    }

    /// The parts of one upload.
    pub(super) async fn remove_upload(&self, upload: &str) -> Result<()> {
        let parts: Vec<_> = self.objects.list(&self.upload(upload)).await?.try_collect().await?;
        for part in parts {
            self.objects.delete(&part.path).await?;
        }
        Ok(())
    }

    /// What the call of this id has made, if that is one of the last generations.
    pub(super) async fn made_by(&self, request_id: &str) -> Result<Option<(u64, Entry)>> {
        for generation in self.generations().await?.into_iter().rev().take(REMEMBERED) {
            match self.entry(generation).await {
                Ok(Some(entry)) if entry.request_id() == request_id => return Ok(Some((generation, entry))),
                // What was there before a deletion is as if it had never been.
                Ok(Some(Entry::Deleted(_))) => return Ok(None),
                Err(error) if error.reason() != Reason::StoreDamaged => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Keeps so many generations, the newest ones.
    pub(super) async fn retire(&self, keep: usize) -> Result<()> {
        let mut generations = self.generations().await?;
        generations.truncate(generations.len().saturating_sub(keep));
        self.remove(&generations).await
    }

    /// Removes what was there before a generation.
    pub(super) async fn remove_before(&self, generation: u64) -> Result<()> {
        let mut generations = self.generations().await?;
        generations.retain(|found| *found < generation);
        self.remove(&generations).await
    }

    async fn remove(&self, generations: &[u64]) -> Result<()> {
        for generation in generations {
            // The parts of one that cannot be read are left over.
            let upload = match self.entry(*generation).await {
                Ok(Some(Entry::Stored(manifest))) => Some(manifest.upload),
                Err(error) if error.reason() != Reason::StoreDamaged => return Err(error),
                _ => None,
            };
            self.objects.delete(&self.generation(*generation)).await?;
            if let Some(upload) = upload {
                self.remove_upload(&upload).await?;
            }
        }
        Ok(())
    }

    /// Removes what is left over.
    pub(super) async fn sweep(&self) -> Result<()> {
        let mut uploads = self.objects.folders(&self.folder().join("data")).await?;
        uploads.retain(|upload| is_old(upload));
        if uploads.is_empty() {
            return Ok(());
        }
        let mut named = FxHashSet::default();
        for generation in self.generations().await? {
            // Where one cannot be read, nobody knows what it names, and nothing is removed.
            if let Some(Entry::Stored(manifest)) = self.entry(generation).await? {
                named.insert(manifest.upload);
            }
        }
        for upload in uploads.iter().filter(|upload| !named.contains(*upload)) {
            tracing::info!(checkpoint = %self.name, upload, "removes what a put has left over");
            self.remove_upload(upload).await?;
        }
        Ok(())
    }

    /// The manifest of a generation, or of the newest; `CHECKPOINT_NOT_FOUND` if there is none.
    pub(super) async fn manifest(&self, generation: Option<u64>) -> Result<Manifest> {
        let found = match generation {
            Some(generation) => self.entry(generation).await?,
            None => self.newest().await?.map(|(_, entry)| entry),
        };
        match found {
            Some(Entry::Stored(manifest)) => Ok(*manifest),
            Some(Entry::Deleted(_)) | None => Err(missing(&CheckpointRef {
                name: self.name.clone(),
                generation,
            })),
        }
    }

    fn folder(&self) -> ObjectPath {
        ObjectPath::new(ROOT).join(self.name.as_str())
    }

    fn generation(&self, generation: u64) -> ObjectPath {
        self.folder().join("generations").join(&format!("{generation:020}"))
    }

    fn upload(&self, upload: &str) -> ObjectPath {
        self.folder().join("data").join(upload)
    }
}

/// A name for a new upload, which tells when it was begun.
pub(super) fn new_upload() -> String {
    Uuid::now_v7().simple().to_string()
}

/// What the store has of a checkpoint cannot be used.
pub(super) fn damaged(text: &str, name: &CheckpointName, generation: u64) -> Error {
    Error::new(Reason::StoreDamaged, text).resource("checkpoint", &format!("{name}@{generation}"))
}

pub(super) fn missing(wanted: &CheckpointRef) -> Error {
    let text = match wanted.generation {
        None => format!("there is no checkpoint {wanted}; put one with: tidings checkpoints put {wanted} --data FILE"),
        Some(_) => format!(
            "there is no checkpoint {wanted} (any more); see which there are with: tidings checkpoints list {}",
            wanted.name
        ),
    };
    Error::new(Reason::CheckpointNotFound, text).resource("checkpoint", &wanted.to_string())
}

/// Twenty digits.
fn number(name: &str) -> Option<u64> {
    let is_ours = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| is_ours)
}

/// Whether an upload was begun so long ago that nobody can be busy with it.
fn is_old(upload: &str) -> bool {
    let begun = Uuid::try_parse(upload).ok().and_then(|id| id.get_timestamp());
    let Some((seconds, _)) = begun.map(|begun| begun.to_unix()) else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(seconds)) > LEFT_OVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_be_busy_with_is_left_over() {
        assert!(!is_old(&new_upload()) && !is_old("something") && !is_old(&Uuid::new_v4().simple().to_string()));
        let yesterday = SystemTime::now() - LEFT_OVER - Duration::from_secs(2);
        let seconds = yesterday.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let counter = uuid::ContextV7::new();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(&counter, seconds, 0));
        assert!(is_old(&id.simple().to_string()));
    }

    #[test]
    fn other_names_are_no_generations() {
        assert_eq!(number("00000000000000000007"), Some(7));
        for other in [
            "7",
            "+0000000000000000007",
            "0000000000000000000x",
            "99999999999999999999",
            "",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
