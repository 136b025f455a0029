//! `custody.toml`: what a device notes of the attachments that it saved.
//!
//! A text for people that programs can read. What senders chose is in it escaped: nothing in a name ends a line, begins another or
//! reverses what follows.

use std::fmt::Write;

use valise_protocol::id::Address;
use valise_protocol::key::DhPublic;
use valise_protocol::message::Attachment;
use valise_protocol::message::SubmissionId;
use valise_protocol::time::Timestamp;

use crate::escape::is_inert;

use super::show::metadata_words;

/// Its name in the directory.
pub const CUSTODY: &str = "custody.toml";

/// What is noted of all.
pub struct Custody<'a> {
    /// The submission.
    pub submission: SubmissionId,
    /// The mechanism that it was sent to.
    pub mechanism: Address,
    /// What the sender is called here.
    pub sender: &'a str,
    /// The sender's key.
    pub sender_key: DhPublic,
    /// When it came.
    pub pulled: Timestamp,
    /// When this is written.
    pub saved: Timestamp,
    /// What this device is called.
    pub device: String,
    /// The key that this device answers by.
    pub device_key: DhPublic,
}

/// What is noted of one file.
pub struct Noted<'a> {
    /// Its number.
    pub number: u32,
    /// What the submission says of it.
    pub file: &'a Attachment,
    /// Under which name it was saved, or why it was not.
    pub saved: Result<String, String>,
}

const HEAD: &str = "\
# What one device received and saved. It is that device's own note, and no signature: it does not prove itself.
# What can be checked: that a file has the length and the SHA-256 noted here. They are those that the sender's
# program put into the submission, under the sender's key. Original names and media types are the sender's words.
";

impl Custody<'_> {
    /// The whole text.
    pub fn text(&self, files: &[Noted<'_>]) -> String {
        let mut out = HEAD.to_owned();
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name} = {value}");
        };
        line("submission", &quoted(&hex(self.submission.as_bytes())));
        line("mechanism", &quoted(&self.mechanism.to_string()));
        line("sender", &quoted(self.sender));
        line("sender_key", &quoted(&hex(self.sender_key.as_bytes())));
        line("pulled", &moment(self.pulled));
        line("saved", &moment(self.saved));
        line("device", &quoted(&self.device));
        line("device_key", &quoted(&hex(self.device_key.as_bytes())));
        let program = concat!("valise ", env!("CARGO_PKG_VERSION"));
        line("program", &quoted(program));
        for noted in files {
            out.push_str(&noted.text());
        }
        out
    }
}

impl Noted<'_> {
    fn text(&self) -> String {
        let mut out = "\n[[file]]\n".to_owned();
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name} = {value}");
        };
        let file = self.file;
        line("number", &self.number.to_string());
        if let Ok(name) = &self.saved {
            line("saved_as", &quoted(name));
        }
        if let Some(name) = &file.name {
            line("original_name", &quoted(name));
        }
        line("length", &file.length.to_string());
        line("sha256", &quoted(&hex(file.hash.as_bytes())));
        line("media_type", &quoted(&file.media_type));
        line("metadata", &quoted(metadata_words(file.metadata)));
        line("verified", &self.saved.is_ok().to_string());
        if let Err(reason) = &self.saved {
            line("not_saved", &quoted(reason));
        }
        out
    }
}

/// A basic string of TOML that shows as itself.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        let code = u32::from(character);
        // Writing to a string cannot fail.
        let _ = match character {
            '"' | '\\' => write!(out, "\\{character}"),
            _ if is_inert(character) => write!(out, "{character}"),
            _ if code > 0xffff => write!(out, "\\U{code:08x}"),
            _ => write!(out, "\\u{code:04x}"),
        };
    }
    out.push('"');
    out
}

/// A moment as TOML has it, in UTC.
fn moment(at: Timestamp) -> String {
    let seconds = at.seconds() % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{at}T{hour:02}:{minute:02}:{second:02}Z")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use valise_protocol::id::Namespace;
    use valise_protocol::message::Metadata;
    use valise_protocol::parcel::{FileHash, FileKey};

    use super::*;

    fn file(name: &str) -> Attachment {
        Attachment {
            key: FileKey::from_bytes(&[1; 32]),
            namespace: Namespace::from_bytes([2; 32]),
            length: 7,
            hash: FileHash::from_bytes([0xab; 32]),
            name: Some(name.to_owned()),
            media_type: "image/\"jpeg".to_owned(),
            metadata: Metadata::Stripped,
        }
    }

    fn custody() -> Custody<'static> {
        Custody {
            submission: SubmissionId::from_bytes([1; 16]),
            mechanism: Address::from_bytes([2; 32]),
            sender: "acid-brave",
            sender_key: DhPublic::from_bytes([3; 32]),
            pulled: Timestamp::from_seconds(1_795_392_000),
            saved: Timestamp::from_seconds(1_795_395_661),
            device: "echo-fox-gull".to_owned(),
            device_key: DhPublic::from_bytes([4; 32]),
        }
    }

    #[test]
    fn every_name_stands_in_the_note_as_it_was_and_does_nothing_there() {
        let long = "x".repeat(255);
        for name in [
            "../../x",
            "a\0b",
            "\"\n[[file]]\nverified = true\n",
            "\u{202e}gpj.exe",
            "\\u0041",
            "con",
            "-rf",
            "\u{1b}[2J\u{9b}\r",
            "\u{e0041}語",
            &long,
        ] {
            let file = file(name);
            let noted = Noted {
                number: 1,
                file: &file,
                saved: Err("no".to_owned()),
            };
            let text = custody().text(&[noted]);
            assert!(text.chars().all(|c| c == '\n' || is_inert(c)), "{text:?}");
            let table: toml::Table = text.parse().unwrap();
            let files = table["file"].as_array().unwrap();
            assert_eq!(files.len(), 1);
            assert_eq!(files[0]["original_name"].as_str(), Some(name));
            assert_eq!(files[0]["media_type"].as_str(), Some("image/\"jpeg"));
            assert_eq!(files[0]["verified"].as_bool(), Some(false));
        }
    }

    #[test]
    fn the_note_says_who_received_what_from_whom_and_when() {
        let file = file("x");
        let noted = Noted {
            number: 1,
            file: &file,
            saved: Ok("attachment-1.bin".to_owned()),
        };
        let text = custody().text(&[noted]);
        for line in [
            "submission = \"01010101010101010101010101010101\"",
            "sender = \"acid-brave\"",
            "pulled = 2026-11-23T00:00:00Z",
            "saved = 2026-11-23T01:01:01Z",
            "device = \"echo-fox-gull\"",
            "saved_as = \"attachment-1.bin\"",
            "length = 7",
            "metadata = \"taken out\"",
            "verified = true",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let table: toml::Table = text.parse().unwrap();
        assert!(table["pulled"].as_datetime().is_some());
        assert_eq!(
            table["file"][0]["sha256"].as_str(),
            Some("ab".repeat(32).as_str())
        );
        assert!(text.contains("no signature"));
    }
}
