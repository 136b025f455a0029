//! What a process that holds keys does first (docs/operate.md).

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Keeps memory out of core dumps and debuggers, and new files to their owner. Where the system does not let it, `check` says so.
pub(crate) fn harden() {
    umask(Mode::from_raw_mode(0o077));
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

/// How far the system confines this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// To its directory, and to no TCP at all.
    Whole,
    /// As far as an older kernel can.
    Part,
    /// Not at all: the kernel has no Landlock, or it is off.
    None,
}

/// Gives up every file but those below `directory` and `readable`, and all of TCP, for this thread and those that it starts:
/// whoever gets hold of the process gets hold of nothing else. There is no way back.
pub(crate) fn confine(directory: &Path, readable: Option<&Path>) -> Confinement {
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let files = AccessFs::from_all(NEWEST);
        let ours = PathFd::new(directory).map(|ours| PathBeneath::new(ours, files));
        let status = Ruleset::default()
            .handle_access(files)?
            .handle_access(AccessNet::from_all(NEWEST))?
            .create()?
            .add_rules(ours.into_iter().map(Ok::<_, RulesetError>))?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(NEWEST)))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Confinement::Whole,
        Ok(RulesetStatus::PartiallyEnforced) => Confinement::Part,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Confinement::None,
    }
}

/// The newest of Landlock's interfaces that is made use of: TCP came with the fourth (Linux 6.7).
const NEWEST: ABI = ABI::V4;

/// What a panic says could name a mailbox; where it happened cannot.
pub(crate) fn hide_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("valise-relay: error: a defect in this program, at {place}");
    }));
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    /// In a thread of its own: the others of this process keep their files.
    #[test]
    fn a_confined_thread_has_its_directory_and_nothing_else() {
        let confined = std::thread::spawn(|| {
            let dir = tempfile::tempdir().unwrap();
            let readable = tempfile::tempdir().unwrap();
            std::fs::write(readable.path().join("r"), b"r").unwrap();
            let confinement = confine(dir.path(), Some(readable.path()));
            assert_ne!(
                confinement,
                Confinement::None,
                "this kernel has no Landlock"
            );
            let denied = std::io::ErrorKind::PermissionDenied;
            std::fs::write(dir.path().join("a"), b"a").unwrap();
            std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
            assert_eq!(std::fs::read(readable.path().join("r")).unwrap(), b"r");
            let written = std::fs::write(readable.path().join("r"), b"w");
            assert_eq!(written.unwrap_err().kind(), denied);
            let read = std::fs::read("/etc/passwd");
            assert_eq!(read.unwrap_err().kind(), denied);
            if confinement == Confinement::Whole {
                let listened = std::net::TcpListener::bind("127.0.0.1:0");
                assert_eq!(listened.unwrap_err().kind(), denied);
            }
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        });
        confined.join().unwrap();
    }

    #[test]
    fn a_hardened_process_is_neither_dumped_nor_traced() {
        harden();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
