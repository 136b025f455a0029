//! Parcels: an attachment in encrypted pieces of one size (spec §9).
//!
//! ```text
//! parcel, 262,144 bytes: four chunks of
//! offset    size  field
//!      0      12  nonce: HMAC over number, last flag and plaintext, cut
//!     12  65,508  ciphertext
//! 65,520      16  tag
//! ```
//!
//! Sealing is deterministic: the same words and the same file give the same parcels on any machine, which is what makes an
//! interrupted upload resume without a journal. The nonce depends on all of the plaintext, so that a file that changed between two
//! readings does not use one twice.

use std::fmt;

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::aead::{self, Unauthentic};
use crate::hash::{expand, hmac_sha256, sha256};
use crate::id::Namespace;
use crate::key::DhSecret;
use crate::limits::{BITMAP, CHUNK, CHUNK_PLAIN, CHUNKS, KEY, PARCEL, PARCEL_PLAIN, PARCELS, STEP};

/// The SHA-256 of an attachment's bytes, exactly as they are sent.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct FileHash(#[cbor(n(0), with = "minicbor::bytes")] [u8; KEY]);

/// Opens the parcels of one attachment. It travels inside a submission, as the text does, and so can be copied like it.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; KEY]>);

/// Writes and deletes the parcels of one attachment: the static key of the links that do. No relay and no reader learns it.
pub struct WriteKey(DhSecret);

/// What the sender of an attachment holds.
pub struct AttachmentKeys {
    /// For its readers.
    pub file: FileKey,
    /// For the sender alone.
    pub write: WriteKey,
}

/// Seals and opens the parcels of one attachment.
pub struct ParcelCipher {
    key: Zeroizing<[u8; KEY]>,
    nonce: Zeroizing<[u8; KEY]>,
}

/// Which of an attachment's parcels one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParcelPlace {
    index: u32,
    count: u32,
}

/// Room for a parcel: its plaintext stands where its ciphertext will, so that nothing is copied.
#[derive(Clone, PartialEq, Eq)]
pub struct ParcelBuffer(Box<[u8; PARCEL]>);

/// Which parcels of an attachment a relay holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParcelSet(Vec<u8>);

impl ParcelSet {
    /// From the bytes of an answer (spec §7.4): parcel `i` is bit `7 − i mod 8` of byte `i / 8`, and the last byte is not zero.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= BITMAP && bytes.last() != Some(&0)).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a parcel. One beyond the longest attachment is passed over.
    pub fn insert(&mut self, index: u32) {
        let (byte, bit) = Self::place(index);
        if index < PARCELS {
            let length = self.0.len().max(byte + 1);
            self.0.resize(length, 0);
            self.0[byte] |= bit;
        }
    }

    /// Whether a parcel is in it.
    pub fn contains(&self, index: u32) -> bool {
        let (byte, bit) = Self::place(index);
        self.0.get(byte).is_some_and(|bits| bits & bit != 0)
    }

    /// How many are in it.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const fn place(index: u32) -> (usize, u8) {
        (index as usize / 8, 0x80 >> (index % 8))
    }
}

/// Computes a [`FileHash`] as the file is read.
#[derive(Clone, Default)]
pub struct FileHasher(Sha256);

impl FileHasher {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all.
    pub fn finish(self) -> FileHash {
        FileHash(self.0.finalize().into())
    }
}

impl FileHash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl AttachmentKeys {
    /// From the root of a phrase, or where addressees must not be linked from its keys for one mechanism (spec §9.1).
    pub fn derive(base: &[u8; KEY], hash: &FileHash) -> Self {
        Self {
            file: FileKey(expand(base, &[b"valise1/file", &hash.0])),
            write: WriteKey(DhSecret::from_bytes(&expand(
                base,
                &[b"valise1/put", &hash.0],
            ))),
        }
    }
}

