//! EXIF: what it says, and the turn of a picture.

use ::exif::{Field, In, Tag, Value};

use super::super::*;
use super::samples::*;
use super::{holds_canary, stripped, turn_of};

#[test]
fn a_turned_picture_stays_turned_and_says_nothing_else() {
    for kind in [Kind::Jpeg, Kind::Png, Kind::WebP] {
        assert_eq!(turn_of(&planted(kind)), Some(6));
        let out = stripped(&planted(kind));
        assert_eq!(turn_of(&out), Some(6), "{kind:?}");
        assert_eq!(look(&out).findings, []);
    }
}

#[test]
fn a_picture_that_stands_upright_keeps_no_exif_at_all() {
    let upright = in_jpeg(&plain(Kind::Jpeg), &segment(0xe1, &[b"Exif\0\0", &exif(1)]));
    assert_eq!(stripped(&upright), stripped(&plain(Kind::Jpeg)));
}

#[test]
fn a_decoder_reads_the_orientation_that_was_written() {
    for kind in [Kind::Jpeg, Kind::WebP, Kind::Png] {
        let out = std::io::Cursor::new(stripped(&planted(kind)));
        let reader = image::ImageReader::new(out).with_guessed_format().unwrap();
        let mut decoder = reader.into_decoder().unwrap();
        let turn = image::ImageDecoder::orientation(&mut decoder).unwrap();
        assert_eq!(turn, image::metadata::Orientation::Rotate90, "{kind:?}");
    }
}

#[test]
fn blank_fields_say_nothing_but_still_go() {
    let field = |tag, value| Field {
        tag,
        ifd_num: In::PRIMARY,
        value,
    };
    let blank = written(
        &[
            field(Tag::Artist, Value::Ascii(vec![b"    ".to_vec()])),
            field(
                Tag::UserComment,
                Value::Undefined(b"ASCII\0\0\0    ".to_vec(), 0),
            ),
        ],
        false,
    );
    let planted = in_jpeg(&plain(Kind::Jpeg), &segment(0xe1, &[b"Exif\0\0", &blank]));
    assert_eq!(look(&planted).findings, [Finding::Other]);
}

#[test]
fn exif_that_cannot_be_read_is_found_and_goes() {
    for block in [&b"MM\0*\xff\xff\xff\xff CANARY"[..], b"CANARY", b""] {
        let planted = in_jpeg(&plain(Kind::Jpeg), &segment(0xe1, &[b"Exif\0\0", block]));
        assert_eq!(look(&planted).findings, [Finding::Other]);
        assert!(!holds_canary(&stripped(&planted)));
    }
}

#[test]
fn the_exif_of_a_heic_picture_is_read_and_nobody_says_that_is_all() {
    let seen = look(&heic(&exif(1)));
    assert_eq!((seen.kind, seen.depth), (Kind::Heif, Depth::Part));
    assert!(seen.findings.contains(&Finding::Position));
    assert_eq!(
        look(b"\0\0\0\x18ftypheic\0\0\0\0").as_sent(),
        Metadata::Unknown
    );
}

#[test]
fn a_webp_says_that_it_has_exif_only_where_it_has() {
    let flags = |bytes: &[u8]| bytes[20] & 0x2c;
    assert_eq!(flags(&planted(Kind::WebP)), 0x2c);
    assert_eq!(flags(&stripped(&planted(Kind::WebP))), 0x08);
    let upright = riff(&[
        &webp_header(0x3c),
        &plain(Kind::WebP)[30..],
        &webp_chunk(b"EXIF", &exif(1)),
    ]);
    assert_eq!(flags(&stripped(&upright)), 0);
}

#[test]
fn exif_that_can_be_read_in_part_tells_that_there_is_more() {
    let mut block = exif(1);
    let pointer = [0x25, 0x88, 4, 0, 1, 0, 0, 0];
    let place = block.windows(8).position(|window| window == pointer);
    let place = place.unwrap() + 8;
    block[place..place + 4].fill(0xff);
    let planted = in_jpeg(&plain(Kind::Jpeg), &segment(0xe1, &[b"Exif\0\0", &block]));
    let findings = look(&planted).findings;
    assert!(findings.contains(&Finding::Camera) && findings.contains(&Finding::Other));
    assert!(!findings.contains(&Finding::Position));
}

#[test]
fn exif_that_is_too_long_is_not_opened_but_found() {
    let long = [exif(6), vec![0; 1 << 16]].concat();
    let planted = png_with(&plain(Kind::Png), &[png_chunk(b"eXIf", &long)]);
    assert_eq!(look(&planted).findings, [Finding::Other]);
    assert_eq!(stripped(&planted), plain(Kind::Png));
}
