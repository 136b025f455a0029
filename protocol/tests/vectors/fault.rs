//! Failures: the vectors' vocabulary, and the errors of this crate that mean the same.

use valise_protocol::aead::Unauthentic;
use valise_protocol::card::{CardError, ProofError, RequestError, TooFewFresh};
use valise_protocol::cbor::Malformed;
use valise_protocol::contact::ContactError;
use valise_protocol::descriptor::DescriptorError;
use valise_protocol::envelope::{OpenError, SealError};
use valise_protocol::file::FileError;
use valise_protocol::id::NameError;
use valise_protocol::kem::BadKemKey;
use valise_protocol::key::{BadSignature, ZeroSecret};
use valise_protocol::link::LinkError;
use valise_protocol::message::{HandlingError, MessageError};
use valise_protocol::phrase::PhraseError;
use valise_protocol::sealed::NotSealed;
use valise_protocol::wire::Refusal;

/// What an operation failed with.
#[derive(Debug)]
pub enum Fault {
    Case(NotSealed),
    Card(CardError),
    Contact(ContactError),
    Descriptor(DescriptorError),
    /// Message 2 asks for work.
    Effort(u32),
    File(FileError),
    Fresh(TooFewFresh),
    Kem(BadKemKey),
    Link(LinkError),
    Message(MessageError),
    Name(NameError),
    Open(OpenError),
    Parcel(Unauthentic),
    Phrase(PhraseError),
    Proof(ProofError),
    /// What a relay says.
    Refused(Refusal),
    Request(RequestError),
    Seal(SealError),
    Signature(BadSignature),
    /// No parcel, or no plaintext of one, by its length: there is no room for it here.
    Size,
    Wire(Malformed),
    /// The writer of an answer or a copy is not on the roster that it needs.
    Writer,
    Zero(ZeroSecret),
}

/// Whether it is of this kind.
pub fn is(kind: &str, fault: &Fault) -> bool {
    errors(kind).is_some_and(|errors| errors(fault))
}

