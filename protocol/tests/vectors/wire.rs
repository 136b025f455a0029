//! Requests and answers: spec §7.2 to §7.4.

use valise_protocol::cbor::Malformed;
use valise_protocol::hash::sha256;
use valise_protocol::id::{MailboxId, Namespace};
use valise_protocol::key::DhPublic;
use valise_protocol::limits::{FRAME_PLAIN, PARCELS};
use valise_protocol::parcel::ParcelSet;
use valise_protocol::wire::{Answer, Item, Refusal, Request, RequestKind, Target};

use super::fault::Fault;
use super::vector::{Values, Vector};

const KINDS: [RequestKind; 9] = [
    RequestKind::Card,
    RequestKind::Deposit,
    RequestKind::Poll,
    RequestKind::Publish,
    RequestKind::Have,
    RequestKind::Put,
    RequestKind::Get,
    RequestKind::Withdraw,
    RequestKind::Delete,
];

fn frames(v: &Vector) -> Vec<u8> {
    let frames = v.inputs.many("frame-", "");
    assert!(frames.iter().all(|frame| frame.len() == FRAME_PLAIN));
    frames.concat()
}

/// The header of frames that were written here.
fn header(plain: &[u8]) -> &[u8] {
    let length = usize::from(u16::from_be_bytes([plain[0], plain[1]]));
    &plain[2..2 + length]
}

fn outputs(header: &[u8], attachment: &[u8]) -> Values {
    Values::default()
        .with("header", header)
        .with("attachment-length", attachment.len())
        .with("attachment-sha256", sha256(&[attachment]))
}

pub fn request(v: &Vector) -> Result<Values, Fault> {
    let plain = frames(v);
    let request = Request::decode(&plain)?;
    assert_eq!(request.encode(), plain, "one request has one encoding");
    let attachment = match &request {
        Request::Deposit { envelope, .. } => envelope.as_slice(),
        Request::Publish { card } => card,
        Request::Put { parcel, .. } => parcel.sealed(),
        _ => &[],
    };
    Ok(outputs(header(&plain), attachment))
}

/// What is told of a refusal: of a request, in how many frames the relay says it (relay/src/link.rs).
pub fn after_refusal(v: &Vector) -> Values {
    if v.op != "request" {
        return Values::default();
    }
    let plain = frames(v);
    let refused = Answer::Refused(Refusal::Malformed);
    let answer = match RequestKind::of_first_frame(plain.first_chunk().unwrap()) {
        Ok(kind) => refused.encode(kind),
        Err(Malformed) => refused.encode(RequestKind::Deposit),
    };
    Values::default()
        .with("refusal", Refusal::Malformed as u64)
        .with("answer-frames", answer.len() / FRAME_PLAIN)
}

pub fn answer(v: &Vector) -> Result<Values, Fault> {
    let kind = KINDS[usize::try_from(v.inputs.number("request-kind")).unwrap() - 1];
    let plain = frames(v);
    let answer = Answer::decode(kind, &plain)?;
    let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
    if Answer::ends_after(first) {
        assert_eq!(Answer::decode(kind, first).as_ref(), Ok(&answer));
    }
    let attachment = match &answer {
        Answer::Card(card) => card,
        Answer::Item(Item {
            envelope: Some(envelope),
            ..
        }) => envelope.as_slice(),
        Answer::Parcel(Some(parcel)) => parcel.sealed(),
        _ => &[],
    };
    Ok(outputs(header(&answer.encode(kind)), attachment))
}

/// A header, and zeros for all that may follow it.
fn framed(header: &[u8], frames: usize) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_be_bytes();
    let mut plain = [&length, header].concat();
    plain.resize(frames * FRAME_PLAIN, 0);
    plain
}

