//! Looking at checkpoints: which there are, and the generations of one.

use futures_util::{StreamExt as _, stream};

use super::{
    CheckpointInfo,
    manifest::Entry,
    shelf::{ROOT, Shelf},
};
use crate::{
    bus::Bus,
    error::{Reason, Result},
    name::CheckpointName,
    objects::ObjectPath,
};

/// Checkpoints of a list that the store is asked about at the same time.
const AT_ONCE: usize = 16;

/// A generation in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointRow {
    Whole(Box<CheckpointInfo>),
    /// What the store has of it cannot be read.
    Damaged {
        name: CheckpointName,
        generation: u64,
    },
}

impl CheckpointRow {
    pub fn name(&self) -> &CheckpointName {
        match self {
            Self::Whole(info) => &info.name,
            Self::Damaged { name, .. } => name,
        }
    }

    pub fn generation(&self) -> u64 {
        match self {
            Self::Whole(info) => info.generation,
            Self::Damaged { generation, .. } => *generation,
        }
    }
}

impl Bus {
    /// The newest generation of each, by name, those after `after`, at most `count`.
    pub async fn checkpoints(
        &self,
        after: Option<&CheckpointName>,
        count: usize,
        may: impl Fn(&CheckpointName) -> bool,
    ) -> Result<Vec<CheckpointRow>> {
        let objects = self.0.objects()?;
        let folders = objects.folders(&ObjectPath::new(ROOT)).await?;
        let is_meant = |name: &CheckpointName| after.is_none_or(|after| name > after) && may(name);
        let mut names = Vec::new();
        for folder in folders {
            // Whatever else lies there is no checkpoint.
            names.extend(CheckpointName::new(&folder, "name").ok().filter(is_meant));
        }
        let look = |name: CheckpointName| async move { newest(&Shelf::new(objects, &name), &name).await };
        let mut newest = stream::iter(names).map(look).buffered(AT_ONCE);
        let mut rows = Vec::new();
        while rows.len() < count
            && let Some(row) = newest.next().await
        {
            rows.extend(row?);
        }
        Ok(rows)
    }

    /// The generations of one, newest first, those before `before`, at most `count`. Empty = there is no such checkpoint.
    pub async fn generations(
        &self,
        name: &CheckpointName,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<CheckpointRow>> {
        let shelf = Shelf::new(self.0.objects()?, name);
        let mut rows = Vec::new();
        for generation in shelf.generations().await?.into_iter().rev() {
            if rows.len() >= count {
                break;
            }
            // What is older than a deletion is about to go.
            let found = row(&shelf, name, generation).await?;
            if before.is_some_and(|before| generation >= before) && !matches!(found, Found::Deleted) {
                continue;
            }
            match found {
                Found::Row(row) => rows.push(row),
                Found::Nothing => {}
                Found::Deleted => break,
            }
        }
        Ok(rows)
    }
}

enum Found {
    Row(CheckpointRow),
    Deleted,
    Nothing,
}

async fn newest(shelf: &Shelf, name: &CheckpointName) -> Result<Option<CheckpointRow>> {
    let Some(generation) = shelf.generations().await?.pop() else {
        return Ok(None);
    };
    Ok(match row(shelf, name, generation).await? {
        Found::Row(row) => Some(row),
        Found::Deleted | Found::Nothing => None,
    })
}

async fn row(shelf: &Shelf, name: &CheckpointName, generation: u64) -> Result<Found> {
    match shelf.entry(generation).await {
        Ok(Some(Entry::Stored(manifest))) => Ok(Found::Row(CheckpointRow::Whole(Box::new(manifest.info)))),
        Ok(Some(Entry::Deleted(_))) => Ok(Found::Deleted),
        Ok(None) => Ok(Found::Nothing),
        Err(error) if error.reason() == Reason::StoreDamaged => Ok(Found::Row(CheckpointRow::Damaged {
            name: name.clone(),
            generation,
        })),
        Err(error) => Err(error),
    }
}
