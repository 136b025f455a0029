//! Envelopes: the only thing a mailbox ever holds (spec §4).
//!
//! ```text
//! offset     size  field
//!      0       64  header: version, suite, zeros, salt, key commitment
//!     64    9,728  eight slots of 1,216 bytes, each for one device, real or decoy
//!  9,792   55,744  body: ChaCha20-Poly1305 of the padded message
//! ```
//!
//! No I/O and no clock. Randomness is an argument.

use std::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::aead::{decrypt, encrypt};
use crate::hash::{equal, expand, extract, sha256};
use crate::id::Address;
use crate::kem::HashedCiphertext;
use crate::key::{DhPublic, DhSecret};
use crate::limits::{
    BODY, ENVELOPE, HEADER, KEM_CIPHERTEXT, MESSAGE, PADDED, SLOT, SLOT_NOISE, SLOTS, TAG,
};
use crate::noise;
use crate::prekey::{Prekey, PrekeySecret};

/// The version that this module writes and reads.
const VERSION: u16 = 1;
/// The suite that this module writes and reads.
const SUITE: u16 = 2;
/// Where the body begins.
const BODY_AT: usize = HEADER + SLOTS * SLOT;
/// The label of the slots' pre-shared keys.
const SLOT_PSK: &str = "valise1/slot-psk";

/// Why an envelope could not be sealed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// Nobody to seal to.
    #[error("there is no device to seal to")]
    NoReader,
    /// More devices than slots.
    #[error("{0} devices are more than the {SLOTS} that one envelope has slots for")]
    TooManyReaders(usize),
    /// The message does not fit.
    #[error("the message has {0} bytes, an envelope holds {MESSAGE}")]
    TooLong(usize),
    /// A device's key is one of the few that make every shared secret zero.
    #[error("a device's key cannot be sealed to")]
    BadReaderKey,
}

/// Why a device could not open an envelope.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Not 65,536 bytes.
    #[error("an envelope has {ENVELOPE} bytes, this has {0}")]
    WrongLength(usize),
    /// Written by a newer sender.
    #[error("envelope version {0} is not supported, this build reads version {VERSION}")]
    UnknownVersion(u16),
    /// Written with other primitives.
    #[error("envelope suite {0} is not supported, this build reads suite {SUITE}")]
    UnknownSuite(u16),
    /// Bytes 4–15 are not zero.
    #[error("the reserved bytes of the header are not zero")]
    ReservedNotZero,
    /// No slot is for this device, or the envelope was altered. One variant on purpose: whoever
    /// could tell the two apart could test which device answers.
    #[error("envelope is not for this device, or was altered")]
    NotOurs,
    /// The key does not belong to this envelope: its writer tried to give one ciphertext two meanings.
    #[error("the key commitment does not fit")]
    BadCommitment,
    /// The body does not authenticate under the committed key.
    #[error("the body does not authenticate")]
    BadBody,
    /// The length field is more than a body holds.
    #[error("the message's length is impossible")]
    BadLength,
    /// Bytes after the message are not zero.
    #[error("the padding is not zero")]
    BadPadding,
}

/// D: names what an envelope says, whatever its slots (spec §4.1). A device remembers it to drop repeats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyDigest([u8; 32]);

/// An opened envelope.
pub struct Opened {
    /// The message, to be decoded.
    pub message: Zeroizing<Vec<u8>>,
    /// The key that wrote it, proved by the handshake.
    pub writer: DhPublic,
    /// What to remember it by.
    pub digest: BodyDigest,
    /// Which of the prekeys given opened it.
    pub prekey: usize,
}

