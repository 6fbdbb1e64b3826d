//! A disk in memory that keeps what was synced, loses the rest as it likes, fails at will and crashes at a step.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::log::embedded::files::{File, Files};

/// What is done to the disk, for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Write,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    /// Names as the system sees them; a directory has no file.
    names: BTreeMap<PathBuf, Option<usize>>,
    files: Vec<Stored>,
    /// Names as they lie on the disk, and the changes since, by directory.
    durable_names: BTreeMap<PathBuf, Option<usize>>,
    pending_names: Vec<(PathBuf, Option<Option<usize>>)>,
    steps: usize,
    crash_at: Option<usize>,
    faults: Vec<Fault>,
    is_full: bool,
    syncs: usize,
}

struct Fault {
    step: Step,
    name: &'static str,
    kind: io::ErrorKind,
    times: usize,
}

#[derive(Clone, Default)]
struct Stored {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Len(len) => to.resize(*len, 0),
        }
    }
}

impl Disk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn steps(&self) -> usize {
        self.world().steps
    }

    pub(crate) fn syncs(&self) -> usize {
        self.world().syncs
    }

    pub(crate) fn crash_at(&self, step: usize) {
        self.world().crash_at = Some(step);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        let world = self.world();
        world.crash_at.is_some_and(|at| world.steps >= at)
    }

    /// Lets the next `times` such steps on files whose path contains the name fail.
    pub(crate) fn fail(&self, step: Step, name: &'static str, kind: io::ErrorKind, times: usize) {
        self.world().faults.push(Fault {
            step,
            name,
            kind,
            times,
        });
    }

    /// Ends all faults.
    pub(crate) fn mend(&self) {
        self.world().faults.clear();
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.world().is_full = is_full;
    }

    /// What is left after the power was lost: of what was not synced some, in sectors, and of names the first few changes.
    pub(crate) fn lose_power(&self, random: &mut fastrand::Rng) -> Self {
        let world = self.world();
        let mut names = world.durable_names.clone();
        let mut stopped = BTreeSet::new();
        for (path, number) in &world.pending_names {
            let dir = path.parent().map(Path::to_path_buf);
            if stopped.contains(&dir) || random.u8(..4) == 0 {
                stopped.insert(dir);
                continue;
            }
            set_name(&mut names, path, *number);
        }
        let files = world.files.iter().map(|file| file.after_power_loss(random)).collect();
        drop(world);
        let names: BTreeMap<_, _> = names
            .clone()
            .into_iter()
            .filter(|(path, _)| is_reachable(&names, path))
            .collect();
        Self(Arc::new(Mutex::new(World {
            durable_names: names.clone(),
            names,
            files,
            ..World::default()
        })))
    }

    /// What is left after `kill -9`: everything.
    pub(crate) fn keep_all(&self) -> Self {
        let mut world = self.world();
        let next = World {
            names: std::mem::take(&mut world.names),
            files: std::mem::take(&mut world.files),
            durable_names: std::mem::take(&mut world.durable_names),
            pending_names: std::mem::take(&mut world.pending_names),
            ..World::default()
        };
        Self(Arc::new(Mutex::new(next)))
    }

    fn step(&self, step: Step, path: &Path) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        world.steps += 1;
        if world.crash_at.is_some_and(|at| world.steps >= at) {
            return Err(io::Error::other("crashed"));
        }
        let text = path.to_string_lossy().into_owned();
        let fault = world
            .faults
            .iter_mut()
            .find(|fault| fault.step == step && text.contains(fault.name) && fault.times > 0);
        if let Some(fault) = fault {
            fault.times -= 1;
            return Err(fault.kind.into());
        }
        Ok(world)
    }
}

fn is_reachable(names: &BTreeMap<PathBuf, Option<usize>>, path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|dir| dir.starts_with("/data/log"))
        .all(|dir| names.contains_key(dir))
}

fn set_name(names: &mut BTreeMap<PathBuf, Option<usize>>, path: &Path, number: Option<Option<usize>>) {
    match number {
        Some(number) => names.insert(path.to_path_buf(), number),
        None => names.remove(path),
    };
}

