//! Attachments and lists of them: spec §9.4.

use valise_protocol::cbor;
use valise_protocol::hash::sha256;
use valise_protocol::id::{MailboxId, Namespace, RelayId};
use valise_protocol::message::{
    Attached, Attachment, Content, MessageError, Metadata, ReplyKeys, Submission, SubmissionId,
    decode_list, encode_list,
};
use valise_protocol::parcel::{AttachmentKeys, parcels};

use super::fault::{self, Fault};
use super::vector::{Values, Vector};

/// Reads one attachment.
pub fn read(bytes: &[u8]) -> Result<Attachment, MessageError> {
    let attachment: Attachment = cbor::decode(bytes)?;
    attachment.check()?;
    Ok(attachment)
}

pub fn attachment(v: &Vector) -> Result<Values, Fault> {
    let read = read(v.inputs.bytes("attachment"))?;
    let metadata = match read.metadata {
        Metadata::Unknown => 0_u64,
        Metadata::NoneFound => 1,
        Metadata::Kept => 2,
        Metadata::Stripped => 3,
    };
    let count = parcels(read.length).expect("it is not too long");
    let out = Values::default()
        .with("FK", read.key.expose())
        .with("namespace", read.namespace.as_bytes())
        .with("length", read.length)
        .with("h", read.hash.as_bytes())
        .with("media-type", read.media_type)
        .with("metadata", metadata)
        .with("parcels", u64::from(count));
    Ok(match read.name {
        Some(name) => out.with("name", name),
        None => out,
    })
}

pub fn attachments(v: &Vector) -> Result<Values, Fault> {
    for good in v.inputs.many("good-", "") {
        read(good)?;
    }
    for name in v.inputs.names("bad-", "") {
        let fault = Fault::from(read(v.inputs.bytes(&name)).expect_err(&name));
        assert!(fault::is("bad-cbor", &fault), "{name}: {fault:?}");
    }
    Ok(Values::default())
}

fn count(list: &[u8]) -> Result<Values, Fault> {
    let files = decode_list(list)?;
    assert_eq!(encode_list(&files), list, "one list has one encoding");
    Ok(Values::default().with("attachments", files.len()))
}

pub fn list(v: &Vector) -> Result<Values, Fault> {
    count(v.inputs.bytes("list"))
}

pub fn long_list(v: &Vector) -> Result<Values, Fault> {
    let one = read(v.inputs.bytes("attachment"))?;
    let numbered = |number: u64| {
        let mut namespace = *one.namespace.as_bytes();
        namespace[28..].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        Attachment {
            namespace: Namespace::from_bytes(namespace),
            ..one.clone()
        }
    };
    let files: Vec<Attachment> = (0..v.inputs.number("count")).map(numbered).collect();
    let list = encode_list(&files);
    assert_eq!(sha256(&[&list]), v.inputs.array("list-sha256"));
    Ok(count(&list)?.with("length", list.len()))
}

/// What a writer makes of a content and its files.
pub fn attach(v: &Vector) -> Result<Values, Fault> {
    let base: [u8; 32] = v.inputs.array("base");
    let files = v.inputs.many("attachment-", "");
    let files: Vec<Attachment> = files.into_iter().map(read).collect::<Result<_, _>>()?;
    let mut content = Content::decode(v.inputs.bytes("content"))?;
    let list = content.attach(files, |hash| AttachmentKeys::derive(&base, hash))?;
    let (form, array) = match (&content.attached, list) {
        (Some(Attached::Here(files)), None) => ("array", encode_list(files)),
        (Some(Attached::List(_)), Some(list)) => ("list", list),
        _ => panic!("it has no files, or not the list that it speaks of"),
    };
    let bytes = content.encode();
    Content::decode(&bytes)?;
    Ok(Values::default()
        .with("array-length", array.len())
        .with("array-sha256", sha256(&[&array]))
        .with("form", form)
        .with("content-length", bytes.len())
        .with("content", bytes))
}

/// What is known of who holds the parcels after a repeat.
pub fn holders(v: &Vector) -> Result<Values, Fault> {
    let named = |before: &str| {
        let ids = v.inputs.many(before, "");
        let id = |bytes: &[u8]| RelayId::from_bytes(bytes.try_into().unwrap());
        held_by(ids.into_iter().map(id).collect())
    };
    let mut submission = named("known-");
    submission.add_holders(&named("repeat-"));
    let holders = submission.holders.iter().enumerate();
    Ok(holders.fold(Values::default(), |out, (at, holder)| {
        out.with(format!("holder-{at}"), holder.as_bytes())
    }))
}

/// A submission, of which nothing else matters here.
fn held_by(holders: Vec<RelayId>) -> Submission {
    let prekey = super::world::secret(&([1; 32], [2; 64])).public();
    Submission {
        id: SubmissionId::from_bytes([0; 16]),
        epoch: 1,
        reply: ReplyKeys {
            prekey,
            mailbox: MailboxId::from_bytes([3; 32]),
            relay: RelayId::from_bytes([4; 32]),
        },
        content: vec![],
        holders,
    }
}
