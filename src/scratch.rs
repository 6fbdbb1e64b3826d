//! Temporary files for what has no room in memory: without a name, so that nothing is left of them, however the server ends.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::error::{Error, Reason, Result};

/// Where temporary files lie. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Scratch(Arc<Path>);

/// A temporary file. It is gone once it is dropped.
#[derive(Debug)]
pub struct ScratchFile {
    file: Arc<File>,
    directory: Arc<Path>,
    /// Where the next piece goes.
    end: AtomicU64,
}

impl Scratch {
    /// The directory is made when there is a first file.
    pub fn new(directory: PathBuf) -> Self {
        Self(directory.into())
    }

    /// An empty file.
    pub async fn file(&self) -> Result<ScratchFile> {
        let directory = Arc::clone(&self.0);
        let made = blocking(&self.0, move || {
            std::fs::create_dir_all(&directory)?;
            tempfile::tempfile_in(&directory)
        });
        Ok(ScratchFile {
            file: Arc::new(made.await?),
            directory: Arc::clone(&self.0),
            end: AtomicU64::new(0),
        })
    }
}

impl ScratchFile {
    /// Writes a piece behind all others, and says where it lies. Several may do so at once.
    pub async fn append(&self, bytes: Vec<u8>) -> Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let file = Arc::clone(&self.file);
        blocking(&self.directory, move || file.write_all_at(&bytes, at)).await?;
        Ok(at)
    }

    /// Bytes that were written; all that were asked for.
    pub async fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let file = Arc::clone(&self.file);
        let read = blocking(&self.directory, move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at)?;
            Ok(bytes)
        });
        read.await
    }
}

async fn blocking<T: Send + 'static>(
    directory: &Path,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(call).await;
    let done = done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
    done.map_err(|error| failed(directory.display(), &error))
}

fn failed(directory: impl fmt::Display, error: &io::Error) -> Error {
    let text = format!("use a temporary file in {directory}: {error}");
    Error::new(Reason::StoreUnavailable, text).retry_after(std::time::Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_and_no_file_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::new(directory.path().join("a/b"));
        let file = scratch.file().await.expect("a file");
        assert_eq!(file.append(b"one".to_vec()).await.expect("written"), 0);
        assert_eq!(file.append(b"two".to_vec()).await.expect("written"), 3);
        assert_eq!(file.read(2, 3).await.expect("read"), b"etw");
        assert!(file.read(4, 3).await.is_err());
        let left = std::fs::read_dir(directory.path().join("a/b")).expect("there").count();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn where_no_file_can_be_it_is_said() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Scratch::new(file.path().join("below"))
            .file()
            .await
            .expect_err("no directory");
        assert_eq!(error.reason(), Reason::StoreUnavailable);
    }
}