impl FileKey {
    /// From its bytes.
    pub fn from_bytes(bytes: &[u8; KEY]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Its bytes, for a place that wipes them.
    pub fn expose(&self) -> &[u8; KEY] {
        &self.0
    }

    /// What seals and opens.
    pub fn cipher(&self) -> ParcelCipher {
        ParcelCipher {
            key: expand(&self.0, &[b"valise1/chunk"]),
            nonce: expand(&self.0, &[b"valise1/chunk-nonce"]),
        }
    }
}

impl WriteKey {
    /// The link key.
    pub const fn link(&self) -> &DhSecret {
        &self.0
    }

    /// Where the parcels lie that it writes.
    pub fn namespace(&self) -> Namespace {
        Namespace::of_writer(self.0.public().as_bytes())
    }
}

impl ParcelPlace {
    /// The parcel of this number, from 0, of an attachment with so many; `None` where there is no such parcel, or no such count.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (is_padded(count) && index < count).then_some(Self { index, count })
    }

    /// Its number.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The number of a chunk in the attachment, and whether it is the last: what is authenticated with it.
    fn chunk(self, chunk: usize) -> [u8; 5] {
        let number = self.index * CHUNKS as u32 + chunk as u32;
        let last = self.index + 1 == self.count && chunk + 1 == CHUNKS;
        let [a, b, c, d] = number.to_be_bytes();
        [a, b, c, d, u8::from(last)]
    }
}

/// How many parcels an attachment of this length takes, padding included (spec §9.3); `None` where it is too long.
pub fn parcels(length: u64) -> Option<u32> {
    let step = u64::from(STEP) * PARCEL_PLAIN as u64;
    let needed = length.div_ceil(step).max(1);
    sizes().find(|count| u64::from(*count) >= needed * u64::from(STEP))
}

/// Whether attachments come in so many parcels.
pub fn is_padded(count: u32) -> bool {
    sizes().any(|size| size == count)
}

/// 1, 2, 3, 4, 6, 8, 12, 16 … 4,096 mebibytes, in parcels.
fn sizes() -> impl Iterator<Item = u32> {
    let powers = (0..).map(|power| 1_u32 << power);
    let steps = powers.flat_map(|power| [power, power + power / 2]);
    let steps = steps.enumerate().filter(|(at, _)| *at != 1);
    steps
        .map(|(_, step)| step * STEP)
        .take_while(|count| *count <= PARCELS)
}

impl ParcelCipher {
    /// Seals the plaintext that stands in a buffer, in place.
    pub fn seal(&self, place: ParcelPlace, buffer: &mut ParcelBuffer) {
        for (at, chunk) in buffer.0.chunks_exact_mut(CHUNK).enumerate() {
            let ad = place.chunk(at);
            let (nonce, rest) = chunk.split_at_mut(NONCE);
            let (plain, tag) = rest.split_at_mut(CHUNK_PLAIN);
            let own = self.nonce(&ad, plain);
            nonce.copy_from_slice(&own);
            tag.copy_from_slice(&aead::encrypt(&self.key, &own, &ad, plain));
        }
    }

    /// Opens a sealed parcel in place.
    ///
    /// # Errors
    /// [`Unauthentic`]: another attachment's, another place, altered, or sealed with another nonce than its own (spec §9.2): so there
    /// is one parcel for each place and plaintext. The buffer then holds nothing that may be used.
    pub fn open(&self, place: ParcelPlace, buffer: &mut ParcelBuffer) -> Result<(), Unauthentic> {
        for (at, chunk) in buffer.0.chunks_exact_mut(CHUNK).enumerate() {
            let (nonce, rest) = chunk.split_at_mut(NONCE);
            let (plain, tag) = rest.split_at_mut(CHUNK_PLAIN);
            let nonce = nonce.first_chunk().expect("twelve bytes");
            let tag = tag.first_chunk().expect("sixteen bytes");
            let ad = place.chunk(at);
            aead::decrypt(&self.key, nonce, &ad, plain, tag)?;
            if self.nonce(&ad, plain) != *nonce {
                return Err(Unauthentic);
            }
        }
        Ok(())
    }

    /// The only nonce with which a chunk is sealed.
    fn nonce(&self, ad: &[u8], plain: &[u8]) -> [u8; NONCE] {
        let hash = hmac_sha256(self.nonce.as_slice(), &[ad, plain]);
        *hash.first_chunk().expect("a hash is longer")
    }
}

