//! What holds of any bytes.

use proptest::prelude::*;

use super::super::*;
use super::holds_canary;
use super::samples::*;

/// Where a mutation would make coded data of what stands behind it, which nobody can tell without decoding: the lengths of the
/// chunks that hold it.
fn spared(bytes: &[u8], place: usize) -> bool {
    [(&b"IDAT"[..], -4), (b"VP8L", 4)].iter().any(|(kind, by)| {
        let found = bytes.windows(4).position(|window| window == *kind);
        found.is_some_and(|at| (0..4).contains(&(place as i64 - at as i64 - by)))
    })
}

/// What holds of any bytes at all.
fn check(bytes: &[u8]) -> Option<Vec<u8>> {
    let kind = Kind::of(bytes);
    let seen = look(bytes);
    let out = strip(kind, bytes).ok()?;
    assert_eq!(seen.depth, Depth::Whole);
    assert_eq!(look(&out).findings, []);
    assert_eq!(strip(kind, &out).as_ref(), Ok(&out));
    Some(out)
}

#[test]
fn a_picture_cut_anywhere_is_refused_or_clean() {
    for kind in KINDS {
        let planted = planted(kind);
        for length in 0..planted.len() {
            if let Some(out) = check(&planted[..length]) {
                assert!(!holds_canary(&out));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_picture_changed_anywhere_is_refused_or_clean(
        kind in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let planted = planted(KINDS[kind]);
        let mut bytes = planted.clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            if !spared(&planted, place) {
                bytes[place] = value;
            }
        }
        let out = check(&bytes);
        // In a GIF every length is one of coded data or of a table that may hold anything.
        if KINDS[kind] != Kind::Gif {
            prop_assert!(!out.is_some_and(|out| holds_canary(&out)));
        }
    }

    #[test]
    fn pieces_moved_about_are_refused_or_clean(
        kind in 0..4_usize,
        pieces in prop::collection::vec((any::<prop::sample::Index>(), 0..200_usize), 1..12),
    ) {
        let planted = planted(KINDS[kind]);
        let mut bytes = planted[..planted.len().min(32)].to_vec();
        for (place, length) in pieces {
            let place = place.index(planted.len());
            bytes.extend(planted[place..].iter().take(length));
        }
        check(&bytes);
    }

    #[test]
    fn exif_of_any_bytes_does_no_harm(
        mut block in Just(exif(3)),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        for (place, value) in changes {
            let place = place.index(block.len());
            block[place] = value;
        }
        check(&in_jpeg(&plain(Kind::Jpeg), &segment(0xe1, &[b"Exif\0\0", &block])));
        look(&heic(&block));
    }

    #[test]
    fn a_heic_changed_anywhere_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = heic(&exif(1));
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        look(&bytes);
    }
}
