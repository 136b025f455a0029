//! The test vectors of an independent reading of the specification (tests/vectors), run against this crate.
//!
//! Each says which operation it is about, what goes in, and what comes out or how it fails; tests/vectors/README.md gives the
//! format, the operations and the kinds of failure.
#![allow(clippy::unwrap_used)]

#[path = "vectors/attached.rs"]
mod attached;
#[path = "vectors/card.rs"]
mod card;
#[path = "vectors/envelope.rs"]
mod envelope;
#[path = "vectors/fault.rs"]
mod fault;
#[path = "vectors/link.rs"]
mod link;
#[path = "vectors/made.rs"]
pub mod made;
#[path = "vectors/message.rs"]
mod message;
#[path = "vectors/name.rs"]
mod name;
#[path = "vectors/parcel.rs"]
mod parcel;
#[path = "vectors/phrase.rs"]
mod phrase;
#[path = "vectors/primitive.rs"]
mod primitive;
#[path = "vectors/script.rs"]
mod script;
#[path = "vectors/sealed.rs"]
mod sealed;
#[path = "vectors/slot.rs"]
mod slot;
#[path = "vectors/vector.rs"]
mod vector;
#[path = "vectors/wire.rs"]
mod wire;
#[path = "vectors/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::fault::Fault;
use self::vector::{Inputs, Values, Vector};

/// What an operation does.
type Operation = fn(&Vector) -> Result<Values, Fault>;

/// The one operation that is not of this crate: client/tests/certificate_vectors.rs runs it.
const CERTIFICATE: &str = "certificate";

fn operation(op: &str) -> Option<Operation> {
    Some(match op {
        "x25519" => primitive::x25519,
        "ed25519" => primitive::ed25519,
        "kem" => primitive::kem,
        "kem-check" => primitive::kem_check,
        "ids" => name::ids,
        "text" => name::text,
        "contact" => name::contact,
        "relay-contacts" => name::relay_contacts,
        "words" => name::words,
        "pseudonym" => name::pseudonym,
        "device-request" => name::device_request,
        "phrase" => phrase::phrase,
        "phrase-keys" => phrase::keys,
        "readers" => envelope::readers,
        "seal" => envelope::seal,
        "open" => envelope::open,
        "cbor" => message::contents,
        "content" => message::content,
        "message" => message::message,
        "card" => card::card,
        "publish" => card::publish,
        "descriptor" => card::descriptor,
        "link" => link::link,
        "link-read-1" => link::read_1,
        "link-read-2" => link::read_2,
        "link-read-3" => link::read_3,
        "frame" => link::frame,
        "request" => wire::request,
        "answer" => wire::answer,
        "request-headers" => wire::request_headers,
        "answer-headers" => wire::answer_headers,
        "poll" => wire::poll,
        "get" => wire::get,
        "write" => wire::write,
        "held" => wire::held,
        "file-keys" => parcel::file_keys,
        "padding" => parcel::padding,
        "parcel-seal" => parcel::seal,
        "parcel-open" => parcel::open,
        "file" => parcel::file,
        "attachment" => attached::attachment,
        "attachments" => attached::attachments,
        "list" => attached::list,
        "long-list" => attached::long_list,
        "attach" => attached::attach,
        "holders" => attached::holders,
        "case-make" => sealed::make,
        "case-read" => sealed::read,
        "case-headers" => sealed::headers,
        _ => return None,
    })
}

/// Runs a vector; in the error, what it does and should not do.
fn check(vector: &Vector, described: &BTreeMap<String, Inputs>) -> Result<(), String> {
    let unknown = || format!("unknown operation {}", vector.op);
    let run = operation(&vector.op).ok_or_else(unknown)?;
    let inputs = described.get(&vector.op).ok_or_else(unknown)?;
    if let Some(name) = inputs.stranger(&vector.inputs) {
        return Err(format!("unknown input {name}"));
    }
    let outputs = match (run(vector), vector.expect.as_str()) {
        (Ok(outputs), "ok") => match vector.inputs.unread() {
            Some(name) => return Err(format!("the input {name} does nothing")),
            None => outputs,
        },
        (Ok(_), kind) => return Err(format!("accepted, not {kind}")),
        (Err(fault), "ok") => return Err(format!("refused: {fault:?}")),
        (Err(fault), kind) if fault::is(kind, &fault) => wire::after_refusal(vector),
        (Err(fault), kind) => return Err(format!("{fault:?} is not {kind}")),
    };
    match outputs.difference(&vector.outputs) {
        None => Ok(()),
        Some(name) => Err(format!("the output {name} is another")),
    }
}

/// The same, where a panic is one more way to fail.
fn faults<'a>(vectors: impl Iterator<Item = &'a Vector>) -> Vec<String> {
    let described = vector::operations();
    vectors
        .filter_map(|vector| {
            let checked = catch_unwind(AssertUnwindSafe(|| check(vector, &described)));
            let why = checked
                .unwrap_or_else(|_| Err("panicked".to_owned()))
                .err()?;
            Some(format!("{}: {why}", vector.name))
        })
        .collect()
}

#[test]
fn every_vector_comes_out_as_it_says() {
    let vectors = vector::all();
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        vectors.iter().partition(|vector| vector.op == CERTIFICATE);
    let wrong = faults(here.iter().copied());
    println!(
        "{} vectors, {} of them certificates, which the client's tests read",
        vectors.len(),
        elsewhere.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(here.len() >= 387 && elsewhere.len() >= 4);
}

#[test]
fn every_kind_of_failure_that_the_vocabulary_has_is_an_error_here() {
    let kinds = vector::vocabulary();
    assert!(kinds.len() > 50, "{kinds:?}");
    for kind in kinds {
        let elsewhere = ["no-descriptor", "wrong-pin"].contains(&kind.as_str());
        assert_eq!(fault::errors(&kind).is_none(), elsewhere, "{kind}");
    }
}

#[test]
fn what_is_made_here_comes_out_as_it_says() {
    let made: Vec<Vector> = made::all()
        .iter()
        .map(|(name, text)| Vector::read(name, text))
        .collect();
    let wrong = faults(made.iter());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_described_is_not_passed_over() {
    let fault = |op: &str, input: &str| {
        let text = format!("op: {op}\nexpect: ok\nspec: §1\nabout: x\n\n{input}\n---\n");
        faults([Vector::read("x", &text)].iter()).join("")
    };
    assert_eq!(fault("nothing", "x: 00"), "x: unknown operation nothing");
    assert_eq!(fault("kem-check", "x: 00"), "x: unknown input x");
    assert_eq!(fault("kem-check", "ek= 00"), "x: unknown input ek");
    assert_eq!(
        fault("attachments", "good-x: 00"),
        "x: unknown input good-x"
    );
    let gap = fault("attachments", "good-1: 00");
    assert_eq!(gap, "x: the input good-1 does nothing");
    for op in vector::operations().keys() {
        assert!(op == CERTIFICATE || operation(op).is_some(), "{op}");
    }
}
