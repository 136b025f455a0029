//! Links: spec §7.1 and §7.2.

use valise_protocol::hash::sha256;
use valise_protocol::id::RelayId;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{FRAME_PLAIN, LINK_1, LINK_2};
use valise_protocol::link::{Initiator, Link, LinkError, Responder, Welcome};

use super::fault::Fault;
use super::script::Script;
use super::vector::{self, Values, Vector};

const QUIET: Welcome = Welcome { effort: 0 };

fn relay(v: &Vector) -> (DhSecret, RelayId) {
    let key = DhSecret::from_bytes(&v.inputs.array("relay-static-private"));
    (key, RelayId::from_bytes(v.inputs.array("relay-id")))
}

/// Drawn are: the seed of the KEM, the ephemeral key.
fn start(v: &Vector) -> Result<(Initiator, [u8; LINK_1]), LinkError> {
    let (key, id) = relay(v);
    let local = DhSecret::from_bytes(&v.inputs.array("client-static-private"));
    let drawn = ["client-kem-seed", "client-ephemeral-private"];
    let mut script = Script::new(drawn.map(|name| v.inputs.bytes(name)));
    let started = Initiator::start(&local, &id, &key.public(), &mut script);
    script.end();
    started
}

/// Drawn are: the ephemeral key, the randomness of the KEM.
fn answer(v: &Vector, message: &[u8; LINK_1]) -> Result<(Responder, [u8; LINK_2]), LinkError> {
    let (key, id) = relay(v);
    let drawn = ["relay-ephemeral-private", "relay-encaps-randomness"];
    let mut script = Script::new(drawn.map(|name| v.inputs.bytes(name)));
    let answered = Responder::answer(&key, &id, message, QUIET, &mut script);
    script.end();
    answered
}

/// Both ends, and the three messages.
fn both(v: &Vector) -> Result<(Link, Link, Values), LinkError> {
    let (initiator, first) = start(v)?;
    let (responder, second) = answer(v, &first)?;
    let (welcome, third, up) = initiator.finish(&second)?;
    assert_eq!(welcome, QUIET);
    let (client, down) = responder.finish(&third)?;
    let local = DhSecret::from_bytes(&v.inputs.array("client-static-private"));
    assert_eq!(client, local.public());
    assert_eq!(up.handshake_hash(), down.handshake_hash());
    let out = Values::default()
        .with("message-1", first)
        .with("message-2", second)
        .with("message-3", third)
        .with("handshake-hash", up.handshake_hash());
    Ok((up, down, out))
}

/// The keys do not show; the frames that they encrypt do.
pub fn link(v: &Vector) -> Result<Values, Fault> {
    let (mut client, mut relay, mut out) = both(v)?;
    for way in ["up", "down"] {
        let (from, to) = match way {
            "up" => (&mut client, &mut relay),
            _ => (&mut relay, &mut client),
        };
        for (at, plain) in v
            .inputs
            .many(&format!("{way}-"), "-plain")
            .iter()
            .enumerate()
        {
            let frame = from.seal(plain)?;
            assert_eq!(to.open(&frame)?, *plain);
            out = out.with(format!("{way}-{at}-frame-sha256"), sha256(&[&frame]));
        }
        let key = format!("key-{way}");
        if v.outputs.has(&key) {
            out = out.with(&*key, v.outputs.bytes(&key));
        }
    }
    Ok(out)
}

pub fn read_1(v: &Vector) -> Result<Values, Fault> {
    let (key, id) = relay(v);
    let message = v.inputs.array("message-1");
    let mut script = Script::new([[3; 32].as_slice(), &[4; 32]]);
    Responder::answer(&key, &id, &message, QUIET, &mut script)?;
    Ok(Values::default())
}

pub fn read_2(v: &Vector) -> Result<Values, Fault> {
    let (initiator, _) = start(v)?;
    let (welcome, _, _) = initiator.finish(&v.inputs.array("message-2"))?;
    if welcome.effort != 0 {
        return Err(Fault::Effort(welcome.effort));
    }
    let payload = [&[0, 0, 0, 0, 0, 1][..], &[0; 58]].concat();
    Ok(Values::default().with("payload", payload))
}

pub fn read_3(v: &Vector) -> Result<Values, Fault> {
    let (responder, _) = answer(v, &v.inputs.array("message-1"))?;
    let (client, _) = responder.finish(&v.inputs.array("message-3"))?;
    Ok(Values::default().with("client-static", client.as_bytes()))
}

/// A key cannot be put into a link; so the link is made that has it, and brought to that counter.
pub fn frame(v: &Vector) -> Result<Values, Fault> {
    let key = v.inputs.bytes("key");
    let has = |other: &Vector, name: &str| other.op == "link" && other.outputs.bytes(name) == key;
    let vectors = vector::all();
    let find = |name| vectors.iter().find(|other| has(other, name));
    let (mut from, mut to) = match (find("key-up"), find("key-down")) {
        (Some(made), _) => both(made).map(|(up, down, _)| (up, down))?,
        (None, Some(made)) => both(made).map(|(up, down, _)| (down, up))?,
        (None, None) => panic!("no link has this key"),
    };
    for _ in 0..v.inputs.number("counter") {
        let before = from.seal(&[0; FRAME_PLAIN])?;
        to.open(&before)?;
    }
    let plain = to.open(v.inputs.bytes("frame"))?;
    Ok(Values::default().with("plain-sha256", sha256(&[&plain])))
}
