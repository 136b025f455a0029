//! What kind of file some bytes are, by how they begin.

/// A kind of file. Its name is never asked: names lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JPEG picture.
    Jpeg,
    /// A PNG picture.
    Png,
    /// A WebP picture.
    WebP,
    /// A GIF picture.
    Gif,
    /// A HEIC or AVIF picture: what telephones take.
    Heif,
    /// A TIFF picture, or a camera's raw picture: most of these are TIFF inside.
    Tiff,
    /// A PDF document.
    Pdf,
    /// An MP4 or `QuickTime` film or sound.
    Mp4,
    /// A Word document of the kind that is a zip archive.
    Docx,
    /// An `OpenDocument` text.
    Odt,
    /// Another zip archive; other office documents are among them.
    Zip,
    /// Text in UTF-8. Also HTML, SVG, mail and GPS tracks, so nothing is known of what it says.
    Text,
    /// None of these.
    Unknown,
}

impl Kind {
    /// The kind of a file that begins so. The first 4,096 bytes are enough; fewer are no fault.
    pub fn of(bytes: &[u8]) -> Self {
        let head = bytes.get(..HEAD).unwrap_or(bytes);
        let at = |offset: usize, magic: &[u8]| {
            head.get(offset..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        match () {
            () if at(0, b"\xff\xd8\xff") => Self::Jpeg,
            () if at(0, b"\x89PNG\r\n\x1a\n") => Self::Png,
            () if at(0, b"RIFF") && at(8, b"WEBP") => Self::WebP,
            () if at(0, b"GIF87a") || at(0, b"GIF89a") => Self::Gif,
            () if at(0, b"II*\0") || at(0, b"MM\0*") => Self::Tiff,
            () if at(0, b"%PDF-") => Self::Pdf,
            () if at(4, b"ftyp") && STILL.iter().any(|brand| at(8, brand)) => Self::Heif,
            () if FILM.iter().any(|atom| at(4, atom)) => Self::Mp4,
            () if at(0, b"PK\x03\x04") => zip(head),
            () if is_text(head, bytes.len() > head.len()) => Self::Text,
            () => Self::Unknown,
        }
    }

    /// Its media type, such as `image/jpeg`.
    pub fn media_type(self) -> &'static str {
        self.names().0
    }

    /// What it is called in a sentence, such as "a JPEG picture".
    pub fn noun(self) -> &'static str {
        self.names().1
    }

    /// Whether [`super::look`] knows what such a file says of its making.
    pub fn is_looked_into(self) -> bool {
        self.can_be_stripped() || self == Self::Heif
    }

    /// Whether [`super::strip`] knows it.
    pub fn can_be_stripped(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Gif)
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Jpeg => ("image/jpeg", "a JPEG picture"),
            Self::Png => ("image/png", "a PNG picture"),
            Self::WebP => ("image/webp", "a WebP picture"),
            Self::Gif => ("image/gif", "a GIF picture"),
            Self::Heif => ("image/heif", "a HEIC or AVIF picture"),
            Self::Tiff => ("image/tiff", "a TIFF or raw picture"),
            Self::Pdf => ("application/pdf", "a PDF document"),
            Self::Mp4 => ("video/mp4", "an MP4 or QuickTime film or sound"),
            Self::Docx => (DOCX, "a Word document"),
            Self::Odt => (ODT, "an OpenDocument text"),
            Self::Zip => ("application/zip", "a zip archive"),
            Self::Text => ("text/plain", "text"),
            Self::Unknown => ("application/octet-stream", "of no kind known here"),
        }
    }
}

/// How many of the first bytes are looked at.
const HEAD: usize = 4_096;
/// The brands of an ISO base media file that is a still picture.
const STILL: [&[u8]; 10] = [
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis",
];
/// What the first atom of a film may be: old `QuickTime` has no `ftyp`.
const FILM: [&[u8]; 3] = [b"ftyp", b"moov", b"mdat"];
const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const ODT: &str = "application/vnd.oasis.opendocument.text";

/// What a zip archive holds, by the names of its first entries: `mimetype` comes first in an `OpenDocument`, and stands there in
/// plain bytes; Word names `word/` or begins with its list of types.
fn zip(head: &[u8]) -> Kind {
    let has = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    if has(b"mimetypeapplication/vnd.oasis.opendocument.text") {
        Kind::Odt
    } else if has(b"word/") {
        Kind::Docx
    } else {
        Kind::Zip
    }
}

/// Whether these are characters of UTF-8 and none of them is a control character other than those that lay out lines. The last
/// character may be cut off if the file goes on.
fn is_text(head: &[u8], goes_on: bool) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(fault) if goes_on && fault.error_len().is_none() => {
            std::str::from_utf8(&head[..fault.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let laid_out = |character| matches!(character, '\t' | '\n' | '\r' | '\u{c}');
    !text.is_empty() && text.chars().all(|c| laid_out(c) || !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_how_the_file_begins() {
        for (bytes, kind) in [
            (&b"\xff\xd8\xff\xe0"[..], Kind::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0", Kind::Png),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::WebP),
            (b"RIFF\0\0\0\0WAVEfmt ", Kind::Unknown),
            (b"GIF89a", Kind::Gif),
            (b"%PDF-1.7\n%\xe2\xe3", Kind::Pdf),
            (b"\0\0\0\x18ftypheic\0\0\0\0", Kind::Heif),
            (b"\0\0\0\x18ftypisom\0\0\0\0", Kind::Mp4),
            (b"\0\0\0\x14ftypqt  \0\0\0\0", Kind::Mp4),
            (b"II*\0\x08\0\0\0", Kind::Tiff),
            (b"PK\x03\x04......word/document.xml", Kind::Docx),
            (
                b"PK\x03\x04......mimetypeapplication/vnd.oasis.opendocument.textPK",
                Kind::Odt,
            ),
            (b"PK\x03\x04......holiday.jpg", Kind::Zip),
            ("Ωé\nzwei\r\n".as_bytes(), Kind::Text),
            (b"a\0b", Kind::Unknown),
            (b"\xff\xff", Kind::Unknown),
            (b"", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_text_is_text_wherever_its_beginning_is_cut() {
        for before in 0..4 {
            let text = format!("{}{}", "x".repeat(before), "語".repeat(HEAD));
            assert_eq!(Kind::of(text.as_bytes()), Kind::Text);
        }
    }

    #[test]
    fn a_media_type_fits_an_attachment() {
        for kind in [Kind::Jpeg, Kind::Docx, Kind::Odt, Kind::Unknown] {
            let name = kind.media_type();
            assert!(name.len() <= 127 && name.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
