//! The test vectors on relays' certificates (tests/vectors). The others are run by protocol/tests/vectors.rs.
#![allow(clippy::unwrap_used)]

#[path = "../../protocol/tests/vectors/vector.rs"]
#[allow(dead_code)] // what reads the other vectors
mod vector;

use valise_client::certificate::{CertificateError, descriptor_of};
use valise_protocol::id::RelayId;
use valise_protocol::time::Timestamp;

use vector::{Values, Vector};

/// The kinds of failure of certificates, and the errors that mean them.
fn is(kind: &str, error: &CertificateError) -> bool {
    match kind {
        "no-descriptor" => matches!(error, CertificateError::NoDescriptor),
        "wrong-pin" => matches!(error, CertificateError::WrongPin),
        other => panic!("no certificate fails by {other}"),
    }
}

fn check(vector: &Vector) {
    let name = &vector.name;
    let relay = RelayId::from_bytes(vector.inputs.array("relay-id"));
    let now = Timestamp::from_seconds(vector.inputs.number("now"));
    let found = descriptor_of(vector.inputs.bytes("certificate"), relay, now);
    match (found, vector.expect.as_str()) {
        (Ok((descriptor, _)), "ok") => {
            let out = Values::default().with("static-key", descriptor.static_key().as_bytes());
            assert_eq!(out.difference(&vector.outputs), None, "{name}");
        }
        (Err(error), kind) if kind != "ok" => assert!(is(kind, &error), "{name}: {error:?}"),
        (found, _) => panic!("{name}: {:?}", found.map(drop)),
    }
}

#[test]
fn every_certificate_comes_out_as_its_vector_says() {
    let vectors = vector::all();
    let of_certificates = || vectors.iter().filter(|vector| vector.op == "certificate");
    of_certificates().for_each(check);
    println!("{} vectors", of_certificates().count());
    assert!(of_certificates().count() >= 4);
}
