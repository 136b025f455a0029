//! What is not stripped, and what is said then.

use super::super::*;
use super::samples::*;
use super::stripped;

#[test]
fn a_part_that_a_picture_may_need_and_that_is_unknown_is_refused() {
    let png = png_with(&plain(Kind::Png), &[png_chunk(b"CgBI", b"abcd")]);
    assert!(matches!(
        strip(Kind::Png, &png),
        Err(CannotStrip::Damaged(_))
    ));
    let jpeg = in_jpeg(&plain(Kind::Jpeg), &segment(0xde, &[b"\x08\0\x08\0\x08\0"]));
    assert!(matches!(
        strip(Kind::Jpeg, &jpeg),
        Err(CannotStrip::Damaged(_))
    ));
}

#[test]
fn a_table_with_something_behind_it_is_refused() {
    let quantisation = [&[0][..], &[1; 64]].concat();
    let huffman = [&[0x10, 1][..], &[0; 15], &[7]].concat();
    let conditioning = vec![0x00, 0x10, 0x11, 5];
    for (marker, table) in [(0xdb, quantisation), (0xc4, huffman), (0xcc, conditioning)] {
        let with = |behind: &str| {
            let segment = segment(marker, &[&table, behind.as_bytes()]);
            strip(Kind::Jpeg, &in_jpeg(&plain(Kind::Jpeg), &segment))
        };
        assert!(with("").is_ok(), "{marker:x}");
        assert!(
            matches!(with(CANARY), Err(CannotStrip::Damaged(_))),
            "{marker:x}"
        );
    }
}

#[test]
fn a_picture_without_its_end_is_refused_and_what_was_found_is_told() {
    for kind in KINDS {
        let whole = planted(kind);
        let plain = stripped(&whole);
        let cut = &plain[..plain.len() - 2];
        assert!(
            matches!(strip(kind, cut), Err(CannotStrip::Damaged(_))),
            "{kind:?}"
        );
        assert_eq!(look(cut).as_sent(), Metadata::Unknown);
    }
    let jpeg = planted(Kind::Jpeg);
    let seen = look(&jpeg[..jpeg.len() / 2]);
    assert!(seen.sentence("a").ends_with("and perhaps more"), "{seen:?}");
}

#[test]
fn other_kinds_are_refused_by_name_with_a_hint() {
    let refused = strip(Kind::Pdf, b"%PDF-1.7").unwrap_err();
    assert_eq!(
        refused.failure("report\u{1b}.pdf").to_string(),
        "valise: error: cannot take out of report\\u{1b}.pdf what it says of its making: it is a PDF document, expected a \
         JPEG, PNG, WebP or GIF picture\n\
         valise: hint: clean a copy with mat2 (https://0xacab.org/jvoisin/mat2; 'mat2 --list' shows what it can clean) and \
         send that\n\
         valise: hint: or send it as it is: an original is evidence"
    );
    for kind in [
        Kind::Heif,
        Kind::Tiff,
        Kind::Mp4,
        Kind::Docx,
        Kind::Odt,
        Kind::Zip,
        Kind::Text,
        Kind::Unknown,
    ] {
        assert_eq!(strip(kind, b""), Err(CannotStrip::Kind(kind)));
    }
}

#[test]
fn a_picture_over_the_limit_is_not_looked_into() {
    let mut large = planted(Kind::Jpeg);
    large.resize(PICTURE + 1, 0);
    let seen = look(&large);
    assert_eq!(
        (seen.kind, seen.depth, seen.as_sent()),
        (Kind::Jpeg, Depth::Nothing, Metadata::Unknown)
    );
    assert_eq!(
        strip(Kind::Jpeg, &large),
        Err(CannotStrip::TooLong(PICTURE + 1))
    );
    large.truncate(PICTURE);
    assert_eq!(look(&large).depth, Depth::Whole);
}

#[test]
fn a_scan_before_the_frame_is_refused() {
    let picture = two_scans(b"");
    let frame = 2..2 + 13;
    let end = picture.len() - 2;
    let turned_round = [
        &picture[..2],
        &picture[frame.end..end],
        &picture[frame],
        &picture[end..],
    ];
    assert!(strip(Kind::Jpeg, &picture).is_ok());
    assert!(matches!(
        strip(Kind::Jpeg, &turned_round.concat()),
        Err(CannotStrip::Damaged(_))
    ));
}
