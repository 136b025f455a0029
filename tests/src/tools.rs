//! Programs that some tests need and a machine may not have. Without one such a test says so and holds nothing; with `CI=true` it
//! fails instead.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether there is strace(1), which sees system calls and lets them fail.
pub fn tracer() -> bool {
    has("strace", answers("strace", &["-V"]))
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
