//! Words for people: comparison words and pseudonyms (spec §2.3, §2.4).

use bip39::Language;

use crate::hash::sha256;
use crate::key::DhPublic;
use crate::stretch::stretch;

/// The six words that two people read to each other, joined by spaces. Takes as long as one [`stretch`].
///
/// `of` is an address's 32 bytes, or the bytes of a device request.
pub fn comparison_words(of: &[u8]) -> String {
    take_words(&stretch(of, b"valise1/words"), 6, " ")
}

/// The short stable name that staff see for a defender: `count` words, 2 unless two keys in the vault share those, at most 12.
pub fn pseudonym(send: &DhPublic, count: usize) -> String {
    take_words(
        &sha256(&[b"valise1/pseudonym", send.as_bytes()]),
        count.clamp(2, 12),
        "-",
    )
}

/// The first `count` groups of eleven bits, as words.
fn take_words(bytes: &[u8; 32], count: usize, joint: &str) -> String {
    let list = Language::English.word_list();
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let words: Vec<&str> = (0..count)
        .map(|word| list[(word * 11..word * 11 + 11).fold(0, |index, at| index << 1 | bit(at))])
        .collect();
    words.join(joint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_pseudonym_begins_with_the_shorter() {
        let key = DhPublic::from_bytes([9; 32]);
        let short = pseudonym(&key, 2);
        assert_eq!(short.split('-').count(), 2);
        assert!(pseudonym(&key, 3).starts_with(&short));
        assert_ne!(short, pseudonym(&DhPublic::from_bytes([8; 32]), 2));
    }

    #[test]
    fn bits_are_taken_from_the_front() {
        let mut bytes = [0; 32];
        bytes[1] = 0b0010_0000; // the eleventh bit
        assert_eq!(take_words(&bytes, 2, " "), "ability abandon");
    }

    #[test]
    fn comparison_words_are_six() {
        assert_eq!(comparison_words(&[1; 32]).split(' ').count(), 6);
    }
}
