//! Envelopes: spec §4.1 to §4.3.

use valise_protocol::envelope;
use valise_protocol::hash::{expand, extract};
use valise_protocol::id::{Address, EnvelopeDigest};
use valise_protocol::kem::KemSeed;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{HEADER, SLOTS};
use valise_protocol::prekey::{Prekey, PrekeySecret};

use super::fault::Fault;
use super::script::Script;
use super::slot;
use super::vector::{Values, Vector};

pub fn readers(v: &Vector) -> Result<Values, Fault> {
    let secret = prekey(&[1; 32], &[2; 64]);
    let count = usize::try_from(v.inputs.number("readers")).unwrap();
    let readers = vec![secret.public(); count];
    let address = Address::from_bytes([3; 32]);
    envelope::seal(&readers, &address, &secret.dh, b"x", &mut Script::new([]))?;
    Ok(Values::default())
}

/// Reproduces the envelope byte for byte. Drawn are: K, the salt, the order, then for each slot the keys and the payload of a
/// dummy, and the randomness of the KEM and of Noise.
pub fn seal(v: &Vector) -> Result<Values, Fault> {
    let key = v.inputs.bytes("K");
    let slot = |at: usize, what: &str| v.inputs.bytes(&format!("slot-{at}-{what}"));
    let real: [bool; SLOTS] = std::array::from_fn(|at| slot(at, "payload") == key);
    let places: Vec<usize> = (0..SLOTS).filter(|at| real[*at]).collect();
    let readers: Vec<Prekey> = places
        .iter()
        .map(|at| prekey(slot(*at, "x25519-private"), slot(*at, "kem-seed")).public())
        .collect();

    let order = order(&places);
    let mut parts = vec![key, v.inputs.bytes("salt")];
    parts.extend(order.iter().map(std::slice::from_ref));
    for (at, real) in real.into_iter().enumerate() {
        if !real {
            parts.extend(["x25519-private", "kem-seed", "payload"].map(|what| slot(at, what)));
        }
        parts.extend(["encaps-randomness", "ephemeral-private"].map(|what| slot(at, what)));
    }
    let mut script = Script::new(parts);
    let address = Address::from_bytes(v.inputs.array("address"));
    let writer = DhSecret::from_bytes(&v.inputs.array("writer-private"));
    let message = v.inputs.bytes("message");
    let envelope = envelope::seal(&readers, &address, &writer, message, &mut script)?;
    script.end();
    Ok(Values::default().with("envelope", envelope.as_slice()))
}

/// The bytes to draw so that the readers come to these places (Fisher and Yates, from the last place down).
fn order(places: &[usize]) -> Vec<u8> {
    let mut now: [Option<usize>; SLOTS] =
        std::array::from_fn(|at| (at < places.len()).then_some(at));
    (1..SLOTS)
        .rev()
        .map(|last| {
            let wanted = places.iter().position(|place| *place == last);
            let found = now[..=last].iter().position(|reader| *reader == wanted);
            now.swap(last, found.unwrap());
            u8::try_from(found.unwrap()).unwrap()
        })
        .collect()
}

pub fn open(v: &Vector) -> Result<Values, Fault> {
    let address = Address::from_bytes(v.inputs.array("address"));
    let secrets = v.inputs.many("prekey-", "-x25519-private");
    let seeds = v.inputs.many("prekey-", "-kem-seed");
    assert_eq!(secrets.len(), seeds.len());
    let prekeys: Vec<PrekeySecret> = secrets
        .iter()
        .zip(&seeds)
        .map(|(secret, seed)| prekey(secret, seed))
        .collect();
    let prekeys: Vec<&PrekeySecret> = prekeys.iter().collect();
    let envelope = v.inputs.bytes("envelope");
    let opened = envelope::open(envelope, &address, &prekeys)?;

    // K does not show; that the commitment in the header is to it does.
    let key: [u8; 32] = v.outputs.array("K");
    let committed = expand::<32>(&extract(&envelope[16..32], &key), &[b"valise1/commit"]);
    assert_eq!(*committed, envelope[32..HEADER]);
    Ok(Values::default()
        .with("K", key)
        .with("writer", opened.writer.as_bytes())
        .with("slot", slot::that_opens(envelope, &address, &prekeys))
        .with("D", opened.digest.as_bytes())
        .with("digest", EnvelopeDigest::of(envelope).as_bytes())
        .with("message", opened.message.as_slice()))
}

fn prekey(secret: &[u8], seed: &[u8]) -> PrekeySecret {
    let seed = KemSeed::from_bytes(seed.try_into().unwrap());
    PrekeySecret::new(DhSecret::from_bytes(secret.try_into().unwrap()), &seed)
}
