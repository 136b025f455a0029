//! Deterministic CBOR (spec §1): what is read must be exactly what would have been written.

use minicbor::{Decode, Encode};
use thiserror::Error;

/// Bytes that are not the one encoding of a valid item. One variant on purpose: what is malformed is not worth telling apart.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a valid item in deterministic CBOR")]
pub struct Malformed;

/// The one encoding of an item.
pub fn encode<T: Encode<()>>(item: &T) -> Vec<u8> {
    minicbor::to_vec(item).expect("writing to a vector cannot fail")
}

/// Reads an item and rejects anything that [`encode`] would have written otherwise: long integers, indefinite
/// lengths, unsorted, unknown or repeated keys, nulls, trailing bytes.
///
/// # Errors
/// [`Malformed`].
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, Malformed> {
    let item: T = minicbor::decode(bytes).map_err(|_| Malformed)?;
    if encode(&item) == bytes {
        Ok(item)
    } else {
        Err(Malformed)
    }
}

/// The encoding of a map that begins with key 0, its kind, before the keys of `item` (a map of at most 22 keys from 1 on).
pub(crate) fn encode_kind<T: Encode<()>>(kind: u8, item: &T) -> Vec<u8> {
    let rest = encode(item);
    debug_assert!(
        (0xa0..0xb7).contains(&rest[0]) && kind < 24,
        "one byte each"
    );
    [&[rest[0] + 1, 0, kind], &rest[1..]].concat()
}

/// Takes key 0 out of a map: its kind, and the map without it, for [`decode`].
pub(crate) fn split_kind(bytes: &[u8]) -> Result<(u8, Vec<u8>), Malformed> {
    match bytes {
        [map @ 0xa1..=0xb7, 0, kind @ 0..=23, rest @ ..] => {
            Ok((*kind, [&[map - 1], rest].concat()))
        }
        _ => Err(Malformed),
    }
}

/// An item whose encoding stands inside another as a byte string: `#[cbor(with = "cbor::embedded")]`.
pub(crate) mod embedded {
    use minicbor::encode::Write;
    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(crate) fn encode<C, T: Encode<()>, W: Write>(
        item: &T,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&super::encode(item))?.ok()
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, ()> + Encode<()>>(
        d: &mut Decoder<'b>,
        _: &mut C,
    ) -> Result<T, minicbor::decode::Error> {
        super::decode(d.bytes()?).map_err(minicbor::decode::Error::message)
    }
}

/// A map without keys.
#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Item {
        #[n(0)]
        a: u32,
        #[n(1)]
        b: Option<String>,
    }

    #[test]
    fn one_item_has_one_encoding() {
        let item = Item {
            a: 1,
            b: Some("x".into()),
        };
        let bytes = encode(&item);
        assert_eq!(bytes, [0xa2, 0, 1, 1, 0x61, b'x']);
        assert_eq!(decode::<Item>(&bytes), Ok(item));
        for other in [
            &[0xa2, 0, 0x18, 1, 1, 0x61, b'x'][..], // a long integer
            &[0xa2, 1, 0x61, b'x', 0, 1],           // unsorted
            &[0xbf, 0, 1, 1, 0x61, b'x', 0xff],     // indefinite
            &[0xa3, 0, 1, 1, 0x61, b'x', 2, 0],     // an unknown key
            &[0xa3, 0, 1, 0, 1, 1, 0x61, b'x'],     // a repeated key
            &[0xa2, 0, 1, 1, 0xf6],                 // null for absent
            &[0xa2, 0, 1, 1, 0x61, b'x', 0],        // a trailing byte
            &[0xa2, 0, 1, 1, 0x61, 0xff],           // not UTF-8
            &[0xa2, 0, 1, 1, 0x61],                 // cut
        ] {
            assert_eq!(decode::<Item>(other), Err(Malformed), "{other:02x?}");
        }
    }

    #[test]
    fn a_kind_is_put_in_and_taken_out() {
        assert_eq!(encode_kind(7, &Empty {}), [0xa1, 0, 7]);
        assert_eq!(split_kind(&[0xa1, 0, 7]), Ok((7, encode(&Empty {}))));
        assert_eq!(decode(&encode(&Empty {})), Ok(Empty {}));
        for other in [
            &[][..],
            &[0xa0],
            &[0xa1, 1, 7],
            &[0xa1, 0, 0x18, 7],
            &[0xbf, 0, 7],
        ] {
            assert_eq!(split_kind(other), Err(Malformed), "{other:02x?}");
        }
    }

    #[test]
    fn a_deep_or_endless_item_is_refused_without_recursion() {
        for byte in [0x81, 0x9f, 0xc1, 0xd8] {
            let mut bytes = vec![0xa1, 7];
            bytes.extend(vec![byte; 100_000]);
            assert_eq!(decode::<Item>(&bytes), Err(Malformed));
        }
        let huge = [0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1];
        assert_eq!(decode::<Item>(&huge), Err(Malformed));
    }
}
