//! Looking and stripping, tried on pictures that are made here.

mod samples;
mod stripped;
mod turned;
mod refused;
mod properties;

use samples::CANARY;

use super::*;

pub fn holds_canary(bytes: &[u8]) -> bool {
    let canary = CANARY.as_bytes();
    bytes.windows(canary.len()).any(|window| window == canary)
}

pub fn pixels(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let picture = image::load_from_memory(bytes).unwrap();
    (
        picture.width(),
        picture.height(),
        picture.to_rgba8().into_raw(),
    )
}

pub fn stripped(bytes: &[u8]) -> Vec<u8> {
    strip(Kind::of(bytes), bytes).unwrap()
}

pub fn turn_of(bytes: &[u8]) -> Option<u8> {
    take_apart(Kind::of(bytes), bytes).unwrap().0.orientation
}

#[test]
fn one_sentence_tells_what_a_file_says() {
    let seen = |depth, findings: &[Finding]| Look {
        kind: Kind::Jpeg,
        depth,
        findings: findings.to_vec(),
    };
    let three = [Finding::Position, Finding::SerialNumber, Finding::Time];
    for (look, sentence) in [
        (
            seen(Depth::Whole, &three),
            "photo.jpg holds a GPS position, a serial number and a time",
        ),
        (seen(Depth::Whole, &three[2..]), "photo.jpg holds a time"),
        (
            seen(Depth::Whole, &[]),
            "nothing was found in photo.jpg, a JPEG picture, of where, when or by what it was made",
        ),
        (
            seen(Depth::Part, &three[1..]),
            "photo.jpg holds a serial number and a time, and perhaps more",
        ),
        (
            seen(Depth::Part, &[]),
            "photo.jpg is a JPEG picture that can be read in part only",
        ),
        (
            seen(Depth::Nothing, &[]),
            "photo.jpg is a JPEG picture: not looked into",
        ),
    ] {
        assert_eq!(look.sentence("photo.jpg"), sentence);
    }
    assert!(
        !seen(Depth::Whole, &[])
            .sentence("a\u{1b}\n")
            .contains(['\u{1b}', '\n'])
    );
}
