//! The two Noise handshakes, by `snow` with our own primitives (spec §4.2, §7.1).
//!
//! snow takes keys as slices of any length, panics on some, wipes nothing, and returns a remote static key that a failed
//! message did not prove. So it is wrapped here once: typed keys only, one ephemeral key handed in from the caller's
//! randomness, all-zero Diffie-Hellman refused, and every state in a heap block that the programs' allocator wipes.

use std::sync::{LazyLock, Mutex};

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::aead::{decrypt, encrypt};
use crate::key::{DhPublic, DhSecret};
use crate::limits::{FRAME, FRAME_PLAIN, KEY, SLOT_NOISE, TAG};

static SLOT_PARAMS: LazyLock<NoiseParams> =
    LazyLock::new(|| parse("Noise_Xpsk0_25519_ChaChaPoly_SHA256"));
static LINK_PARAMS: LazyLock<NoiseParams> =
    LazyLock::new(|| parse("Noise_XKpsk2_25519_ChaChaPoly_SHA256"));

fn parse(name: &str) -> NoiseParams {
    name.parse()
        .expect("the name is one of the Noise framework")
}

/// A Noise message did not authenticate, or a key in it was one of the few bad ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejected;

impl From<snow::Error> for Rejected {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

/// The 32 bytes that become the ephemeral private key.
fn ephemeral(rng: &mut impl CryptoRng) -> Zeroizing<[u8; KEY]> {
    let mut bytes = Zeroizing::new([0; KEY]);
    rng.fill_bytes(bytes.as_mut_slice());
    bytes
}

fn builder<'a>(
    params: &NoiseParams,
    local: &'a DhSecret,
    ephemeral: Option<Zeroizing<[u8; KEY]>>,
    prologue: &'a [u8],
) -> Builder<'a> {
    let resolver = Resolver {
        known: (Zeroizing::new(*local.expose()), local.public()),
        ephemeral: Mutex::new(ephemeral),
    };
    Builder::with_resolver(params.clone(), Box::new(resolver))
        .local_private_key(local.expose())
        .and_then(|b| b.prologue(prologue))
        .expect("each is set once")
}

/// Writes the one message of a slot (spec §4.2).
///
/// # Errors
/// [`Rejected`] when the responder's key is one of the few bad ones.
pub(crate) fn seal_slot(
    writer: &DhSecret,
    reader: &DhPublic,
    psk: &[u8; 32],
    prologue: &[u8],
    payload: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> Result<[u8; SLOT_NOISE], Rejected> {
    let mut state = Box::new(
        builder(&SLOT_PARAMS, writer, Some(ephemeral(rng)), prologue)
            .remote_public_key(reader.as_bytes())?
            .psk(0, psk)?
            .build_initiator()?,
    );
    let mut message = [0; SLOT_NOISE];
    let length = state.write_message(payload, &mut message)?;
    assert_eq!(length, SLOT_NOISE, "e 32, s 48 and payload 48");
    Ok(message)
}

/// Reads the one message of a slot: who wrote it, and the payload.
///
/// # Errors
/// [`Rejected`].
pub(crate) fn open_slot(
    reader: &DhSecret,
    psk: &[u8; 32],
    prologue: &[u8],
    message: &[u8; SLOT_NOISE],
) -> Result<(DhPublic, Zeroizing<[u8; 32]>), Rejected> {
    let mut state = Box::new(
        builder(&SLOT_PARAMS, reader, None, prologue)
            .psk(0, psk)?
            .build_responder()?,
    );
    let mut payload = Zeroizing::new([0; 32]);
    let length = state.read_message(message, payload.as_mut_slice())?;
    assert_eq!(length, 32, "128 bytes hold 32 of payload");
    Ok((remote_static(state.get_remote_static())?, payload))
}

/// The peer's static key, asked for only after the message that carries it was read.
fn remote_static(key: Option<&[u8]>) -> Result<DhPublic, Rejected> {
    key.and_then(|key| key.try_into().ok())
        .map(DhPublic::from_bytes)
        .ok_or(Rejected)
}

/// A link handshake under way.
pub(crate) struct LinkHandshake(Box<HandshakeState>);

impl LinkHandshake {
    /// The side that dials.
    pub(crate) fn initiator(
        local: &DhSecret,
        relay: &DhPublic,
        prologue: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Rejected> {
        let builder = builder(&LINK_PARAMS, local, Some(ephemeral(rng)), prologue);
        Ok(Self(Box::new(
            builder
                .remote_public_key(relay.as_bytes())?
                .build_initiator()?,
        )))
    }

    /// The relay's side.
    pub(crate) fn responder(
        local: &DhSecret,
        prologue: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Rejected> {
        Ok(Self(Box::new(
            builder(&LINK_PARAMS, local, Some(ephemeral(rng)), prologue).build_responder()?,
        )))
    }

    /// Sets the key that message 2 mixes in.
    pub(crate) fn set_psk(&mut self, psk: &[u8; 32]) -> Result<(), Rejected> {
        Ok(self.0.set_psk(2, psk)?)
    }

    /// Writes the next message; its length must come out as `N`.
    pub(crate) fn write<const N: usize>(&mut self, payload: &[u8]) -> Result<[u8; N], Rejected> {
        let mut message = [0; N];
        let length = self.0.write_message(payload, &mut message)?;
        assert_eq!(length, N, "the payload was chosen for this length");
        Ok(message)
    }

    /// Reads the next message; its payload must have `N` bytes.
    pub(crate) fn read<const N: usize>(&mut self, message: &[u8]) -> Result<[u8; N], Rejected> {
        let mut payload = [0; N];
        let length = self.0.read_message(message, &mut payload)?;
        if length == N {
            Ok(payload)
        } else {
            Err(Rejected)
        }
    }

    /// The finished handshake: the peer's static key, the handshake hash, and the channel.
    pub(crate) fn finish(self) -> Result<(DhPublic, [u8; 32], Channel), Rejected> {
        let remote = remote_static(self.0.get_remote_static())?;
        let hash = self
            .0
            .get_handshake_hash()
            .try_into()
            .map_err(|_| Rejected)?;
        Ok((
            remote,
            hash,
            Channel(Box::new(self.0.into_transport_mode()?)),
        ))
    }
}

/// An established link's ciphers.
pub(crate) struct Channel(Box<TransportState>);

impl Channel {
    /// Encrypts one frame.
    pub(crate) fn seal(
        &mut self,
        plain: &[u8; FRAME_PLAIN],
        out: &mut [u8; FRAME],
    ) -> Result<(), Rejected> {
        let length = self.0.write_message(plain, out)?;
        assert_eq!(length, FRAME, "plaintext and tag");
        Ok(())
    }

    /// Decrypts one frame.
    pub(crate) fn open(
        &mut self,
        frame: &[u8; FRAME],
        out: &mut [u8; FRAME_PLAIN],
    ) -> Result<(), Rejected> {
        self.0.read_message(frame, out)?;
        Ok(())
    }
}

/// Our primitives for snow: one static key whose public half is known already, and one ephemeral key.
struct Resolver {
    known: (Zeroizing<[u8; KEY]>, DhPublic),
    ephemeral: Mutex<Option<Zeroizing<[u8; KEY]>>>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(self.ephemeral.lock().ok()?.take())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| {
            let known = (self.known.0.clone(), self.known.1);
            Box::new(X25519 {
                known,
                key: DhSecret::from_parts(&[0; KEY], DhPublic::from_bytes([0; KEY])),
            }) as Box<dyn Dh>
        })
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly)
            .then(|| Box::new(ChaChaPoly(Zeroizing::new([0; 32]))) as Box<dyn Cipher>)
    }
}

