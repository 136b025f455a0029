//! A file system of a test's own, which it can fill without filling anybody else's: a tmpfs in a mount namespace.
//!
//! The test starts itself again in the namespace, and goes on there. Where the system allows no such namespaces it says so and
//! holds nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{StatVfs, statvfs};

use crate::tools::answers;

/// Names the file system to the process within.
const INSIDE: &str = "VALISE_TEST_DISK";

/// The file system, as seen from within.
pub struct OwnDisk(PathBuf);

impl OwnDisk {
    /// Gives the file system within; `None` without, when the test of this name has succeeded within. Temporary files within are
    /// made on it.
    ///
    /// # Panics
    /// If the test has failed within.
    pub fn enter(test: &str) -> Option<Self> {
        if let Some(inside) = std::env::var_os(INSIDE) {
            return Some(Self(inside.into()));
        }
        if !answers("unshare", &["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]) {
            eprintln!("skipped: no file system can be mounted here");
            return None;
        }
        let place = tempfile::tempdir().expect("there is room for temporary files");
        let script = "mount -t tmpfs -o size=2g,nr_inodes=1000 none \"$TMPDIR\" && exec \"$@\"";
        let status = Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh"])
            .arg(std::env::current_exe().expect("the test has a name"))
            .args(["--exact", test, "--nocapture"])
            .env("TMPDIR", place.path())
            .env(INSIDE, place.path())
            .status();
        let status = status.expect("there is an unshare");
        assert!(status.success(), "it failed on a file system of its own");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        self.shrink(|found| {
            let used = (found.f_blocks - found.f_bfree) * found.f_frsize;
            (found.f_bfree == 0, format!("size={used}"))
        });
    }

    /// Leaves no name free.
    pub fn fill_names(&self) {
        self.shrink(|found| {
            let used = found.f_files - found.f_ffree;
            (found.f_ffree == 0, format!("nr_inodes={used}"))
        });
    }

    /// Gives all of it back.
    ///
    /// # Panics
    /// If it cannot be mounted anew.
    pub fn empty(&self) {
        assert!(self.remount("size=2g,nr_inodes=1000"));
    }

    fn shrink(&self, smaller: impl Fn(StatVfs) -> (bool, String)) {
        // What is written in between makes it too small, or leaves some of it.
        let done = (0..50).any(|_| {
            let (done, options) = smaller(statvfs(&self.0).expect("it is mounted"));
            if !done {
                self.remount(&options);
            }
            done
        });
        assert!(done, "it could not be filled");
    }

    fn remount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]);
        let done = mount.arg(&self.0).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    }
}
