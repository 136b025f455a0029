//! Attachments on the staff's side: fetched by devices with real vaults, from a real relay or from one that a test holds in its hands.

#![allow(clippy::unwrap_used)]

mod hands;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use valise_client::failure::Outcome;
use valise_client::inbox::fetch::{Fetched, fetch};
use valise_client::inbox::files::{Files, Standing};
use valise_client::inbox::pull::{Attachments, once};
use valise_client::inbox::save;
use valise_client::vault::Vault;
use valise_protocol::id::Namespace;
use valise_protocol::limits::{PARCEL, PARCEL_PLAIN};
use valise_protocol::message::{Attachment, Message};
use valise_protocol::parcel::FileHash;
use valise_tests::attacher::{Attacher, Sent};
use valise_tests::cast::{LiveRelay, START, publish};
use valise_tests::desk::Desk;
use valise_tests::own_disk::OwnDisk;

/// A relay, a mechanism that it serves, and somebody who sends files.
async fn scene() -> (LiveRelay, Desk, Attacher) {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let desk = Desk::new(1, &relay.contact(), relay.now()).await;
    relay.allow(desk.address).await;
    assert!(desk.exchange(0, relay.now()).await);
    let sender = Attacher::new(&desk);
    (relay, desk, sender)
}

/// Some bytes of this length, and others for another seed.
fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + seed) % 251) as u8).collect()
}

fn named(files: &[&Sent]) -> Vec<Attachment> {
    files.iter().map(|file| file.attachment.clone()).collect()
}

async fn pull(desk: &Desk, relay: &LiveRelay, attachments: Attachments) -> Outcome<()> {
    once(&desk.vaults[0], attachments, 0, &|| relay.now()).await
}

async fn fetch_all(desk: &Desk) -> Fetched {
    fetch(&desk.vaults[0], None, 0, &|| START).await.unwrap()
}

/// How far the newest submission has come.
fn standing(vault: &Vault) -> Standing {
    let item = vault.state().unwrap().items.last().unwrap().name;
    Files::standing_of(vault, item).unwrap().unwrap()
}

/// Saves the attachments of a submission into a directory of that directory.
fn save_into(vault: &Vault, id: &str, dir: &TempDir) -> (PathBuf, Outcome<()>) {
    let out = dir.path().join("out");
    let done = save::save(vault, id, &out, START);
    (out, done)
}

