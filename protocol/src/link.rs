//! Links: the Noise session between a client and one relay (spec §7).
//!
//! ```text
//! 1 →  1,232  e 32 ‖ encrypted ML-KEM key 1,184 ‖ tag 16
//! 2 ←  1,200  ML-KEM ciphertext 1,088 ‖ e 32 ‖ encrypted welcome 64 ‖ tag 16
//! 3 →     64  encrypted s 48 ‖ tag 16
//! then frames of 16,640 bytes each way
//! ```
//!
//! No I/O and no clock. A state that ends consumes itself.

use std::fmt;

use rand_core::CryptoRng;
use thiserror::Error;

use crate::id::RelayId;
use crate::kem::{HashedCiphertext, KemPublic, KemSecret, KemSeed};
use crate::key::{DhPublic, DhSecret};
use crate::limits::{
    FRAME, FRAME_PLAIN, KEM_CIPHERTEXT, KEM_KEY, LINK_1, LINK_2, LINK_2_PAYLOAD, LINK_3,
};
use crate::noise::{Channel, LinkHandshake, Rejected};

/// The version of the link protocol, bound into its prologue.
const VERSION: u16 = 1;
/// The label of the link's pre-shared key.
const LINK_PSK: &str = "valise1/link-psk";

/// Why a link was not made, or broke.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// A handshake message did not authenticate: another key, another version, or somebody in between.
    #[error("the link handshake failed: another key or version, or somebody in between")]
    Handshake,
    /// The relay's welcome has a version or reserved bytes that this build does not know.
    #[error("the relay speaks link version {0}, this build speaks version {VERSION}")]
    UnknownVersion(u16),
    /// A frame did not authenticate. The link is over.
    #[error("a frame was altered, repeated or left out")]
    Frame,
}

impl From<Rejected> for LinkError {
    fn from(_: Rejected) -> Self {
        Self::Handshake
    }
}

/// What the relay says in message 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The puzzle effort it asks for; 0 is none.
    pub effort: u32,
}

/// A client that waits for message 2.
pub struct Initiator {
    noise: LinkHandshake,
    kem: KemSecret,
}

/// A relay that waits for message 3.
pub struct Responder(LinkHandshake);

/// An established link: seals and opens frames, each direction in its order.
pub struct Link {
    channel: Channel,
    handshake_hash: [u8; 32],
}

fn prologue(relay: &RelayId) -> Vec<u8> {
    [
        b"valise1/link".as_slice(),
        &VERSION.to_be_bytes(),
        relay.as_bytes(),
    ]
    .concat()
}

impl Initiator {
    /// Begins a link to a relay and gives message 1.
    ///
    /// # Errors
    /// [`LinkError::Handshake`] when the relay's key is one of the few bad ones.
    pub fn start(
        local: &DhSecret,
        relay: &RelayId,
        relay_static: &DhPublic,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, [u8; LINK_1]), LinkError> {
        let kem = KemSeed::generate(rng).key_pair();
        let mut noise = LinkHandshake::initiator(local, relay_static, &prologue(relay), rng)?;
        let message = noise.write(kem.public().as_bytes())?;
        Ok((Self { noise, kem }, message))
    }

    /// Reads message 2, gives the relay's welcome, message 3 and the link.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn finish(
        mut self,
        message: &[u8; LINK_2],
    ) -> Result<(Welcome, [u8; LINK_3], Link), LinkError> {
        let (ct, rest) = message
            .split_first_chunk::<KEM_CIPHERTEXT>()
            .ok_or(LinkError::Handshake)?;
        self.noise
            .set_psk(&self.kem.decapsulate(LINK_PSK, &HashedCiphertext::new(ct)))?;
        let payload: [u8; LINK_2_PAYLOAD] = self.noise.read(rest)?;
        let welcome = Welcome::decode(&payload)?;
        let message = self.noise.write(&[])?;
        let (_, handshake_hash, channel) = self.noise.finish()?;
        Ok((
            welcome,
            message,
            Link {
                channel,
                handshake_hash,
            },
        ))
    }
}

