//! The primitives of spec §1.

use valise_protocol::hash::{expand, extract, sha256};
use valise_protocol::kem::{KemPublic, KemSeed};
use valise_protocol::key::{DhPublic, DhSecret, Signature, VerifyingKey};

use super::fault::Fault;
use super::script::Script;
use super::vector::{Values, Vector};

pub fn x25519(v: &Vector) -> Result<Values, Fault> {
    let private = DhSecret::from_bytes(&v.inputs.array("private"));
    let shared = private.shared(&DhPublic::from_bytes(v.inputs.array("public")))?;
    Ok(Values::default().with("shared", *shared))
}

pub fn ed25519(v: &Vector) -> Result<Values, Fault> {
    let public = VerifyingKey::from_bytes(&v.inputs.array("public"))?;
    let signature = Signature::from_bytes(v.inputs.array("signature"));
    public.verify("", v.inputs.bytes("message"), &signature)?;
    Ok(Values::default())
}

/// The shared secret shows only in the keys that follow from it.
pub fn kem(v: &Vector) -> Result<Values, Fault> {
    let pair = KemSeed::from_bytes(&v.inputs.array("seed")).key_pair();
    let ek = pair.public().as_bytes();
    let mut script = Script::new([v.inputs.bytes("randomness")]);
    let (ct, psk) = pair.public().encapsulate("label", &mut script);
    script.end();
    let ss: [u8; 32] = v.outputs.array("ss");
    let info = [sha256(&[ek]), sha256(&[ct.as_bytes()])].concat();
    assert_eq!(*psk, *expand::<32>(&extract(b"label", &ss), &[&info]));
    assert_eq!(pair.decapsulate("label", &ct), psk);
    Ok(Values::default()
        .with("ek", ek)
        .with("ct", *ct.as_bytes())
        .with("ss", ss))
}

pub fn kem_check(v: &Vector) -> Result<Values, Fault> {
    KemPublic::from_bytes(&v.inputs.array("ek"))?;
    Ok(Values::default())
}