/// The errors of a kind; `None` where it is not of the vocabulary, or of no operation of this crate.
pub fn errors(kind: &str) -> Option<fn(&Fault) -> bool> {
    use Fault::*;
    type C = CardError;
    type D = DescriptorError;
    type M = MessageError;
    type O = OpenError;
    Some(match kind {
        // Lengths, versions, kinds and zeros.
        "wrong-length" => |f| {
            matches!(
                f,
                Open(O::WrongLength(_))
                    | Name(NameError::Length(_))
                    | Wire(_)
                    | Size
                    | File(FileError::Parcels)
                    | Case(NotSealed::Damaged)
            )
        },
        "too-long" => |f| {
            matches!(
                f,
                Card(C::TooLarge | C::Malformed)
                    | Descriptor(D::Malformed)
                    | Message(M::TooLong)
                    | File(FileError::TooLong)
                    | Case(NotSealed::Damaged)
            )
        },
        "bad-length" => |f| matches!(f, Open(O::BadLength) | Wire(_) | Case(NotSealed::Damaged)),
        "unknown-version" => |f| {
            matches!(
                f,
                Open(O::UnknownVersion(_))
                    | Descriptor(D::UnknownVersion(_))
                    | Link(LinkError::UnknownVersion(_))
            )
        },
        "unknown-suite" => |f| matches!(f, Open(O::UnknownSuite(_))),
        "unknown-kind" => |f| matches!(f, Message(M::UnknownKind(_)) | Wire(_)),
        "wrong-kind" => |f| matches!(f, Message(M::WrongMailbox) | Wire(_)),
        "reserved-not-zero" => {
            |f| matches!(f, Open(O::ReservedNotZero) | Link(LinkError::Handshake))
        }
        "bad-padding" => |f| {
            matches!(
                f,
                Open(O::BadPadding)
                    | Name(NameError::Length(_))
                    | Wire(_)
                    | File(FileError::Padding)
            )
        },
        "bad-cbor" => |f| {
            matches!(
                f,
                Message(
                    M::Malformed
                        | M::TextLength
                        | M::Attachments
                        | M::Handling(HandlingError::NoteLength | HandlingError::Language)
                ) | Card(C::Malformed)
                    | Descriptor(D::Malformed)
                    | Request(RequestError::Malformed)
                    | Wire(_)
                    | Case(NotSealed::Damaged)
            )
        },
        "bad-time" => |f| matches!(f, Message(M::NotOnTheHour)),
        // Keys.
        "zero-dh" => |f| matches!(f, Zero(_) | Link(LinkError::Handshake)),
        "small-order-key" => |f| matches!(f, Card(C::Malformed)),
        "bad-signature" => |f| {
            matches!(
                f,
                Signature(_)
                    | Card(C::BadSignature)
                    | Descriptor(D::BadSignature)
                    | Request(RequestError::BadSignature)
                    | Proof(_)
            )
        },
        "bad-kem-key" => |f| {
            matches!(
                f,
                Kem(_) | Card(C::Malformed) | Message(M::Malformed) | Link(LinkError::Handshake)
            )
        },
        // Text.
        "mixed-case" | "bad-character" | "bad-checksum" => {
            |f| matches!(f, Name(NameError::Checksum(_)))
        }
        "wrong-prefix" => |f| matches!(f, Name(NameError::WrongKind(_))),
        "white-space" => |f| matches!(f, Contact(ContactError::WhiteSpace)),
        "too-many-ways" => |f| {
            matches!(
                f,
                Contact(ContactError::TooManyRelays | ContactError::NoRelay)
            )
        },
        "bad-contact" | "bad-port" => |f| {
            matches!(
                f,
                Contact(ContactError::Place(_)) | Case(NotSealed::Damaged)
            )
        },
        "bad-host" => |f| {
            matches!(
                f,
                Contact(ContactError::Place(_)) | Descriptor(D::Malformed)
            )
        },
        "wrong-number-of-words" => |f| matches!(f, Phrase(PhraseError::Count(_))),
        "word-not-listed" => |f| matches!(f, Phrase(PhraseError::NotListed { .. })),
        "bad-words-checksum" => |f| matches!(f, Phrase(PhraseError::DoNotBelongTogether)),
        // Envelopes and messages.
        "too-many-readers" => |f| matches!(f, Seal(SealError::TooManyReaders(_))),
        "not-ours" => |f| matches!(f, Open(O::NotOurs)),
        "bad-commitment" => |f| matches!(f, Open(O::BadCommitment)),
        "bad-body" => |f| matches!(f, Open(O::BadBody)),
        "bad-handling" => |f| {
            matches!(
                f,
                Message(M::Handling(
                    HandlingError::PublicWithoutGovernment
                        | HandlingError::UnobtainableWithoutNote
                        | HandlingError::UnobtainableYetPublic
                ))
            )
        },
        "bad-addressees" => |f| matches!(f, Message(M::Addressees)),
        // Files.
        "bad-holders" => |f| matches!(f, Message(M::Holders)),
        "not-ascending" => |f| matches!(f, Message(M::FileOrder)),
        "bad-list" => |f| matches!(f, Message(M::FileList)),
        "bad-parcel" => |f| matches!(f, Parcel(_)),
        "wrong-hash" => |f| matches!(f, File(FileError::Hash)),
        "writer-not-on-roster" => |f| matches!(f, Writer),
        // Cards and descriptors.
        "bad-chain" => |f| matches!(f, Card(C::BadChain) | Proof(_)),
        "wrong-address" => |f| matches!(f, Card(C::WrongAddress | C::ForeignStatement) | Proof(_)),
        "wrong-relay" => |f| matches!(f, Descriptor(D::WrongRelay)),
        "repeated-key" | "repeated-relay" | "too-many-relays" => {
            |f| matches!(f, Card(C::Malformed))
        }
        "not-yet-valid" => |f| {
            matches!(
                f,
                Card(C::NotYetValid { .. }) | Descriptor(D::NotYetValid { .. })
            )
        },
        "expired" => |f| matches!(f, Card(C::Expired { .. }) | Descriptor(D::Expired { .. })),
        "too-long-lived" => |f| matches!(f, Card(C::BadDates) | Descriptor(D::TooLongLived)),
        "bad-dates" => |f| matches!(f, Card(C::BadDates) | Descriptor(D::Backwards)),
        "epoch-above-issued" => |f| matches!(f, Card(C::BadDates)),
        "foreign-statement" => |f| matches!(f, Card(C::ForeignStatement)),
        "repeated-statement" => |f| matches!(f, Card(C::RepeatedStatement)),
        "newer-epoch-in-statement" => |f| matches!(f, Card(C::NewerEpochInStatement)),
        "other-roots" => |f| matches!(f, Card(C::BadChain)),
        "rolled-back" => |f| matches!(f, Card(C::RolledBack { .. })),
        "other-roster" => |f| matches!(f, Card(C::Conflicting)),
        "too-few-fresh" => |f| matches!(f, Fresh(found) if found.fresh * 2 <= found.devices),
        "no-reader" => |f| matches!(f, Seal(SealError::NoReader)),
        "statement-not-yet-valid" => |f| matches!(f, Card(C::StatementFromTheFuture)),
        // Sealed cases.
        "bad-beginning" => |f| matches!(f, Case(NotSealed::Other)),
        "bad-place" => |f| matches!(f, Case(NotSealed::Damaged)),
        // Links.
        "bad-handshake" => |f| matches!(f, Link(LinkError::Handshake)),
        "bad-frame" => |f| matches!(f, Link(LinkError::Frame)),
        "effort-not-zero" => |f| matches!(f, Effort(1..)),
        "refused-6" => |f| matches!(f, Refused(Refusal::NotADevice)),
        "refused-8" => |f| matches!(f, Refused(Refusal::CardRefused)),
        _ => return None,
    })
}

macro_rules! fault {
    ($($name:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::$name(error)
            }
        }
    )*};
}
fault![
    Case(NotSealed),
    Card(CardError),
    Contact(ContactError),
    Descriptor(DescriptorError),
    File(FileError),
    Fresh(TooFewFresh),
    Kem(BadKemKey),
    Link(LinkError),
    Message(MessageError),
    Name(NameError),
    Open(OpenError),
    Parcel(Unauthentic),
    Phrase(PhraseError),
    Proof(ProofError),
    Refused(Refusal),
    Request(RequestError),
    Seal(SealError),
    Signature(BadSignature),
    Wire(Malformed),
    Zero(ZeroSecret),
];