impl ParcelBuffer {
    /// Zeros.
    pub fn new() -> Self {
        Self::from_sealed(vec![0; PARCEL]).expect("it has the length of a parcel")
    }

    /// A sealed parcel's bytes; `None` where there are more or fewer.
    pub fn from_sealed(bytes: Vec<u8>) -> Option<Self> {
        bytes.into_boxed_slice().try_into().ok().map(Self)
    }

    /// The sealed bytes.
    pub fn sealed(&self) -> &[u8; PARCEL] {
        &self.0
    }

    /// The sealed bytes, kept.
    pub fn into_sealed(self) -> Box<[u8; PARCEL]> {
        self.0
    }

    /// Where the plaintext stands: four pieces of 65,508 bytes.
    pub fn plain(&self) -> impl Iterator<Item = &[u8]> {
        let chunks = self.0.chunks_exact(CHUNK);
        chunks.map(|chunk| &chunk[NONCE..NONCE + CHUNK_PLAIN])
    }

    /// The same, to write to. What is not written must be zero.
    pub fn plain_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let chunks = self.0.chunks_exact_mut(CHUNK);
        chunks.map(|chunk| &mut chunk[NONCE..NONCE + CHUNK_PLAIN])
    }
}

impl Default for ParcelBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Encode<C> for FileKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_slice())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FileKey {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = <&[u8; KEY]>::try_from(d.bytes()?);
        bytes
            .map(Self::from_bytes)
            .map_err(|_| minicbor::decode::Error::message("length"))
    }
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        /// Redacted.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
redacted!(
    FileHash,
    FileHasher,
    FileKey,
    WriteKey,
    AttachmentKeys,
    ParcelCipher,
    ParcelBuffer
);

