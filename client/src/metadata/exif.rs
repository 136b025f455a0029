//! What EXIF says, and the EXIF that only turns a picture (Exif 3.0, TIFF 6.0).
//!
//! kamadak-exif reads the fields, each when it is asked for. A file may point many fields at the same bytes, so that reading all of
//! them would multiply its size; here some fifty are asked for, and a block over [`MOST`] bytes is not opened.

use ::exif::{Context, Exif, In, Reader, Tag, Value};

use super::finding::{Finding, Findings};

/// What stands before the block in a JPEG, and by mistake in some WebP pictures.
pub(super) const PREFIX: &[u8] = b"Exif\0\0";

/// What a block says, and how it would have the picture turned (2 to 8). A block that only turns the picture says nothing.
pub(super) fn read(block: &[u8]) -> (Findings, Option<u8>) {
    let whole = block.strip_prefix(PREFIX).unwrap_or(block);
    if whole.len() > MOST {
        return (Findings::from([Finding::Other]), None);
    }
    let mut partly = false;
    let exif = Reader::new()
        .continue_on_error(true)
        .read_raw(whole.to_vec())
        .or_else(|fault| fault.distill_partial_result(|_| partly = true));
    let Ok(exif) = exif else {
        return (Findings::from([Finding::Other]), None);
    };
    let orientation = orientation(&exif);
    let mut findings = fields(&exif);
    let turns_only = orientation.is_some_and(|turn| block == turning(turn));
    if partly || (findings.is_empty() && !turns_only) {
        findings.insert(Finding::Other);
    }
    (findings, orientation)
}

/// What the EXIF of a HEIC or AVIF picture says, if it has any.
pub(super) fn read_heif(bytes: &[u8]) -> Findings {
    let read = Reader::new()
        .continue_on_error(true)
        .read_from_container(&mut std::io::Cursor::new(bytes))
        .or_else(|fault| fault.distill_partial_result(|_| ()));
    match read {
        Ok(exif) if exif.buf().len() <= MOST => fields(&exif),
        _ => Findings::new(),
    }
}

/// The block that says nothing but how to turn the picture: one field in one directory, big-endian.
pub(super) fn turning(orientation: u8) -> [u8; 26] {
    let mut block = *b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    block[19] = orientation;
    block
}

/// The longest block that is opened. In a JPEG none can be longer.
const MOST: usize = 1 << 16;

/// The fields that are asked for, and what each of them is.
const FIELDS: [(Tag, Finding); 51] = [
    (Tag::GPSLatitude, Finding::Position),
    (Tag::GPSLongitude, Finding::Position),
    (Tag::GPSAltitude, Finding::Position),
    (Tag::GPSDestLatitude, Finding::Position),
    (Tag::GPSDestLongitude, Finding::Position),
    (Tag::GPSImgDirection, Finding::Position),
    (Tag::GPSSatellites, Finding::Position),
    (Tag::GPSAreaInformation, Finding::PlaceName),
    (Tag::BodySerialNumber, Finding::SerialNumber),
    (Tag::LensSerialNumber, Finding::SerialNumber),
    (Tag::ImageUniqueID, Finding::SerialNumber),
    (Tag(Context::Tiff, 0xc62f), Finding::SerialNumber), // CameraSerialNumber of DNG
    (Tag::Make, Finding::Camera),
    (Tag::Model, Finding::Camera),
    (Tag::LensMake, Finding::Camera),
    (Tag::LensModel, Finding::Camera),
    (Tag(Context::Tiff, 0x013c), Finding::Camera), // HostComputer
    (Tag(Context::Tiff, 0xc614), Finding::Camera), // UniqueCameraModel of DNG
    (Tag::DateTime, Finding::Time),
    (Tag::DateTimeOriginal, Finding::Time),
    (Tag::DateTimeDigitized, Finding::Time),
    (Tag::OffsetTime, Finding::Time),
    (Tag::OffsetTimeOriginal, Finding::Time),
    (Tag::OffsetTimeDigitized, Finding::Time),
    (Tag::SubSecTime, Finding::Time),
    (Tag::SubSecTimeOriginal, Finding::Time),
    (Tag::SubSecTimeDigitized, Finding::Time),
    (Tag::GPSDateStamp, Finding::Time),
    (Tag::GPSTimeStamp, Finding::Time),
    (Tag::Artist, Finding::Person),
    (Tag::Copyright, Finding::Person),
    (Tag::CameraOwnerName, Finding::Person),
    (Tag(Context::Tiff, 0x9c9d), Finding::Person), // XPAuthor of Windows
    (Tag(Context::Exif, 0xa437), Finding::Person), // Photographer of Exif 3.0
    (Tag(Context::Exif, 0xa438), Finding::Person), // ImageEditor
    (Tag::Software, Finding::Software),
    (Tag(Context::Tiff, 0x000b), Finding::Software), // ProcessingSoftware
    (Tag(Context::Exif, 0xa439), Finding::Software), // CameraFirmware
    (Tag(Context::Exif, 0xa43a), Finding::Software), // RAWDevelopingSoftware
    (Tag(Context::Exif, 0xa43b), Finding::Software), // ImageEditingSoftware
    (Tag::MakerNote, Finding::MakersNote),
    (Tag::JPEGInterchangeFormat, Finding::Thumbnail),
    (Tag::StripOffsets, Finding::Thumbnail),
    (Tag::ImageDescription, Finding::Comment),
    (Tag::UserComment, Finding::Comment),
    (Tag(Context::Exif, 0xa436), Finding::Comment), // ImageTitle
    (Tag(Context::Tiff, 0x9c9b), Finding::Comment), // XPTitle
    (Tag(Context::Tiff, 0x9c9c), Finding::Comment), // XPComment
    (Tag(Context::Tiff, 0x9c9e), Finding::Comment), // XPKeywords
    (Tag(Context::Tiff, 0x9c9f), Finding::Comment), // XPSubject
    (Tag(Context::Tiff, 0x02bc), Finding::Xmp),
];

fn fields(exif: &Exif) -> Findings {
    let says = |tag| {
        [In::PRIMARY, In::THUMBNAIL]
            .into_iter()
            .filter_map(|directory| exif.get_field(tag, directory))
            .any(|field| !is_blank(&field.value))
    };
    let found = FIELDS.into_iter().filter(|(tag, _)| says(*tag));
    found.map(|(_, finding)| finding).collect()
}

/// Whether a field is there for form's sake: cameras write empty names and comments.
fn is_blank(value: &Value) -> bool {
    let blank = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, 0 | b' '));
    match value {
        Value::Ascii(texts) => texts.iter().all(|text| blank(text)),
        Value::Byte(bytes) => blank(bytes),
        // A comment begins with the name of its character set.
        Value::Undefined(bytes, _) => blank(bytes.get(8..).unwrap_or(bytes)),
        Value::Unknown(..) => false,
        _ => false,
    }
}

/// How the picture is to be turned, unless it stands as it should.
fn orientation(exif: &Exif) -> Option<u8> {
    let field = exif.get_field(Tag::Orientation, In::PRIMARY)?;
    let turn = u8::try_from(field.value.get_uint(0)?).ok()?;
    (2..=8).contains(&turn).then_some(turn)
}
