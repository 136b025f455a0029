//! Pictures made for the tests: plain ones, and the same with everything planted that a picture can say.

use std::io::Cursor;

use ::exif::experimental::Writer;
use ::exif::{Context, Field, In, Rational, Tag, Value};
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};

use super::super::{Kind, png};

/// In every planted text.
pub const CANARY: &str = "CANARY";

/// The kinds that can be stripped.
pub const KINDS: [Kind; 4] = [Kind::Jpeg, Kind::Png, Kind::WebP, Kind::Gif];

/// A picture that says nothing.
pub fn plain(kind: Kind) -> Vec<u8> {
    let shade = |x: u32, y: u32| [(x * 9) as u8, (y * 13) as u8, (x * y) as u8];
    let rgb = RgbImage::from_fn(24, 18, |x, y| image::Rgb(shade(x, y)));
    let rgba = RgbaImage::from_fn(24, 18, |x, y| {
        let [red, green, blue] = shade(x, y);
        image::Rgba([red, green, blue, if x > 12 { 255 } else { 90 }])
    });
    let (picture, format) = match kind {
        Kind::Jpeg => (DynamicImage::from(rgb), ImageFormat::Jpeg),
        Kind::Png => (rgba.into(), ImageFormat::Png),
        Kind::WebP => (rgba.into(), ImageFormat::WebP),
        _ => (rgb.into(), ImageFormat::Gif),
    };
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    let out = out.into_inner();
    match kind {
        Kind::WebP => riff(&[&webp_header(0x10), &out[12..]]),
        _ => out,
    }
}

/// The same picture, saying everything.
pub fn planted(kind: Kind) -> Vec<u8> {
    let plain = plain(kind);
    let after = [CANARY.as_bytes(), b" after the end"].concat();
    let planted = match kind {
        Kind::Jpeg => in_jpeg(&plain, &jpeg_segments().concat()),
        Kind::Png => png_with(&plain, &png_chunks()),
        Kind::WebP => riff(&[
            &webp_header(0x3c),
            &webp_chunk(b"ICCP", CANARY.as_bytes()),
            &plain[30..],
            &webp_chunk(b"EXIF", &exif(6)),
            &webp_chunk(b"XMP ", xmp().as_bytes()),
            &webp_chunk(b"prVt", CANARY.as_bytes()),
        ]),
        _ => gif_with(&plain),
    };
    [planted, after].concat()
}

/// EXIF that says everything, and turns the picture.
pub fn exif(turn: u16) -> Vec<u8> {
    let text = |text: &str| Value::Ascii(vec![format!("{CANARY} {text}").into_bytes()]);
    let degrees = || {
        let part = |num| Rational { num, denom: 1 };
        Value::Rational(vec![part(46), part(12), part(30)])
    };
    let maker = format!("{CANARY} maker's note").into_bytes();
    let fields = [
        (Tag::Orientation, Value::Short(vec![turn])),
        (Tag::Make, text("make")),
        (Tag::Model, text("model")),
        (Tag::Software, text("software")),
        (Tag::Artist, text("artist")),
        (Tag::ImageDescription, text("description")),
        (Tag::DateTimeOriginal, text("2026:11:24 01:02:03")),
        (Tag::BodySerialNumber, text("serial")),
        (Tag::MakerNote, Value::Undefined(maker, 0)),
        (Tag::GPSLatitude, degrees()),
        (Tag::GPSLongitude, degrees()),
        (Tag(Context::Tiff, 0xc4a5), text("something")),
    ];
    let fields = fields.map(|(tag, value)| Field {
        tag,
        ifd_num: In::PRIMARY,
        value,
    });
    written(&fields, true)
}

/// EXIF with these fields.
pub fn written(fields: &[Field], thumbnail: bool) -> Vec<u8> {
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let small = [b"\xff\xd8", CANARY.as_bytes(), b"\xff\xd9"].concat();
    if thumbnail {
        writer.set_jpeg(&small, In::THUMBNAIL);
    }
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out, true).unwrap();
    out.into_inner()
}

/// An XMP packet.
pub fn xmp() -> String {
    format!("<x:xmpmeta><dc:creator>{CANARY}</dc:creator><xmp:CreateDate>2026</xmp:CreateDate>")
}

/// A segment of a JPEG.
pub fn segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker], &length[..], &payload].concat()
}

/// A JPEG with something after its JFIF segment.
pub fn in_jpeg(plain: &[u8], segments: &[u8]) -> Vec<u8> {
    assert_eq!(plain[..6], *b"\xff\xd8\xff\xe0\0\x10");
    [&plain[..20], segments, &plain[20..]].concat()
}

