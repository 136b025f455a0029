//! What a mechanism says of itself (spec §5.1, key 6).

use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Names, languages and requirements, from outside: escape before showing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Profile {
    /// Its name in 1 to 16 languages, as (language, name).
    #[cbor(n(0), encode_with = "encode_names", decode_with = "decode_names")]
    pub names: Vec<(String, String)>,
    /// Languages it reads, at most 32.
    #[n(1)]
    pub languages: Vec<String>,
    /// What a submission must tell, at most 16.
    #[n(2)]
    pub required: Vec<String>,
    /// Whether a source may stay unnamed.
    #[n(3)]
    pub pseudonym_accepted: bool,
    /// How long it keeps submissions, in its own words.
    #[n(4)]
    pub retention: Option<String>,
}

impl Profile {
    /// A profile that says names only. Each is put in its place.
    pub fn named(mut names: Vec<(String, String)>) -> Self {
        names.sort_by_cached_key(|(language, _)| order(language));
        Self {
            names,
            ..Self::default()
        }
    }

    /// Whether every field is within its limit.
    pub fn fits(&self) -> bool {
        let ascending = self
            .names
            .windows(2)
            .all(|pair| order(&pair[0].0) < order(&pair[1].0));
        ascending
            && (1..=16).contains(&self.names.len())
            && self
                .names
                .iter()
                .all(|(language, name)| is_language(language) && (1..=200).contains(&name.len()))
            && self.languages.len() <= 32
            && self.languages.iter().all(|language| is_language(language))
            && self.required.len() <= 16
            && self
                .required
                .iter()
                .all(|field| (1..=64).contains(&field.len()))
            && self
                .retention
                .as_ref()
                .is_none_or(|text| text.len() <= 1_000)
    }
}

/// Whether a text has the form of a language tag (spec §4.5): 2 to 35 letters, digits and hyphens, a letter first.
pub fn is_language(text: &str) -> bool {
    (2..=35).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Keys of a CBOR map ascend by their encoded bytes: the shorter first, then by letter.
fn order(language: &str) -> (usize, String) {
    (language.len(), language.to_owned())
}

fn encode_names<C, W: minicbor::encode::Write>(
    names: &[(String, String)],
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.map(names.len() as u64)?;
    for (language, name) in names {
        e.str(language)?.str(name)?;
    }
    Ok(())
}

fn decode_names<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<(String, String)>, DecodeError> {
    let count = d
        .map()?
        .filter(|count| *count <= 16)
        .ok_or_else(|| DecodeError::message("count"))?;
    (0..count)
        .map(|_| Ok((d.str()?.to_owned(), d.str()?.to_owned())))
        .collect()
}