impl BodyDigest {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Seals a message to the readers' prekeys.
///
/// `address` is the mechanism's, whoever writes. Slots that no reader needs go to keys that are thrown away, and the order
/// is drawn, so that the number of readers shows nowhere.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    readers: &[Prekey],
    address: &Address,
    writer: &DhSecret,
    message: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Box<[u8; ENVELOPE]>, SealError> {
    match readers.len() {
        0 => return Err(SealError::NoReader),
        1..=SLOTS => {}
        more => return Err(SealError::TooManyReaders(more)),
    }
    if message.len() > MESSAGE {
        return Err(SealError::TooLong(message.len()));
    }
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(key.as_mut_slice());
    let mut envelope = blank();
    seal_body(&mut envelope, &key, message, rng);
    let digest = body_digest(&envelope);
    for (index, reader) in order(readers, rng).into_iter().enumerate() {
        let slot = match reader {
            Some(prekey) => seal_slot(prekey, index, &digest, address, writer, &key, rng)?,
            None => decoy(index, &digest, address, writer, rng)?,
        };
        envelope[HEADER + index * SLOT..][..SLOT].copy_from_slice(&slot);
    }
    Ok(envelope)
}

fn blank() -> Box<[u8; ENVELOPE]> {
    vec![0; ENVELOPE]
        .into_boxed_slice()
        .try_into()
        .expect("it has just that length")
}

/// Writes header and body.
fn seal_body(
    envelope: &mut [u8; ENVELOPE],
    key: &[u8; 32],
    message: &[u8],
    rng: &mut impl CryptoRng,
) {
    envelope[..2].copy_from_slice(&VERSION.to_be_bytes());
    envelope[2..4].copy_from_slice(&SUITE.to_be_bytes());
    rng.fill_bytes(&mut envelope[16..32]);
    let prk = extract(&envelope[16..32], key);
    envelope[32..HEADER].copy_from_slice(expand::<32>(&prk, &[b"valise1/commit"]).as_slice());
    let (head, body) = envelope.split_at_mut(BODY_AT);
    let length = u32::try_from(message.len()).expect("checked against MESSAGE");
    body[..4].copy_from_slice(&length.to_be_bytes());
    body[4..4 + message.len()].copy_from_slice(message);
    let tag = encrypt(
        &expand(&prk, &[b"valise1/body"]),
        &[0; 12],
        &head[..HEADER],
        &mut body[..PADDED],
    );
    body[PADDED..].copy_from_slice(&tag);
}

/// D of an envelope's bytes.
fn body_digest(envelope: &[u8; ENVELOPE]) -> BodyDigest {
    BodyDigest(sha256(&[
        b"valise1/envelope",
        &envelope[..HEADER],
        &envelope[BODY_AT..],
    ]))
}

/// The readers and the decoys, in an order drawn uniformly (Fisher and Yates).
fn order<'a>(readers: &'a [Prekey], rng: &mut impl CryptoRng) -> [Option<&'a Prekey>; SLOTS] {
    let mut slots: [Option<&Prekey>; SLOTS] = std::array::from_fn(|at| readers.get(at));
    for last in (1..SLOTS).rev() {
        slots.swap(last, below(last + 1, rng));
    }
    slots
}

/// A number below `bound` (at most 256), without bias.
fn below(bound: usize, rng: &mut impl CryptoRng) -> usize {
    let usable = 256 - 256 % bound;
    loop {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        if usize::from(byte[0]) < usable {
            return usize::from(byte[0]) % bound;
        }
    }
}

fn prologue(
    digest: &BodyDigest,
    index: usize,
    address: &Address,
    prekey_hash: &[u8; 32],
    ct_hash: &[u8; 32],
) -> Vec<u8> {
    let index = u8::try_from(index).expect("there are eight slots");
    [
        b"valise1/slot",
        digest.as_bytes().as_slice(),
        &[index],
        address.as_bytes(),
        prekey_hash,
        ct_hash,
    ]
    .concat()
}

