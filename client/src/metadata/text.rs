//! What XMP and IPTC say, by the names of their properties. Both are taken out whole, so their values are not read.

use super::finding::{Finding, Findings};

/// What an XMP packet says. Always [`Finding::Xmp`], and what the names of its properties tell.
pub(super) fn xmp(packet: &[u8]) -> Findings {
    // In UTF-16 every second byte of a name is zero.
    let narrow: Vec<u8> = packet.iter().copied().filter(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&narrow);
    let named = PROPERTIES
        .iter()
        .filter(|(name, _)| text.contains(name))
        .map(|(_, finding)| *finding);
    named.chain([Finding::Xmp]).collect()
}

/// What a block of Photoshop resources says of the IPTC fields in it: record 2, by the number of each field.
pub(super) fn iptc(block: &[u8]) -> Findings {
    let marks = block.windows(3).filter(|window| window[..2] == [0x1c, 2]);
    let found = marks.filter_map(|window| {
        Some(match window[2] {
            80 | 85 | 110 | 115 | 116 | 118 | 122 => Finding::Person,
            26 | 27 | 90 | 92 | 95 | 100 | 101 => Finding::PlaceName,
            30 | 35 | 37 | 38 | 55 | 60 | 62 | 63 => Finding::Time,
            65 | 70 => Finding::Software,
            5 | 25 | 40 | 105 | 120 => Finding::Comment,
            _ => return None,
        })
    });
    let mut findings: Findings = found.collect();
    // Resources 1033 and 1036 are thumbnails.
    let thumbnail = |window: &[u8]| matches!(window, b"8BIM\x04\x09" | b"8BIM\x04\x0c");
    if block.windows(6).any(thumbnail) {
        findings.insert(Finding::Thumbnail);
    }
    findings
}

/// What a text chunk of a PNG is, by its key word.
pub(super) fn keyword(word: &[u8]) -> Finding {
    match word.to_ascii_lowercase().as_slice() {
        b"author" | b"artist" | b"copyright" => Finding::Person,
        b"software" | b"producer" => Finding::Software,
        b"creation time" | b"date:create" | b"date:modify" | b"date:timestamp" => Finding::Time,
        b"source" | b"model" | b"make" => Finding::Camera,
        _ => Finding::Comment,
    }
}

/// Names of properties, with enough of their prefix or ending to mean one thing.
const PROPERTIES: [(&str, Finding); 24] = [
    ("GPSLatitude", Finding::Position),
    ("GPSLongitude", Finding::Position),
    ("photoshop:City", Finding::PlaceName),
    ("photoshop:Country", Finding::PlaceName),
    ("Iptc4xmpCore:Location", Finding::PlaceName),
    ("Iptc4xmpExt:Location", Finding::PlaceName),
    ("SerialNumber", Finding::SerialNumber),
    ("ImageUniqueID", Finding::SerialNumber),
    ("xmpMM:DocumentID", Finding::SerialNumber),
    ("xmpMM:InstanceID", Finding::SerialNumber),
    ("tiff:Make", Finding::Camera),
    ("tiff:Model", Finding::Camera),
    ("aux:Lens", Finding::Camera),
    ("CreateDate", Finding::Time),
    ("ModifyDate", Finding::Time),
    ("DateTimeOriginal", Finding::Time),
    ("DateCreated", Finding::Time),
    ("dc:creator", Finding::Person),
    ("dc:rights", Finding::Person),
    ("OwnerName", Finding::Person),
    ("CreatorTool", Finding::Software),
    ("softwareAgent", Finding::Software),
    ("xmp:Thumbnails", Finding::Thumbnail),
    ("dc:description", Finding::Comment),
];
