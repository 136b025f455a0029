//! PNG, chunk by chunk (W3C PNG, third edition).
//!
//! ```text
//! kept as it is      IHDR, PLTE, IDAT, IEND, tRNS: the picture         acTL, fcTL, fdAT: its movement
//!                    gAMA, cHRM, sRGB, cICP, sBIT: its colours, in numbers of fixed length without a text
//!                    bKGD: one colour to lay it on                     pHYs: how wide a pixel is to its height
//! written anew       eXIf: orientation only
//! taken out          every other ancillary chunk (tEXt, zTXt, iTXt, tIME, iCCP, eXIf, …), everything after IEND
//! refused            a critical chunk that is none of these: the picture cannot be without it
//! ```
//!
//! img-parts would do for the chunks, but with it two readings of a file would have to agree; a chunk is four fields.

use super::exif;
use super::finding::Finding;
use super::taken::{Damage, Reader, Taken};
use super::text;

/// Takes a PNG apart.
pub(super) fn take_apart(bytes: &[u8], taken: &mut Taken) -> Result<(), Damage> {
    let mut reader = Reader(bytes);
    let signature: [u8; 8] = reader.array()?;
    if signature != *b"\x89PNG\r\n\x1a\n" {
        return Err(Damage("it does not begin like a PNG"));
    }
    taken.keep(&signature);
    let (mut header_ends, mut picture) = (0, false);
    loop {
        let chunk = Chunk::read(&mut reader)?;
        match (&chunk.kind, header_ends) {
            (b"IHDR", 0) => header_ends = taken.kept.len() + chunk.whole.len(),
            (b"IHDR", _) | (_, 0) => return Err(Damage("its header is not where it belongs")),
            (b"IDAT", _) => picture = true,
            _ => {}
        }
        if fits(&chunk.kind, chunk.content.len()) {
            taken.keep(chunk.whole);
        } else if chunk.kind[0].is_ascii_uppercase() {
            return Err(Damage(
                "it has a part that is not known here and that it needs",
            ));
        } else {
            look(&chunk, taken);
        }
        if chunk.kind == *b"IEND" {
            break;
        }
    }
    if !picture {
        return Err(Damage("it has no picture"));
    }
    if !reader.is_empty() {
        taken.found(Finding::BytesAfterEnd);
    }
    if let Some(turn) = taken.orientation {
        taken.kept.splice(header_ends..header_ends, turning(turn));
    }
    Ok(())
}

struct Chunk<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Damage> {
        let mut ahead = *reader;
        let length = u32::from_be_bytes(ahead.array()?) as usize;
        let kind = ahead.array()?;
        let content = ahead.take(length)?;
        Ok(Self {
            kind,
            content,
            whole: reader.take(length.saturating_add(12))?,
        })
    }
}

/// Whether a chunk is on the list, and of a length that it can have.
fn fits(kind: &[u8; 4], length: usize) -> bool {
    match kind {
        b"IHDR" => length == 13,
        b"PLTE" => length <= 768 && length.is_multiple_of(3),
        b"IDAT" => true,
        b"IEND" => length == 0,
        b"tRNS" => length <= 256,
        b"gAMA" | b"cICP" => length == 4,
        b"cHRM" => length == 32,
        b"sRGB" => length == 1,
        b"sBIT" => (1..=4).contains(&length),
        b"bKGD" => matches!(length, 1 | 2 | 6),
        b"pHYs" => length == 9,
        b"acTL" => length == 8,
        b"fcTL" => length == 26,
        b"fdAT" => length >= 4,
        _ => false,
    }
}

/// What an ancillary chunk says that is taken out.
fn look(chunk: &Chunk<'_>, taken: &mut Taken) {
    match &chunk.kind {
        b"eXIf" => {
            let (findings, turn) = exif::read(chunk.content);
            taken.findings.extend(findings);
            taken.orientation = taken.orientation.or(turn);
        }
        b"tEXt" | b"zTXt" | b"iTXt" => {
            let end = chunk.content.iter().position(|byte| *byte == 0);
            let word = &chunk.content[..end.unwrap_or_default()];
            match word {
                b"XML:com.adobe.xmp" => taken.found_all(text::xmp(chunk.content)),
                word if word.starts_with(b"Raw profile type") => taken.found(Finding::Other),
                word => taken.found(text::keyword(word)),
            }
        }
        b"tIME" => taken.found(Finding::Time),
        b"iCCP" => taken.found(Finding::ColourProfile),
        _ => taken.found(Finding::Other),
    }
}

/// The chunk that only turns the picture.
fn turning(orientation: u8) -> Vec<u8> {
    let body = [b"eXIf", &exif::turning(orientation)[..]].concat();
    [&26_u32.to_be_bytes(), &body[..], &crc(&body).to_be_bytes()].concat()
}

/// The check sum of a chunk, over its kind and content.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, byte)
}
