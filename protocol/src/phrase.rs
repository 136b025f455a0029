//! The return phrase: twelve words from which everything on the defender's side follows (spec §3).

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::hash::{expand, sha256};
use crate::id::{Address, MailboxId, RelayId, WithdrawHash};
use crate::kem::KemSeed;
use crate::key::DhSecret;
use crate::parcel::{AttachmentKeys, FileHash};
use crate::prekey::PrekeySecret;
use crate::scrub::scrub_stack;
use crate::stretch::stretch;

/// Twelve words of BIP-39, 128 bits.
///
/// Boxed, because a value that is moved leaves its bytes behind on the stack.
pub struct ReturnPhrase(Box<Zeroizing<[u8; 16]>>);

/// Why some words are not a return phrase.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhraseError {
    /// There are more or fewer than twelve.
    #[error("a return phrase has twelve words, these are {0}")]
    Count(usize),
    /// One is not on the list. It is named, because a person must be able to find it.
    #[error("word {position}, \"{word}\", is not on the list")]
    NotListed {
        /// 1 to 12.
        position: usize,
        /// As typed, lower case.
        word: String,
        /// The listed word that begins with the same letters, if there is exactly one.
        nearest: Option<&'static str>,
    },
    /// Each is on the list, but the checksum does not fit: a word was swapped for another.
    #[error("these twelve words do not belong together")]
    DoNotBelongTogether,
}

/// What [`ReturnPhrase::stretch`] gives: the root of a defender's keys.
pub struct DefenderRoot(Box<Zeroizing<[u8; 32]>>);

/// A defender's keys for one mechanism. Two mechanisms hold unrelated keys.
pub struct DefenderKeys(Zeroizing<[u8; 32]>);

/// The message tag T of one content (spec §3, §4.4).
pub struct MessageTag(Zeroizing<[u8; 32]>);

impl ReturnPhrase {
    /// A fresh phrase.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut entropy = Box::new(Zeroizing::new([0; 16]));
        rng.fill_bytes(entropy.as_mut_slice());
        Self(entropy)
    }

    /// From its 128 bits.
    pub fn from_entropy(entropy: &[u8; 16]) -> Self {
        let mut boxed = Box::new(Zeroizing::new([0; 16]));
        boxed.copy_from_slice(entropy);
        Self(boxed)
    }

    /// The twelve words, for the terminal only.
    pub fn expose_words(&self) -> Vec<&'static str> {
        let words = words_of(&self.0);
        scrub_stack();
        words
    }

    /// The root of this defender's keys. Takes 64 MiB and some tenths of a second.
    pub fn stretch(&self) -> DefenderRoot {
        let mut root = Box::new(Zeroizing::new([0; 32]));
        root.copy_from_slice(stretch(self.0.as_slice(), b"valise1/phrase").as_slice());
        DefenderRoot(root)
    }
}

/// Not inlined, so that what it leaves on the stack lies beyond its caller's part of it.
#[inline(never)]
fn words_of(entropy: &[u8; 16]) -> Vec<&'static str> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .expect("16 bytes are a length of BIP-39");
    mnemonic.words().collect()
}

/// As [`words_of`]: libraries leave copies of a phrase on the stack when they move it.
#[inline(never)]
fn entropy_of(words: &str) -> Result<Box<Zeroizing<[u8; 16]>>, PhraseError> {
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, words)
        .map_err(|_| PhraseError::DoNotBelongTogether)?;
    let (mut array, _) = mnemonic.to_entropy_array();
    let mut entropy = Box::new(Zeroizing::new([0; 16]));
    entropy.copy_from_slice(&array[..16]);
    array.zeroize();
    Ok(entropy)
}

/// Any case, any white space between the words.
impl FromStr for ReturnPhrase {
    type Err = PhraseError;

    fn from_str(text: &str) -> Result<Self, PhraseError> {
        let mut lower = Zeroizing::new(text.to_lowercase());
        let mut joined = Zeroizing::new(String::with_capacity(lower.len()));
        let list = Language::English.word_list();
        let count = lower.split_whitespace().count();
        if count != 12 {
            return Err(PhraseError::Count(count));
        }
        for (at, word) in lower.split_whitespace().enumerate() {
            if list.binary_search(&word).is_err() {
                return Err(PhraseError::NotListed {
                    position: at + 1,
                    word: word.to_owned(),
                    nearest: nearest(word),
                });
            }
            if at > 0 {
                joined.push(' ');
            }
            joined.push_str(word);
        }
        lower.zeroize();
        let entropy = entropy_of(&joined);
        scrub_stack();
        entropy.map(Self)
    }
}

/// The one listed word that shares the longest beginning with `word`, at least two letters of it.
fn nearest(word: &str) -> Option<&'static str> {
    let list = Language::English.word_list();
    (2..=word.len())
        .rev()
        .filter_map(|length| word.get(..length))
        .find_map(|start| {
            let mut found = list.iter().filter(|listed| listed.starts_with(start));
            let first = found.next()?;
            Some(if found.next().is_none() {
                Some(*first)
            } else {
                None
            })
        })?
}

