//! Sealed cases: spec §9.6.

use valise_protocol::contact::RelayContact;
use valise_protocol::hash::sha256;
use valise_protocol::id::{Address, Namespace, WithdrawHash};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::PARCEL;
use valise_protocol::sealed::{BEFORE, Deposit, Header, NotSealed, Upload};

use super::fault::{self, Fault};
use super::vector::{Values, Vector};

fn small(v: &Vector, name: &str) -> u32 {
    u32::try_from(v.inputs.number(name)).unwrap()
}

/// What stands before the parcels, and how long the whole file is.
pub fn make(v: &Vector) -> Result<Values, Fault> {
    let deposit = |at: usize| {
        let name = |what: &str| format!("deposit-{at}-{what}");
        Deposit {
            address: Address::from_bytes(v.inputs.array(&name("address"))),
            relay: v.inputs.text(&name("contact")).to_owned(),
            withdraw: WithdrawHash::from_bytes(v.inputs.array(&name("withdraw-hash"))),
            envelope: Box::new(v.inputs.array(&name("envelope")).into()),
        }
    };
    let upload = |at: usize| {
        let name = |what: &str| format!("upload-{at}-{what}");
        Upload {
            write: v.inputs.array(&name("write-key")).into(),
            count: small(v, &name("parcels")),
            account: small(v, &name("deposit")),
        }
    };
    let header = Header {
        envelopes: (0..v.inputs.names("deposit-", "-address").len())
            .map(deposit)
            .collect(),
        uploads: (0..v.inputs.names("upload-", "-write-key").len())
            .map(upload)
            .collect(),
    };
    let first = header.encode();
    Header::decode(&first[BEFORE..])?;
    let length = header.total(first.len() - BEFORE);
    Ok(Values::default()
        .with("first", first)
        .with("length", length))
}

/// Reads what stands before the parcels of a file of that length.
pub fn read(v: &Vector) -> Result<Values, Fault> {
    let (first, whole) = (v.inputs.bytes("first"), v.inputs.number("length"));
    let (before, rest) = first.split_first_chunk().ok_or(NotSealed::Other)?;
    let length = Header::length(before)?;
    let header = Header::decode(rest.get(..length).ok_or(NotSealed::Damaged)?)?;
    if whole != header.total(length) {
        return Err(NotSealed::Damaged.into());
    }
    let mut out = Values::default();
    for (at, deposit) in header.envelopes.iter().enumerate() {
        let name = |what: &str| format!("deposit-{at}-{what}");
        let relay: RelayContact = deposit.relay.parse()?;
        out = out
            .with(name("address"), deposit.address.as_bytes())
            .with(name("relay-id"), relay.id().as_bytes())
            .with(name("host"), relay.host())
            .with(name("port"), u64::from(relay.port()))
            .with(name("withdraw-hash"), deposit.withdraw.as_bytes())
            .with(name("digest"), sha256(&[deposit.envelope.as_slice()]));
    }
    let mut begins = (BEFORE + length) as u64;
    for (at, upload) in header.uploads.iter().enumerate() {
        let name = |what: &str| format!("upload-{at}-{what}");
        let write = DhSecret::from_bytes(&upload.write).public();
        out = out
            .with(
                name("namespace"),
                Namespace::of_writer(write.as_bytes()).as_bytes(),
            )
            .with(name("parcels"), u64::from(upload.count))
            .with(name("deposit"), u64::from(upload.account))
            .with(name("begins"), begins);
        begins += u64::from(upload.count) * PARCEL as u64;
    }
    assert_eq!(begins, whole, "the last parcel ends the file");
    Ok(out)
}

pub fn headers(v: &Vector) -> Result<Values, Fault> {
    for good in v.inputs.many("good-", "") {
        Header::decode(good)?;
    }
    for name in v.inputs.names("bad-", "") {
        let read = Header::decode(v.inputs.bytes(&name));
        let fault = Fault::from(read.err().expect(&name));
        assert!(fault::is("bad-cbor", &fault), "{name}: {fault:?}");
    }
    Ok(Values::default())
}
