//! Programs that some tests need and a machine may not have. Without one such a test says so and holds nothing; with `CI=true` it
//! fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether there is strace(1), which sees system calls and lets them fail.
pub fn tracer() -> bool {
    has("strace", answers("strace", &["-V"]))
}

/// The library of libfaketime, which gives a program that is started with it another wall clock.
pub fn fake_clock() -> Option<PathBuf> {
    let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [triple.as_str(), "/usr/lib", "/usr/lib64"];
    let library = |place: &str| Path::new(place).join("faketime/libfaketimeMT.so.1");
    let found = places
        .map(library)
        .into_iter()
        .find(|library| library.exists());
    has("libfaketime", found.is_some()).then_some(found)?
}

/// Whether a program starts and succeeds.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn has(what: &str, found: bool) -> bool {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !ci, "there is no {what}");
    if !found {
        eprintln!("skipped: there is no {what}");
    }
    found
}

/// The words that start a program with a wall clock that a file moves, such as "+3650d", while it runs. Its deadlines go by the clocks
/// that nobody sets, unless `monotonic` says that they are moved too.
pub fn with_clock_of(file: &Path, library: &Path, monotonic: Monotonic) -> Vec<String> {
    let mut words = vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
    ];
    if monotonic == Monotonic::Real {
        words.push("FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned());
    }
    words
}

/// What becomes of the clock that timers go by. The clock that counts since boot is left alone in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monotonic {
    /// Left alone.
    Real,
    /// Moved with the wall clock: so an hourly timer is due at once.
    Moved,
}

/// The words that start a program under a tracer that injects this into its system calls, with all such calls and the
/// paths that they are about in a file. The
/// program stays the child of whoever starts it. (With its `--seccomp-bpf` strace would be faster, and would not count right.)
pub fn injecting(fault: &str, calls: &str, trace: &Path) -> Vec<String> {
    let trace = trace.to_string_lossy();
    let words = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-y",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={fault}"),
        "-o",
        &trace,
    ];
    words.map(str::to_owned).to_vec()
}
