//! A disk whose power can be cut: only what was synced is certain to be there afterwards.
//!
//! It remembers, by inode, the bytes that the last sync of each file covered, and, for each directory, the names that the
//! last sync of the directory covered. A cut writes them out as the directory that a new start finds. The worst of the other
//! outcomes is tried too: any 4,096-byte block written since may have reached the disk, in any order.
//!
//! Sectors of it can go bad as well.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use valise_relay::store::Disk;

/// A disk under test; clones are the same disk.
#[derive(Clone)]
pub struct PowerDisk(Arc<State>);

struct State {
    syncs: AtomicU64,
    /// From this sync on all fail.
    fail_from: AtomicU64,
    /// The control: syncs are counted and do nothing.
    lies: AtomicBool,
    free: AtomicU64,
    bad: Mutex<Vec<Bad>>,
    durable: Mutex<Durable>,
}

/// Bytes of a file that the disk does not give back.
struct Bad {
    inode: u64,
    range: Range<u64>,
    /// Nor takes: what the page cache says when it cannot read the rest of a page.
    writes_too: bool,
}

#[derive(Default)]
struct Durable {
    files: BTreeMap<u64, Vec<u8>>,
    dirs: BTreeMap<PathBuf, BTreeMap<String, u64>>,
}

impl PowerDisk {
    pub fn new() -> Self {
        Self(Arc::new(State {
            syncs: AtomicU64::new(0),
            fail_from: AtomicU64::new(u64::MAX),
            lies: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            bad: Mutex::default(),
            durable: Mutex::default(),
        }))
    }

    /// How often a sync was asked for.
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Lets the sync with this number fail, and all after it.
    pub fn fail_from(&self, sync: u64) {
        self.0.fail_from.store(sync, Ordering::SeqCst);
    }

    /// From now on it acknowledges syncs and does none: what a store then loses shows that the test can find a loss.
    pub fn lie(&self) {
        self.0.lies.store(true, Ordering::SeqCst);
    }

    /// From now on these bytes of a file cannot be read.
    pub fn spoil(&self, path: &Path, range: Range<u64>) {
        self.add_bad(path, range, false);
    }

    /// From now on these bytes of a file can be neither read nor written.
    pub fn spoil_writes(&self, path: &Path, range: Range<u64>) {
        self.add_bad(path, range, true);
    }

    /// Makes all sectors good again.
    pub fn heal(&self) {
        self.0.bad.lock().unwrap().clear();
    }

    fn add_bad(&self, path: &Path, range: Range<u64>, writes_too: bool) {
        let inode = fs::metadata(path).unwrap().ino();
        self.0.bad.lock().unwrap().push(Bad {
            inode,
            range,
            writes_too,
        });
    }

    fn look_for_bad(&self, file: &File, bytes: &[u8], offset: u64, write: bool) -> io::Result<()> {
        let bad = self.0.bad.lock().unwrap();
        if bad.is_empty() {
            return Ok(());
        }
        let inode = file.metadata()?.ino();
        let end = offset + bytes.len() as u64;
        let met = bad.iter().any(|bad| {
            bad.inode == inode
                && bad.range.start < end
                && offset < bad.range.end
                && (bad.writes_too || !write)
        });
        if met {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    pub fn set_free(&self, bytes: u64) {
        self.0.free.store(bytes, Ordering::SeqCst);
    }

    /// Counts a file that was there before as durable.
    pub fn adopt(&self, path: &Path) {
        let mut durable = self.0.durable.lock().unwrap();
        let inode = fs::metadata(path).unwrap().ino();
        durable
            .files
            .entry(inode)
            .or_insert_with(|| fs::read(path).unwrap());
        let names = durable
            .dirs
            .entry(path.parent().unwrap().to_owned())
            .or_default();
        names.insert(
            path.file_name().unwrap().to_str().unwrap().to_owned(),
            inode,
        );
    }

    /// Cuts the power: writes to `into` what a start after it finds of `dir`. `reached` says of a block written since the
    /// last sync whether it got there all the same.
    pub fn cut(&self, dir: &Path, into: &Path, mut reached: impl FnMut() -> bool) {
        // Held to the end: no sync may complete meanwhile, or what may only follow it would seem to have come first.
        let durable = self.0.durable.lock().unwrap();
        fs::create_dir_all(into).unwrap();
        for (name, inode) in durable.dirs.get(dir).into_iter().flatten() {
            let mut bytes = durable.files.get(inode).cloned().unwrap_or_default();
            let now = fs::read(dir.join(name)).unwrap_or_default();
            let same_file = fs::metadata(dir.join(name)).is_ok_and(|found| found.ino() == *inode);
            if same_file && now.len() == bytes.len() {
                for (block, now) in bytes.chunks_mut(4_096).zip(now.chunks(4_096)) {
                    if block != now && reached() {
                        block.copy_from_slice(now);
                    }
                }
            }
            fs::write(into.join(name), bytes).unwrap();
        }
    }

    fn count(&self) -> io::Result<()> {
        let sync = self.0.syncs.fetch_add(1, Ordering::SeqCst) + 1;
        if sync >= self.0.fail_from.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

impl Disk for PowerDisk {
    fn read(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.look_for_bad(file, bytes, offset, false)?;
        file.read_exact_at(bytes, offset)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.look_for_bad(file, bytes, offset, true)?;
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.count()?;
        if self.0.lies.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut durable = self.0.durable.lock().unwrap();
        let found = file.metadata()?;
        let mut bytes = vec![0; found.len() as usize];
        // A file that was opened for writing only is read through its other name.
        if file.read_exact_at(&mut bytes, 0).is_err() {
            use std::os::fd::AsRawFd;
            bytes = fs::read(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        }
        durable.files.insert(found.ino(), bytes);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.count()?;
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.insert(
                    entry.file_name().into_string().unwrap(),
                    entry.metadata()?.ino(),
                );
            }
        }
        // Names are always honest: the control is about bytes.
        self.0
            .durable
            .lock()
            .unwrap()
            .dirs
            .insert(dir.to_owned(), names);
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.free.load(Ordering::SeqCst))
    }
}
