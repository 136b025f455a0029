//! Keys of X25519 and Ed25519, one type for each side (spec §1).
//!
//! Secrets have no `Clone`, no `Display`, a redacted `Debug`, and are wiped on drop.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use ed25519_dalek::Signer;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::limits::{KEY, SIGNATURE};

/// An X25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct DhPublic(#[cbor(n(0), with = "minicbor::bytes")] [u8; KEY]);

/// An X25519 private key, with its public key at hand.
///
/// Boxed, because a value that is moved leaves its bytes behind on the stack.
pub struct DhSecret {
    secret: Box<Zeroizing<[u8; KEY]>>,
    public: DhPublic,
}

/// The result of a Diffie-Hellman was zero: the peer's key is one of the few that ignore ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the peer's key makes every shared secret zero")]
pub struct ZeroSecret;

impl DhPublic {
    /// From its bytes. Every 32 bytes are a public key; the bad ones show when they are used.
    pub const fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl DhSecret {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self::from_bytes(&bytes)
    }

    /// From its 32 bytes, clamped when used (RFC 7748 §5).
    pub fn from_bytes(bytes: &[u8; KEY]) -> Self {
        let public = private(bytes)
            .compute_public_key()
            .expect("every private key has a public one");
        let public = public.as_ref().first_chunk();
        let public = DhPublic(*public.expect("a public key has 32 bytes"));
        Self::from_parts(bytes, public)
    }

    /// From its bytes and the public key that is known to belong to them: saves a multiplication.
    pub(crate) fn from_parts(bytes: &[u8; KEY], public: DhPublic) -> Self {
        let mut secret = Box::new(Zeroizing::new([0; KEY]));
        secret.copy_from_slice(bytes);
        Self { secret, public }
    }

    /// Its bytes, for a place that wipes them.
    pub fn expose(&self) -> &[u8; KEY] {
        &self.secret
    }

    /// Its public key, borrowed.
    pub(crate) const fn public_ref(&self) -> &DhPublic {
        &self.public
    }

    /// Its public key.
    pub const fn public(&self) -> DhPublic {
        self.public
    }

    /// The shared secret with a peer.
    ///
    /// # Errors
    /// [`ZeroSecret`].
    pub fn shared(&self, peer: &DhPublic) -> Result<Zeroizing<[u8; KEY]>, ZeroSecret> {
        let peer = UnparsedPublicKey::new(&X25519, peer.0);
        let mut shared = Zeroizing::new([0; KEY]);
        // It refuses only a product of zero (RFC 7748 §6.1).
        agree(&private(&self.secret), peer, ZeroSecret, |product| {
            shared.copy_from_slice(product);
            Ok(())
        })?;
        Ok(shared)
    }
}

/// aws-lc's copy of a private key. It wipes what it frees.
fn private(bytes: &[u8; KEY]) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, bytes).expect("every 32 bytes are a private key")
}

/// An Ed25519 public key that is a point and not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

/// An Ed25519 private key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// An Ed25519 signature, not verified.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Signature(#[cbor(n(0), with = "minicbor::bytes")] [u8; SIGNATURE]);

/// Not a usable Ed25519 public key, or a signature that is not by it. One variant on purpose.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the signature is wrong")]
pub struct BadSignature;

impl VerifyingKey {
    /// From its bytes.
    ///
    /// # Errors
    /// [`BadSignature`] when they are no point, not canonical, or of small order.
    pub fn from_bytes(bytes: &[u8; KEY]) -> Result<Self, BadSignature> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| BadSignature)?;
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(BadSignature);
        }
        Ok(Self(key))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEY] {
        self.0.as_bytes()
    }

    /// Checks a signature over `label ‖ message`, strictly (spec §1, §5).
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(
        &self,
        label: &'static str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0
            .verify_strict(&[label.as_bytes(), message].concat(), &signature)
            .map_err(|_| BadSignature)
    }
}

impl SigningKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; KEY]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_bytes(&seed)
    }

    /// From its 32-byte seed.
    pub fn from_bytes(seed: &[u8; KEY]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its seed, for a place that wipes it.
    pub fn expose(&self) -> &[u8; KEY] {
        self.0.as_bytes()
    }

    /// Its public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `label ‖ message` (spec §5).
    pub fn sign(&self, label: &'static str, message: &[u8]) -> Signature {
        let mut signed = [label.as_bytes(), message].concat();
        let signature = Signature(self.0.sign(&signed).to_bytes());
        signed.zeroize();
        signature
    }
}

impl Signature {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; SIGNATURE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE] {
        &self.0
    }
}

impl<C> Encode<C> for VerifyingKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for VerifyingKey {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d
            .bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("key length"))?;
        Self::from_bytes(bytes).map_err(|_| minicbor::decode::Error::message("bad key"))
    }
}

impl fmt::Debug for DhPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "DhPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.as_bytes();
        write!(f, "VerifyingKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// Redacted.
impl fmt::Debug for DhSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecret(secret)")
    }
}

/// Redacted.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_key_gives_no_secret() {
        let key = DhSecret::from_bytes(&[1; 32]);
        assert_eq!(
            key.shared(&DhPublic::from_bytes([0; 32])).unwrap_err(),
            ZeroSecret
        );
    }

    #[test]
    fn a_signature_holds_for_its_label_and_bytes_only() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let signature = key.sign("valise1/roster", b"x");
        let public = key.verifying_key();
        assert_eq!(public.verify("valise1/roster", b"x", &signature), Ok(()));
        assert_eq!(
            public.verify("valise1/prekey", b"x", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            public.verify("valise1/roster", b"y", &signature),
            Err(BadSignature)
        );
    }

    #[test]
    fn small_order_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(
            VerifyingKey::from_bytes(&identity).unwrap_err(),
            BadSignature
        );
    }

    #[test]
    fn debug_of_secrets_is_redacted() {
        assert_eq!(
            format!("{:?}", DhSecret::from_bytes(&[1; 32])),
            "DhSecret(secret)"
        );
        assert_eq!(
            format!("{:?}", SigningKey::from_bytes(&[1; 32])),
            "SigningKey(secret)"
        );
    }
}