pub fn request_headers(v: &Vector) -> Result<Values, Fault> {
    let read = |header: &[u8]| {
        let kind = RequestKind::of_first_frame(framed(header, 1).first_chunk().unwrap());
        let is = |kind: &&RequestKind| {
            let request = Request::decode(&framed(header, kind.frames_up()));
            request.is_ok_and(|request| request.kind() == **kind)
        };
        let whole = KINDS.iter().find(is);
        assert_eq!(kind.as_ref().ok(), whole, "the first frame tells");
        kind
    };
    for header in v.inputs.many("good-", "") {
        read(header)?;
    }
    for name in v.inputs.names("bad-", "") {
        assert_eq!(read(v.inputs.bytes(&name)), Err(Malformed), "{name}");
    }
    Ok(Values::default())
}

pub fn answer_headers(v: &Vector) -> Result<Values, Fault> {
    let read = |header: &[u8]| {
        KINDS
            .iter()
            .any(|kind| Answer::decode(*kind, &framed(header, kind.frames_down())).is_ok())
    };
    for name in v.inputs.names("good-", "") {
        assert!(read(v.inputs.bytes(&name)), "{name}");
    }
    for name in v.inputs.names("bad-", "") {
        assert!(!read(v.inputs.bytes(&name)), "{name}");
    }
    Ok(Values::default())
}

fn allowed(may: bool) -> Result<Values, Fault> {
    if may {
        Ok(Values::default())
    } else {
        Err(Refusal::NotADevice.into())
    }
}

/// Whether a key is the link key of a device on the roster.
fn is_listed(v: &Vector, client: [u8; 32]) -> bool {
    let listed = v.inputs.many("roster-link-key-", "");
    let key = |bytes: &&[u8]| DhPublic::from_bytes((*bytes).try_into().unwrap());
    listed
        .iter()
        .any(|link| key(link) == DhPublic::from_bytes(client))
}

/// Who may poll, as the relay's service decides it: relay/src/service.rs.
pub fn poll(v: &Vector) -> Result<Values, Fault> {
    let client: [u8; 32] = v.inputs.array("client-static");
    let request = Request::decode(&framed(v.inputs.bytes("header"), 1))?;
    let Request::Poll {
        target, mailbox, ..
    } = request
    else {
        panic!("this is no poll");
    };
    allowed(match target {
        Target::Return => MailboxId::of_return(&client) == mailbox,
        _ => is_listed(v, client),
    })
}

/// Who may get parcels, as the same decides it.
pub fn get(v: &Vector) -> Result<Values, Fault> {
    let request = Request::decode(&framed(v.inputs.bytes("header"), 1))?;
    assert_eq!(request.kind(), RequestKind::Get);
    allowed(is_listed(v, v.inputs.array("client-static")))
}

/// Who may put and delete, as the same decides it.
pub fn write(v: &Vector) -> Result<Values, Fault> {
    let frame = framed(v.inputs.bytes("header"), 1);
    let namespace = match Request::put_in_first_frame(frame.first_chunk().unwrap()) {
        Some((namespace, ..)) => namespace,
        None => match Request::decode(&frame)? {
            Request::Delete { namespace } => namespace,
            other => panic!("{other:?} writes nothing"),
        },
    };
    let writer: [u8; 32] = v.inputs.array("client-static");
    allowed(Namespace::of_writer(&writer) == namespace)
}

/// Which parcels a set holds.
pub fn held(v: &Vector) -> Result<Values, Fault> {
    let header = v.inputs.bytes("header");
    let answer = Answer::decode(RequestKind::Have, &framed(header, 1))?;
    let Answer::Held(set) = answer else {
        panic!("this is no set");
    };
    let numbers: Vec<u32> = (0..PARCELS).filter(|index| set.contains(*index)).collect();
    let mut again = ParcelSet::default();
    numbers.iter().for_each(|index| again.insert(*index));
    assert_eq!(again, set, "one set has one encoding");
    assert_eq!(numbers.len(), set.len() as usize);
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    Ok(Values::default().with("numbers", numbers.join(" ")))
}
