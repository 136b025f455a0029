//! Relays' certificates: not their names, dates or authorities, but the descriptor in them (spec §6.1).

use thiserror::Error;
use valise_protocol::descriptor::{
    CERTIFICATE_EXTENSION, Descriptor, DescriptorError, SignedDescriptor,
};
use valise_protocol::hash::sha256;
use valise_protocol::id::RelayId;
use valise_protocol::time::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate is not that of the relay wanted.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not one X.509 certificate.
    #[error("it is not a certificate")]
    Malformed,
    /// There is no descriptor in it, or more than one.
    #[error("the certificate does not carry one relay descriptor")]
    NoDescriptor,
    /// The descriptor in it is not to be believed, or another relay's.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The descriptor names another TLS key.
    #[error("the certificate's key is not the one that the relay's descriptor names")]
    WrongPin,
}

/// The descriptor of this relay in a certificate (DER), checked by rules 1 and 2 of spec §6.1; and as signed.
/// Rule 3, that the peer has the certificate's key, is the TLS handshake's.
///
/// # Errors
/// [`CertificateError`].
pub fn descriptor_of(
    certificate: &[u8],
    relay: RelayId,
    now: Timestamp,
) -> Result<(Descriptor, Vec<u8>), CertificateError> {
    let ([], certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::Malformed)?
    else {
        return Err(CertificateError::Malformed);
    };
    let mut found = certificate
        .extensions()
        .iter()
        .filter(|extension| extension.oid.to_id_string() == CERTIFICATE_EXTENSION);
    let (Some(extension), None) = (found.next(), found.next()) else {
        return Err(CertificateError::NoDescriptor);
    };
    let signed = SignedDescriptor::decode(extension.value)?;
    let descriptor = signed.verify(relay, now)?;
    if sha256(&[certificate.public_key().raw]) != *descriptor.tls_pin() {
        return Err(CertificateError::WrongPin);
    }
    Ok((descriptor, signed.encode()))
}
