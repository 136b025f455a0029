//! What a file was found to say, in plain words.

use std::collections::BTreeSet;
use std::fmt;

/// One thing that a file says of where, when and by what it was made, in the order in which it matters to whoever is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Finding {
    /// Where it was taken, by satellite.
    Position,
    /// The name of a place, a city or a country.
    PlaceName,
    /// A serial number: of a camera, of a lens, or the unique number of a picture.
    SerialNumber,
    /// Make, model or name of a camera, a telephone, a lens or a computer.
    Camera,
    /// When it was taken, changed or sent.
    Time,
    /// An author, an owner or a rights holder.
    Person,
    /// The program that made or changed it.
    Software,
    /// A camera maker's note of its own form: serial numbers and counts of shots are usual in it.
    MakersNote,
    /// A small picture, which may show what was cut off or covered in the large one.
    Thumbnail,
    /// A title, a description, key words, a remark.
    Comment,
    /// Text in XMP, whatever it says.
    Xmp,
    /// Bytes after the end of the picture: a film, a second picture, what an editor left of the one before.
    BytesAfterEnd,
    /// A colour profile: it names its maker, often a device, and a time.
    ColourProfile,
    /// Anything else that the picture does not need.
    Other,
}

/// What was found, each once, in order.
pub(super) type Findings = BTreeSet<Finding>;

/// With its article, for a sentence: `a GPS position`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Position => "a GPS position",
            Self::PlaceName => "the name of a place",
            Self::SerialNumber => "a serial number",
            Self::Camera => "the make or model of a camera or phone",
            Self::Time => "a time",
            Self::Person => "the name of a person",
            Self::Software => "the name of a program",
            Self::MakersNote => "a note of the camera's maker",
            Self::Thumbnail => "a thumbnail",
            Self::Comment => "a title or comment",
            Self::Xmp => "text in XMP",
            Self::BytesAfterEnd => "bytes after the end of the picture",
            Self::ColourProfile => "a colour profile",
            Self::Other => "other data that the picture does not need",
        })
    }
}

/// `a, b and c`.
pub(super) fn list(findings: &[Finding]) -> String {
    match findings {
        [] => String::new(),
        [one] => one.to_string(),
        [before @ .., last] => {
            let before: Vec<String> = before.iter().map(Finding::to_string).collect();
            format!("{} and {last}", before.join(", "))
        }
    }
}
