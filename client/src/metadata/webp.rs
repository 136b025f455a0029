//! WebP, chunk by chunk (RFC 9649).
//!
//! ```text
//! kept as it is      VP8, VP8L, ALPH: the picture        ANIM, ANMF with those three inside: its movement
//! written anew       RIFF: the length                    VP8X: the flags of transparency and movement, and the size
//!                    EXIF: orientation only, with its flag; only beside a VP8X
//! taken out          every other chunk (EXIF, XMP, ICCP, unknown ones, also inside a frame), everything after the end
//! refused            a picture that is missing or there twice, chunks that are not as long as they must be
//! ```
//!
//! img-parts keeps what it does not know inside ANMF, and what comes after the end; so the chunks are read here.

use super::exif;
use super::finding::Finding;
use super::taken::{Damage, Reader, Taken};
use super::text;

/// Takes a WebP apart.
pub(super) fn take_apart(bytes: &[u8], taken: &mut Taken) -> Result<(), Damage> {
    let mut file = Reader(bytes);
    let riff: [u8; 4] = file.array()?;
    let length = u32::from_le_bytes(file.array()?) as usize;
    let mut reader = Reader(file.take(length)?);
    if riff != *b"RIFF" || reader.array()? != *b"WEBP" {
        return Err(Damage("it does not begin like a WebP"));
    }
    if !file.is_empty() {
        taken.found(Finding::BytesAfterEnd);
    }
    taken.keep(b"RIFF\0\0\0\0WEBP");
    let mut picture = Picture::default();
    while !reader.is_empty() {
        let (kind, content) = chunk(&mut reader)?;
        picture.chunk(kind, content, taken)?;
    }
    picture.end(taken)?;
    let length = u32::try_from(taken.kept.len() - 8).map_err(|_| Damage("it is too long"))?;
    taken.kept[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// What has been seen of a picture.
#[derive(Default)]
struct Picture {
    begun: bool,
    /// Where the flags of the VP8X chunk are in what is kept.
    flags: Option<usize>,
    alpha: bool,
    still: bool,
    frames: bool,
}

const TRANSPARENT: u8 = 0x10;
const EXIF: u8 = 0x08;
const MOVES: u8 = 0x02;

impl Picture {
    fn chunk(&mut self, kind: [u8; 4], content: &[u8], taken: &mut Taken) -> Result<(), Damage> {
        let first = !std::mem::replace(&mut self.begun, true);
        match &kind {
            b"VP8X" if first && content.len() == 10 => {
                let flags = content[0] & (TRANSPARENT | MOVES);
                self.flags = Some(taken.kept.len() + 8);
                keep(kind, &[&[flags, 0, 0, 0], &content[4..]].concat(), taken);
            }
            b"VP8 " | b"VP8L" if !self.still && !self.frames && (first || self.flags.is_some()) => {
                self.still = true;
                keep(kind, content, taken);
            }
            _ if self.flags.is_none() => return self.outside(kind, content, taken),
            b"ALPH" if !self.still && !self.frames && !self.alpha => {
                self.alpha = true;
                keep(kind, content, taken);
            }
            b"ANIM" if content.len() == 6 && !self.frames => keep(kind, content, taken),
            b"ANMF" if !self.still => {
                self.frames = true;
                keep(kind, &frame(content, taken)?, taken);
            }
            b"VP8X" | b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" | b"ANMF" => return Err(MISPLACED),
            _ => Self::look(kind, content, taken),
        }
        Ok(())
    }

    /// A chunk where there is no VP8X: decoders stop after the one that is the picture.
    fn outside(&self, kind: [u8; 4], content: &[u8], taken: &mut Taken) -> Result<(), Damage> {
        if !self.still {
            return Err(MISPLACED);
        }
        Self::look(kind, content, taken);
        Ok(())
    }

    /// What a chunk says that is taken out.
    fn look(kind: [u8; 4], content: &[u8], taken: &mut Taken) {
        match &kind {
            b"EXIF" => {
                let (findings, turn) = exif::read(content);
                taken.findings.extend(findings);
                taken.orientation = taken.orientation.or(turn);
            }
            b"XMP " => taken.found_all(text::xmp(content)),
            b"ICCP" => taken.found(Finding::ColourProfile),
            _ => taken.found(Finding::Other),
        }
    }

    fn end(&self, taken: &mut Taken) -> Result<(), Damage> {
        if !(self.still || self.frames) {
            return Err(Damage("it has no picture"));
        }
        if let (Some(turn), Some(flags)) = (taken.orientation, self.flags) {
            taken.kept[flags] |= EXIF;
            keep(*b"EXIF", &exif::turning(turn), taken);
        }
        Ok(())
    }
}

const MISPLACED: Damage = Damage("a part is not where it belongs");

/// A frame of a picture that moves: its place and time, then one picture, with its transparency before it.
fn frame(content: &[u8], taken: &mut Taken) -> Result<Vec<u8>, Damage> {
    let mut reader = Reader(content);
    let mut inner = Taken::default();
    inner.keep(reader.take(16)?);
    let (mut alpha, mut still) = (false, false);
    while !reader.is_empty() {
        let (kind, content) = chunk(&mut reader)?;
        match &kind {
            b"ALPH" if !still && !alpha => alpha = true,
            b"VP8 " | b"VP8L" if !still => still = true,
            b"ALPH" | b"VP8 " | b"VP8L" => return Err(MISPLACED),
            _ => {
                taken.found(Finding::Other);
                continue;
            }
        }
        keep(kind, content, &mut inner);
    }
    still
        .then_some(inner.kept)
        .ok_or(Damage("a frame has no picture"))
}

/// The next chunk: its kind and content. One that is odd in length has a byte more; at the very end it may be missing.
fn chunk<'a>(reader: &mut Reader<'a>) -> Result<([u8; 4], &'a [u8]), Damage> {
    let kind = reader.array()?;
    let length = u32::from_le_bytes(reader.array()?) as usize;
    let content = reader.take(length)?;
    if length % 2 == 1 && !reader.is_empty() {
        reader.byte()?;
    }
    Ok((kind, content))
}

/// Writes a chunk. The content is no longer than one that was read.
fn keep(kind: [u8; 4], content: &[u8], taken: &mut Taken) {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    taken.keep(&kind);
    taken.keep(&length.to_le_bytes());
    taken.keep(content);
    taken.keep(&[0][..content.len() % 2]);
}