/// Gives 32 bytes once: a state that asked twice would use a key twice.
struct OneKey(Option<Zeroizing<[u8; KEY]>>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self
            .0
            .take()
            .filter(|bytes| bytes.len() == out.len())
            .ok_or(snow::Error::Rng)?;
        out.copy_from_slice(bytes.as_slice());
        Ok(())
    }
}

struct X25519 {
    known: (Zeroizing<[u8; KEY]>, DhPublic),
    key: DhSecret,
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY
    }

    fn priv_len(&self) -> usize {
        KEY
    }

    fn set(&mut self, privkey: &[u8]) {
        // Only `builder` calls this, with the key that `known` was made from: no need to multiply again.
        self.key = DhSecret::from_parts(&self.known.0, self.known.1);
        assert!(
            crate::hash::equal(privkey, self.known.0.as_slice()),
            "the builder's own key"
        );
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = Zeroizing::new([0; KEY]);
        rng.try_fill_bytes(bytes.as_mut_slice())?;
        self.key = DhSecret::from_bytes(&bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key.public_ref().as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.key.expose()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over buffers of its longest key; the first 32 bytes are ours.
        let peer = pubkey.first_chunk::<KEY>().ok_or(snow::Error::Dh)?;
        let shared = self
            .key
            .shared(&DhPublic::from_bytes(*peer))
            .map_err(|_| snow::Error::Dh)?;
        out.get_mut(..KEY)
            .ok_or(snow::Error::Dh)?
            .copy_from_slice(shared.as_slice());
        Ok(())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

struct ChaChaPoly(Zeroizing<[u8; 32]>);

/// Noise's nonce: four zero bytes, then the counter, little-endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self.0 = *key;
    }

    fn encrypt(&self, counter: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (body, rest) = out.split_at_mut(plaintext.len());
        body.copy_from_slice(plaintext);
        rest[..TAG].copy_from_slice(&encrypt(&self.0, &nonce(counter), ad, body));
        plaintext.len() + TAG
    }

    fn decrypt(
        &self,
        counter: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (body, tag) = ciphertext
            .split_last_chunk::<TAG>()
            .ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(body);
        decrypt(&self.0, &nonce(counter), ad, out, tag).map_err(|_| snow::Error::Decrypt)?;
        Ok(body.len())
    }
}