const NONCE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> AttachmentKeys {
        AttachmentKeys::derive(&[1; 32], &FileHash::from_bytes([2; 32]))
    }

    fn place(index: u32, count: u32) -> ParcelPlace {
        ParcelPlace::new(index, count).unwrap()
    }

    fn filled(byte: u8) -> ParcelBuffer {
        let mut buffer = ParcelBuffer::new();
        buffer.plain_mut().for_each(|piece| piece.fill(byte));
        buffer
    }

    fn sealed(byte: u8, place: ParcelPlace) -> ParcelBuffer {
        let mut buffer = filled(byte);
        keys().file.cipher().seal(place, &mut buffer);
        buffer
    }

    fn opens(buffer: &ParcelBuffer, place: ParcelPlace) -> bool {
        let mut copy = ParcelBuffer::from_sealed(buffer.sealed().to_vec()).unwrap();
        keys().file.cipher().open(place, &mut copy).is_ok()
    }

    #[test]
    fn a_parcel_survives_sealing_and_opening() {
        let mut buffer = sealed(7, place(1, 4));
        keys().file.cipher().open(place(1, 4), &mut buffer).unwrap();
        assert!(
            buffer
                .plain()
                .all(|piece| piece.iter().all(|byte| *byte == 7))
        );
        assert_eq!(buffer.plain().map(<[u8]>::len).sum::<usize>(), PARCEL_PLAIN);
    }

    #[test]
    fn the_same_file_gives_the_same_parcels() {
        let again = sealed(7, place(1, 4));
        assert_eq!(sealed(7, place(1, 4)).sealed(), again.sealed());
    }

    #[test]
    fn a_file_that_changed_uses_no_nonce_twice() {
        let (before, mut after) = (sealed(7, place(1, 4)), filled(7));
        if let Some(piece) = after.plain_mut().nth(2) {
            piece[65_507] = 8;
        }
        keys().file.cipher().seal(place(1, 4), &mut after);
        let nonce =
            |buffer: &ParcelBuffer, at: usize| buffer.sealed()[at * CHUNK..][..NONCE].to_vec();
        assert_eq!(nonce(&before, 1), nonce(&after, 1));
        assert_ne!(nonce(&before, 2), nonce(&after, 2));
    }

    #[test]
    fn a_parcel_opens_in_its_place_only() {
        let middle = sealed(7, place(1, 4));
        assert!(opens(&middle, place(1, 4)));
        assert!(
            opens(&middle, place(1, 8)),
            "the end is told by the last alone"
        );
        assert!(!opens(&middle, place(2, 4)));
        let last = sealed(7, place(3, 4));
        assert!(opens(&last, place(3, 4)));
        assert!(
            !opens(&last, place(3, 8)),
            "an attachment cannot be cut short"
        );
        assert!(!opens(&sealed(7, place(3, 8)), place(3, 4)));
    }

    #[test]
    fn every_altered_part_of_a_parcel_is_noticed() {
        let whole = sealed(7, place(0, 4));
        for at in (0..PARCEL)
            .step_by(9_973)
            .chain([CHUNK - 1, CHUNK, PARCEL - 1])
        {
            let mut bytes = whole.sealed().to_vec();
            bytes[at] ^= 1;
            assert!(
                !opens(&ParcelBuffer::from_sealed(bytes).unwrap(), place(0, 4)),
                "{at}"
            );
        }
        assert!(ParcelBuffer::from_sealed(vec![0; PARCEL - 1]).is_none());
    }

    #[test]
    fn a_parcel_sealed_with_another_nonce_than_its_own_does_not_open() {
        let (cipher, place) = (keys().file.cipher(), place(1, 4));
        for at in 0..CHUNKS {
            let mut parcel = sealed(7, place);
            let chunk = &mut parcel.0[at * CHUNK..][..CHUNK];
            let (nonce, rest) = chunk.split_at_mut(NONCE);
            let (plain, tag) = rest.split_at_mut(CHUNK_PLAIN);
            plain.fill(7);
            nonce.fill(0);
            tag.copy_from_slice(&aead::encrypt(
                &cipher.key,
                &[0; 12],
                &place.chunk(at),
                plain,
            ));
            assert!(!opens(&parcel, place), "{at}");
        }
    }

    #[test]
    fn attachments_come_in_24_sizes() {
        let mebibytes: Vec<u32> = sizes().map(|count| count / STEP).collect();
        assert_eq!(mebibytes.len(), 24);
        assert_eq!(mebibytes[..9], [1, 2, 3, 4, 6, 8, 12, 16, 24]);
        assert_eq!(mebibytes[23], 4_096);
        let step = u64::from(STEP) * PARCEL_PLAIN as u64;
        assert_eq!(
            [0, 1, step, step + 1].map(|n| parcels(n).unwrap()),
            [4, 4, 4, 8]
        );
        assert_eq!(parcels(4 * step + 1), Some(24));
        assert_eq!(parcels(crate::limits::ATTACHMENT), Some(PARCELS));
        assert_eq!(parcels(crate::limits::ATTACHMENT + 1), None);
        assert!(ParcelPlace::new(0, 5).is_none() && ParcelPlace::new(4, 4).is_none());
    }

    #[test]
    fn a_set_of_parcels_has_one_form() {
        let mut set = ParcelSet::default();
        assert!(set.is_empty() && set.as_bytes().is_empty());
        [0, 9, 16_383, 16_384]
            .iter()
            .for_each(|index| set.insert(*index));
        assert_eq!(set.len(), 3);
        assert_eq!(set.as_bytes()[..2], [0x80, 0x40]);
        assert!(set.contains(16_383) && !set.contains(16_384) && !set.contains(1));
        assert_eq!(ParcelSet::from_bytes(set.as_bytes().to_vec()), Some(set));
        assert_eq!(ParcelSet::from_bytes(vec![1, 0]), None);
        assert_eq!(ParcelSet::from_bytes(vec![1; BITMAP + 1]), None);
    }

    #[test]
    fn who_can_read_cannot_write() {
        let (a, b) = (
            keys(),
            AttachmentKeys::derive(&[3; 32], &FileHash::from_bytes([2; 32])),
        );
        assert_ne!(a.file.expose(), a.write.link().expose());
        assert_ne!(a.write.namespace(), b.write.namespace());
        assert_eq!(format!("{:?}", a.file), "FileKey(…)");
    }
}
