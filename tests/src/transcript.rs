//! What the programs print, held against files that people can read: `tests/transcripts/*.txt`.
//!
//! A line `$ command`, then its output with both streams in the order in which they came, then `[exit status N]` where it failed. What
//! differs from run to run stands as a placeholder. `VALISE_WRITE_TRANSCRIPTS=1` writes the files anew.

use std::path::{Path, PathBuf};

use valise_protocol::phrase::{PhraseError, ReturnPhrase};

use crate::program::Invocation;

/// A transcript while it is taken.
pub struct Transcript {
    name: &'static str,
    ports: Vec<String>,
    text: String,
    wide: Vec<String>,
}

impl Transcript {
    /// An empty one, of a stage whose relay has this port.
    pub fn new(name: &'static str, port: u16) -> Self {
        Self {
            name,
            ports: vec![port.to_string()],
            text: String::new(),
            wide: Vec::new(),
        }
    }

    /// The same, with the port of a second relay.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.ports.push(port.to_string());
        self
    }

    /// A line that explains what comes.
    pub fn remark(&mut self, text: &str) {
        self.text.push_str(&format!("# {text}\n"));
    }

    /// Runs a command and takes down what it says. Gives its output as it was.
    pub fn run(&mut self, invocation: Invocation) -> String {
        let typed = invocation.as_typed();
        let (status, said) = invocation.run_together();
        self.take(&typed, &said);
        if let Some(code) = status.code().filter(|code| *code != 0) {
            self.text.push_str(&format!("[exit status {code}]\n"));
        }
        self.text.push('\n');
        said
    }

    /// Takes down a command that was run otherwise.
    pub fn take(&mut self, typed: &str, said: &str) {
        self.wide.extend(too_wide(said));
        let text = self.normalised(&format!("$ {typed}\n{said}"));
        self.text.push_str(&text);
    }

    /// Compares with the file, or writes it where that was asked for.
    ///
    /// # Panics
    /// When they differ, or a line was over 80 columns.
    pub fn hold(self) {
        let path = directory().join(format!("{}.txt", self.name));
        if std::env::var_os("VALISE_WRITE_TRANSCRIPTS").is_some() {
            std::fs::create_dir_all(directory()).expect("the sources can be written");
            std::fs::write(&path, &self.text).expect("the sources can be written");
        }
        assert!(self.wide.is_empty(), "over 80 columns: {:#?}", self.wide);
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, (held, now)) in held.lines().zip(self.text.lines()).enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            assert_eq!(held, now, "{place}; in whole:\n{}", self.text);
        }
        let lengths = (held.lines().count(), self.text.lines().count());
        assert_eq!(lengths.0, lengths.1, "{}:\n{}", path.display(), self.text);
    }

    fn normalised(&self, text: &str) -> String {
        let mut out = String::new();
        for line in text.lines() {
            let mut line = line.to_owned();
            for port in &self.ports {
                line = line.replace(port, "PORT");
            }
            for (begins, placeholder) in [("valise1", "valise1…"), ("relay1", "relay1…")] {
                line = names(&line, begins, placeholder);
            }
            line = pieces(&line, is_date, "DATE");
            line = pieces(&line, is_id, "ID");
            line = words(&line);
            if line.starts_with("disk: ") {
                line = "disk: N MiB".into();
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Where the files lie.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

/// Lines that a terminal of 80 columns would break, but for those with a contact, which is one word.
fn too_wide(said: &str) -> Vec<String> {
    let contact = |line: &str| {
        ["valise1", "relay1", "valise-device1"]
            .iter()
            .any(|begins| line.split(begins).skip(1).any(|rest| rest.len() >= 58))
    };
    said.lines()
        .filter(|line| line.chars().count() > 80 && !contact(line))
        .map(str::to_owned)
        .collect()
}

/// Replaces what begins so and has the 58 characters of an address or relay id.
fn names(line: &str, begins: &str, placeholder: &str) -> String {
    let mut parts = line.split(begins);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let length = part
            .bytes()
            .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            .count();
        if length == 58 {
            out.push_str(placeholder);
            out.push_str(&part[length..]);
        } else {
            out.push_str(begins);
            out.push_str(part);
        }
    }
    out
}

/// Replaces every run of letters, digits and hyphens that is of a kind.
fn pieces(line: &str, kind: fn(&str) -> bool, placeholder: &str) -> String {
    let mut out = String::new();
    let mut piece = String::new();
    for character in line.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || character == '-' {
            piece.push(character);
            continue;
        }
        out.push_str(if kind(&piece) { placeholder } else { &piece });
        piece.clear();
        out.push(character);
    }
    out.trim_end_matches('\n').to_owned()
}

fn is_date(piece: &str) -> bool {
    let shape: String = piece
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    shape == "9999-99-99"
}

fn is_id(piece: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (piece.len() == 8 || piece.len() == 32) && piece.chars().all(hex)
}

/// Replaces six words of the list in a row, and names made of two or more of them.
fn words(line: &str) -> String {
    let line = pieces(line, is_name, "WORDS");
    let all: Vec<&str> = line.split(' ').collect();
    let mut out: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let six = all.get(at..at + 6);
        if six.is_some_and(|six| six.iter().all(|word| is_listed(word))) {
            out.push("WORDS");
            at += 6;
        } else {
            out.push(all[at]);
            at += 1;
        }
    }
    out.join(" ")
}

fn is_name(piece: &str) -> bool {
    let words: Vec<&str> = piece.split('-').collect();
    (2..=3).contains(&words.len()) && words.iter().all(|word| is_listed(word))
}

/// Whether a word is on the list of return phrases.
fn is_listed(word: &str) -> bool {
    let lower = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let twelve = [word; 12].join(" ").parse::<ReturnPhrase>();
    lower
        && !matches!(
            twelve,
            Err(PhraseError::NotListed { .. } | PhraseError::Count(_))
        )
}