impl Responder {
    /// Reads message 1 and gives message 2.
    ///
    /// # Errors
    /// [`LinkError::Handshake`].
    pub fn answer(
        local: &DhSecret,
        relay: &RelayId,
        message: &[u8; LINK_1],
        welcome: Welcome,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, [u8; LINK_2]), LinkError> {
        let mut noise = LinkHandshake::responder(local, &prologue(relay), rng)?;
        let ek: [u8; KEM_KEY] = noise.read(message)?;
        let ek = KemPublic::from_bytes(&ek).map_err(|_| LinkError::Handshake)?;
        let (ct, psk) = ek.encapsulate(LINK_PSK, rng);
        noise.set_psk(&psk)?;
        let mut answer = [0; LINK_2];
        answer[..KEM_CIPHERTEXT].copy_from_slice(ct.as_bytes());
        let rest: [u8; LINK_2 - KEM_CIPHERTEXT] = noise.write(&welcome.encode())?;
        answer[KEM_CIPHERTEXT..].copy_from_slice(&rest);
        Ok((Self(noise), answer))
    }

    /// Reads message 3: who the client is, by its static key, and the link.
    ///
    /// # Errors
    /// [`LinkError::Handshake`].
    pub fn finish(mut self, message: &[u8; LINK_3]) -> Result<(DhPublic, Link), LinkError> {
        let [] = self.0.read(message)?;
        let (client, handshake_hash, channel) = self.0.finish()?;
        Ok((
            client,
            Link {
                channel,
                handshake_hash,
            },
        ))
    }
}

impl Welcome {
    fn encode(self) -> [u8; LINK_2_PAYLOAD] {
        let mut payload = [0; LINK_2_PAYLOAD];
        payload[..4].copy_from_slice(&self.effort.to_be_bytes());
        payload[4..6].copy_from_slice(&VERSION.to_be_bytes());
        payload
    }

    fn decode(payload: &[u8; LINK_2_PAYLOAD]) -> Result<Self, LinkError> {
        let [e0, e1, e2, e3, v0, v1, reserved @ ..] = payload;
        let version = u16::from_be_bytes([*v0, *v1]);
        if version != VERSION {
            return Err(LinkError::UnknownVersion(version));
        }
        if reserved.iter().any(|byte| *byte != 0) {
            return Err(LinkError::Handshake);
        }
        Ok(Self {
            effort: u32::from_be_bytes([*e0, *e1, *e2, *e3]),
        })
    }
}

impl Link {
    /// The hash of the whole handshake, which a puzzle's challenge is bound to.
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.handshake_hash
    }

    /// Seals plaintext that is a whole number of frames.
    ///
    /// # Errors
    /// [`LinkError::Frame`] when the length is not a multiple of a frame's plaintext.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (frames, []) = plain.as_chunks::<FRAME_PLAIN>() else {
            return Err(LinkError::Frame);
        };
        let mut sealed = vec![0; frames.len() * FRAME];
        let (out, _) = sealed.as_chunks_mut::<FRAME>();
        for (frame, out) in frames.iter().zip(out) {
            self.channel
                .seal(frame, out)
                .map_err(|_| LinkError::Frame)?;
        }
        Ok(sealed)
    }

    /// Opens a whole number of frames.
    ///
    /// # Errors
    /// [`LinkError::Frame`]; the link must then be dropped.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (frames, []) = sealed.as_chunks::<FRAME>() else {
            return Err(LinkError::Frame);
        };
        let mut plain = vec![0; frames.len() * FRAME_PLAIN];
        let (out, _) = plain.as_chunks_mut::<FRAME_PLAIN>();
        for (frame, out) in frames.iter().zip(out) {
            self.channel
                .open(frame, out)
                .map_err(|_| LinkError::Frame)?;
        }
        Ok(plain)
    }
}

/// Redacted.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(secret)")
    }
}

