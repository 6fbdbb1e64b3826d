//! A bounded number of open segment files: the one not used for longest is closed first.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rustc_hash::FxHashMap;

use super::files::{File, Files, Layout, SegmentName};

pub(crate) struct Handles {
    files: Arc<dyn Files>,
    layout: Layout,
    capacity: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: FxHashMap<SegmentName, (Arc<dyn File>, u64)>,
    uses: u64,
}

impl Handles {
    pub(crate) fn new(files: Arc<dyn Files>, layout: Layout, capacity: usize) -> Self {
        Self {
            files,
            layout,
            capacity: capacity.max(1),
            open: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, name: SegmentName) -> io::Result<Arc<dyn File>> {
        let known = self.locked(|open| open.find(name));
        match known {
            Some(file) => Ok(file),
            None => Ok(self.keep(name, self.files.open(&self.layout.segment(name))?)),
        }
    }

    pub(crate) fn create(&self, name: SegmentName) -> io::Result<Arc<dyn File>> {
        self.files.create_dir(&self.layout.topic(name.topic))?;
        Ok(self.keep(name, self.files.create(&self.layout.segment(name))?))
    }

    /// Closes the files of which `gone` is true, so that their space comes free once they are removed.
    pub(crate) fn forget(&self, gone: impl Fn(&SegmentName) -> bool) {
        self.locked(|open| open.files.retain(|name, _| !gone(name)));
    }

    fn keep(&self, name: SegmentName, file: Arc<dyn File>) -> Arc<dyn File> {
        self.locked(|open| {
            while open.files.len() >= self.capacity {
                open.close_oldest();
            }
            open.uses += 1;
            let uses = open.uses;
            open.files.insert(name, (file.clone(), uses));
        });
        file
    }

    fn locked<T>(&self, with: impl FnOnce(&mut Open) -> T) -> T {
        with(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Open {
    fn find(&mut self, name: SegmentName) -> Option<Arc<dyn File>> {
        self.uses += 1;
        let (file, used) = self.files.get_mut(&name)?;
        *used = self.uses;
        Some(file.clone())
    }

    fn close_oldest(&mut self) {
        let oldest = self
            .files
            .iter()
            .min_by_key(|(_, (_, used))| *used)
            .map(|(name, _)| *name);
        if let Some(oldest) = oldest {
            self.files.remove(&oldest);
        }
    }
}
