//! Every number of the protocol, in one place (spec §10).
//!
//! Sizes are bytes unless the name says otherwise.

/// An envelope: what a mailbox holds (spec §4).
pub const ENVELOPE: usize = 65_536;
/// The header of an envelope.
pub const HEADER: usize = 64;
/// How many slots an envelope has, and so how many devices a mechanism may have.
pub const SLOTS: usize = 8;
/// One slot: ML-KEM ciphertext and Noise message.
pub const SLOT: usize = KEM_CIPHERTEXT + SLOT_NOISE;
/// The Noise message of a slot: e 32, s and tag 48, K and tag 48.
pub const SLOT_NOISE: usize = 128;
/// The body of an envelope, tag included.
pub const BODY: usize = ENVELOPE - HEADER - SLOTS * SLOT;
/// The padded plaintext of a body.
pub const PADDED: usize = BODY - TAG;
/// The longest message: the padded plaintext less its length field.
pub const MESSAGE: usize = PADDED - 4;
/// The longest text of a submission, in bytes of UTF-8.
pub const TEXT: usize = 50_000;
/// The longest text of a reply, in bytes of UTF-8: less, because a reply carries a roster as its proof.
pub const REPLY_TEXT: usize = 32_000;
/// The most other addressees that a submission may name.
pub const OTHERS: usize = 16;
/// The longest note on consent, in bytes of UTF-8.
pub const NOTE: usize = 2_000;

/// A chunk of a parcel: nonce 12, ciphertext, tag (spec §9.2).
pub const CHUNK: usize = 65_536;
/// The plaintext of a chunk.
pub const CHUNK_PLAIN: usize = CHUNK - 12 - TAG;
/// Chunks of a parcel.
pub const CHUNKS: usize = 4;
/// A parcel: one piece of an encrypted attachment (spec §9).
pub const PARCEL: usize = CHUNKS * CHUNK;
/// The plaintext of a parcel.
pub const PARCEL_PLAIN: usize = CHUNKS * CHUNK_PLAIN;
/// Attachments are padded to sizes counted in so many parcels: one mebibyte.
pub const STEP: u32 = 4;
/// The most parcels of an attachment: 4 GiB.
pub const PARCELS: u32 = 16_384;
/// Which of them a relay holds, one bit each.
pub const BITMAP: usize = PARCELS as usize / 8;
/// The longest attachment.
pub const ATTACHMENT: u64 = PARCELS as u64 * PARCEL_PLAIN as u64;
/// The most attachments of a submission.
pub const ATTACHMENTS: usize = 10_000;
/// The longest content of a submission, files' list included (spec §9.4).
pub const CONTENT: usize = 54_000;
/// The longest encoding of the files that stand in a content.
pub const LIST_HERE: usize = 16_384;
/// The longest list of files that is a file of its own.
pub const LIST: u64 = 8 << 20;
/// The longest name of an attachment, in bytes of UTF-8.
pub const FILE_NAME: usize = 255;
/// The longest media type of an attachment.
pub const MEDIA_TYPE: usize = 127;
/// What a deposit in an inbox is answered with, and a put presents.
pub const GRANT: usize = 16;

/// A Poly1305 tag.
pub const TAG: usize = 16;
/// An X25519 or Ed25519 public key, and a SHA-256 hash.
pub const KEY: usize = 32;
/// An Ed25519 signature.
pub const SIGNATURE: usize = 64;
/// An ML-KEM-768 encapsulation key.
pub const KEM_KEY: usize = 1_184;
/// An ML-KEM-768 ciphertext.
pub const KEM_CIPHERTEXT: usize = 1_088;
/// An ML-KEM-768 seed, d ‖ z.
pub const KEM_SEED: usize = 64;

/// A card, encoded (spec §5).
pub const CARD: usize = 32_768;
/// A roster, encoded (spec §5.1): small enough that a reply carries it.
pub const ROSTER: usize = 20_480;
/// A relay descriptor with its signature, encoded (spec §6).
pub const DESCRIPTOR: usize = 2_048;
/// The most root keys a card may chain.
pub const ROOTS: usize = 4;
/// The most relays a roster or a contact may name.
pub const RELAYS: usize = 8;

/// Message 1 of the link handshake (spec §7.1).
pub const LINK_1: usize = 1_232;
/// Message 2 of the link handshake.
pub const LINK_2: usize = 1_200;
/// Message 3 of the link handshake.
pub const LINK_3: usize = 64;
/// The payload of message 2.
pub const LINK_2_PAYLOAD: usize = 64;
/// A frame of an established link, on the wire (spec §7.2).
pub const FRAME: usize = 16_640;
/// The plaintext of a frame.
pub const FRAME_PLAIN: usize = FRAME - TAG;
/// The most removals in one poll.
pub const REMOVALS: usize = 256;
/// The longest wait of a poll, in seconds.
pub const WAIT_SECONDS: u16 = 100;
/// Until message 3 of a link must have come, in seconds.
pub const HANDSHAKE_SECONDS: u64 = 10;
/// How long an established link may be idle, in seconds.
pub const IDLE_SECONDS: u64 = 120;
/// Links in one connection.
pub const LINKS: usize = 16;

/// One day in seconds.
pub const DAY: u64 = 86_400;
/// How far ahead of the reader's clock a signed date may lie, in seconds.
pub const SKEW: u64 = 3_600;
/// The longest life of a roster or a descriptor, in seconds.
pub const ROSTER_LIFE: u64 = 90 * DAY;
/// When staff are first reminded that the roster runs out, in seconds before it does.
pub const ROSTER_REMINDER: u64 = 21 * DAY;
/// A device makes a new prekey after this many seconds, and when the roster changed (spec §5.2).
pub const PREKEY_RENEWAL: u64 = 7 * DAY;
/// A prekey is fresh for this many seconds.
pub const PREKEY_FRESH: u64 = 14 * DAY;
/// A prekey's private half outlives its freshness by this many seconds where all mail was acknowledged (spec §5.4).
pub const PREKEY_GRACE: u64 = 7 * DAY;
/// However long a relay keeps mail, no more of it counts for the life of prekeys, in days (spec §5.4).
pub const RETENTION_COUNTED: u64 = 37;
/// The oldest statement that may be used, after a prompt, when too few devices are fresh (spec §5.3).
pub const PREKEY_STALE: u64 = 60 * DAY;

const _: () = {
    assert!(SLOT == 1_216 && BODY == 55_744 && PADDED == 55_728 && MESSAGE == 55_724);
    assert!(LINK_1 == KEY + KEM_KEY + TAG);
    assert!(LINK_2 == KEM_CIPHERTEXT + KEY + LINK_2_PAYLOAD + TAG);
    assert!(LINK_3 == KEY + TAG + TAG);
    assert!(CHUNK_PLAIN == 65_508 && PARCEL == 262_144 && BITMAP == 2_048);
    assert!(16 * FRAME_PLAIN - PARCEL == 3_840);
    assert!(4 * FRAME_PLAIN - ENVELOPE == 960 && 2 * FRAME_PLAIN > CARD);
};
