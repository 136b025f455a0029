//! The return phrase, and all that follows from it: spec §3.

use valise_protocol::hash::{expand, sha256};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::phrase::ReturnPhrase;
use valise_protocol::stretch::stretch;
use zeroize::Zeroizing;

use super::fault::Fault;
use super::vector::{Values, Vector};

/// The bits of a phrase do not show; its words do.
pub fn phrase(v: &Vector) -> Result<Values, Fault> {
    let read: ReturnPhrase = v.inputs.text("words").parse()?;
    let entropy: [u8; 16] = v.outputs.array("entropy");
    let expected = ReturnPhrase::from_entropy(&entropy);
    assert_eq!(read.expose_words(), expected.expose_words());
    Ok(Values::default().with("entropy", entropy))
}

/// What does not show (the root, R, the seed and T) is worked out beside it, step by step.
pub fn keys(v: &Vector) -> Result<Values, Fault> {
    let entropy: [u8; 16] = v.inputs.array("entropy");
    let address = Address::from_bytes(v.inputs.array("address"));
    let relay = RelayId::from_bytes(v.inputs.array("relay-id"));
    let content = v.inputs.bytes("content");
    let phrase = ReturnPhrase::from_entropy(&entropy);
    let keys = phrase.stretch().for_mechanism(&address);
    let (reply, tag) = (keys.reply(), keys.message_tag(content));

    let (root, r) = root(&entropy, &address);
    let t = expand::<32>(&r, &[b"valise1/message", &sha256(&[content])]);
    Ok(Values::default()
        .with("words", phrase.expose_words().join(" "))
        .with("root", *root)
        .with("R", *r)
        .with("send", keys.send().expose())
        .with("send-public", keys.send().public().as_bytes())
        .with("reply", reply.dh.expose())
        .with("reply-public", reply.dh.public().as_bytes())
        .with("reply-kem", *expand::<64>(&r, &[b"valise1/reply-kem"]))
        .with("reply-ek", reply.kem.public().as_bytes())
        .with("mailbox-key", keys.mailbox_key(&relay).expose())
        .with(
            "mailbox-public",
            keys.mailbox_key(&relay).public().as_bytes(),
        )
        .with("mailbox-id", keys.mailbox(&relay).as_bytes())
        .with("T", *t)
        .with("id", tag.id())
        .with("withdraw", *tag.withdraw(&relay))
        .with("withdraw-hash", tag.withdraw_hash(&relay).as_bytes()))
}

type Key = Zeroizing<[u8; 32]>;

/// The root, and R.
pub fn root(entropy: &[u8; 16], address: &Address) -> (Key, Key) {
    let root = stretch(entropy, b"valise1/phrase");
    let r = expand(&root, &[b"valise1/mechanism", address.as_bytes()]);
    (root, r)
}

/// The private halves of the key that replies are sealed to.
pub fn reply_keys(entropy: &[u8; 16], address: &Address) -> ([u8; 32], [u8; 64]) {
    let (_, r) = root(entropy, address);
    (
        *expand(&r, &[b"valise1/reply"]),
        *expand(&r, &[b"valise1/reply-kem"]),
    )
}
