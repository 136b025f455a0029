//! The whole journey on one machine, with the real programs and their real output.

use std::alloc::System;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use valise_tests::program::{Done, Invocation, as_called};
use valise_tests::stage::{FORM, ROOT, Stage, last_word};
use zeroizing_alloc::ZeroAlloc;

/// As in both programs: freed memory is wiped.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// The case that the defender sends. Everybody in it is invented.
const CASE: &str = "\
On 12 November 2026, at about 06:30, four men in plain clothes took Amina Example,
a lawyer who defends fishing communities, from her home in Port Example. They
showed no warrant. A neighbour saw a grey van without plates. The police station
of the second district denies holding her. Her family filed a complaint on 13
November (no. 77/2026); there has been no answer. She needs daily medication.
";

/// What the defender sends with it: a picture that says where, when and by which camera it was taken. All invented.
const PHOTO: &[u8] = include_bytes!("photo.jpg");

fn main() -> ExitCode {
    if let Some(code) = as_called() {
        return code;
    }
    let Ok(executable) = std::env::current_exe() else {
        return ExitCode::FAILURE;
    };
    let began = Instant::now();
    tour(&Stage::new(&executable));
    println!(
        "\nThe tour took {:.0} seconds. Its temporary files are deleted.",
        began.elapsed().as_secs_f32()
    );
    ExitCode::SUCCESS
}

fn tour(stage: &Stage) {
    heading("An operator makes a relay and starts it");
    let relay_contact = stage.init_relay();
    println!("$ valise-relay init relay --host 127.0.0.1 --port …\n{relay_contact}");
    let relay = stage.serve();
    println!("$ valise-relay serve relay &");

    heading("A mechanism makes its keys, its card and its contact line");
    aside(
        "Passphrases and the return phrase are handed over on descriptors here; a person types them.",
    );
    let contact = mechanism(stage, &relay_contact);
    second_device(stage, &contact);

    heading("A defender sends a case, and writes nothing to the disk");
    let phrase = send(stage, &contact);

    heading("What lies on the relay's disk now");
    disk(&stage.home("relay"));

    heading("Both officers pull their inbox; each opens it alone");
    show(officer(stage, "officer-1", &["inbox", "pull"]));
    show(officer(stage, "officer-2", &["inbox", "pull"]));
    let list = show(officer(stage, "officer-1", &["inbox", "list"]));
    let id = id_in(&list);
    show(officer(stage, "officer-1", &["inbox", "show", &id]));

    heading("One acknowledges, the other replies");
    show(officer(stage, "officer-1", &["inbox", "acknowledge", &id]).quietly(["--delay", "1"]));
    let reply = "We have received the information on Ms. Example and will look into it today.\nWhich medication does she need?\n";
    show(
        officer(stage, "officer-2", &["inbox", "reply", &id])
            .quietly(["--delay", "1"])
            .stdin(reply),
    );

    heading("The defender sends photographs under the same words: one upload, padded");
    photographs(stage, &contact, &phrase);

    heading("An officer fetches and saves them, under names that nobody outside chose");
    show(officer(stage, "officer-1", &["inbox", "pull"]));
    let list = show(officer(stage, "officer-1", &["inbox", "list"]));
    let id = last_id_in(&list);
    show(officer(
        stage,
        "officer-1",
        &["inbox", "save", &id, "photographs"],
    ));
    let note = stage.path().join("photographs/custody.toml");
    println!("\n$ cat photographs/custody.toml");
    print!("{}", std::fs::read_to_string(note).unwrap_or_default());

    heading("The defender, on any computer, with the twelve words");
    let check = stage
        .defender()
        .args(["check", "--to", &contact])
        .quietly(["--delete"]);
    show(check.secret("--phrase-fd", &phrase));

    heading("The relay is stopped");
    let (status, _) = relay.stop();
    println!("$ kill -TERM …\n(the relay ended: {status})");
}

fn mechanism(stage: &Stage, relay: &str) -> String {
    let root = stage.root_of("officer-1");
    let init = officer(
        stage,
        "officer-1",
        &[
            "mechanism",
            "init",
            "--name",
            "Example Mechanism",
            "--relay",
            relay,
        ],
    );
    let made = show(
        init.quietly(["--root", &root])
            .secret("--root-passphrase-fd", ROOT),
    );
    let contact = last_word(&made, "valise1");
    let address = contact.split('@').next().unwrap_or_default();
    show(
        stage
            .operator()
            .args(["inbox", "allow", "--dir", "relay", address]),
    );
    show(officer(stage, "officer-1", &["mechanism", "publish"]));
    contact
}

