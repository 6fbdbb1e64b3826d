//! Objects: what lies in an object store beside the log, by path: a local directory, S3, Google Cloud Storage or Azure.
//!
//! An object is there whole or not at all, once a call that writes it has returned; it is durable then. Nothing else is
//! promised: no order, no lists that are as of one moment. Whoever needs several objects to appear together writes the one that
//! names the others last.
//!
//! All calls fail with `STORE_UNAVAILABLE` while the store cannot be reached or does not allow them; the text has the cause.

mod open;
mod path;
mod local;
mod writer;

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, prefix::PrefixStore};

pub use open::Options;
pub use path::ObjectPath;
pub use writer::Writer;

use crate::error::{Error, Reason, Result};

const RETRY: Duration = Duration::from_secs(5);

/// A store. Cloning it is cheap.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    store: PrefixStore<Arc<dyn ObjectStore>>,
    /// Of a local directory, whose absence is no empty store.
    directory: Option<std::path::PathBuf>,
    /// For people; without secrets.
    place: String,
}

/// What became of an object that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// There is one already; it stays as it is.
    Exists,
}

/// An object as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: ObjectPath,
    pub size: u64,
}

impl Objects {
    /// Puts a small object, in the place of any that is there.
    pub async fn put(&self, path: &ObjectPath, bytes: Bytes) -> Result<()> {
        self.put_as(path, bytes, PutMode::Overwrite).await.map(|_| ())
    }

    /// Puts a small object if there is none: of several who do so at once, one is told `New`.
    pub async fn create(&self, path: &ObjectPath, bytes: Bytes) -> Result<Created> {
        self.put_as(path, bytes, PutMode::Create).await
    }

    /// Writes a large object, piece by piece. It is there once [`Writer::finish`] has returned; a writer that is dropped leaves
    /// none.
    pub async fn writer(&self, path: &ObjectPath) -> Result<Writer> {
        self.check_directory().await?;
        let upload = self.0.store.put_multipart(&path.inner()).await;
        let upload = upload.map_err(|error| self.failed("write", path, error))?;
        Ok(Writer::new(self.clone(), path.clone(), upload))
    }

    /// A small object whole; `None` = there is none. One of more than `at_most` bytes is an error, `STORE_DAMAGED`: nobody writes
    /// such here.
    pub async fn get(&self, path: &ObjectPath, at_most: u64) -> Result<Option<Bytes>> {
        let Some(found) = self.found(path).await? else {
            return Ok(None);
        };
        if found.meta.size > at_most {
            let text = format!(
                "read {path} of {self}: it has {} bytes, more than {at_most}",
                found.meta.size
            );
            return Err(Error::new(Reason::StoreDamaged, text));
        }
        let bytes = found.bytes().await;
        bytes.map(Some).map_err(|error| self.failed("read", path, error))
    }

    /// Some bytes of an object; fewer where it is shorter. `None` = there is none.
    pub async fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Option<Bytes>> {
        match self.0.store.get_range(&path.inner(), range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => self.check_directory().await.map(|()| None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    /// An object's bytes as they come; `None` = there is none. Reads little ahead while not polled.
    pub async fn read(&self, path: &ObjectPath) -> Result<Option<BoxStream<'static, Result<Bytes>>>> {
        let Some(found) = self.found(path).await? else {
            return Ok(None);
        };
        let (objects, path) = (self.clone(), path.clone());
        let pieces = found.into_stream();
        let pieces = pieces.map_err(move |error| objects.failed("read", &path, error));
        Ok(Some(pieces.boxed()))
    }

    /// All objects below a path, in no order.
    pub async fn list(&self, below: &ObjectPath) -> Result<BoxStream<'static, Result<Listed>>> {
        self.check_directory().await?;
        let (objects, path) = (self.clone(), below.clone());
        let listed = self.0.store.list(Some(&below.inner()));
        let listed = listed.map(move |listed| match listed {
            Ok(listed) => Ok(Listed {
                path: ObjectPath::of(listed.location),
                size: listed.size,
            }),
            Err(error) => Err(objects.failed("list", &path, error)),
        });
        Ok(listed.boxed())
    }

    /// The names right below a path under which there are objects (or were, in a local directory), in order.
    pub async fn folders(&self, below: &ObjectPath) -> Result<Vec<String>> {
        self.check_directory().await?;
        let listed = self.0.store.list_with_delimiter(Some(&below.inner())).await;
        let listed = listed.map_err(|error| self.failed("list", below, error))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Fine if there is none.
    pub async fn delete(&self, path: &ObjectPath) -> Result<()> {
        match self.0.store.delete(&path.inner()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", path, error)),
        }
    }

    /// Deletes all objects below a path, to which nobody writes meanwhile, and what a crash left of some.
    pub async fn delete_all(&self, below: &ObjectPath) -> Result<()> {
        let mut listed = self.list(below).await?;
        while let Some(listed) = listed.try_next().await? {
            self.delete(&listed.path).await?;
        }
        match &self.0.directory {
            None => Ok(()),
            Some(directory) => local::remove(directory.join(below.to_string())).await,
        }
    }

    async fn put_as(&self, path: &ObjectPath, bytes: Bytes, mode: PutMode) -> Result<Created> {
        self.check_directory().await?;
        let (payload, options) = (PutPayload::from_bytes(bytes), PutOptions::from(mode));
        match self.0.store.put_opts(&path.inner(), payload, options).await {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(self.failed("write", path, error)),
        }
    }

    async fn found(&self, path: &ObjectPath) -> Result<Option<object_store::GetResult>> {
        match self.0.store.get(&path.inner()).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => self.check_directory().await.map(|()| None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    /// A directory that is not there (any more), such as one that is not mounted, is not one without objects.
    async fn check_directory(&self) -> Result<()> {
        match &self.0.directory {
            None => Ok(()),
            Some(directory) => local::check(directory.clone()).await,
        }
    }

    fn failed(&self, doing: &str, path: &ObjectPath, cause: object_store::Error) -> Error {
        unavailable(format!("{doing} {path} in the store {self}: {cause}"))
    }
}

fn unavailable(text: String) -> Error {
    Error::new(Reason::StoreUnavailable, text).retry_after(RETRY)
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.place)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({self})")
    }
}