impl DefenderRoot {
    /// The keys of an attachment, for all its addressees (spec §9.1).
    pub fn attachment(&self, hash: &FileHash) -> AttachmentKeys {
        AttachmentKeys::derive(&self.0, hash)
    }

    /// The keys for one mechanism.
    pub fn for_mechanism(&self, address: &Address) -> DefenderKeys {
        DefenderKeys(expand(&self.0, &[b"valise1/mechanism", address.as_bytes()]))
    }
}

impl DefenderKeys {
    /// The key that writes submissions; its public half is the pseudonym.
    pub fn send(&self) -> DhSecret {
        DhSecret::from_bytes(&expand(&self.0, &[b"valise1/send"]))
    }

    /// The prekey that replies are sealed to.
    pub fn reply(&self) -> PrekeySecret {
        let dh = DhSecret::from_bytes(&expand(&self.0, &[b"valise1/reply"]));
        PrekeySecret::new(
            dh,
            &KemSeed::from_bytes(&expand(&self.0, &[b"valise1/reply-kem"])),
        )
    }

    /// The link key that collects from the return mailbox on this relay.
    pub fn mailbox_key(&self, relay: &RelayId) -> DhSecret {
        DhSecret::from_bytes(&expand(
            &self.0,
            &[b"valise1/mailbox-key", relay.as_bytes()],
        ))
    }

    /// The return mailbox on this relay.
    pub fn mailbox(&self, relay: &RelayId) -> MailboxId {
        MailboxId::of_return(self.mailbox_key(relay).public().as_bytes())
    }

    /// The keys of an attachment that no other addressee must be linked with (spec §9.1).
    pub fn attachment(&self, hash: &FileHash) -> AttachmentKeys {
        AttachmentKeys::derive(&self.0, hash)
    }

    /// The tag of a message with this content (the encoded content of spec §4.5).
    pub fn message_tag(&self, content: &[u8]) -> MessageTag {
        MessageTag(expand(&self.0, &[b"valise1/message", &sha256(&[content])]))
    }
}

impl MessageTag {
    /// The submission's id.
    pub fn id(&self) -> [u8; 16] {
        *expand(&self.0, &[b"valise1/id"])
    }

    /// The secret that withdraws it from this relay. Another relay cannot replace it here by what it sees there.
    pub fn withdraw(&self, relay: &RelayId) -> Zeroizing<[u8; 32]> {
        expand(&self.0, &[b"valise1/withdraw", relay.as_bytes()])
    }

    /// What the deposit at this relay carries.
    pub fn withdraw_hash(&self, relay: &RelayId) -> WithdrawHash {
        WithdrawHash::from_bytes(sha256(&[self.withdraw(relay).as_slice()]))
    }
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        /// Redacted.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(secret)"))
            }
        }
    )*};
}
redacted!(ReturnPhrase, DefenderRoot, DefenderKeys, MessageTag);

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn a_phrase_survives_its_words() {
        let phrase: ReturnPhrase = WORDS.parse().unwrap();
        assert_eq!(**phrase.0, [0x7f; 16]);
        assert_eq!(phrase.expose_words().join(" "), WORDS);
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        let loose = WORDS.to_uppercase().replace(' ', " \n\t");
        assert_eq!(**loose.parse::<ReturnPhrase>().unwrap().0, [0x7f; 16]);
    }

    #[test]
    fn a_word_off_the_list_is_named() {
        let wrong = WORDS.replace("sausage", "sausagge");
        let error = wrong.parse::<ReturnPhrase>().unwrap_err();
        assert_eq!(
            error,
            PhraseError::NotListed {
                position: 6,
                word: "sausagge".into(),
                nearest: Some("sausage")
            }
        );
        assert_eq!(
            error.to_string(),
            "word 6, \"sausagge\", is not on the list"
        );
    }

    #[test]
    fn swapped_words_do_not_belong_together() {
        let swapped = WORDS.replace("yellow", "year");
        assert_eq!(
            swapped.parse::<ReturnPhrase>().unwrap_err(),
            PhraseError::DoNotBelongTogether
        );
        assert_eq!(
            "legal".parse::<ReturnPhrase>().unwrap_err(),
            PhraseError::Count(1)
        );
    }

    #[test]
    fn two_mechanisms_get_unrelated_keys() {
        let root = DefenderRoot(Box::new(Zeroizing::new([5; 32])));
        let a = root.for_mechanism(&Address::from_bytes([1; 32]));
        let b = root.for_mechanism(&Address::from_bytes([2; 32]));
        assert_ne!(a.send().public(), b.send().public());
        let (x, y) = (RelayId::from_bytes([1; 32]), RelayId::from_bytes([2; 32]));
        assert_ne!(a.mailbox(&x), a.mailbox(&y));
        assert_ne!(a.message_tag(b"x").id(), a.message_tag(b"y").id());
    }

    #[test]
    fn debug_of_secrets_is_redacted() {
        assert_eq!(
            format!("{:?}", ReturnPhrase::from_entropy(&[1; 16])),
            "ReturnPhrase(secret)"
        );
    }
}
