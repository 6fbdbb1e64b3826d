//! The files that the log lies on, as a trait, so that tests can fail them, cut their power and crash at any step.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A tree of files. What is not synced may be lost with the power: bytes of a file with `File::sync`, names with `sync_dir`.
pub(crate) trait Files: Send + Sync + 'static {
    /// Creates a file, or empties it if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and those above it; fine if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it; fine if it is not there.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub(crate) trait File: Send + Sync {
    /// Reads up to the end of `into` or of the file, and says how much.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn sync(&self) -> io::Result<()>;
}

/// Reads a file whole.
pub(crate) fn read_whole(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a file so that after a crash either the old or the new one is there, whole.
pub(crate) fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = prepare(files, path, bytes)?;
    put_in_place(files, &temporary, path)
}

/// Writes the file that is to replace this one. After an error all is as before.
pub(crate) fn prepare(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let temporary = path.with_extension("new");
    let file = files.create(&temporary)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    Ok(temporary)
}

/// Puts a prepared file in its place. After an error nobody knows which is there.
pub(crate) fn put_in_place(files: &dyn Files, temporary: &Path, path: &Path) -> io::Result<()> {
    files.rename(temporary, path)?;
    files.sync_dir(path.parent().unwrap_or(path))
}

/// The operating system's files.
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

impl File for fs::File {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match FileExt::read_at(self, &mut into[read..], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Where the parts of a log lie in its directory.
#[derive(Clone)]
pub(crate) struct Layout(pub(crate) PathBuf);

impl Layout {
    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.join("manifest")
    }

    pub(crate) fn checkpoint(&self, number: u64) -> PathBuf {
        self.0.join(format!("checkpoint-{number:020}"))
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub(crate) fn journal(&self, number: u64) -> PathBuf {
        self.journals().join(format!("{number:020}.journal"))
    }

    pub(crate) fn topics(&self) -> PathBuf {
        self.0.join("topics")
    }

    pub(crate) fn topic(&self, topic: u32) -> PathBuf {
        self.topics().join(format!("{topic:08}"))
    }

    pub(crate) fn segment(&self, name: SegmentName) -> PathBuf {
        self.topic(name.topic).join(name.file("segment"))
    }

    pub(crate) fn index(&self, name: SegmentName) -> PathBuf {
        self.topic(name.topic).join(name.file("index"))
    }
}

/// Names one segment. Its generation grows when compaction rewrites it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) topic: u32,
    pub(crate) partition: i32,
    pub(crate) base: i64,
    pub(crate) generation: u32,
}

impl SegmentName {
    pub(crate) fn file(&self, extension: &str) -> String {
        format!(
            "{:04}-{:020}-{}.{extension}",
            self.partition, self.base, self.generation
        )
    }
}
