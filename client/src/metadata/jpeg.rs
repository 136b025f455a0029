//! JPEG, segment by segment (ITU-T T.81, annex B; JFIF 1.02).
//!
//! ```text
//! kept as it is      DQT, DHT, DAC, DRI, SOFn, SOS and the coded data with its RSTn, DNL, EOI
//! written anew       JFIF in APP0: density, no thumbnail      Adobe in APP14: the colour transform only
//!                    Exif in APP1: orientation only
//! taken out          every other APPn, COM, everything after EOI
//! refused            what is none of these, tables that are not exactly as long as they say, a missing end
//! ```
//!
//! img-parts takes everything from the first SOS to the end of the file for one piece: comments between the scans of a progressive
//! picture and bytes after its end would stay. So the segments are read here.

use super::exif;
use super::finding::Finding;
use super::taken::{Damage, Reader, Taken};
use super::text;

/// Takes a JPEG apart.
pub(super) fn take_apart(bytes: &[u8], taken: &mut Taken) -> Result<(), Damage> {
    let mut reader = Reader(bytes);
    if reader.array()? != [0xff, SOI] {
        return Err(Damage("it does not begin like a JPEG"));
    }
    taken.keep(&[0xff, SOI]);
    let mut walk = Walk {
        reader,
        turn_at: 2,
        frame: false,
        scan: false,
    };
    while walk.step(taken)? {}
    if !walk.reader.is_empty() {
        taken.found(Finding::BytesAfterEnd);
    }
    if let Some(turn) = taken.orientation {
        taken.kept.splice(walk.turn_at..walk.turn_at, turning(turn));
    }
    Ok(())
}

/// Where a walk over the segments stands.
struct Walk<'a> {
    reader: Reader<'a>,
    /// Where in what is kept the orientation goes: after a JFIF segment that comes first, which must.
    turn_at: usize,
    /// Whether the frame header has been seen.
    frame: bool,
    /// Whether a scan has been seen.
    scan: bool,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DNL: u8 = 0xdc;
const DRI: u8 = 0xdd;
const DHT: u8 = 0xc4;
const DAC: u8 = 0xcc;
const COM: u8 = 0xfe;

impl Walk<'_> {
    /// One segment; false after the last.
    fn step(&mut self, taken: &mut Taken) -> Result<bool, Damage> {
        let marker = self.marker()?;
        if marker == EOI {
            taken.keep(&[0xff, EOI]);
            let whole = self.frame && self.scan;
            return whole.then_some(false).ok_or(Damage("it has no picture"));
        }
        if !has_payload(marker) {
            return Err(Damage("it has a marker where none belongs"));
        }
        let length = usize::from(u16::from_be_bytes(self.reader.array()?));
        let length = length
            .checked_sub(2)
            .ok_or(Damage("a segment is too short"))?;
        let payload = self.reader.take(length)?;
        match marker {
            0xe0..=0xef => self.application(marker, payload, taken),
            COM => taken.found(Finding::Comment),
            _ => self.coding(marker, payload, taken)?,
        }
        Ok(true)
    }

    /// The next marker. Bytes 0xff may fill the space before it.
    fn marker(&mut self) -> Result<u8, Damage> {
        if self.reader.byte()? != 0xff {
            return Err(Damage("it has bytes between its segments"));
        }
        loop {
            let marker = self.reader.byte()?;
            if marker != 0xff {
                return Ok(marker);
            }
        }
    }

    /// A segment that the decoder needs, checked to be nothing else.
    fn coding(&mut self, marker: u8, payload: &[u8], taken: &mut Taken) -> Result<(), Damage> {
        let fits = match marker {
            DQT => tables(payload, quantisation),
            DHT => tables(payload, huffman),
            DAC => tables(payload, conditioning),
            DRI | DNL => payload.len() == 2,
            SOS => {
                let components = payload.first().map_or(0, |count| usize::from(*count));
                (1..=4).contains(&components) && payload.len() == 4 + 2 * components
            }
            _ => {
                let components = payload.get(5).map_or(0, |count| usize::from(*count));
                components > 0 && payload.len() == 6 + 3 * components
            }
        };
        let in_order = match marker {
            SOS => self.frame,
            DNL => self.scan,
            DQT | DHT | DAC | DRI => true,
            _ => !self.frame,
        };
        if !(fits && in_order) {
            return Err(Damage("a table or header is not as it should be"));
        }
        keep(marker, payload, taken);
        self.frame |= !matches!(marker, DQT | DHT | DAC | DRI | DNL);
        if marker == SOS {
            self.scan = true;
            let (coded, rest) = coded(self.reader.0);
            taken.keep(coded);
            self.reader = Reader(rest);
        }
        Ok(())
    }

    /// An application's segment.
    fn application(&mut self, marker: u8, payload: &[u8], taken: &mut Taken) {
        if let (0xe0, Some(rest)) = (marker, payload.strip_prefix(b"JFIF\0")) {
            return self.jfif(rest, taken);
        }
        if let (0xee, [b'A', b'd', b'o', b'b', b'e', rest @ ..]) = (marker, payload) {
            return adobe(rest, taken);
        }
        if let (0xe1, Some(block)) = (marker, payload.strip_prefix(exif::PREFIX)) {
            let (findings, turn) = exif::read(block);
            taken.findings.extend(findings);
            taken.orientation = taken.orientation.or(turn);
            return;
        }
        let begins = |with: &[u8]| payload.starts_with(with);
        match marker {
            0xe0 if begins(b"JFXX\0") => taken.found(Finding::Thumbnail),
            0xe1 if begins(b"http://ns.adobe.com/x") => taken.found_all(text::xmp(payload)),
            0xe2 if begins(b"ICC_PROFILE\0") => taken.found(Finding::ColourProfile),
            0xed => taken.found_all(text::iptc(payload)),
            _ => taken.found(Finding::Other),
        }
    }

    /// JFIF says that colours are YCbCr, and how wide a pixel is to its height. The version is 1.01, whatever it was.
    fn jfif(&mut self, rest: &[u8], taken: &mut Taken) {
        let [_, _, density @ .., across, down] = rest.get(..9).unwrap_or_default() else {
            return taken.found(Finding::Other);
        };
        if (*across, *down) != (0, 0) || rest.len() > 9 {
            taken.found(Finding::Thumbnail);
        }
        let first = taken.kept.len() == 2;
        keep(0xe0, &[b"JFIF\0\x01\x01", density, &[0, 0]].concat(), taken);
        if first {
            self.turn_at = taken.kept.len();
        }
    }
}

