//! What is found, what goes, what stays.

use super::super::*;
use super::samples::*;
use super::{holds_canary, pixels, stripped};

#[test]
fn a_plain_picture_says_nothing_and_stays_as_it_is_but_for_the_jfif_version() {
    for kind in KINDS {
        let plain = plain(kind);
        let seen = look(&plain);
        assert_eq!((seen.depth, &seen.findings[..]), (Depth::Whole, &[][..]));
        assert_eq!(seen.as_sent(), Metadata::NoneFound);
        let out = stripped(&plain);
        if kind == Kind::Jpeg {
            assert_eq!(out[..11], plain[..11]);
            assert_eq!(out[13..], plain[13..]);
        } else {
            assert_eq!(out, plain);
        }
    }
}

#[test]
fn nothing_planted_is_left_and_no_pixel_changes() {
    for kind in KINDS {
        let planted = planted(kind);
        assert!(holds_canary(&planted));
        let out = stripped(&planted);
        assert!(!holds_canary(&out), "{kind:?}");
        assert_eq!(pixels(&out), pixels(&plain(kind)), "{kind:?}");
        assert_eq!(pixels(&out), pixels(&planted), "{kind:?}");
    }
}

#[test]
fn what_was_stripped_says_nothing_and_is_stripped_to_itself() {
    for kind in KINDS {
        let out = stripped(&planted(kind));
        assert_eq!(look(&out).findings, []);
        assert_eq!(look(&out).as_sent(), Metadata::NoneFound);
        assert_eq!(stripped(&out), out);
    }
}

#[test]
fn all_that_is_planted_is_found_in_one_order() {
    let jpeg = look(&planted(Kind::Jpeg));
    let everything = [
        Finding::Position,
        Finding::SerialNumber,
        Finding::Camera,
        Finding::Time,
        Finding::Person,
        Finding::Software,
        Finding::MakersNote,
        Finding::Thumbnail,
        Finding::Comment,
        Finding::Xmp,
        Finding::BytesAfterEnd,
        Finding::ColourProfile,
        Finding::Other,
    ];
    assert_eq!(jpeg.findings, everything);
    for kind in [Kind::Png, Kind::WebP] {
        assert_eq!(look(&planted(kind)).findings, everything, "{kind:?}");
    }
    let gif = look(&planted(Kind::Gif)).findings;
    assert_eq!(
        gif,
        [
            Finding::Time,
            Finding::Person,
            Finding::Comment,
            Finding::Xmp,
            Finding::BytesAfterEnd,
            Finding::ColourProfile,
            Finding::Other
        ]
    );
}

#[test]
fn whatever_is_taken_out_alone_is_found_alone() {
    let jpeg = plain(Kind::Jpeg);
    for segment in jpeg_segments() {
        let planted = in_jpeg(&jpeg, &segment);
        assert!(holds_canary(&planted));
        assert_eq!(look(&planted).as_sent(), Metadata::Kept, "{segment:?}");
        assert!(!holds_canary(&stripped(&planted)), "{segment:?}");
    }
    let png = plain(Kind::Png);
    for chunk in png_chunks() {
        let planted = png_with(&png, &[chunk]);
        assert_eq!(look(&planted).as_sent(), Metadata::Kept);
        assert!(!holds_canary(&stripped(&planted)));
    }
}

#[test]
fn a_comment_between_two_scans_goes_and_coded_data_stays() {
    let comment = segment(0xfe, &[CANARY.as_bytes()]);
    let planted = two_scans(&[&b"\xff\xff"[..], &comment].concat());
    assert_eq!(look(&planted).findings, [Finding::Comment]);
    assert_eq!(stripped(&planted), two_scans(b""));
    assert_eq!(stripped(&two_scans(b"")), two_scans(b""));
}

#[test]
fn the_colour_transform_of_adobe_stays_and_its_version_goes() {
    let adobe = segment(0xee, &[b"Adobe\0\x65\x80\0\0\0\x02"]);
    let picture = two_scans(b"");
    let out = stripped(&[&picture[..2], &adobe, &picture[2..]].concat());
    let kept = segment(0xee, &[b"Adobe\0\x64\0\0\0\0\x02"]);
    assert!(out.windows(kept.len()).any(|window| window == kept));
}

#[test]
fn a_frame_that_moves_loses_what_is_hidden_in_it() {
    let simple = plain(Kind::WebP);
    let picture = &simple[30..];
    let place = [0, 0, 0, 0, 0, 0, 23, 0, 0, 17, 0, 0, 100, 0, 0, 0];
    let file = |hidden: &[u8]| {
        let frame = webp_chunk(b"ANMF", &[&place, picture, hidden].concat());
        riff(&[
            &webp_header(0x12),
            &webp_chunk(b"ANIM", &[0; 6]),
            &frame,
            &frame,
        ])
    };
    let planted = file(&webp_chunk(b"prVt", CANARY.as_bytes()));
    assert_eq!(look(&planted).findings, [Finding::Other]);
    assert_eq!(stripped(&planted), file(b""));
    assert_eq!(pixels(&planted), pixels(&file(b"")));
}

#[test]
fn chunks_that_say_how_a_png_looks_and_moves_stay() {
    let looks = [
        png_chunk(b"gAMA", &45_455_u32.to_be_bytes()),
        png_chunk(b"sRGB", &[0]),
        png_chunk(b"pHYs", &[0, 0, 0, 2, 0, 0, 0, 1, 0]),
        png_chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]),
        png_chunk(b"fcTL", &[0; 26]),
    ];
    let picture = png_with(&plain(Kind::Png), &looks);
    assert_eq!(stripped(&picture), picture);
    assert_eq!(look(&picture).findings, []);
}
