//! Language tags (BCP 47) as cards and submissions name them (spec §4.5, §5.1).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

use crate::bounded::refused;

/// A language tag: 2 to 35 letters, digits and `-`.
///
/// Ordered as CBOR orders map keys: the shorter first, then byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Language(String);

/// A text that is no language tag.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected a language tag such as \"fr\" or \"uz-Cyrl\": 2 to 35 letters, digits and \"-\"")]
pub struct BadLanguage;

impl Language {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two are one language, letter case aside.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl FromStr for Language {
    type Err = BadLanguage;

    fn from_str(text: &str) -> Result<Self, BadLanguage> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if (2..=35).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadLanguage)
        }
    }
}

impl Ord for Language {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Language {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C> Encode<C> for Language {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Language {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_short_and_plain() {
        for good in ["fr", "uz-Cyrl", "zh-Hans", &"a".repeat(35)] {
            assert!(good.parse::<Language>().is_ok(), "{good}");
        }
        for bad in ["", "f", "f r", "fr_FR", "é1", &"a".repeat(36)] {
            assert_eq!(bad.parse::<Language>(), Err(BadLanguage), "{bad}");
        }
    }

    #[test]
    fn the_shorter_tag_comes_first() {
        let tag = |text: &str| text.parse::<Language>().unwrap();
        assert!(tag("zh") < tag("ast"));
        assert!(tag("ar") < tag("fr"));
    }
}
