//! Every decoder that reads bytes from a stranger, as a function that must neither panic nor accept two encodings of one thing.

use valise_protocol::card::{Card, DeviceRequest};
use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::descriptor::SignedDescriptor;
use valise_protocol::envelope::{OpenError, open};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::kem::KemSeed;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, FRAME_PLAIN, LINK_1};
use valise_protocol::link::{Responder, Welcome};
use valise_protocol::message::{Content, Message, decode_list, encode_list};
use valise_protocol::phrase::ReturnPhrase;
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::sealed::{BEFORE, Header};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request, RequestKind};

/// The names of the decoders, in the order of [`run`].
pub const NAMES: [&str; 11] = [
    "card",
    "descriptor",
    "message",
    "content",
    "request",
    "answer",
    "text",
    "envelope",
    "link",
    "list",
    "sealed",
];

/// Gives the bytes to the decoder of this name.
pub fn run(name: &str, bytes: &[u8]) {
    match name {
        "card" => card(bytes),
        "descriptor" => descriptor(bytes),
        "message" => message(bytes),
        "content" => content(bytes),
        "request" => request(bytes),
        "answer" => answer(bytes),
        "text" => text(bytes),
        "envelope" => envelope(bytes),
        "list" => list(bytes),
        "sealed" => sealed(bytes),
        _ => link(bytes),
    }
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn card(bytes: &[u8]) {
    if let Ok(card) = Card::decode(bytes) {
        assert_eq!(card.encode(), bytes, "one card has one encoding");
        let address = card.address();
        let _ = card.verify(address, None, NOW);
    }
}

fn descriptor(bytes: &[u8]) {
    if let Ok(signed) = SignedDescriptor::decode(bytes) {
        assert_eq!(signed.encode(), bytes, "one descriptor has one encoding");
        let _ = signed.verify(RelayId::from_bytes([0; 32]), NOW);
    }
}

fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes, "one message has one encoding");
    }
}

fn content(bytes: &[u8]) {
    if let Ok(content) = Content::decode(bytes) {
        assert_eq!(content.encode(), bytes, "one content has one encoding");
    }
}

/// The plaintext of a list of files.
fn list(bytes: &[u8]) {
    if let Ok(files) = decode_list(bytes) {
        assert_eq!(encode_list(&files), bytes, "one list has one encoding");
    }
}

/// The header of a sealed case, with what stands before it.
fn sealed(bytes: &[u8]) {
    let Some((before, rest)) = bytes.split_first_chunk() else {
        return;
    };
    if let Ok(length) = Header::length(before)
        && let Some(header) = rest.get(..length)
        && let Ok(header) = Header::decode(header)
    {
        assert_eq!(
            header.encode(),
            bytes[..BEFORE + length],
            "one case has one encoding"
        );
        let _ = header.parcels();
    }
}

/// The bytes are the beginning of a request; the rest is zeros, as in most requests.
fn request(bytes: &[u8]) {
    for frames in [1, 2, 4, 16] {
        let mut plain = bytes.to_vec();
        plain.resize(frames * FRAME_PLAIN, 0);
        if let Some(first) = plain.first_chunk() {
            let _ = RequestKind::of_first_frame(first);
        }
        if let Ok(request) = Request::decode(&plain) {
            assert_eq!(request.encode(), plain, "one request has one encoding");
        }
    }
    let _ = Request::decode(bytes);
}

fn answer(bytes: &[u8]) {
    for kind in [
        RequestKind::Card,
        RequestKind::Deposit,
        RequestKind::Poll,
        RequestKind::Publish,
    ] {
        let mut plain = bytes.to_vec();
        plain.resize(kind.frames_down() * FRAME_PLAIN, 0);
        if let Ok(answer) = Answer::decode(kind, &plain) {
            assert_eq!(answer.encode(kind), plain, "one answer has one encoding");
        }
        let _ = Answer::decode(kind, bytes);
    }
}

fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(contact) = text.parse::<Contact>() {
        assert_eq!(
            contact.to_string().parse(),
            Ok(contact),
            "a contact survives its text"
        );
    }
    let _ = text.parse::<RelayContact>();
    let _ = text.parse::<Address>();
    if let Ok(request) = text.parse::<DeviceRequest>() {
        assert_eq!(
            request.to_string().parse(),
            Ok(request),
            "a request survives its text"
        );
    }
    let _ = text.parse::<ReturnPhrase>();
}

/// The bytes are laid over a blank envelope, so that short inputs reach beyond the length check.
fn envelope(bytes: &[u8]) {
    let prekey = PrekeySecret::new(
        DhSecret::from_bytes(&[1; 32]),
        &KemSeed::from_bytes(&[2; 64]),
    );
    let mut envelope = vec![0; ENVELOPE];
    let length = bytes.len().min(ENVELOPE);
    envelope[..length].copy_from_slice(&bytes[..length]);
    let address = Address::from_bytes([3; 32]);
    assert!(
        open(&envelope, &address, &[&prekey]).is_err(),
        "nobody sealed this"
    );
    if bytes.len() != ENVELOPE {
        let expected = match bytes {
            [0, 1, ..] | [] | [_] => OpenError::WrongLength(bytes.len()),
            [high, low, ..] => OpenError::UnknownVersion(u16::from_be_bytes([*high, *low])),
        };
        assert_eq!(open(bytes, &address, &[]).unwrap_err(), expected);
    }
}

fn link(bytes: &[u8]) {
    let mut message = [0; LINK_1];
    let length = bytes.len().min(LINK_1);
    message[..length].copy_from_slice(&bytes[..length]);
    let key = DhSecret::from_bytes(&[1; 32]);
    let mut rng = Fixed;
    let result = Responder::answer(
        &key,
        &RelayId::from_bytes([2; 32]),
        &message,
        Welcome { effort: 0 },
        &mut rng,
    );
    assert!(result.is_err(), "nobody dialled");
}

/// Zeros for randomness: what is tried here fails before it matters.
struct Fixed;

impl rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Fixed {}
