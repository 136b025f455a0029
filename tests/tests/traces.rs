//! A defender's commands leave nothing on the disk, as a tracer sees it.
//!
//! The tracer is strace(1). Where it is not installed these tests say so and hold nothing; with `CI=true` they fail instead.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use valise_tests::program::Program;
use valise_tests::stage::{FORM, ROOT, Stage, VAULT};
use valise_tests::terminal::{Dialogue, Setting, words};
use valise_tests::tools::tracer;

/// Every call that can make, change, rename or remove a file.
const CALLS: &str = "openat,openat2,open,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,unlinkat,rmdir,\
                     link,linkat,symlink,symlinkat,truncate,ftruncate,fallocate";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// Starts a program through a tracer of these calls, which writes to a file.
fn through(calls: &str, trace: &Path) -> String {
    format!(
        "strace -f -qq -s 4096 -e trace={calls} -o {}",
        trace.display()
    )
}

/// The calls in a trace that could have changed something on a disk, whether they succeeded or not.
fn writes(trace: &Path) -> Vec<String> {
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("openat("), "the tracer saw something");
    trace.lines().filter_map(write).map(str::to_owned).collect()
}

/// The call, if it could write anywhere but to a terminal, to nothing, or to a descriptor that was there before.
fn write(line: &str) -> Option<&str> {
    let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let name = call.split('(').next()?;
    if name.starts_with("---") || name.starts_with("+++") || name.starts_with("<...") {
        return None;
    }
    if !name.starts_with("open") {
        return Some(call);
    }
    let flags = [
        "O_WRONLY",
        "O_RDWR",
        "O_CREAT",
        "O_TRUNC",
        "O_APPEND",
        "O_TMPFILE",
    ];
    let writes = flags.iter().any(|flag| call.contains(flag));
    let path = call.split('"').nth(1).unwrap_or_default();
    let allowed = path == "/dev/tty" || path == "/dev/null" || path.starts_with("/dev/fd/");
    (writes && !allowed).then_some(call)
}

/// Everything below a directory, with its length and date.
fn listing(directory: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            found.extend(listing(&entry.path()));
        }
        found.push((entry.path(), about.len(), about.modified().unwrap()));
    }
    found.sort();
    found
}

#[test]
fn the_filter_knows_a_write_from_a_read() {
    let silent = [
        r#"12 openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY|O_CLOEXEC) = 3"#,
        r#"openat(AT_FDCWD, "/dev/tty", O_WRONLY|O_CLOEXEC) = 4"#,
        r#"9 openat(AT_FDCWD, "/dev/fd/7", O_WRONLY|O_CLOEXEC) = 4"#,
        "9 +++ exited with 0 +++",
    ];
    for line in silent {
        assert_eq!(write(line), None, "{line}");
    }
    let told = [
        r#"9 openat(AT_FDCWD, "/home/x/.valise", O_RDONLY|O_CREAT, 0600) = 4"#,
        r#"9 openat(AT_FDCWD, "/dev/ttyS0", O_RDWR) = 4"#,
        r#"9 mkdir("/home/x/.cache", 0777) = -1 EEXIST (File exists)"#,
        r#"9 openat(AT_FDCWD, "x", O_WRONLY <unfinished ...>"#,
    ];
    for line in told {
        assert!(write(line).is_some(), "{line}");
    }
}

#[test]
fn send_and_check_open_nothing_for_writing_but_the_terminal() {
    if !tracer() {
        return;
    }
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    stage.write("form.toml", FORM);
    stage.write("case.txt", "what happened");
    stage.write("film", &"no picture \u{1}".repeat(100_000));
    // A directory for everything that a program might think it may write to.
    let own = stage.home("defender");
    std::fs::create_dir(&own).unwrap();
    let places = format!(
        "env HOME={0} XDG_DATA_HOME={0} XDG_CACHE_HOME={0} TMPDIR={0} ",
        own.display()
    );
    let traces = ["send", "check"].map(|name| stage.path().join(format!("{name}.trace")));

    let args = [
        "send",
        "--to",
        &contact,
        "--form",
        "../form.toml",
        "--attach",
        "../film",
        "../case.txt",
    ];
    let send = stage.defender().within(&own).args(args);
    let setting = |trace: &Path| Setting {
        through: places.clone() + &through(CALLS, trace),
        ..Setting::default()
    };
    let before = listing(&own);
    let mut dialogue = Dialogue::start_in(&stage, send, &setting(&traces[0]));
    let words = words(&dialogue.see("Press Enter when you have them."));
    dialogue.answer("");
    for _ in 0..2 {
        dialogue.see("Word ");
        let place: usize = dialogue.see(":").parse().unwrap();
        dialogue.answer(&words[place - 1]);
    }
    dialogue.see("Send it?");
    dialogue.answer("yes");
    dialogue.see("Stored at the relay");
    dialogue.see("All files are stored");
    assert_eq!(dialogue.end().0, 0);
    assert_eq!(writes(&traces[0]), [""; 0]);

    let check = stage
        .defender()
        .within(&own)
        .args(["check", "--to", &contact]);
    let mut dialogue = Dialogue::start_in(&stage, check, &setting(&traces[1]));
    dialogue.see("return phrase:");
    dialogue.answer(&words.join(" "));
    dialogue.see("No answer.");
    assert_eq!(dialogue.end().0, 0);
    assert_eq!(writes(&traces[1]), [""; 0]);
    assert_eq!(listing(&own), before);
}

