//! A large object on its way to the store, in parts, a few of them at once.

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};

use super::{ObjectPath, Objects};
use crate::error::Result;

/// Stores want at least 5 MiB, and all parts but the last of one size.
const PART: usize = 5 * 1024 * 1024;
/// Parts on their way at once; with the one being filled, what a writer holds at most.
const PARTS_AT_ONCE: usize = 2;

/// Writes one object. Dropped before it has finished it leaves none, but some stores keep the parts until their own rules remove
/// them: use [`Self::abort`] where there is time.
pub struct Writer {
    objects: Objects,
    path: ObjectPath,
    upload: WriteMultipart,
}

impl Writer {
    pub(super) fn new(objects: Objects, path: ObjectPath, upload: Box<dyn MultipartUpload>) -> Self {
        Self {
            objects,
            path,
            upload: WriteMultipart::new_with_chunk_size(upload, PART),
        }
    }

    /// Takes the next piece, and waits while parts enough are on their way. Cancelled, the piece counts or not: abort.
    pub async fn write(&mut self, piece: Bytes) -> Result<()> {
        self.upload.write(&piece);
        let room = self.upload.wait_for_capacity(PARTS_AT_ONCE).await;
        room.map_err(|error| self.objects.failed("write", &self.path, error))
    }

    /// The object is there, durably, when this returns.
    pub async fn finish(self) -> Result<()> {
        let Self { objects, path, upload } = self;
        let finished = upload.finish().await.map(|_| ());
        finished.map_err(|error| objects.failed("write", &path, error))
    }

    /// Leaves no object, and no parts if the store can be reached.
    pub async fn abort(self) {
        let Self { objects, path, upload } = self;
        if let Err(error) = upload.abort().await {
            tracing::debug!(%path, store = %objects, %error, "cannot remove the parts of an object");
        }
    }
}
