//! What a file says of where, when and by what it was made, and taking that out.
//!
//! Everything happens here, in memory, with bytes that anybody may have made: nothing is decoded, nothing is decompressed, and what
//! does not follow its format is refused rather than guessed at. [`strip`] copies the parts that a picture needs, by an allow-list
//! for each format (`jpeg`, `png`, `webp`, `gif`), and never makes the picture anew: each pixel stays what it was. [`look`] is the
//! same walk, so what is not copied is what was found.
//!
//! It does not make a picture anonymous. What it shows, the noise of the sensor and the tables of the coder stay, and so does what
//! somebody hid in the coded data itself. docs/design.md, "Metadata in files", says what is kept and why.

mod kind;
mod finding;
mod taken;
mod exif;
mod text;
mod jpeg;
mod png;
mod webp;
mod gif;
mod refusal;

pub use finding::Finding;
pub use kind::Kind;
pub use refusal::CannotStrip;

use valise_protocol::message::Metadata;

use crate::escape;

use taken::{Damage, Taken};

/// The longest picture that is looked into, in bytes: 64 MiB, several times what a telephone makes. Looking takes as much memory
/// again.
pub const PICTURE: usize = 64 << 20;

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its kind.
    pub kind: Kind,
    /// How much of it was looked into.
    pub depth: Depth,
    /// What it says, each thing once, the most dangerous first.
    pub findings: Vec<Finding>,
}

/// How much of a file was looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All: what was not found is not there.
    Whole,
    /// Some: the file is damaged, or of a kind of which only EXIF can be read. There may be more.
    Part,
    /// Nothing: too long, or of a kind that is not known here.
    Nothing,
}

/// Looks into a file. The bytes are the whole of it; of one over [`PICTURE`] bytes its beginning will do, if more than that.
pub fn look(bytes: &[u8]) -> Look {
    let kind = Kind::of(bytes);
    let (depth, findings) = match take_apart(kind, bytes) {
        _ if bytes.len() > PICTURE => (Depth::Nothing, Default::default()),
        Some((taken, Ok(()))) => (Depth::Whole, taken.findings),
        Some((taken, Err(_))) => (Depth::Part, taken.findings),
        None if kind == Kind::Heif => (Depth::Part, exif::read_heif(bytes)),
        None => (Depth::Nothing, Default::default()),
    };
    Look {
        kind,
        depth,
        findings: findings.into_iter().collect(),
    }
}

/// The picture without what it says of its making. Nothing is encoded anew; a picture that is turned stays turned.
///
/// Guaranteed: [`look`] finds nothing in the result, and stripping it again changes nothing.
///
/// # Errors
/// [`CannotStrip`].
pub fn strip(kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, CannotStrip> {
    if kind.can_be_stripped() && bytes.len() > PICTURE {
        return Err(CannotStrip::TooLong(bytes.len()));
    }
    match take_apart(kind, bytes) {
        Some((taken, Ok(()))) => Ok(taken.kept),
        Some((_, Err(Damage(why)))) => Err(CannotStrip::Damaged(why)),
        None => Err(CannotStrip::Kind(kind)),
    }
}

fn take_apart(kind: Kind, bytes: &[u8]) -> Option<(Taken, Result<(), Damage>)> {
    if bytes.len() > PICTURE {
        return None;
    }
    let mut taken = Taken::default();
    let end = match kind {
        Kind::Jpeg => jpeg::take_apart(bytes, &mut taken),
        Kind::Png => png::take_apart(bytes, &mut taken),
        Kind::WebP => webp::take_apart(bytes, &mut taken),
        Kind::Gif => gif::take_apart(bytes, &mut taken),
        _ => return None,
    };
    Some((taken, end))
}

impl Look {
    /// One sentence about the file of this name, without a full stop: `photo.jpg holds a GPS position, a serial number and a time`.
    /// No value from the file is in it.
    pub fn sentence(&self, name: &str) -> String {
        let (name, noun) = (escape::line(name), self.kind.noun());
        let found = finding::list(&self.findings);
        match (self.depth, self.findings.is_empty()) {
            (Depth::Whole, false) => format!("{name} holds {found}"),
            (Depth::Whole, true) => {
                format!(
                    "nothing was found in {name}, {noun}, of where, when or by what it was made"
                )
            }
            (Depth::Part, false) => format!("{name} holds {found}, and perhaps more"),
            (Depth::Part, true) => format!("{name} is {noun} that can be read in part only"),
            (Depth::Nothing, _) => format!("{name} is {noun}: not looked into"),
        }
    }

    /// What an attachment says of this file if it is sent as it is.
    pub fn as_sent(&self) -> Metadata {
        match (self.depth, self.findings.is_empty()) {
            (_, false) => Metadata::Kept,
            (Depth::Whole, true) => Metadata::NoneFound,
            (_, true) => Metadata::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