fn second_device(stage: &Stage, contact: &str) {
    heading("A second officer's device is enrolled: both machines show the same six words");
    let request = [
        "mechanism",
        "device",
        "request",
        "--to",
        contact,
        "-o",
        "officer-2.request",
    ];
    show(officer(stage, "officer-2", &request));
    let add = officer(
        stage,
        "officer-1",
        &["mechanism", "device", "add", "officer-2.request"],
    );
    show(
        add.quietly([
            "--root",
            &stage.root_of("officer-1"),
            "--yes-the-words-match",
            "--yes-these-devices",
        ])
        .secret("--root-passphrase-fd", ROOT),
    );
    show(officer(stage, "officer-2", &["inbox", "pull"]));
}

fn send(stage: &Stage, contact: &str) -> String {
    stage.write("case.txt", CASE);
    stage.write("case.toml", FORM);
    let send = stage
        .defender()
        .args(["send", "--to", contact, "--form", "case.toml", "case.txt"]);
    let sent = show(send.receiving("--phrase-fd"));
    let phrase = sent.received.unwrap_or_default();
    aside(
        "On a terminal, these twelve words would have been shown once, and two of them asked back:",
    );
    println!("  {phrase}");
    phrase
}

/// One photograph as it is, and one without what it says of its making.
fn photographs(stage: &Stage, contact: &str, phrase: &str) {
    // A different picture is a different file.
    let other: Vec<u8> = PHOTO
        .iter()
        .chain(b"what an editor left")
        .copied()
        .collect();
    for (name, bytes) in [("van.jpg", PHOTO), ("door.jpg", &other)] {
        // The tour goes on without: the commands that want it say so.
        let _ = std::fs::write(stage.path().join(name), bytes);
    }
    stage.write("more.txt", "Two photographs of that morning.\n");
    let send = stage.defender().args([
        "send",
        "--again",
        "--to",
        contact,
        "--form",
        "case.toml",
        "--attach",
        "van.jpg",
        "--metadata",
        "keep",
        "--attach",
        "door.jpg",
        "--metadata",
        "strip",
        "more.txt",
    ]);
    show(send.quietly(["--yes"]).secret("--phrase-fd", phrase));
}

fn officer(stage: &Stage, name: &str, args: &[&str]) -> Invocation {
    stage.officer(name).args(args)
}

/// Prints a command, runs it, prints its output.
fn show(command: Invocation) -> Done {
    println!("\n$ {}", command.as_typed());
    let done = command.run();
    print!("{}{}", done.stderr, done.stdout);
    done.succeeded()
}

fn ids_in(list: &Done) -> impl DoubleEndedIterator<Item = &str> {
    let is_id = |word: &&str| word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    list.stdout.split_whitespace().filter(is_id)
}

fn id_in(list: &Done) -> String {
    ids_in(list).next().unwrap_or_default().to_owned()
}

/// The newest comes last.
fn last_id_in(list: &Done) -> String {
    ids_in(list).next_back().unwrap_or_default().to_owned()
}

/// Lists a directory's files, and looks for the case in every byte of them.
fn disk(directory: &Path) {
    let mut files = Vec::new();
    collect(directory, &mut files);
    files.sort();
    let needles: Vec<&[u8]> = CASE
        .lines()
        .take(3)
        .map(|line| &line.as_bytes()[..20])
        .collect();
    let mut found = false;
    let mut total = 0;
    for file in &files {
        let bytes = std::fs::read(file).unwrap_or_default();
        total += bytes.len();
        found |= needles
            .iter()
            .any(|needle| bytes.windows(needle.len()).any(|window| window == *needle));
        let name = file
            .strip_prefix(directory)
            .unwrap_or(file)
            .display()
            .to_string();
        println!("{:>12} bytes  {name}", bytes.len());
    }
    println!(
        "The text of the case was looked for in all {total} bytes: {}.",
        if found { "FOUND" } else { "not found" }
    );
    assert!(!found, "the relay's disk must not hold what was sent");
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}

fn heading(text: &str) {
    println!("\n== {text} ==");
}

fn aside(text: &str) {
    println!("({text})");
}
