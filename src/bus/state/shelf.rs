//! Where snapshots lie in the object store, and what is there.
//!
//! ```text
//! snapshots/TOPIC/ID/PARTITION-NUMBER     chunks: blocks of sorted keys
//! snapshots/TOPIC/ID/manifest             written last: the snapshot exists
//! ```

use futures_util::TryStreamExt as _;

use super::{
    manifest::{self, Manifest},
    name::SnapshotName,
};
use crate::{
    error::{Error, Reason, Result},
    name::Topic,
    objects::{ObjectPath, Objects},
};

const ALL: &str = "snapshots";
const MANIFEST: &str = "manifest";

/// What is there under the name of a snapshot.
pub(super) enum Found {
    Ready(Box<Manifest>),
    /// Its manifest cannot be read; the text says why.
    Damaged(String),
    /// No snapshot: none was there, it is being taken, or it was not finished.
    Nothing,
}

pub(super) fn object(topic: &Topic, id: &str, name: &str) -> ObjectPath {
    directory(topic, id).join(name)
}

fn directory(topic: &Topic, id: &str) -> ObjectPath {
    ObjectPath::new(ALL).join(topic.as_str()).join(id)
}

/// Topics of which there is something, in order.
pub(super) async fn topics(objects: &Objects) -> Result<Vec<Topic>> {
    let names = objects.folders(&ObjectPath::new(ALL)).await?;
    Ok(names.iter().filter_map(|name| Topic::new(name).ok()).collect())
}

/// Ids under which there is something, newest first.
pub(super) async fn ids(objects: &Objects, topic: &Topic) -> Result<Vec<String>> {
    let mut ids = objects.folders(&ObjectPath::new(ALL).join(topic.as_str())).await?;
    ids.retain(|id| format!("{topic}@{id}").parse::<SnapshotName>().is_ok());
    ids.reverse();
    Ok(ids)
}

pub(super) async fn find(objects: &Objects, topic: &Topic, id: &str) -> Result<Found> {
    let read = objects.get(&object(topic, id, MANIFEST), manifest::MOST_BYTES).await;
    let bytes = match read {
        Ok(None) => return Ok(Found::Nothing),
        Ok(Some(bytes)) => bytes,
        Err(error) if error.reason() == Reason::StoreDamaged => return Ok(Found::Damaged(error.text().to_owned())),
        Err(error) => return Err(error),
    };
    Ok(match Manifest::from_bytes(&bytes) {
        Ok(manifest) if manifest.topic == *topic && manifest.id == id => Found::Ready(Box::new(manifest)),
        Ok(manifest) => Found::Damaged(format!("its manifest is that of {}", manifest.name())),
        Err(what) => Found::Damaged(format!("its manifest: {what}")),
    })
}

/// Makes the snapshot exist.
pub(super) async fn put(objects: &Objects, manifest: &Manifest) -> Result<()> {
    let path = object(&manifest.topic, &manifest.id, MANIFEST);
    objects.put(&path, manifest.to_bytes().into()).await
}

/// Removes a snapshot, or what is left of one: the manifest first.
pub(super) async fn remove(objects: &Objects, topic: &Topic, id: &str) -> Result<()> {
    objects.delete(&object(topic, id, MANIFEST)).await?;
    objects.delete_all(&directory(topic, id)).await
}

/// Whether there is anything of a snapshot, or of one that was not finished.
pub(super) async fn has_any(objects: &Objects, topic: &Topic, id: &str) -> Result<bool> {
    let mut listed = objects.list(&directory(topic, id)).await?;
    Ok(listed.try_next().await?.is_some())
}

/// The error of who asked for a snapshot that is damaged.
pub(super) fn damaged(topic: &Topic, id: &str, what: &str) -> Error {
    let name = SnapshotName::of(topic, id);
    Error::new(Reason::StoreDamaged, format!("read snapshot {name}: {what}")).resource("snapshot", &name.to_string())
}