/// What is in a directory, by name.
fn listing(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All regular files below a directory.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Where a vault keeps parcels.
fn parcels_of(vault: &Vault) -> PathBuf {
    vault.home().path().join("vault/parcels")
}

#[tokio::test]
async fn a_pull_fetches_attachments_and_they_are_saved_under_safe_names() {
    let (relay, desk, sender) = scene().await;
    let long = "x".repeat(255);
    let names = [
        "../../x",
        "a\0b",
        "a\nb",
        "\u{202e}gpj.exe",
        "con",
        "-rf",
        &long,
    ];
    let sent: Vec<Sent> = names
        .iter()
        .enumerate()
        .map(|(at, name)| sender.file(&bytes(300_000 * (at % 2) + at, at), Some(name)))
        .collect();
    let files = named(&sent.iter().collect::<Vec<_>>());
    let (message, list) = sender.submission(1, files, vec![relay.contact().id()]);
    assert!(list.is_none());
    let grant = sender.deposit(&desk, &relay, &message).await;
    for file in &sent {
        file.put_all(&relay, grant).await;
    }
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    assert!(standing(vault).to_string().ends_with("; complete"));
    let again = fetch(vault, None, 0, &|| relay.now()).await.unwrap();
    assert_eq!(again.came, 0, "nothing is fetched twice");

    let dir = tempfile::tempdir().unwrap();
    let (out, done) = save_into(vault, "0101", &dir);
    done.unwrap();
    let ours = (1..=7).map(|number| format!("attachment-{number}.txt"));
    let expected: Vec<String> = ours.chain(["custody.toml".to_owned()]).collect();
    assert_eq!(listing(&out), expected);
    assert_eq!(listing(dir.path()), ["out"], "nothing is anywhere else");
    let note = fs::read_to_string(out.join("custody.toml")).unwrap();
    for file in &sent {
        let whole = FileHash::of(&fs::read(saved_as(&out, &note, &file.attachment)).unwrap());
        assert!(whole == file.attachment.hash);
    }
    for name in &expected {
        let mode = fs::metadata(out.join(name)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(note.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!note.contains('\u{202e}') && note.contains("\\u202egpj.exe"));
}

/// The file that a note says was saved for an attachment.
fn saved_as(out: &Path, note: &str, file: &Attachment) -> PathBuf {
    let hash: String = file
        .hash
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let part = note
        .split("[[file]]")
        .find(|part| part.contains(&hash))
        .unwrap();
    let line = part
        .lines()
        .find(|line| line.starts_with("saved_as"))
        .unwrap();
    out.join(line.split('"').nth(1).unwrap())
}

#[tokio::test]
async fn parcels_that_a_relay_lacks_are_no_failure_and_come_later() {
    let (relay, desk, sender) = scene().await;
    let file = sender.file(&bytes(900_000, 0), None);
    let files = named(&[&file]);
    let (message, _) = sender.submission(1, files, vec![relay.contact().id()]);
    let grant = sender.deposit(&desk, &relay, &message).await;
    file.put(&relay, grant, 2..3).await;
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    assert_eq!(
        standing(vault).to_string(),
        "1 file, 900.0 kB; 3 of 4 parcels still to come"
    );
    let dir = tempfile::tempdir().unwrap();
    let (out, done) = save_into(vault, "0101", &dir);
    assert!(
        done.unwrap_err()
            .what()
            .contains("1 of 1 attachments were not saved")
    );
    assert_eq!(listing(&out), ["custody.toml"]);
    file.put_all(&relay, grant).await;
    let fetched = fetch_all(&desk).await;
    assert_eq!((fetched.came, fetched.incomplete), (3, false));
    assert_eq!(standing(vault).missing, 0);
}

#[tokio::test]
async fn text_alone_is_collected_where_that_is_wanted() {
    let (relay, desk, sender) = scene().await;
    let file = sender.file(b"x", None);
    let files = named(&[&file]);
    let (message, _) = sender.submission(1, files, vec![relay.contact().id()]);
    let grant = sender.deposit(&desk, &relay, &message).await;
    file.put_all(&relay, grant).await;
    pull(&desk, &relay, Attachments::Leave).await.unwrap();
    let vault = &desk.vaults[0];
    assert_eq!(standing(vault).missing, 4);
    assert!(!parcels_of(vault).exists());
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    assert_eq!(standing(vault).missing, 0);
}

#[tokio::test]
async fn a_parcel_in_the_place_of_another_is_not_kept_and_the_next_relay_is_asked_for_it() {
    let (relay, desk, sender) = scene().await;
    let second = LiveRelay::in_memory(|_| ()).await;
    second.allow(desk.address).await;
    let key = desk.state(0).device.keys().link;
    let card = desk.card(0, START).card().encode();
    publish(&second, &key, card).await.unwrap();
    let file = sender.file(&bytes(900_000, 0), None);
    let mut swapped = sender.file(&bytes(900_000, 0), None);
    swapped.parcels.swap(0, 1);
    let holders = vec![relay.contact().id(), second.contact().id()];
    let (message, _) = sender.submission(1, named(&[&file]), holders);
    let grant = sender.deposit(&desk, &relay, &message).await;
    swapped.put_all(&relay, grant).await;
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    assert_eq!(standing(vault).missing, 2, "the others are kept");

    let grant = sender.deposit(&desk, &second, &message).await;
    file.put_all(&second, grant).await;
    let contact = format!("{}@{}", desk.state(0).contact, second.contact());
    vault
        .change(|change| {
            change.state.contact = contact;
            Ok(())
        })
        .unwrap();
    let fetched = fetch_all(&desk).await;
    assert_eq!(
        (fetched.wrong, fetched.came, fetched.incomplete),
        (2, 2, false)
    );
    let dir = tempfile::tempdir().unwrap();
    save_into(vault, "0101", &dir).1.unwrap();
}

#[tokio::test]
async fn what_is_not_as_the_sender_said_is_not_saved_and_the_rest_is() {
    let (relay, desk, sender) = scene().await;
    let good = sender.file(&bytes(100, 1), None);
    let mut longer = sender.file(&bytes(100, 2), None);
    longer.attachment.length += 1;
    let mut shorter = sender.file(&bytes(100, 3), None);
    shorter.attachment.length -= 1;
    let mut other = sender.file(&bytes(100, 4), None);
    other.attachment.hash = FileHash::of(b"another");
    let padded = sender.file_before(&bytes(100, 5), &bytes(9, 6), None);
    let all = [&good, &longer, &shorter, &other, &padded];
    let (message, _) = sender.submission(1, named(&all), vec![relay.contact().id()]);
    let grant = sender.deposit(&desk, &relay, &message).await;
    for file in all {
        file.put_all(&relay, grant).await;
    }
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    assert_eq!(standing(vault).missing, 0, "every parcel opens");
    let dir = tempfile::tempdir().unwrap();
    let (out, done) = save_into(vault, "0101", &dir);
    assert!(
        done.unwrap_err()
            .what()
            .contains("4 of 5 attachments were not saved")
    );
    let note = fs::read_to_string(out.join("custody.toml")).unwrap();
    let saved = saved_as(&out, &note, &good.attachment);
    assert_eq!(fs::read(&saved).unwrap(), bytes(100, 1));
    assert_eq!(listing(&out).len(), 2, "{:?}", listing(&out));
    assert_eq!(note.matches("verified = false").count(), 4);
    assert_eq!(note.matches("it is not what the sender said").count(), 4);
}

#[tokio::test]
async fn nothing_that_is_there_is_written_over_and_no_link_leads_elsewhere() {
    let (relay, desk, sender) = scene().await;
    let files = [
        sender.file(&bytes(100, 1), None),
        sender.file(&bytes(100, 2), None),
    ];
    let named = named(&files.iter().collect::<Vec<_>>());
    let (message, _) = sender.submission(1, named, vec![relay.contact().id()]);
    let grant = sender.deposit(&desk, &relay, &message).await;
    for file in &files {
        file.put_all(&relay, grant).await;
    }
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&out).unwrap();
    symlink(&outside, out.join("attachment-1.txt")).unwrap();
    assert!(save::save(vault, "0101", &out, START).is_err());
    assert!(!outside.exists());
    let note = fs::read_to_string(out.join("custody.toml")).unwrap();
    assert!(note.contains("attachment-1.txt is there already"), "{note}");
    assert!(out.join("attachment-2.txt").exists());
    let before = listing(&out);
    let again = save::save(vault, "0101", &out, START).unwrap_err();
    assert!(again.what().contains("custody.toml already"), "{again}");
    assert_eq!(listing(&out), before);
}

/// A submission with so many files of which three have come, with names so long that their list is a file of its own.
async fn long_list(many: usize) {
    let (relay, desk, sender) = scene().await;
    let put = [
        sender.file(b"1", None),
        sender.file(b"2", None),
        sender.file(b"3", None),
    ];
    let name = "n".repeat(200);
    let mut files = named(&put.iter().collect::<Vec<_>>());
    files.extend((3..many).map(|at| {
        let mut namespace = [7; 32];
        namespace[..8].copy_from_slice(&at.to_be_bytes());
        Attachment {
            namespace: Namespace::from_bytes(namespace),
            name: Some(name.clone()),
            ..put[0].attachment.clone()
        }
    }));
    let (message, list) = sender.submission(1, files, vec![relay.contact().id()]);
    let list = list.expect("it is long");
    let grant = sender.deposit(&desk, &relay, &message).await;
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    let told = standing(vault).to_string();
    assert!(
        told.starts_with("a long list of files; of the list"),
        "{told}"
    );
    list.put_all(&relay, grant).await;
    for file in &put {
        file.put_all(&relay, grant).await;
    }
    // Few of many may be missed by a collection; a person asks for all.
    let item = vault.state().unwrap().items[0].name;
    let fetched = fetch(vault, Some(item), 0, &|| START).await.unwrap();
    assert_eq!(fetched.came, list.parcels.len() as u64 + 12);
    let told = standing(vault).to_string();
    let (missing, all) = (4 * (many - 3), 4 * many);
    assert!(
        told.ends_with(&format!("; {missing} of {all} parcels still to come")),
        "{told}"
    );
    let dir = tempfile::tempdir().unwrap();
    let (out, done) = save_into(vault, "0101", &dir);
    assert!(done.is_err());
    assert_eq!(listing(&out).len(), 4, "three files and the note");
}

#[tokio::test]
async fn a_long_list_of_files_comes_before_its_files() {
    long_list(300).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn a_list_of_ten_thousand_files_comes_before_its_files() {
    long_list(10_000).await;
}

#[tokio::test]
async fn what_came_as_a_list_and_is_none_is_told() {
    let (relay, desk, sender) = scene().await;
    let names = "n".repeat(200);
    let many = (0..100).map(|at| sender.file(&[at], Some(&names)).attachment);
    let (message, list) = sender.submission(1, many.collect(), vec![relay.contact().id()]);
    let length = list.unwrap().attachment.length;
    let fake = sender.file(&vec![0x80; usize::try_from(length).unwrap()], None);
    let Message::Submission(mut submission) = message else {
        panic!("a submission")
    };
    let mut content = submission.content().unwrap();
    let attachment = Attachment {
        media_type: "application/cbor".into(),
        metadata: valise_protocol::message::Metadata::Unknown,
        ..fake.attachment.clone()
    };
    content.attached = Some(valise_protocol::message::Attached::List(Box::new(
        attachment,
    )));
    submission.content = content.encode();
    let message = Message::Submission(submission);
    let grant = sender.deposit(&desk, &relay, &message).await;
    fake.put_all(&relay, grant).await;
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    assert!(
        standing(vault)
            .to_string()
            .contains("not the list that the sender spoke of")
    );
    let dir = tempfile::tempdir().unwrap();
    let failure = save_into(vault, "0101", &dir).1.unwrap_err();
    assert!(failure.what().contains("not the list"), "{failure}");
}

#[tokio::test]
async fn a_claim_of_four_gigabytes_takes_the_room_of_what_came() {
    let (relay, desk, sender) = scene().await;
    let mut file = sender.file(&bytes(4 * PARCEL_PLAIN, 0), None);
    file.attachment.length = 4_000_000_000;
    let files = named(&[&file]);
    let (message, _) = sender.submission(1, files, vec![relay.contact().id()]);
    let grant = sender.deposit(&desk, &relay, &message).await;
    // A parcel that is not the last opens in an attachment of any length.
    file.put(&relay, grant, 1..2).await;
    pull(&desk, &relay, Attachments::Fetch).await.unwrap();
    let vault = &desk.vaults[0];
    let told = standing(vault).to_string();
    assert!(
        told.ends_with("16383 of 16384 parcels still to come"),
        "{told}"
    );
    let [path] = &files_below(&parcels_of(vault))[..] else {
        panic!("one file")
    };
    let taken = fs::metadata(path).unwrap().blocks() * 512;
    assert!(taken <= 2 * PARCEL as u64, "{taken}");
}

#[tokio::test]
async fn attachments_that_the_disk_does_not_give_do_not_keep_the_others_away() {
    let (relay, desk, sender) = scene().await;
    let vault = &desk.vaults[0];
    let files = [b"a", b"b"].map(|text| sender.file(text, None));
    for (id, file) in (1..).zip(&files) {
        let (message, _) = sender.submission(id, named(&[file]), vec![relay.contact().id()]);
        let grant = sender.deposit(&desk, &relay, &message).await;
        file.put(&relay, grant, 0..2).await;
        let _ = pull(&desk, &relay, Attachments::Fetch).await;
        file.put(&relay, grant, 2..4).await;
        if id == 1 {
            // In the place of the first one's file there is something that cannot be read.
            let path = files_below(&parcels_of(vault)).remove(0);
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }
    let fetched = fetch_all(&desk).await;
    assert_eq!(fetched.came, 2);
    assert!(!fetched.failures.is_empty());
    assert_eq!(standing(vault).missing, 0);
}

/// On a disk with room for the smaller of two submissions only.
async fn little_room(disk: &OwnDisk) {
    let (relay, desk, sender) = scene().await;
    let large = sender.file(&bytes(20 * 4 * PARCEL_PLAIN, 0), None);
    let small = sender.file(b"x", None);
    for (id, file) in [(1, &large), (2, &small)] {
        let (message, _) = sender.submission(id, named(&[file]), vec![relay.contact().id()]);
        let grant = sender.deposit(&desk, &relay, &message).await;
        file.put_all(&relay, grant).await;
    }
    pull(&desk, &relay, Attachments::Leave).await.unwrap();
    let vault = &desk.vaults[0];
    let free = rustix::fs::statvfs(disk.path()).unwrap();
    let keep_free = free.f_bavail * free.f_frsize - 12 * (1 << 20);
    let fetched = fetch(vault, None, keep_free, &|| START).await.unwrap();
    assert_eq!(fetched.came, 4);
    let [failure] = &fetched.failures[..] else {
        panic!("one is told: {:?}", fetched.failures)
    };
    assert!(
        failure.what().contains("attachments of 01010101"),
        "{failure}"
    );
    assert_eq!(standing(vault).missing, 0, "the smaller one");
    let all = fetch(vault, None, 0, &|| START).await.unwrap();
    assert_eq!((all.came, all.incomplete), (96, false));
}

#[test]
fn attachments_without_room_on_the_disk_are_left_and_the_others_come() {
    let test = "attachments_without_room_on_the_disk_are_left_and_the_others_come";
    if let Some(disk) = OwnDisk::enter(test) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(little_room(&disk));
    }
}
