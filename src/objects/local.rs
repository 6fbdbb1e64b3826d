//! A local directory as a store: durable when a call returns, and missed when it is gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{ObjectStore, local::LocalFileSystem, path, prefix::PrefixStore};

use super::unavailable;
use crate::error::Result;

/// Nothing is written for so long.
const UNFINISHED: Duration = Duration::from_secs(24 * 60 * 60);

type Store = PrefixStore<Arc<dyn ObjectStore>>;

/// The files below a directory, which is made if it is not there. Where it cannot be made, that is logged, and calls say so as long
/// as it is not there. Directories in it that get empty are removed.
pub(super) fn open(directory: &Path) -> Result<Store, path::Error> {
    let made = fs::create_dir_all(directory).map_err(|error| error.to_string());
    let opened = made.and_then(|()| LocalFileSystem::new_with_prefix(directory).map_err(|error| error.to_string()));
    sweep(directory);
    match opened {
        Ok(store) => Ok(prefixed(store.with_automatic_cleanup(true), path::Path::default())),
        Err(error) => {
            tracing::error!(directory = %directory.display(), error, "cannot make the directory of the object store");
            let prefix = path::Path::from_absolute_path(directory)?;
            Ok(prefixed(LocalFileSystem::new(), prefix))
        }
    }
}

/// Removes a directory with all in it; fine if it is not there.
pub(super) async fn remove(directory: PathBuf) -> Result<()> {
    let shown = directory.display().to_string();
    let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(directory)).await;
    match removed.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(format!("remove {shown}: {error}"))),
        _ => Ok(()),
    }
}

/// Removes what a crash has left of files that were being written: the crate names them `NAME#NUMBER`. Another process may be writing
/// there now, so only old ones go.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_unfinished = name
            .rsplit_once('#')
            .is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        match entry.metadata() {
            Ok(there) if there.is_dir() => sweep(&path),
            Ok(there) if is_unfinished && is_old(&there) => {
                tracing::info!(path = %path.display(), "removing what is left of a file that was being written");
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
    }
}

fn is_old(file: &fs::Metadata) -> bool {
    let age = file.modified().ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age > UNFINISHED)
}

fn prefixed(store: LocalFileSystem, prefix: path::Path) -> Store {
    PrefixStore::new(Arc::new(store.with_fsync(true)), prefix)
}

/// `Err` = it is not there.
pub(super) async fn check(directory: PathBuf) -> Result<()> {
    let shown = directory.display().to_string();
    let looked = tokio::task::spawn_blocking(move || fs::metadata(directory)).await;
    match looked.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(unavailable(format!("use the store {shown}: it is no directory"))),
        Err(error) => Err(unavailable(format!("use the store {shown}: {error}"))),
    }
}