impl Stored {
    fn after_power_loss(&self, random: &mut fastrand::Rng) -> Self {
        let mut durable = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Write(at, bytes) => {
                    for (number, sector) in bytes.chunks(512).enumerate() {
                        if random.u8(..3) > 0 {
                            Change::Write(at + number * 512, sector.to_vec()).apply(&mut durable);
                        }
                    }
                }
                Change::Len(_) if random.bool() => change.apply(&mut durable),
                Change::Len(_) => {}
            }
        }
        Self {
            live: durable.clone(),
            durable,
            pending: Vec::new(),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl World {
    fn rename(&mut self, path: &Path, number: Option<Option<usize>>) {
        set_name(&mut self.names, path, number);
        self.pending_names.push((path.to_path_buf(), number));
    }
}

struct Open {
    disk: Disk,
    path: PathBuf,
    number: usize,
}

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.step(Step::Create, path)?;
        if world.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let parent = path.parent().expect("a parent").to_path_buf();
        if !world.names.contains_key(&parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let number = match world.names.get(path).copied().flatten() {
            Some(number) => {
                world.files[number].change(Change::Len(0));
                number
            }
            None => {
                world.files.push(Stored::default());
                let number = world.files.len() - 1;
                world.rename(path, Some(Some(number)));
                number
            }
        };
        Ok(Arc::new(Open {
            disk: self.clone(),
            path: path.to_path_buf(),
            number,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let number = self
            .world()
            .names
            .get(path)
            .copied()
            .flatten()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Open {
            disk: self.clone(),
            path: path.to_path_buf(),
            number,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let names = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if !self.world().names.contains_key(dir) {
            self.step(Step::Create, dir)?.rename(dir, Some(None));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.step(Step::Rename, to)?;
        let number = world.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        // One change: never both names, never none.
        world.rename(to, Some(number));
        world.rename(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.step(Step::Remove, path)?;
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.rename(path, None);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.step(Step::Remove, dir)?;
        let all: Vec<PathBuf> = world
            .names
            .keys()
            .filter(|path| path.starts_with(dir))
            .cloned()
            .collect();
        all.iter().rev().for_each(|path| world.rename(path, None));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.step(Step::SyncDir, dir)?;
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut world.pending_names)
            .into_iter()
            .partition(|(path, _)| path.parent() == Some(dir));
        world.pending_names = rest;
        for (path, number) in synced {
            set_name(&mut world.durable_names, &path, number);
        }
        Ok(())
    }
}

impl File for Open {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let live = &world.files[self.number].live;
        let from = live.len().min(usize::try_from(at).expect("small"));
        let len = into.len().min(live.len() - from);
        into[..len].copy_from_slice(&live[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let at = usize::try_from(at).expect("small");
        let mut world = match self.disk.step(Step::Write, &self.path) {
            Ok(world) => world,
            Err(error) => {
                // Some of it may have come through.
                let some = bytes[..bytes.len() / 2].to_vec();
                self.disk.world().files[self.number].change(Change::Write(at, some));
                return Err(error);
            }
        };
        let is_full = world.is_full;
        let bytes = if is_full { &bytes[..bytes.len() / 2] } else { bytes };
        world.files[self.number].change(Change::Write(at, bytes.to_vec()));
        if is_full {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.step(Step::SetLen, &self.path)?;
        world.files[self.number].change(Change::Len(usize::try_from(len).expect("small")));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().files[self.number].live.len() as u64)
    }

    /// A sync that fails loses what it should have made durable, and says so once only: as Linux does.
    fn sync(&self) -> io::Result<()> {
        let world = self.disk.step(Step::Sync, &self.path);
        let mut world = match world {
            Ok(world) => world,
            Err(error) => {
                self.disk.world().files[self.number].pending.clear();
                return Err(error);
            }
        };
        world.syncs += 1;
        let file = &mut world.files[self.number];
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }
}
