//! Texts, byte strings and lists that cannot be longer than the specification allows.
//!
//! The bound is part of the type and is checked before anything is allocated, so that whoever holds a value need not ask.

use std::fmt;
use std::ops::Deref;

use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

/// A text of `MIN` to `MAX` bytes of UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// A byte string of `MIN` to `MAX` bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bytes<const MIN: usize, const MAX: usize>(Vec<u8>);

/// A list of `MIN` to `MAX` items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

/// Something is shorter or longer than it may be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected {min} to {max} {unit}, got {got}")]
pub struct OutOfBounds {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// What there was.
    pub got: usize,
    unit: &'static str,
}

impl OutOfBounds {
    /// Checks a number of `unit`s.
    pub(crate) fn check(
        got: usize,
        min: usize,
        max: usize,
        unit: &'static str,
    ) -> Result<(), Self> {
        if (min..=max).contains(&got) {
            Ok(())
        } else {
            Err(Self {
                min,
                max,
                got,
                unit,
            })
        }
    }
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// From a text that is short enough.
    ///
    /// # Errors
    /// [`OutOfBounds`], in bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, OutOfBounds> {
        let text = text.into();
        OutOfBounds::check(text.len(), MIN, MAX, "bytes of text")?;
        Ok(Self(text))
    }
}

impl<const MIN: usize, const MAX: usize> Bytes<MIN, MAX> {
    /// From bytes that are few enough.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, OutOfBounds> {
        let bytes = bytes.into();
        OutOfBounds::check(bytes.len(), MIN, MAX, "bytes")?;
        Ok(Self(bytes))
    }
}

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// From items that are few enough.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn new(items: impl Into<Vec<T>>) -> Result<Self, OutOfBounds> {
        let items = items.into();
        OutOfBounds::check(items.len(), MIN, MAX, "items")?;
        Ok(Self(items))
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Bytes<MIN, MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> From<List<T, MIN, MAX>> for Vec<T> {
    fn from(list: List<T, MIN, MAX>) -> Self {
        list.0
    }
}

impl<const MIN: usize, const MAX: usize> From<Bytes<MIN, MAX>> for Vec<u8> {
    fn from(bytes: Bytes<MIN, MAX>) -> Self {
        bytes.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The length only: a text may be what somebody wrote in confidence.
impl<const MIN: usize, const MAX: usize> fmt::Debug for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// The length only.
impl<const MIN: usize, const MAX: usize> fmt::Debug for Bytes<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl<C, const MIN: usize, const MAX: usize> Encode<C> for Text<MIN, MAX> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MIN: usize, const MAX: usize> Decode<'b, C> for Text<MIN, MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let text = d.str()?;
        OutOfBounds::check(text.len(), MIN, MAX, "bytes").map_err(refused)?;
        Ok(Self(text.to_owned()))
    }
}

impl<C, const MIN: usize, const MAX: usize> Encode<C> for Bytes<MIN, MAX> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MIN: usize, const MAX: usize> Decode<'b, C> for Bytes<MIN, MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let bytes = d.bytes()?;
        OutOfBounds::check(bytes.len(), MIN, MAX, "bytes").map_err(refused)?;
        Ok(Self(bytes.to_owned()))
    }
}

impl<C, T: Encode<C>, const MIN: usize, const MAX: usize> Encode<C> for List<T, MIN, MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C, T: Decode<'b, C>, const MIN: usize, const MAX: usize> Decode<'b, C>
    for List<T, MIN, MAX>
{
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let count = d.array()?.and_then(|n| usize::try_from(n).ok());
        let count = count.ok_or_else(|| DecodeError::message("array length"))?;
        OutOfBounds::check(count, MIN, MAX, "items").map_err(refused)?;
        (0..count)
            .map(|_| T::decode(d, ctx))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Any fault of one of our own items, as minicbor wants it. [`crate::cbor::decode`] drops the text.
pub(crate) fn refused(fault: impl fmt::Display) -> DecodeError {
    DecodeError::message(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{Malformed, decode, encode};

    #[test]
    fn bounds_are_inclusive() {
        assert!(Text::<1, 2>::new("").is_err());
        assert!(Text::<1, 2>::new("ab").is_ok());
        assert_eq!(
            Text::<1, 2>::new("abc").unwrap_err().to_string(),
            "expected 1 to 2 bytes of text, got 3"
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_not_read() {
        let three = encode(&vec![1u8, 2, 3]);
        assert_eq!(decode::<List<u8, 0, 2>>(&three), Err(Malformed));
        assert_eq!(decode::<List<u8, 4, 8>>(&three), Err(Malformed));
        assert_eq!(*decode::<List<u8, 1, 3>>(&three).unwrap(), [1, 2, 3]);
        assert_eq!(decode::<Text<0, 1>>(b"\x62ab"), Err(Malformed));
        assert_eq!(decode::<Bytes<3, 4>>(b"\x42ab"), Err(Malformed));
    }

    #[test]
    fn a_hostile_count_allocates_nothing() {
        let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode::<List<u8, 0, 8>>(&huge), Err(Malformed));
        let mut text = huge;
        text[0] = 0x7b;
        assert_eq!(decode::<Text<0, 8>>(&text), Err(Malformed));
    }

    #[test]
    fn debug_shows_no_text() {
        let text = Text::<0, 8>::new("secret").unwrap();
        assert_eq!(format!("{text:?}"), "Text(6 bytes)");
    }
}
