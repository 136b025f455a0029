//! The key files of a relay's directory, and the certificate that a TLS key makes (spec §6.1).
//!
//! ```text
//! identity.key   seed 32                                        Ed25519: signs descriptors, never changes
//! current.keys   u64 made ‖ static 32 ‖ TLS key, PKCS #8        X25519 and ECDSA P-256: what links and TLS use now
//! next.keys      the same                                       announced; accepted for links already
//! ```

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rand_core::CryptoRng;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use valise_protocol::descriptor::CERTIFICATE_EXTENSION;
use valise_protocol::hash::sha256;
use valise_protocol::key::DhSecret;
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::files;

/// The file of the key that never changes.
pub(crate) const IDENTITY: &str = "identity.key";
/// The file of the keys in use.
pub(crate) const CURRENT: &str = "current.keys";
/// The file of the keys announced.
pub(crate) const NEXT: &str = "next.keys";

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

/// One set of keys that rotate together.
pub(crate) struct Keys {
    /// When, which is when they were announced if they are the next ones.
    pub(crate) made: Timestamp,
    /// Of links.
    pub(crate) link: Arc<DhSecret>,
    /// Of TLS.
    pub(crate) tls: KeyPair,
}

impl Keys {
    /// Fresh ones.
    pub(crate) fn generate(
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let tls = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(certificate_error)?;
        Ok(Self {
            made: now,
            link: Arc::new(DhSecret::generate(rng)),
            tls,
        })
    }

    /// Writes them to a file of the directory.
    pub(crate) fn write(&self, directory: &Path, name: &'static str) -> Result<(), IdentityError> {
        let tls = Zeroizing::new(self.tls.serialize_der());
        let made = self.made.seconds().to_be_bytes();
        let bytes = Zeroizing::new([made.as_slice(), self.link.expose(), &tls].concat());
        files::write_private(&directory.join(name), &bytes)
            .map_err(|error| IdentityError::File(name, error))
    }

    /// Reads them from a file of the directory, `None` where there is none.
    pub(crate) fn read(
        directory: &Path,
        name: &'static str,
    ) -> Result<Option<Self>, IdentityError> {
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
    pub(crate) fn pin(&self) -> [u8; 32] {
        sha256(&[&self.tls.subject_public_key_info()])
    }
}

/// A certificate by a TLS key that carries an encoded descriptor.
pub(crate) fn certificate(
    tls: &KeyPair,
    descriptor: Vec<u8>,
) -> Result<Arc<CertifiedKey>, IdentityError> {
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

/// A private file of the directory, `None` where there is none.
pub(crate) fn read(
    directory: &Path,
    name: &'static str,
) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    match files::read_private(&directory.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IdentityError::File(name, error)),
    }
}

fn certificate_error(error: impl fmt::Display) -> IdentityError {
    IdentityError::Certificate(error.to_string())
}

/// A file that must be there and is not.
pub(crate) fn missing(name: &'static str) -> IdentityError {
    IdentityError::File(name, io::ErrorKind::NotFound.into())
}
