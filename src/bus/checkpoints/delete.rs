//! Deleting a checkpoint: a generation says so, then the others go, so that a deletion that is cut off brings no older one back.

use serde::Serialize;

use super::{
    manifest::{Entry, Tombstone},
    shelf::{Shelf, damaged, missing},
};
use crate::{
    bus::{Bus, Inner, audit::Act, draining},
    error::{Error, Reason, Result},
    log::LogTime,
    name::{CheckpointName, CheckpointRef},
    objects::Created,
};

/// How often others may be faster.
const MOST_TRIES: usize = 100;

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct DeleteCheckpoint {
    pub name: CheckpointName,
    /// `None` = whatever is there.
    pub expected_generation: Option<u64>,
    pub reason: String,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

#[derive(Serialize)]
struct Details<'a> {
    name: &'a str,
    generation: u64,
    request_id: &'a str,
}

impl Bus {
    /// Deletes all generations of a checkpoint; a group that is tied to it stays where it is. Once it has begun it goes on, whether
    /// the caller waits for it or not.
    pub async fn delete_checkpoint(&self, delete: DeleteCheckpoint) -> Result<()> {
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = self.clone();
        let deleting = self
            .0
            .tasks
            .spawn(async move { bus.0.delete_checkpoint(&delete).await });
        let failed = |error| Error::new(Reason::Internal, "delete a checkpoint").caused_by(error);
        deleting.await.map_err(failed)?
    }
}

impl Inner {
    async fn delete_checkpoint(&self, delete: &DeleteCheckpoint) -> Result<()> {
        let shelf = Shelf::new(self.objects()?, &delete.name);
        let generation = self.mark_deleted_checkpoint(&shelf, delete).await?;
        self.audit_checkpoint(delete, generation).await?;
        shelf.remove_before(generation).await
    }

    /// From this generation on there is none.
    async fn mark_deleted_checkpoint(&self, shelf: &Shelf, delete: &DeleteCheckpoint) -> Result<u64> {
        let tombstone = Entry::Deleted(Tombstone {
            request_id: delete.request_id.clone(),
            reason: delete.reason.clone(),
            by: delete.by.clone(),
            time_ms: LogTime::now().0,
        });
        for _ in 0..MOST_TRIES {
            let last = self.last_to_delete(shelf, delete).await?;
            let last = match last {
                Last::Deleted(generation) => return Ok(generation),
                Last::There(generation) => generation,
            };
            let at_end = || damaged("its generations are at their end", &delete.name, last);
            let next = last.checked_add(1).ok_or_else(at_end)?;
            if shelf.create(next, &tombstone).await? == Created::New {
                tracing::info!(checkpoint = %delete.name, by = delete.by, reason = delete.reason, "checkpoint deleted");
                return Ok(next);
            }
        }
        let text = format!("delete checkpoint {}: others put it all the time", delete.name);
        Err(Error::new(Reason::CheckpointConflict, text))
    }

    async fn last_to_delete(&self, shelf: &Shelf, delete: &DeleteCheckpoint) -> Result<Last> {
        let name = &delete.name;
        if let Some((generation, Entry::Deleted(_))) = shelf.made_by(&delete.request_id).await? {
            return Ok(Last::Deleted(generation));
        }
        let none = || {
            missing(&CheckpointRef {
                name: name.clone(),
                generation: None,
            })
        };
        let last = shelf.generations().await?.pop().ok_or_else(none)?;
        match shelf.entry(last).await {
            Ok(Some(Entry::Deleted(_))) => return Err(none()),
            // One that cannot be read can be deleted all the same.
            Err(error) if error.reason() != Reason::StoreDamaged => return Err(error),
            _ => {}
        }
        match delete.expected_generation.filter(|expected| *expected != last) {
            None => Ok(Last::There(last)),
            Some(expected) => {
                let text = format!("delete checkpoint {name}: generation {expected} is expected, and {last} is there");
                Err(Error::new(Reason::CheckpointConflict, text).resource("checkpoint", &format!("{name}@{last}")))
            }
        }
    }

    async fn audit_checkpoint(&self, delete: &DeleteCheckpoint, generation: u64) -> Result<()> {
        let (name, request_id) = (delete.name.as_str(), delete.request_id.as_str());
        let details = Details {
            name,
            generation,
            request_id,
        };
        let act = Act {
            id: &format!("deleted-{name}@{generation}"),
            ty: "tidings.checkpoints.deleted",
            subject: name,
            by: &delete.by,
            reason: &delete.reason,
            details: &details,
        };
        self.audit(&act).await
    }
}

/// The newest generation of a checkpoint.
enum Last {
    There(u64),
    /// This call has deleted it before.
    Deleted(u64),
}