/// Adobe's segment says how colours are coded. Its version and flags, which tell of the program, are written as they mostly are.
fn adobe(rest: &[u8], taken: &mut Taken) {
    let Some(transform) = rest.get(6) else {
        return taken.found(Finding::Other);
    };
    if rest.len() > 7 {
        taken.found(Finding::Other);
    }
    let canonical = [b"Adobe\0\x64\0\0\0\0", std::slice::from_ref(transform)].concat();
    keep(0xee, &canonical, taken);
}

/// Writes a segment. The payload is no longer than one that was read.
fn keep(marker: u8, payload: &[u8], taken: &mut Taken) {
    let length = u16::try_from(payload.len() + 2).unwrap_or(u16::MAX);
    taken.keep(&[0xff, marker]);
    taken.keep(&length.to_be_bytes());
    taken.keep(payload);
}

/// The segment that only turns the picture.
fn turning(orientation: u8) -> Vec<u8> {
    [b"\xff\xe1\0\x22", exif::PREFIX, &exif::turning(orientation)].concat()
}

/// Whether a segment of this kind is known, and has a length. Not: SOI within, RSTn outside of coded data, TEM, what is reserved,
/// JPEG-LS, hierarchical pictures.
fn has_payload(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc7 | 0xc9..=0xcf | SOS..=DRI | 0xe0..=0xef | COM)
}

/// The coded data at the front, and what comes after it: the next marker that is neither a restart nor a stuffed byte.
fn coded(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == 0xff) {
        let start = at + found;
        let fill = bytes[start..].iter().take_while(|byte| **byte == 0xff);
        let after = start + fill.count();
        match bytes.get(after) {
            Some(0x00 | 0xd0..=0xd7) => at = after + 1,
            _ => return bytes.split_at(start),
        }
    }
    (bytes, &[])
}

/// Whether a payload is tables and nothing else; `length` gives the length of the table that it begins with.
fn tables(mut payload: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> bool {
    while !payload.is_empty() {
        match length(payload).and_then(|length| payload.get(length..)) {
            Some(rest) => payload = rest,
            None => return false,
        }
    }
    true
}

fn quantisation(table: &[u8]) -> Option<usize> {
    match table.first()? {
        0x00..=0x03 => Some(65),
        0x10..=0x13 => Some(129),
        _ => None,
    }
}

/// One table of arithmetic coding: which, then the bounds of a DC one or the threshold of an AC one.
fn conditioning(table: &[u8]) -> Option<usize> {
    match table.get(..2)? {
        [0x00..=0x03, bounds] if bounds & 15 <= bounds >> 4 => Some(2),
        [0x10..=0x13, 1..=63] => Some(2),
        _ => None,
    }
}

fn huffman(table: &[u8]) -> Option<usize> {
    let known = matches!(table.first()?, 0x00..=0x03 | 0x10..=0x13);
    let counts = table.get(1..17)?.iter().map(|count| usize::from(*count));
    known.then(|| 17 + counts.sum::<usize>())
}
