//! `valise-relay check`: what an operator should know before, and now and then.

use std::fmt::Write;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use valise_protocol::time::Timestamp;

use crate::config::Config;
use crate::desk::identity_failure;
use crate::failure::{Failure, Status};
use crate::files;
use crate::identity::Identity;
use crate::relay::SPOOL;
use crate::store::Spool;

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    text: String,
    warnings: usize,
}

impl Findings {
    /// One line for each thing looked at.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many of them deserve a thought.
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    fn fine(&mut self, what: &str, finding: &str) {
        let _ = writeln!(self.text, "ok       {what}: {finding}");
    }

    fn warn(&mut self, what: &str, finding: &str) {
        self.warnings += 1;
        let _ = writeln!(self.text, "warning  {what}: {finding}");
    }
}

/// Looks at a relay's directory and machine; changes nothing.
///
/// # Errors
/// A [`Failure`] for what would keep the relay from starting.
pub fn check(directory: &Path, config: &Config, now: Timestamp) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    findings.fine("relay.toml", "every key is known and in its range");
    Identity::open(directory, config, now).map_err(|error| identity_failure(&error))?;
    findings.fine("keys", "complete, and readable by their owner only");
    permissions(&mut findings, directory);
    names(&mut findings, config);
    disk(&mut findings, directory, config)?;
    store_key(&mut findings, directory);
    swap(&mut findings);
    core_dumps(&mut findings);
    Ok(findings)
}

fn permissions(findings: &mut Findings, directory: &Path) {
    match files::is_exposed(directory) {
        Ok(false) => findings.fine("directory", "open to its owner only"),
        Ok(true) => findings.warn("directory", "group or others can look into it: chmod 700"),
        Err(error) => findings.warn("directory", &error.to_string()),
    }
}

fn names(findings: &mut Findings, config: &Config) {
    if config.operator.is_empty() || config.jurisdiction.is_empty() {
        findings.warn(
            "operator",
            "say in relay.toml who runs this relay, and under whose law",
        );
    }
    if config.host == "localhost" || config.host.starts_with("127.") {
        findings.warn(
            "host",
            "clients elsewhere cannot dial it: set host in relay.toml",
        );
    }
}

fn disk(findings: &mut Findings, directory: &Path, config: &Config) -> Result<(), Failure> {
    let looking = |error| Failure::of(Status::Failed, "looking at the file system", error);
    let space = rustix::fs::statvfs(directory).map_err(looking)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let full = config.store_bytes();
    let line = format!(
        "{} MiB free, a full store takes {} MiB",
        free >> 20,
        full >> 20
    );
    if free < full {
        findings.warn(
            "disk space",
            &format!("{line}: lower store_envelopes or store_parcels, or the relay will refuse deposits early"),
        );
    } else {
        findings.fine("disk space", &line);
    }
    let kind = rustix::fs::statfs(directory).map_err(looking)?.f_type;
    match file_system(u64::try_from(kind).unwrap_or(0)) {
        Ok(name) => findings.fine("file system", name),
        Err(why) => findings.warn("file system", why),
    }
    Ok(())
}

/// The kinds of file system by their magic numbers (statfs(2)): what is fine, and what keeps or loses what it should not.
const fn file_system(magic: u64) -> Result<&'static str, &'static str> {
    match magic {
        0xef53 => Ok("ext4: overwrites in place and punches holes"),
        0x5846_5342 => Ok("xfs: overwrites in place (without reflinks) and punches holes"),
        0x9123_683e => Err(
            "btrfs copies on write: what is removed stays readable in old extents and snapshots until the nightly rewrap",
        ),
        0x2fc1_2fc1 => Err(
            "zfs copies on write: what is removed stays readable in old blocks and snapshots until the nightly rewrap",
        ),
        0x794c_7630 => {
            Err("overlayfs: put the directory on a real volume, or it goes with the container")
        }
        0x0102_1994 => Err("tmpfs: everything is lost at the next restart of the machine"),
        0x6969 | 0xff53_4d42 => {
            Err("a network file system: its syncs and locks cannot be relied on")
        }
        _ => Err("of an unknown kind: use ext4 or xfs on a disk of this machine"),
    }
}

fn store_key(findings: &mut Findings, directory: &Path) {
    match Spool::keys_are_sealed(&directory.join(SPOOL)) {
        Some(true) => findings.fine("store key", "sealed under a credential of this machine"),
        Some(false) => findings.warn(
            "store key",
            "beside what it protects: a stolen disk gives both. Let a TPM seal it (docs/operate.md)",
        ),
        None => findings.fine("store key", "made when the relay first starts"),
    }
}

fn swap(findings: &mut Findings) {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        findings.warn(
            "swap",
            "on: secrets in memory may reach the disk. Turn it off (swapoff -a) or encrypt it",
        );
    } else {
        findings.fine("swap", "off");
    }
}

fn core_dumps(findings: &mut Findings) {
    // This very process has turned them off, as the relay does; anything else means that the system did not let it.
    if getrlimit(Resource::Core).current == Some(0) {
        findings.fine("core dumps", "off for this program");
    } else {
        findings.warn("core dumps", "could not be turned off: ulimit -c 0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_keep_what_is_removed_are_warned_of() {
        for magic in [0x9123_683e, 0x2fc1_2fc1, 0x794c_7630, 0x0102_1994, 0] {
            assert!(file_system(magic).is_err(), "{magic:x}");
        }
        assert!(file_system(0xef53).is_ok());
    }
}
