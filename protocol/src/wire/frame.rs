//! Header and attachment in whole frames (spec §7.2).

use minicbor::{Decode, Encode};

use crate::cbor::{self, Malformed};
use crate::limits::{CARD, ENVELOPE, FRAME_PLAIN};
use crate::parcel::ParcelBuffer;

/// Header and attachment, padded to so many frames.
pub(super) fn join<T: Encode<()>>(header: &T, attachment: &[u8], frames: usize) -> Vec<u8> {
    let header = cbor::encode(header);
    let length = u16::try_from(header.len()).expect("a header fits one frame");
    let mut plain = Vec::with_capacity(frames * FRAME_PLAIN);
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(&header);
    plain.extend_from_slice(attachment);
    assert!(
        plain.len() <= frames * FRAME_PLAIN,
        "the limits leave room for every header"
    );
    plain.resize(frames * FRAME_PLAIN, 0);
    plain
}

/// The header, and all that follows it.
pub(super) fn split<'a, T>(plain: &'a [u8]) -> Result<(T, &'a [u8]), Malformed>
where
    T: Decode<'a, ()> + Encode<()>,
{
    let (length, rest) = plain.split_first_chunk::<2>().ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > FRAME_PLAIN - 2 {
        return Err(Malformed);
    }
    let (header, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    Ok((cbor::decode(header)?, rest))
}

/// The attachment of this length, after checking that only zeros follow it.
pub(super) fn padded(rest: &[u8], length: usize) -> Result<&[u8], Malformed> {
    let (attachment, padding) = rest.split_at_checked(length).ok_or(Malformed)?;
    if padding.iter().any(|byte| *byte != 0) {
        Err(Malformed)
    } else {
        Ok(attachment)
    }
}

pub(super) fn card(rest: &[u8], length: u32) -> Result<Vec<u8>, Malformed> {
    Ok(padded(rest, card_length(length)?)?.to_vec())
}

pub(super) fn card_length(length: u32) -> Result<usize, Malformed> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= CARD)
        .ok_or(Malformed)
}

pub(super) fn envelope(bytes: &[u8]) -> Result<Box<[u8; ENVELOPE]>, Malformed> {
    bytes
        .to_vec()
        .into_boxed_slice()
        .try_into()
        .map_err(|_| Malformed)
}

pub(super) fn parcel(bytes: &[u8]) -> Result<ParcelBuffer, Malformed> {
    ParcelBuffer::from_sealed(bytes.to_vec()).ok_or(Malformed)
}

pub(super) fn length(card: &[u8]) -> u32 {
    u32::try_from(card.len()).expect("a card has at most 32,768 bytes")
}