/// One of each segment that is taken out.
pub fn jpeg_segments() -> Vec<Vec<u8>> {
    let canary = CANARY.as_bytes();
    let small = b"\0\x01\x02\0\0\x01\0\x01\x01\x01";
    vec![
        segment(0xe1, &[b"Exif\0\0", &exif(6)]),
        segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", xmp().as_bytes()]),
        segment(0xe2, &[b"ICC_PROFILE\0\x01\x01", canary]),
        segment(0xe2, &[b"MPF\0", canary]),
        segment(0xe0, &[b"JFXX\0\x10", canary]),
        segment(0xe0, &[b"JFIF", small, canary]),
        segment(0xee, &[b"Adobe\0\x65\x80\0\0\0\x01", canary]),
        segment(0xeb, &[b"JP\0\0", canary]),
        segment(
            0xed,
            &[
                b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x50\0\x06",
                canary,
            ],
        ),
        segment(0xfe, &[canary]),
    ]
}

/// A chunk of a PNG.
pub fn png_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [kind, content].concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[..], &body, &png::crc(&body).to_be_bytes()].concat()
}

/// A PNG with something after its header, and the last of it before its end.
pub fn png_with(plain: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let (last, first) = chunks.split_last().unwrap();
    let (picture, end) = plain.split_at(plain.len() - 12);
    [&picture[..33], &first.concat(), &picture[33..], last, end].concat()
}

/// One of each chunk that is taken out.
pub fn png_chunks() -> Vec<Vec<u8>> {
    let text = |before: &str| format!("{before}{CANARY}").into_bytes();
    vec![
        png_chunk(b"eXIf", &exif(6)),
        png_chunk(b"tEXt", &text("Author\0")),
        png_chunk(b"zTXt", &text("Comment\0\0")),
        png_chunk(b"iTXt", &text("XML:com.adobe.xmp\0\0\0\0\0")),
        png_chunk(b"iCCP", &text("")),
        png_chunk(b"prVt", &text("")),
        png_chunk(b"gAMA", &text("")),
        png_chunk(b"tIME", b"\x07\xea\x0b\x18\x01\x02\x03"),
    ]
}

/// A WebP of these chunks.
pub fn riff(chunks: &[&[u8]]) -> Vec<u8> {
    let body = [b"WEBP", &chunks.concat()[..]].concat();
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [b"RIFF", &length[..], &body].concat()
}

/// A chunk of a WebP.
pub fn webp_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let padding = &[0][..content.len() % 2];
    [kind, &length[..], content, padding].concat()
}

/// The first chunk of a WebP that has more than one.
pub fn webp_header(flags: u8) -> Vec<u8> {
    webp_chunk(b"VP8X", &[flags, 0, 0, 0, 23, 0, 0, 17, 0, 0])
}

/// A GIF with comments and applications' blocks before its trailer.
fn gif_with(plain: &[u8]) -> Vec<u8> {
    let block = |label: u8, texts: &[&str]| {
        let texts = texts.iter().map(|text| {
            let length = u8::try_from(text.len()).unwrap();
            [&[length], text.as_bytes()].concat()
        });
        [
            vec![0x21, label],
            texts.collect::<Vec<_>>().concat(),
            vec![0],
        ]
        .concat()
    };
    let (picture, trailer) = plain.split_at(plain.len() - 1);
    [
        picture,
        &block(0xfe, &[CANARY, "more"]),
        &block(0xff, &["XMP DataXMP", &xmp()]),
        &block(0xff, &["ICCRGBG1012", CANARY]),
        &block(0xff, &["OTHER  APPL", CANARY]),
        &block(0xff, &["NETSCAPE2.0", "\u{1}\0\0"]),
        trailer,
    ]
    .concat()
}

/// A HEIC that has nothing but EXIF.
pub fn heic(block: &[u8]) -> Vec<u8> {
    let bx = |kind: &[u8; 4], parts: &[&[u8]]| {
        let content = parts.concat();
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length[..], kind, &content].concat()
    };
    let item = bx(b"infe", &[b"\x02\0\0\0\0\x01\0\0Exif\0"]);
    let items = bx(b"iinf", &[b"\0\0\0\0\0\x01", &item]);
    let data = [&[0; 4], block].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let place = bx(
        b"iloc",
        &[
            b"\x01\0\0\0\x44\0\0\x01\0\x01\0\x01\0\0\0\x01\0\0\0\0",
            &length,
        ],
    );
    let types = bx(b"ftyp", &[b"heic\0\0\0\0mif1heic"]);
    let meta = bx(b"meta", &[&[0; 4], &items, &place, &bx(b"idat", &[&data])]);
    [types, meta].concat()
}

/// A JPEG in two scans, with restarts, stuffed and filling bytes and a comment between; only its structure is sound.
pub fn two_scans(between: &[u8]) -> Vec<u8> {
    let frame = segment(0xc2, &[b"\x08\0\x08\0\x08\x01\x01\x11\0"]);
    let scan = segment(0xda, &[b"\x01\x01\0\0\0\0"]);
    let coded = b"ab\xff\0c\xff\xd0d\xff\xff\xd1e";
    [
        b"\xff\xd8",
        &frame[..],
        &scan,
        coded,
        between,
        &scan,
        coded,
        b"\xff\xd9",
    ]
    .concat()
}
