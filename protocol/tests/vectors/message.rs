//! Messages and contents: spec §4.5.

use valise_protocol::card::{Device, Profile, Roster};
use valise_protocol::hash::sha256;
use valise_protocol::id::Address;
use valise_protocol::key::{DhPublic, SigningKey};
use valise_protocol::message::{Content, Mailbox, Message};
use valise_protocol::time::Timestamp;

use super::fault::{self, Fault};
use super::vector::{Values, Vector};

fn read(bytes: &[u8], address: &Address) -> Result<Content, Fault> {
    let content = Content::decode(bytes)?;
    content.check_addressed(address)?;
    assert_eq!(content.encode(), bytes, "one content has one encoding");
    Ok(content)
}

pub fn contents(v: &Vector) -> Result<Values, Fault> {
    let address = Address::from_bytes(v.inputs.array("address"));
    for good in v.inputs.many("good-", "") {
        read(good, &address)?;
    }
    for name in v.inputs.names("bad-", "") {
        let fault = read(v.inputs.bytes(&name), &address).expect_err(&name);
        assert!(fault::is("bad-cbor", &fault), "{name}: {fault:?}");
    }
    Ok(Values::default())
}

pub fn content(v: &Vector) -> Result<Values, Fault> {
    let address = Address::from_bytes(v.inputs.array("address"));
    let bytes = v.inputs.bytes("content");
    read(bytes, &address)?;
    Ok(Values::default().with("sha256", sha256(&[bytes])))
}

/// Reads a message as those do who find it in that mailbox: a defender, or a device.
pub fn message(v: &Vector) -> Result<Values, Fault> {
    let address = Address::from_bytes(v.inputs.array("address"));
    let writer = DhPublic::from_bytes(v.inputs.array("writer"));
    let current = current(&v.inputs.many("current-identity-", ""), address);
    let mailbox = match v.inputs.text("mailbox") {
        "inbox" => Mailbox::Inbox,
        "return" => Mailbox::Return,
        other => panic!("no mailbox is called {other}"),
    };
    let bytes = v.inputs.bytes("message");
    let message = Message::decode(bytes)?;
    assert_eq!(message.encode(), bytes, "one message has one encoding");
    message.check_found_in(mailbox)?;
    let out = Values::default();
    Ok(match message {
        Message::Cover => out.with("kind", 0_u64),
        Message::Submission(submission) => {
            read(&submission.content, &address)?;
            out.with("kind", 1_u64)
        }
        Message::Acknowledgement(ref reply) | Message::Reply(ref reply) => {
            let roster = reply.proof.verify(address)?;
            if !roster.has_identity(&writer) {
                return Err(Fault::Writer);
            }
            let standing = match current {
                Some(current) if current.has_identity(&writer) => "verified",
                Some(_) => "removed",
                None => "unverified",
            };
            let kind = if reply.text.is_some() { 3_u64 } else { 2 };
            out.with("kind", kind)
                .with("standing", standing)
                .with("roster-issued", roster.issued().seconds())
        }
        Message::Copy(_) => {
            if !current.is_some_and(|current| current.has_identity(&writer)) {
                return Err(Fault::Writer);
            }
            out.with("kind", 4_u64)
        }
    })
}

/// A roster with these identity keys; the rest of it is of no matter here.
fn current(identities: &[&[u8]], address: Address) -> Option<Roster> {
    let device = |(at, identity): (usize, &&[u8])| {
        let other = u8::try_from(at).unwrap();
        Device {
            signing: SigningKey::from_bytes(&[other; 32]).verifying_key(),
            identity: DhPublic::from_bytes((*identity).try_into().unwrap()),
            link: DhPublic::from_bytes([other; 32]),
        }
    };
    let devices: Vec<Device> = identities.iter().enumerate().map(device).collect();
    let profile = Profile::named(vec![("en".into(), "x".into())]);
    let now = Timestamp::from_seconds(1);
    (!devices.is_empty())
        .then(|| Roster::new(address, 1, devices, vec![vec![]], profile, now).unwrap())
}