fn seal_slot(
    reader: &Prekey,
    index: usize,
    digest: &BodyDigest,
    address: &Address,
    writer: &DhSecret,
    key: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> Result<[u8; SLOT], SealError> {
    let (ct, psk) = reader.kem.encapsulate(SLOT_PSK, rng);
    let prologue = prologue(digest, index, address, &reader.hash(), ct.hash());
    let noise = noise::seal_slot(writer, &reader.dh, &psk, &prologue, key, rng)
        .map_err(|_| SealError::BadReaderKey)?;
    let mut slot = [0; SLOT];
    slot[..KEM_CIPHERTEXT].copy_from_slice(ct.as_bytes());
    slot[KEM_CIPHERTEXT..].copy_from_slice(&noise);
    Ok(slot)
}

/// A real slot to a key that nobody keeps, with random bytes in the place of the key.
fn decoy(
    index: usize,
    digest: &BodyDigest,
    address: &Address,
    writer: &DhSecret,
    rng: &mut impl CryptoRng,
) -> Result<[u8; SLOT], SealError> {
    let nobody = PrekeySecret::generate(rng).public();
    let mut nothing = [0; 32];
    rng.fill_bytes(&mut nothing);
    seal_slot(&nobody, index, digest, address, writer, &nothing, rng)
}

/// Opens an envelope with whichever of the prekeys fits (spec §4.3).
///
/// # Errors
/// [`OpenError`].
pub fn open(
    envelope: &[u8],
    address: &Address,
    prekeys: &[&PrekeySecret],
) -> Result<Opened, OpenError> {
    check_version(envelope)?;
    let envelope: &[u8; ENVELOPE] = envelope
        .try_into()
        .map_err(|_| OpenError::WrongLength(envelope.len()))?;
    check_header(envelope)?;
    let digest = body_digest(envelope);
    for index in 0..SLOTS {
        let slot = &envelope[HEADER + index * SLOT..][..SLOT];
        let (ct, message) = slot
            .split_first_chunk::<KEM_CIPHERTEXT>()
            .ok_or(OpenError::NotOurs)?;
        let message: &[u8; SLOT_NOISE] = message.try_into().map_err(|_| OpenError::NotOurs)?;
        let ct = HashedCiphertext::new(ct);
        for (at, prekey) in prekeys.iter().enumerate() {
            let psk = prekey.kem.decapsulate(SLOT_PSK, &ct);
            let prologue = prologue(&digest, index, address, prekey.hash(), ct.hash());
            if let Ok((writer, key)) = noise::open_slot(&prekey.dh, &psk, &prologue, message) {
                let message = open_body(envelope, &key)?;
                return Ok(Opened {
                    message,
                    writer,
                    digest,
                    prekey: at,
                });
            }
        }
    }
    Err(OpenError::NotOurs)
}

/// The version comes before all else, the length too: another version may have another (spec §1).
fn check_version(envelope: &[u8]) -> Result<(), OpenError> {
    match envelope
        .first_chunk()
        .map(|bytes| u16::from_be_bytes(*bytes))
    {
        None => Err(OpenError::WrongLength(envelope.len())),
        Some(VERSION) => Ok(()),
        Some(version) => Err(OpenError::UnknownVersion(version)),
    }
}

fn check_header(envelope: &[u8; ENVELOPE]) -> Result<(), OpenError> {
    let suite = u16::from_be_bytes([envelope[2], envelope[3]]);
    if suite != SUITE {
        return Err(OpenError::UnknownSuite(suite));
    }
    if envelope[4..16].iter().any(|byte| *byte != 0) {
        return Err(OpenError::ReservedNotZero);
    }
    Ok(())
}

fn open_body(envelope: &[u8; ENVELOPE], key: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let prk = extract(&envelope[16..32], key);
    if !equal(
        expand::<32>(&prk, &[b"valise1/commit"]).as_slice(),
        &envelope[32..HEADER],
    ) {
        return Err(OpenError::BadCommitment);
    }
    let (body, tag) = envelope[BODY_AT..]
        .split_last_chunk::<TAG>()
        .ok_or(OpenError::BadBody)?;
    debug_assert_eq!(body.len(), BODY - TAG);
    let mut padded = Zeroizing::new(body.to_vec());
    decrypt(
        &expand(&prk, &[b"valise1/body"]),
        &[0; 12],
        &envelope[..HEADER],
        &mut padded,
        tag,
    )
    .map_err(|_| OpenError::BadBody)?;
    let (length, rest) = padded
        .split_first_chunk::<4>()
        .ok_or(OpenError::BadLength)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError::BadLength)?;
    let (message, padding) = rest.split_at_checked(length).ok_or(OpenError::BadLength)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(OpenError::BadPadding);
    }
    Ok(Zeroizing::new(message.to_vec()))
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "BodyDigest({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// The message is not shown.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("writer", &self.writer)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
