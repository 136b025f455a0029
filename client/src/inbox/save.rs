//! `valise inbox save`: attachments out of the vault, each whole and checked, under names of our own.

use std::io::{ErrorKind, Write};
use std::path::Path;

use valise_protocol::message::Attachment;
use valise_protocol::time::Timestamp;
use valise_protocol::words::pseudonym;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui;
use crate::vault::Vault;

use super::custody::{CUSTODY, Custody, Noted};
use super::fetch::{no_attachments, unreadable};
use super::files::{FileFault, Files, Known, give};
use super::place::Place;
use super::thread::Threads;

/// Saves the attachments of a submission into a directory, with a note of what they are.
///
/// # Errors
/// A failure when there are none, the directory cannot be written, or holds such a note already; and when not all attachments were
/// saved, though the others were.
pub fn save(vault: &Vault, which: &str, to: &Path, now: Timestamp) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let id = threads.id(thread);
    let entry = thread.submission.as_ref();
    let entry = entry.filter(|entry| entry.holders.is_some());
    let entry = entry.ok_or_else(|| no_attachments(&id))?;
    let files = Files::of(vault, entry.name).map_err(|error| unreadable(&error))?;
    let files = files.ok_or_else(|| {
        Failure::new("this submission is damaged on this disk")
            .hint("restore a backup, or save its attachments on another device")
    })?;
    check_known(&files, &id)?;

    let shown = escape::line(&to.display().to_string());
    let failed = |error| home::disk(&format!("could not write to {shown}"), &error);
    let place = Place::open(to).map_err(failed)?;
    if place.has(CUSTODY) {
        return Err(Failure::new(format!(
            "{shown} holds a {CUSTODY} already: nothing is written over"
        ))
        .hint("choose another directory"));
    }
    let mut noted = Vec::new();
    let many = files.numbered().count();
    for (number, file) in files.numbered() {
        let name = name_of(number, many, file);
        let saved = save_one(&place, &files, number, file, &name);
        if let Err(reason) = &saved {
            ui::note(&format!("attachment {number} was not saved: {reason}."));
        }
        noted.push(Noted {
            number,
            file,
            saved: saved.map(|()| name),
        });
    }
    let device_key = state.device.keys().identity.public();
    let custody = Custody {
        submission: thread.id,
        mechanism: state.address,
        sender: threads.name(&thread.sender),
        sender_key: thread.sender,
        pulled: entry.pulled,
        saved: now,
        device: pseudonym(&device_key, 3),
        device_key,
    };
    let text = custody.text(&noted);
    place
        .save(CUSTODY, |to: &mut dyn Write| to.write_all(text.as_bytes()))
        .and_then(|()| place.sync())
        .map_err(failed)?;
    let saved = noted.iter().filter(|noted| noted.saved.is_ok()).count();
    ui::say(&format!("saved {saved} of {many} attachments in {shown}"));
    warn();
    if saved == many {
        return Ok(());
    }
    let failure = Failure::new(format!(
        "{} of {many} attachments were not saved",
        many - saved
    ));
    Err(failure.hint(format!(
        "fetch what is still to come, then save into another directory: valise inbox fetch {id}"
    )))
}

/// What the person should know of what they have now.
fn warn() {
    ui::note(
        "attachments may be hostile, whatever they are called: open them on a machine that is made for that, and not on this one.",
    );
    ui::note(&format!(
        "{CUSTODY} is this device's own note of what it received and saved, and no signature. By the lengths and hashes in it anybody \
         can see that a file is the one noted; that the note is true rests on whoever had this device."
    ));
}

fn check_known(files: &Files, id: &str) -> Outcome<()> {
    match files.known {
        Known::All(_) => Ok(()),
        Known::ListToCome => Err(Failure::new(format!(
            "the list of the attachments of {id} has not come yet"
        ))
        .hint(format!("fetch it: valise inbox fetch {id}"))),
        Known::NoList => Err(Failure::new(format!(
            "what came for {id} is not the list of attachments that the sender spoke of"
        ))
        .hint("ask the sender to send them again: valise inbox reply")),
    }
}

/// Saves a file, or says why not.
fn save_one(
    place: &Place,
    files: &Files,
    number: u32,
    file: &Attachment,
    name: &str,
) -> Result<(), String> {
    let saved = place.save(name, |to| {
        give(&files.parcels, number, file, |piece| to.write_all(piece))
    });
    saved.map_err(|fault| match fault {
        FileFault::Disk(error) if error.kind() == ErrorKind::AlreadyExists => {
            format!("{name} is there already, and nothing is written over")
        }
        FileFault::Disk(error) => {
            let failure = home::disk("the disk failed", &error);
            failure.what().to_owned()
        }
        fault => fault.to_string(),
    })
}

/// The name under which an attachment is saved: its number, and an ending that its media type stands for. Nothing that the sender chose
/// is in it but the choice among these endings.
fn name_of(number: u32, many: usize, file: &Attachment) -> String {
    let width = many.to_string().len();
    format!("attachment-{number:0width$}.{}", ending(&file.media_type))
}

fn ending(media_type: &str) -> &'static str {
    let known = ENDINGS.iter().find(|(known, _)| *known == media_type);
    known.map_or("bin", |(_, ending)| ending)
}

/// The endings that there are: of pictures, films, sounds and documents that no system takes for programs by these endings.
const ENDINGS: [(&str, &str); 16] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("image/heif", "heif"),
    ("image/tiff", "tif"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("text/plain", "txt"),
    ("application/octet-stream", "bin"),
];

#[cfg(test)]
mod tests {
    use valise_protocol::id::Namespace;
    use valise_protocol::message::Metadata;
    use valise_protocol::parcel::{FileHash, FileKey};

    use super::*;
    use crate::metadata::Kind;

    fn file(name: &str, media_type: &str) -> Attachment {
        Attachment {
            key: FileKey::from_bytes(&[1; 32]),
            namespace: Namespace::from_bytes([2; 32]),
            length: 7,
            hash: FileHash::from_bytes([3; 32]),
            name: Some(name.to_owned()),
            media_type: media_type.to_owned(),
            metadata: Metadata::Unknown,
        }
    }

    #[test]
    fn nothing_of_a_senders_name_or_media_type_is_in_ours() {
        for name in ["../../x", "a\0b", "x.exe", "-rf", "con", "\u{202e}gpj"] {
            for media_type in ["../x", "application/x-sh", "image/jpeg;x", "IMAGE/JPEG"] {
                let ours = name_of(2, 3, &file(name, media_type));
                assert_eq!(ours, "attachment-2.bin");
            }
        }
        assert_eq!(name_of(2, 3, &file("x", "image/jpeg")), "attachment-2.jpg");
        let first = name_of(1, 10_000, &file("x", "text/plain"));
        assert_eq!(first, "attachment-00001.txt");
    }

    #[test]
    fn what_the_senders_program_knows_has_an_ending() {
        for kind in [
            Kind::Jpeg,
            Kind::Png,
            Kind::WebP,
            Kind::Gif,
            Kind::Heif,
            Kind::Tiff,
            Kind::Pdf,
            Kind::Mp4,
            Kind::Docx,
            Kind::Odt,
            Kind::Zip,
            Kind::Text,
        ] {
            assert_ne!(ending(kind.media_type()), "bin", "{kind:?}");
        }
    }
}
