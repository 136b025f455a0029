//! The relay's keys, and what it says of itself with them: the descriptor (spec §6) inside its certificate (spec §6.1).
//!
//! ```text
//! identity.key   seed 32                                        Ed25519: signs descriptors, never changes
//! current.keys   u64 made ‖ static 32 ‖ TLS key, PKCS #8        X25519 and ECDSA P-256: what links and TLS use now
//! next.keys      the same                                       announced; accepted for links already
//! ```
//!
//! The descriptor is not kept: it is signed anew at every start and every [`RENEWAL`], on the same keys, without a restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rand_core::CryptoRng;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::{CERTIFICATE_EXTENSION, Descriptor, DescriptorFields};
use valise_protocol::hash::sha256;
use valise_protocol::id::RelayId;
use valise_protocol::key::{DhSecret, SigningKey};
use valise_protocol::limits::{DAY, ROSTER_LIFE};
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::files;

/// How old a descriptor may grow before it is signed anew, in seconds.
pub const RENEWAL: u64 = 7 * DAY;
/// How long a descriptor holds, in seconds: as long as it may.
const VALID: u64 = ROSTER_LIFE;
const IDENTITY: &str = "identity.key";
const CURRENT: &str = "current.keys";
const NEXT: &str = "next.keys";

/// Why keys could not be made, read or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There are keys in this directory already.
    #[error("there are keys in this directory already")]
    Exists,
    /// A key file cannot be read or written.
    #[error("{0}: {1}")]
    File(&'static str, #[source] io::Error),
    /// A key file does not hold what it should.
    #[error("{0} is damaged: it does not hold a key")]
    Malformed(&'static str),
    /// The TLS library does not take the key or the certificate.
    #[error("the certificate cannot be made: {0}")]
    Certificate(String),
    /// The descriptor would be too long, or its host is not one.
    #[error("the descriptor cannot be made: {0}")]
    Descriptor(String),
    /// There is no next key to switch to.
    #[error("no next key has been announced")]
    NoNext,
    /// The next key was announced before.
    #[error("a next key has been announced already")]
    NextExists,
}

/// A relay's keys and its current announcement. Shared by the endpoint, the links and the janitor.
pub struct Identity {
    directory: PathBuf,
    signing: SigningKey,
    id: RelayId,
    public: Public,
    state: RwLock<State>,
}

/// What the descriptor says beside keys and dates.
#[derive(Clone, Debug)]
struct Public {
    host: String,
    port: u16,
    operator: String,
    jurisdiction: String,
    retention_days: (u64, u64),
}

struct State {
    current: Keys,
    next: Option<Keys>,
    issued: Timestamp,
    certified: Arc<CertifiedKey>,
}

/// One set of keys that rotate together.
struct Keys {
    made: Timestamp,
    link: Arc<DhSecret>,
    tls: KeyPair,
}

impl Identity {
    /// Makes fresh keys in a directory and gives the relay's id.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when there are some, and what making them says.
    pub fn create(
        directory: &Path,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<RelayId, IdentityError> {
        let path = directory.join(IDENTITY);
        if path.exists() {
            return Err(IdentityError::Exists);
        }
        Keys::generate(rng, now)?.write(directory, CURRENT)?;
        let signing = SigningKey::generate(rng);
        files::write_private(&path, signing.expose())
            .map_err(|e| IdentityError::File(IDENTITY, e))?;
        Ok(RelayId::of_identity(signing.verifying_key().as_bytes()))
    }

    /// Reads the keys of a directory and signs a descriptor.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(directory: &Path, config: &Config, now: Timestamp) -> Result<Self, IdentityError> {
        let seed = read(directory, IDENTITY)?.ok_or(missing(IDENTITY))?;
        let seed = Zeroizing::new(
            seed.as_slice()
                .try_into()
                .map_err(|_| IdentityError::Malformed(IDENTITY))?,
        );
        let signing = SigningKey::from_bytes(&seed);
        let current = Keys::read(directory, CURRENT)?.ok_or(missing(CURRENT))?;
        let next = Keys::read(directory, NEXT)?;
        let public = Public::of(config);
        let certified = announce(&signing, &public, &current, next.as_ref(), now)?;
        Ok(Self {
            directory: directory.to_owned(),
            id: RelayId::of_identity(signing.verifying_key().as_bytes()),
            signing,
            public,
            state: RwLock::new(State {
                current,
                next,
                issued: now,
                certified,
            }),
        })
    }

    /// The relay's id (spec §2.1).
    pub const fn id(&self) -> RelayId {
        self.id
    }

    /// Where to reach the relay (spec §2.2).
    pub fn contact(&self) -> RelayContact {
        RelayContact::new(self.id, &self.public.host, self.public.port)
            .expect("the descriptor was signed with this host and port")
    }

    /// The static keys that links may be made to: the current one first, then the next one where one is announced.
    pub fn link_keys(&self) -> Vec<Arc<DhSecret>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let next = state.next.as_ref().map(|keys| Arc::clone(&keys.link));
        std::iter::once(Arc::clone(&state.current.link))
            .chain(next)
            .collect()
    }

    /// Signs a new descriptor, in a new certificate on the same key, when the one in use is older than [`RENEWAL`].
    /// Returns whether it did.
    ///
    /// # Errors
    /// [`IdentityError`]; the descriptor before stays in use.
    pub fn renew(&self, now: Timestamp) -> Result<bool, IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let due = now.since(state.issued) >= RENEWAL || now < state.issued;
        if due {
            self.announce(&mut state, now)?;
        }
        Ok(due)
    }

    /// Makes the next keys and announces them: step one of a rotation. Returns when it is safe to switch.
    ///
    /// # Errors
    /// [`IdentityError::NextExists`], and what making them says.
    pub fn announce_next(
        &self,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Timestamp, IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some() {
            return Err(IdentityError::NextExists);
        }
        let keys = Keys::generate(rng, now)?;
        keys.write(&self.directory, NEXT)?;
        state.next = Some(keys);
        self.announce(&mut state, now)?;
        Ok(now.plus(ROSTER_LIFE))
    }

    /// Makes the next keys the current ones and destroys those before: step two of a rotation.
    ///
    /// # Errors
    /// [`IdentityError::NoNext`], and what the file system says.
    pub fn switch(&self, now: Timestamp) -> Result<(), IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let next = state.next.take().ok_or(IdentityError::NoNext)?;
        if let Err(error) = files::rename(&self.directory.join(NEXT), &self.directory.join(CURRENT))
        {
            state.next = Some(next);
            return Err(IdentityError::File(NEXT, error));
        }
        state.current = next;
        self.announce(&mut state, now)
    }

    /// From when on a switch is safe for everybody: the longest life of a roster after the next keys were announced.
    /// `None` when none are announced.
    pub fn safe_to_switch(&self) -> Option<Timestamp> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.next.as_ref().map(|keys| keys.made.plus(ROSTER_LIFE))
    }

    /// Until when the descriptor in use holds.
    pub fn valid_until(&self) -> Timestamp {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.issued.hour().plus(VALID)
    }

    fn announce(&self, state: &mut State, now: Timestamp) -> Result<(), IdentityError> {
        state.certified = announce(
            &self.signing,
            &self.public,
            &state.current,
            state.next.as_ref(),
            now,
        )?;
        state.issued = now;
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&state.certified))
    }
}

