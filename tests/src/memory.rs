//! The memory of a running program, as whoever takes its core would have it.

use std::fs::{File, read_to_string};
use std::io;
use std::os::unix::fs::FileExt;

use rustix::process::{Pid, Signal, kill_process};

/// Everything that a process can write to: heap, stacks, statics.
pub struct Memory(Vec<(String, Vec<u8>)>);

impl Memory {
    /// Reads it. Only the superuser may: both programs keep everybody else out.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn of(pid: u32) -> io::Result<Self> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut parts = Vec::new();
        for line in read_to_string(format!("/proc/{pid}/maps"))?.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next(), fields.next());
            if !rights.is_some_and(|rights| rights.starts_with("rw")) {
                continue;
            }
            let ends = range.and_then(|range| range.split_once('-'));
            let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
            let Some((from, to)) = ends.and_then(|(from, to)| Some((number(from)?, number(to)?)))
            else {
                continue;
            };
            let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
            if memory.read_exact_at(&mut bytes, from).is_ok() {
                parts.push((line.to_owned(), bytes));
            }
        }
        Ok(Self(parts))
    }

    /// Where these bytes are, of which the first is not zero: the mapping, and the place in it.
    pub fn places_of(&self, wanted: &[u8]) -> Vec<String> {
        const PAGE: [u8; 4_096] = [0; 4_096];
        let mut places = Vec::new();
        for (name, bytes) in &self.0 {
            for (number, page) in bytes.chunks(PAGE.len()).enumerate() {
                // Most of it.
                if *page == PAGE[..page.len()] {
                    continue;
                }
                let starts = page.iter().enumerate();
                for (at, _) in starts.filter(|(_, byte)| **byte == wanted[0]) {
                    let at = number * PAGE.len() + at;
                    if bytes[at..].starts_with(wanted) {
                        places.push(format!("{name} +{at:#x}"));
                    }
                }
            }
        }
        places
    }
}

/// Waits until a process has begun to end, which a tracer holds up; whether it has.
pub fn is_ending(pid: u32) -> bool {
    // exit_group on x86-64 and on 64-bit ARM.
    let number = if cfg!(target_arch = "x86_64") {
        "231 "
    } else {
        "94 "
    };
    loop {
        match read_to_string(format!("/proc/{pid}/syscall")) {
            Ok(call) if call.starts_with(number) => return true,
            Ok(_) => std::thread::yield_now(),
            Err(_) => return false,
        }
    }
}

/// Ends the tracer that holds up a process, if there is one.
pub fn release(pid: u32) {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))
        .and_then(|number| Pid::from_raw(number.trim().parse().ok()?));
    if let Some(tracer) = tracer {
        let _ = kill_process(tracer, Signal::KILL);
    }
}
