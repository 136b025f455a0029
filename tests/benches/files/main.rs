//! Files beside a submission, by the real programs on this machine: `cargo bench -p valise-tests --bench files -- [PART …]`, where a
//! part is one of `upload`, `other` (with age, curl and nginx), `pull`, `memory`, `breaks`, `several`, `slow`; all of them without one.
//!
//! Figures hold as ratios within one run.

#![allow(clippy::unwrap_used)]

mod bare;
mod other;
mod parts;
mod scene;

fn main() {
    // The relay and the client of these benches are this executable under another name.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    for (part, run) in [
        ("upload", parts::upload as fn()),
        ("other", parts::other),
        ("pull", parts::pull),
        ("memory", parts::memory),
        ("breaks", parts::breaks),
        ("several", parts::several),
        ("slow", parts::slow),
    ] {
        if is_asked(part) {
            println!("== {part}");
            run();
        }
    }
}
