//! Deterministic CBOR (spec §1): what is read must be exactly what would have been written.

use minicbor::{Decode, Encode};
use thiserror::Error;

/// Bytes that are not the one encoding of a valid item. One variant on purpose: what is malformed is not worth telling apart.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a valid item in deterministic CBOR")]
pub struct Malformed;

/// The one encoding of an item.
pub fn encode<T: Encode<()> + ?Sized>(item: &T) -> Vec<u8> {
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
    fn a_deep_or_endless_item_is_refused_without_recursion() {
        for byte in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0xd8] {
            let mut bytes = vec![0xa1, 7];
            bytes.extend(vec![byte; 100_000]);
            assert_eq!(decode::<Item>(&bytes), Err(Malformed));
        }
        for kind in [0x5b, 0x7b, 0x9b, 0xbb] {
            let mut bytes = vec![0xa1, 7, kind];
            bytes.extend([0xff; 8]);
            assert_eq!(decode::<Item>(&bytes), Err(Malformed));
            assert_eq!(decode::<Item>(&bytes[2..]), Err(Malformed));
        }
    }
}
