//! The store's keys: the file `keys`, and the only place where they lie.
//!
//! ```text
//! payload, a twin file:
//! size  field
//!   16  id of the store, random
//!    8  generation, u64: grows whenever the file is written, at every open, rewrap and close among them
//!    8  epoch, u64: upper half of the cursors given out, grows at every open and when emptied mailboxes are forgotten
//!    4  slots of a segment, u32
//!   32  blinding key: for keyed hashes of mailboxes, withdraw hashes, namespaces and digests
//! n×32  store keys, newest first: one, or two while slots are being rewrapped
//! ```
//!
//! Where the relay is given a credential, the payload is sealed under it (salt 32 ‖ ciphertext ‖ tag 16) and the file has
//! another magic.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rand_core::{CryptoRng, Rng};
use valise_protocol::aead;
use valise_protocol::hash::{hmac_sha256, sha256};
use valise_protocol::id::{EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use zeroize::Zeroizing;

use super::disk::{Disk, SystemDisk};
use super::twin::{self, Magic, TwinError};
use super::{OpenError, path_of};
use crate::store::Mailbox;

/// A key that slots are wrapped under.
pub(super) type StoreKey = Zeroizing<[u8; 32]>;

/// A keyed hash, 128 bits: who does not hold the store's blinding key cannot compute one, nor search for two alike.
pub(super) type Mark = [u8; 16];

/// A secret that the disk does not hold, such as one that a TPM gives to this machine only: the key file is sealed under it.
pub struct Credential(Zeroizing<[u8; 32]>);

impl Credential {
    /// From at least 32 bytes that nobody can guess; `None` if there are fewer.
    pub fn from_bytes(secret: &[u8]) -> Option<Self> {
        (secret.len() >= 32).then(|| Self(Zeroizing::new(sha256(&[LABEL, secret]))))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// What the key file holds.
#[derive(Clone)]
pub(super) struct Keys {
    pub store: [u8; 16],
    pub generation: u64,
    pub epoch: u64,
    pub slots: u32,
    blinding: Zeroizing<[u8; 32]>,
    wrapping: Vec<StoreKey>,
    credential: Option<Arc<Credential>>,
}

impl Keys {
    /// New keys for a new store.
    pub fn generate(
        slots: u32,
        credential: Option<Arc<Credential>>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut store = [0; 16];
        rng.fill_bytes(&mut store);
        Self {
            store,
            generation: 0,
            epoch: 0,
            slots,
            blinding: fresh(rng),
            wrapping: vec![fresh(rng)],
            credential,
        }
    }

    /// Reads the key file; the second part is whether one of its copies was damaged. A file that is not sealed yet will be
    /// when it is saved, if there is a credential.
    pub fn load(
        disk: &dyn Disk,
        dir: &Path,
        credential: Option<Arc<Credential>>,
    ) -> Result<Option<(Self, bool)>, OpenError> {
        let path = path_of(dir, NAME);
        let (read, sealed) = match twin::read(disk, &path, MAGIC) {
            Err(TwinError::Damaged) => (twin::read(disk, &path, SEALED), true),
            read => (read, false),
        };
        let mut twin = match read {
            Ok(twin) => twin,
            Err(TwinError::Missing) => return Ok(None),
            Err(TwinError::Damaged) => return Err(OpenError::KeysDamaged),
            Err(TwinError::Version(found)) => return Err(OpenError::UnknownVersion(found)),
            Err(TwinError::Io(error)) => return Err(OpenError::Io(error)),
        };
        if sealed {
            let under = credential.as_ref().ok_or(OpenError::CredentialMissing)?;
            twin.payload = aead::open(&under.0, LABEL, NAME.as_bytes(), &twin.payload)
                .map_err(|_| OpenError::CredentialWrong)?;
        }
        let mut keys = Self::decode(&twin.payload).ok_or(OpenError::KeysDamaged)?;
        keys.credential = credential;
        Ok(Some((keys, twin.damaged)))
    }

    /// Whether a directory's key file is sealed under a credential; `None` where there is none that can be read.
    pub fn are_sealed(dir: &Path) -> Option<bool> {
        let path = path_of(dir, NAME);
        let is = |magic| twin::read(&SystemDisk, &path, magic).is_ok();
        is(SEALED).then_some(true).or(is(MAGIC).then_some(false))
    }

    /// Makes these keys the durable ones, in the next generation.
    pub fn save(&mut self, disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
        self.generation += 1;
        let path = path_of(dir, NAME);
        let payload = self.encode();
        let Some(under) = &self.credential else {
            return twin::write(disk, &path, MAGIC, &payload);
        };
        let rng = &mut super::system_rng();
        let payload = aead::seal(&under.0, LABEL, NAME.as_bytes(), &payload, rng);
        twin::write(disk, &path, SEALED, &payload)
    }

    /// The store keys, newest first.
    pub fn wrapping(&self) -> &[StoreKey] {
        &self.wrapping
    }

    /// The key that new slots are wrapped under.
    pub fn newest(&self) -> &StoreKey {
        &self.wrapping[0]
    }

    /// Puts a new store key before the others.
    pub fn begin_rewrap(&mut self, rng: &mut impl CryptoRng) {
        self.wrapping.insert(0, fresh(rng));
    }

    /// Takes back what [`Self::begin_rewrap`] did, while no slot knows of it.
    pub fn abandon_rewrap(&mut self) {
        self.wrapping.remove(0);
    }

    /// Forgets all store keys but the newest.
    pub fn end_rewrap(&mut self) {
        self.wrapping.truncate(1);
    }

    /// What stands for a mailbox on the disk.
    pub fn mailbox(&self, mailbox: Mailbox) -> Mark {
        match mailbox {
            Mailbox::Inbox(id) => self.mark(&[b"inbox", id.as_bytes()]),
            Mailbox::Return(id) => self.mark(&[b"return", id.as_bytes()]),
        }
    }

    /// What stands for an inbox on the disk.
    pub fn inbox(&self, id: MailboxId) -> Mark {
        self.mailbox(Mailbox::Inbox(id))
    }

    /// What stands for a withdraw hash on the disk.
    pub fn withdraw(&self, withdraw: WithdrawHash) -> Mark {
        self.mark(&[b"withdraw", withdraw.as_bytes()])
    }

    /// What stands for a digest on the disk.
    pub fn digest(&self, digest: EnvelopeDigest) -> Mark {
        self.mark(&[b"digest", digest.as_bytes()])
    }

    /// What stands for an attachment on the disk.
    pub fn namespace(&self, namespace: Namespace) -> Mark {
        self.mark(&[b"namespace", namespace.as_bytes()])
    }

    /// What stands for the hash of a parcel's bytes on the disk.
    pub fn parcel(&self, hash: &[u8; 32]) -> Mark {
        self.mark(&[b"parcel", hash])
    }

    fn mark(&self, parts: &[&[u8]]) -> Mark {
        let hash = hmac_sha256(self.blinding.as_slice(), parts);
        *hash.first_chunk().expect("16 of 32 bytes")
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(136));
        out.extend_from_slice(&self.store);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.slots.to_be_bytes());
        out.extend_from_slice(self.blinding.as_slice());
        for key in &self.wrapping {
            out.extend_from_slice(key.as_slice());
        }
        out
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (store, rest) = payload.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (slots, rest) = rest.split_first_chunk()?;
        let (blinding, rest) = rest.split_first_chunk()?;
        let (wrapping, rest) = rest.as_chunks();
        let fits = rest.is_empty() && !wrapping.is_empty();
        fits.then(|| Self {
            store: *store,
            generation: u64::from_be_bytes(*generation),
            epoch: u64::from_be_bytes(*epoch),
            slots: u32::from_be_bytes(*slots),
            blinding: Zeroizing::new(*blinding),
            wrapping: wrapping.iter().map(|key| Zeroizing::new(*key)).collect(),
            credential: None,
        })
    }
}

fn fresh(rng: &mut impl Rng) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(key.as_mut_slice());
    key
}

const NAME: &str = "keys";
const MAGIC: Magic = *b"valiseK1";
const SEALED: Magic = *b"valiseC1";
const LABEL: &[u8] = b"valise1/store-credential";
