//! Vectors: their format (tests/vectors/README.md), read and written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One vector.
pub struct Vector {
    /// The file's name.
    pub name: String,
    /// The operation.
    pub op: String,
    /// `ok`, or the kind of failure.
    pub expect: String,
    /// What goes in.
    pub inputs: Values,
    /// What comes out.
    pub outputs: Values,
}

/// Text, also numbers; or bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

/// Inputs or outputs by their names, and which of them were looked at.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, Value>, RefCell<BTreeSet<String>>);

/// The inputs of an operation as the description names them: `card:`, `good-N=`.
pub struct Inputs(Vec<String>);

/// The folder with the vectors, their description and the program that made them.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

/// Every vector there is.
pub fn all() -> Vec<Vector> {
    let mut paths: Vec<PathBuf> = fs::read_dir(home().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.ends_with(".txt"), "{name} is no vector");
            Vector::read(name, &fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn description() -> String {
    fs::read_to_string(home().join("README.md")).unwrap()
}

/// The inputs of every operation: the second column of the description's table of operations.
pub fn operations() -> BTreeMap<String, Inputs> {
    let text = description();
    let (_, table) = text.split_once("## Operations").unwrap();
    let (table, _) = table.split_once("## Kinds of failure").unwrap();
    table
        .lines()
        .filter_map(|line| {
            let (op, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let (inputs, _) = rest.split_once(" | ")?;
            let quoted = inputs.split('`').skip(1).step_by(2);
            let names = quoted.filter(|name| name.ends_with([':', '=']));
            Some((op.to_owned(), Inputs(names.map(str::to_owned).collect())))
        })
        .collect()
}

/// The kinds of failure that the description has: the first column of its last table.
pub fn vocabulary() -> Vec<String> {
    let text = description();
    let (_, kinds) = text.split_once("## Kinds of failure").unwrap();
    kinds
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"))
        .flat_map(|(first, _)| first.split([' ', '`']))
        .filter(|kind| !kind.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Inputs {
    /// The first of these that is none of them, or of another sort.
    pub fn stranger<'a>(&self, values: &'a Values) -> Option<&'a str> {
        let known =
            |(name, value): &(&String, &Value)| self.0.iter().any(|it| fits(it, name, value));
        let stranger = values.0.iter().find(|entry| !known(entry));
        stranger.map(|(name, _)| name.as_str())
    }
}

/// Whether an input is the one that is described so. `N` stands for a number.
fn fits(described: &str, name: &str, value: &Value) -> bool {
    let sort = match value {
        Value::Text(_) => '=',
        Value::Bytes(_) => ':',
    };
    let Some(described) = described.strip_suffix(sort) else {
        return false;
    };
    let part = |(described, part): (&str, &str)| {
        let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        described == part || (described == "N" && number)
    };
    let parts = described.split('-').count() == name.split('-').count();
    parts && described.split('-').zip(name.split('-')).all(part)
}

impl Vector {
    /// Reads one.
    pub fn read(name: &str, text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").expect(name);
        let keys: Vec<(&str, &str)> = head
            .lines()
            .map(|line| line.split_once(": ").expect(name))
            .collect();
        let [("op", op), ("expect", expect), ("spec", _), ("about", _)] = keys[..] else {
            panic!("{name}: the header has other keys");
        };
        let (inputs, outputs) = match body.strip_prefix("---\n") {
            Some(outputs) => ("", outputs),
            None => body.split_once("\n---\n").expect(name),
        };
        Self {
            name: name.to_owned(),
            op: op.to_owned(),
            expect: expect.to_owned(),
            inputs: Values::read(inputs),
            outputs: Values::read(outputs),
        }
    }

    /// Writes one that succeeds.
    pub fn write(op: &str, spec: &str, about: &str, inputs: &Values, outputs: &Values) -> String {
        let head = format!("op: {op}\nexpect: ok\nspec: {spec}\nabout: {about}\n");
        format!("{head}\n{}---\n{}", inputs.write(), outputs.write())
    }
}

impl Values {
    /// With one more.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The first that nobody has looked at.
    pub fn unread(&self) -> Option<&str> {
        let read = self.1.borrow();
        let unread = self.0.keys().find(|name| !read.contains(*name));
        unread.map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.1.borrow_mut().insert(name.to_owned());
        self.0.get(name)
    }

    /// A text.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            _ => panic!("no text {name}"),
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }

    /// Bytes.
    pub fn bytes(&self, name: &str) -> &[u8] {
        match self.get(name) {
            Some(Value::Bytes(bytes)) => bytes,
            _ => panic!("no bytes {name}"),
        }
    }

    /// So many bytes.
    pub fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().expect(name)
    }

    /// The names `before0after`, `before1after`, … as far as they go.
    pub fn names(&self, before: &str, after: &str) -> Vec<String> {
        (0..)
            .map(|number| format!("{before}{number}{after}"))
            .take_while(|name| self.has(name))
            .collect()
    }

    /// The bytes of the same.
    pub fn many(&self, before: &str, after: &str) -> Vec<&[u8]> {
        let names = self.names(before, after);
        names.iter().map(|name| self.bytes(name)).collect()
    }

    /// The first name whose value is another, or is missing on one side.
    pub fn difference<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let missing = other.0.keys().find(|name| !self.has(name));
        let differs = |(name, value): &(&String, &Value)| other.0.get(*name) != Some(*value);
        let found = self.0.iter().find(differs).map(|(name, _)| name);
        missing.or(found).map(String::as_str)
    }

    fn read(lines: &str) -> Self {
        let mut values = Self::default();
        for line in lines.lines() {
            let end = line.find([':', '=', '*']).expect("a sort");
            let (name, rest) = line.split_at(end);
            let value = rest[1..].strip_prefix(' ').unwrap_or(&rest[1..]);
            let value = match &rest[..1] {
                "=" => Value::Text(value.to_owned()),
                "*" => Value::Bytes(base64(value)),
                _ => Value::Bytes(value.split(' ').flat_map(piece).collect()),
            };
            let before = values.0.insert(name.to_owned(), value);
            assert!(before.is_none(), "{name} is there twice");
        }
        values
    }

    fn write(&self) -> String {
        let line = |(name, value): (&String, &Value)| match value {
            Value::Text(text) => format!("{name}= {text}\n"),
            Value::Bytes(bytes) if bytes.is_empty() => format!("{name}:\n"),
            Value::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{name}: {digits}\n")
            }
        };
        self.0.iter().map(line).collect()
    }
}

/// `0102`, or `16*00`.
fn piece(piece: &str) -> Vec<u8> {
    if let Some((count, byte)) = piece.split_once('*') {
        return hex(byte).repeat(count.parse().unwrap());
    }
    hex(piece)
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = LETTERS.iter().position(|other| *other == letter).unwrap();
        held = held << 6 | u32::try_from(value).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    assert_eq!(held, 0, "what base64 leaves over is zero");
    bytes
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}
