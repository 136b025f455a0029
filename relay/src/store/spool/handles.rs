//! Open files of segments: a bounded number of descriptors, however many segments there are.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::is_full;

/// The files that are open, the one used last at the end. Whoever uses one keeps it open for as long as that takes: what is
/// written through a file must be synced through the same, or a failed write-back could go unheard.
#[derive(Default)]
pub(super) struct Handles {
    open: Mutex<Vec<(u32, Arc<File>)>>,
}

impl Handles {
    /// The file of a segment, opened unless it is open.
    ///
    /// # Errors
    /// Of the system call. Where the process has no descriptor left, one of these is closed first.
    pub fn get(&self, number: u32, path: &Path) -> io::Result<Arc<File>> {
        let mut open = self.open();
        if let Some(at) = open.iter().position(|(found, _)| *found == number) {
            let found = open.remove(at);
            let file = found.1.clone();
            open.push(found);
            return Ok(file);
        }
        let file = loop {
            match OpenOptions::new().read(true).write(true).open(path) {
                Err(error) if is_full(&error) => {
                    let idle = open
                        .iter()
                        .position(|(_, file)| Arc::strong_count(file) == 1);
                    open.remove(idle.ok_or(error)?);
                }
                opened => break Arc::new(opened?),
            }
        };
        add(&mut open, number, file.clone());
        Ok(file)
    }

    /// Takes in a file that was just made.
    pub fn put(&self, number: u32, file: Arc<File>) {
        add(&mut self.open(), number, file);
    }

    /// Closes the file of a segment that is deleted.
    pub fn close(&self, number: u32) {
        self.open().retain(|(found, _)| *found != number);
    }

    fn open(&self) -> MutexGuard<'_, Vec<(u32, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(open: &mut Vec<(u32, Arc<File>)>, number: u32, file: Arc<File>) {
    if open.len() >= MOST {
        open.remove(0);
    }
    open.push((number, file));
}

/// The most segments that are open without being used.
const MOST: usize = 64;