/// Redacted.
impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator(secret)")
    }
}

/// Redacted.
impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    const RELAY: RelayId = RelayId::from_bytes([4; 32]);
    const QUIET: Welcome = Welcome { effort: 0 };

    fn keys() -> (DhSecret, DhSecret) {
        (
            DhSecret::from_bytes(&[1; 32]),
            DhSecret::from_bytes(&[2; 32]),
        )
    }

    fn linked() -> (Link, Link, DhPublic) {
        let (client, relay) = keys();
        let (initiator, m1) =
            Initiator::start(&client, &RELAY, &relay.public(), &mut rng(1)).unwrap();
        let (responder, m2) = Responder::answer(&relay, &RELAY, &m1, QUIET, &mut rng(2)).unwrap();
        let (welcome, m3, a) = initiator.finish(&m2).unwrap();
        assert_eq!(welcome, QUIET);
        let (who, b) = responder.finish(&m3).unwrap();
        (a, b, who)
    }

    #[test]
    fn both_sides_agree_and_the_relay_learns_the_client_key() {
        let (mut a, mut b, who) = linked();
        assert_eq!(who, keys().0.public());
        assert_eq!(a.handshake_hash(), b.handshake_hash());
        let plain = vec![7; 2 * FRAME_PLAIN];
        let sealed = a.seal(&plain).unwrap();
        assert_eq!(sealed.len(), 2 * FRAME);
        assert_eq!(b.open(&sealed).unwrap(), plain);
    }

    #[test]
    fn another_relay_key_or_id_or_an_altered_message_fails() {
        let (client, relay) = keys();
        let (_, m1) = Initiator::start(&client, &RELAY, &relay.public(), &mut rng(1)).unwrap();
        let other = RelayId::from_bytes([5; 32]);
        assert!(Responder::answer(&client, &RELAY, &m1, QUIET, &mut rng(2)).is_err());
        assert!(Responder::answer(&relay, &other, &m1, QUIET, &mut rng(2)).is_err());
        for at in [0, 40, LINK_1 - 1] {
            let mut altered = m1;
            altered[at] ^= 1;
            assert!(
                Responder::answer(&relay, &RELAY, &altered, QUIET, &mut rng(2)).is_err(),
                "{at}"
            );
        }
        for at in [0, KEM_CIPHERTEXT, LINK_2 - 1] {
            let (initiator, m1) =
                Initiator::start(&client, &RELAY, &relay.public(), &mut rng(1)).unwrap();
            let (_, mut m2) = Responder::answer(&relay, &RELAY, &m1, QUIET, &mut rng(2)).unwrap();
            m2[at] ^= 1;
            assert!(initiator.finish(&m2).is_err(), "{at}");
        }
    }

    #[test]
    fn repeated_reordered_and_altered_frames_break_the_link() {
        let plain = vec![7; FRAME_PLAIN];
        let (mut a, mut b, _) = linked();
        let first = a.seal(&plain).unwrap();
        let second = a.seal(&plain).unwrap();
        assert_eq!(b.open(&second), Err(LinkError::Frame));
        b.open(&first).unwrap();
        assert_eq!(b.open(&first), Err(LinkError::Frame));
        let mut altered = second;
        altered[5] ^= 1;
        assert_eq!(b.open(&altered), Err(LinkError::Frame));
        assert_eq!(a.seal(&plain[1..]), Err(LinkError::Frame));
    }

    #[test]
    fn a_welcome_of_another_version_is_told() {
        let mut payload = QUIET.encode();
        payload[5] = 2;
        assert_eq!(Welcome::decode(&payload), Err(LinkError::UnknownVersion(2)));
        let mut payload = QUIET.encode();
        payload[63] = 1;
        assert_eq!(Welcome::decode(&payload), Err(LinkError::Handshake));
    }

    #[test]
    fn debug_of_states_is_redacted() {
        assert_eq!(format!("{:?}", linked().0), "Link(secret)");
    }
}
