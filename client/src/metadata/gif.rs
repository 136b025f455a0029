//! GIF, block by block (GIF89a).
//!
//! ```text
//! kept as it is      header, screen, colour tables, images, graphic controls, the number of repetitions (NETSCAPE2.0), trailer
//! taken out          comments, every other application's block (XMP, ICC), everything after the trailer
//! refused            text blocks, which nothing draws any more, and unknown ones
//! ```

use super::finding::Finding;
use super::taken::{Damage, Reader, Taken};
use super::text;

/// Takes a GIF apart.
pub(super) fn take_apart(bytes: &[u8], taken: &mut Taken) -> Result<(), Damage> {
    let mut reader = Reader(bytes);
    let signature: [u8; 6] = reader.array()?;
    if !matches!(&signature, b"GIF87a" | b"GIF89a") {
        return Err(Damage("it does not begin like a GIF"));
    }
    let screen = reader.take(7)?;
    taken.keep(&signature);
    taken.keep(screen);
    taken.keep(reader.take(table(screen[4]))?);
    let mut picture = false;
    loop {
        match reader.byte()? {
            0x2c => {
                picture = true;
                let place = reader.take(9)?;
                taken.keep(&[0x2c]);
                taken.keep(place);
                // The colour table and the byte before the coded data.
                taken.keep(reader.take(table(place[8]) + 1)?);
                taken.keep(blocks(&mut reader)?);
            }
            0x21 => extension(&mut reader, taken)?,
            0x3b => break,
            _ => return Err(Damage("it has a part that is not known here")),
        }
    }
    taken.keep(&[0x3b]);
    if !picture {
        return Err(Damage("it has no picture"));
    }
    if !reader.is_empty() {
        taken.found(Finding::BytesAfterEnd);
    }
    Ok(())
}

fn extension(reader: &mut Reader<'_>, taken: &mut Taken) -> Result<(), Damage> {
    let label = reader.byte()?;
    let content = blocks(reader)?;
    match (label, content) {
        (0xf9, [4, _, _, _, _, 0]) => {
            taken.keep(&[0x21, label]);
            taken.keep(content);
        }
        (0xff, content) if is_repetition(content) => {
            taken.keep(&[0x21, label]);
            taken.keep(content);
        }
        (0xff, content) if content.starts_with(b"\x0bXMP DataXMP") => {
            taken.found_all(text::xmp(content));
        }
        (0xff, content) if content.starts_with(b"\x0bICCRGBG1012") => {
            taken.found(Finding::ColourProfile);
        }
        (0xff, _) => taken.found(Finding::Other),
        (0xfe, _) => taken.found(Finding::Comment),
        _ => return Err(Damage("it has a part that is not known here")),
    }
    Ok(())
}

/// Whether an application's block says how often to play the pictures, and nothing else.
fn is_repetition(content: &[u8]) -> bool {
    matches!(
        content.strip_prefix(b"\x0bNETSCAPE2.0"),
        Some([3, 1, _, _, 0])
    )
}

/// The length of a colour table, by the byte that says whether there is one.
fn table(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Blocks, each behind its length, with the empty one that ends them.
fn blocks<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Damage> {
    let mut ahead = *reader;
    while let length @ 1.. = ahead.byte()? {
        ahead.take(usize::from(length))?;
    }
    reader.take(reader.0.len() - ahead.0.len())
}