#[test]
fn the_same_look_at_mechanism_init_finds_its_files() {
    // The control.
    if !tracer() {
        return;
    }
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let trace = stage.path().join("init.trace");
    let args = ["mechanism", "init", "--name", "Desk", "--relay", &relay];
    let init = stage.defender().home(&stage.home("officer")).args(args);
    let setting = Setting {
        through: through(CALLS, &trace),
        ..Setting::default()
    };
    let mut dialogue = Dialogue::start_in(&stage, init, &setting);
    for (what, secret) in [("the vault", VAULT), ("the root key", ROOT)] {
        dialogue.asked_hidden(&format!("New passphrase of {what}:"), secret);
        dialogue.asked_hidden("The same again:", secret);
    }
    dialogue.see("the root key is in");
    assert_eq!(dialogue.end().0, 0);
    let writes = writes(&trace).join("\n");
    for found in ["root.key", "officer/vault/key", "mkdir", "rename"] {
        assert!(writes.contains(found), "{found} in {writes}");
    }
}

#[test]
fn send_and_check_need_no_home_and_no_directory_to_write_to() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let form = stage.write("form.toml", FORM);
    // Nobody can write to /proc, not even the superuser.
    let nowhere = |invocation: valise_tests::program::Invocation| {
        invocation.within(Path::new("/proc")).without("HOME").run()
    };
    let send = stage.defender().args(["send", "--to", &contact, "--form"]);
    let send = send.args([form]).receiving("--phrase-fd").stdin("a case");
    let phrase = nowhere(send).succeeded().received.unwrap();
    let check = stage.defender().args(["check", "--to", &contact]);
    let checked = nowhere(check.secret("--phrase-fd", &phrase)).succeeded();
    assert!(checked.stdout.contains("No answer."), "{}", checked.stdout);
}

#[test]
fn a_process_that_holds_a_phrase_leaves_no_core() {
    let stage = stage();
    let relay = stage.init_relay();
    let contact = format!(
        "{}@{relay}",
        valise_protocol::id::Address::from_bytes([7; 32])
    );
    let check = stage.defender().args(["check", "--to", &contact]);
    let setting = Setting {
        // The shell's own limit is as high as may be.
        through: "sh -c 'ulimit -c \"$(ulimit -H -c)\"; exec \"$@\"' sh".into(),
        ..Setting::default()
    };
    let mut dialogue = Dialogue::start_in(&stage, check, &setting);
    dialogue.see("return phrase:");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", dialogue.pid())).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap();
    let values: Vec<&str> = core.split_whitespace().take(2).collect();
    assert_eq!(values, ["0", "0"]);
}

#[test]
fn both_programs_forbid_dumps_before_they_do_anything_else() {
    if !tracer() {
        return;
    }
    let stage = stage();
    for program in [Program::Valise, Program::Relay] {
        let trace = stage.path().join(format!("{}.trace", program.name()));
        let status = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=prctl,prlimit64,socket,openat",
                "-o",
            ])
            .arg(&trace)
            .arg(stage.named(program))
            .args(["card", "show", "nothing-is-here"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success());
        let trace = std::fs::read_to_string(trace).unwrap();
        let dumpable = trace.contains("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0");
        assert!(dumpable, "{trace}");
        let limit = "RLIMIT_CORE, {rlim_cur=0, rlim_max=0}, NULL) = 0";
        assert!(trace.contains(limit), "{trace}");
    }
}