/// Redacted.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Public {
    fn of(config: &Config) -> Self {
        Self {
            host: config.host.clone(),
            port: config.port,
            operator: config.operator.clone(),
            jurisdiction: config.jurisdiction.clone(),
            retention_days: (
                config.retention_days_min.into(),
                config.retention_days_max.into(),
            ),
        }
    }
}

impl Keys {
    fn generate(rng: &mut impl CryptoRng, now: Timestamp) -> Result<Self, IdentityError> {
        let tls = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(certificate_error)?;
        Ok(Self {
            made: now,
            link: Arc::new(DhSecret::generate(rng)),
            tls,
        })
    }

    fn write(&self, directory: &Path, name: &'static str) -> Result<(), IdentityError> {
        let tls = Zeroizing::new(self.tls.serialize_der());
        let made = self.made.seconds().to_be_bytes();
        let bytes = Zeroizing::new([made.as_slice(), self.link.expose(), &tls].concat());
        files::write_private(&directory.join(name), &bytes)
            .map_err(|error| IdentityError::File(name, error))
    }

    fn read(directory: &Path, name: &'static str) -> Result<Option<Self>, IdentityError> {
        let Some(bytes) = read(directory, name)? else {
            return Ok(None);
        };
        let malformed = || IdentityError::Malformed(name);
        let (made, rest) = bytes.split_first_chunk::<8>().ok_or_else(malformed)?;
        let (link, tls) = rest.split_first_chunk::<32>().ok_or_else(malformed)?;
        let tls = PrivatePkcs8KeyDer::from(tls);
        let tls = KeyPair::from_pkcs8_der_and_sign_algo(&tls, &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| malformed())?;
        Ok(Some(Self {
            made: Timestamp::from_seconds(u64::from_be_bytes(*made)),
            link: Arc::new(DhSecret::from_bytes(link)),
            tls,
        }))
    }

    /// The SHA-256 of the SubjectPublicKeyInfo of the TLS key.
    fn pin(&self) -> [u8; 32] {
        sha256(&[&self.tls.subject_public_key_info()])
    }
}

/// Signs a descriptor and puts it into a certificate.
fn announce(
    signing: &SigningKey,
    public: &Public,
    current: &Keys,
    next: Option<&Keys>,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let fields = DescriptorFields {
        static_key: current.link.public(),
        tls_pin: current.pin(),
        next_static_key: next.map(|keys| keys.link.public()),
        next_tls_pin: next.map(Keys::pin),
        host: public.host.clone(),
        port: public.port,
        operator: public.operator.clone(),
        jurisdiction: public.jurisdiction.clone(),
        retention_days: public.retention_days,
        reaches: Vec::new(),
    };
    // The hour is enough for readers, and does not tell when the relay was started.
    let signed = Descriptor::sign(fields, signing, VALID, now.hour())
        .map_err(|error| IdentityError::Descriptor(error.to_string()))?;
    certificate(&current.tls, signed.encode())
}

fn certificate(tls: &KeyPair, descriptor: Vec<u8>) -> Result<Arc<CertifiedKey>, IdentityError> {
    // Names and dates are the same for every relay and always: nobody looks at them, so they shall tell nothing.
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let oid: Vec<u64> = CERTIFICATE_EXTENSION
        .split('.')
        .filter_map(|arc| arc.parse().ok())
        .collect();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, descriptor)];
    let certificate = params.self_signed(tls).map_err(certificate_error)?;
    let key = PrivatePkcs8KeyDer::from(tls.serialize_der());
    let key = any_ecdsa_type(&key.into()).map_err(certificate_error)?;
    Ok(Arc::new(CertifiedKey::new(
        vec![certificate.der().clone()],
        key,
    )))
}

fn certificate_error(error: impl fmt::Display) -> IdentityError {
    IdentityError::Certificate(error.to_string())
}

fn missing(name: &'static str) -> IdentityError {
    IdentityError::File(name, io::ErrorKind::NotFound.into())
}

/// A private file of the directory, `None` where there is none.
fn read(directory: &Path, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    match files::read_private(&directory.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IdentityError::File(name, error)),
    }
}
