use super::*;
use crate::card::tests::{Mechanism, NOW};
use crate::id::{Address, Namespace};
use crate::limits::{ATTACHMENT, CONTENT, LIST, LIST_HERE, MESSAGE, NOTE, TEXT};
use crate::parcel::{AttachmentKeys, FileHash, FileKey};
use crate::prekey::PrekeySecret;
use crate::testing::rng;

fn handling() -> Handling {
    Handling {
        name_to_government: Answer::Yes,
        name_in_public: Answer::Ask,
        basis: ConsentBasis::Family,
        note: None,
        timing: Timing::Imminent,
        attribution: Attribution::None,
        language: "es".into(),
    }
}

fn content(text: &str) -> Content {
    Content {
        text: text.into(),
        handling: handling(),
        others: vec![],
        attached: None,
    }
}

fn submission(text: &str) -> Message {
    let reply = ReplyKeys {
        prekey: PrekeySecret::generate(&mut rng(1)).public(),
        mailbox: MailboxId::from_bytes([1; 32]),
        relay: RelayId::from_bytes([2; 32]),
    };
    let content = content(text).encode();
    Message::Submission(Submission {
        id: SubmissionId::from_bytes([3; 16]),
        epoch: 1,
        reply,
        content,
        holders: vec![],
    })
}

fn reply(text: Option<&str>) -> Reply {
    Reply {
        id: SubmissionId::from_bytes([1; 16]),
        regards: SubmissionId::from_bytes([2; 16]),
        written: NOW.hour(),
        proof: Proof::of(&Mechanism::new(2).card(1, NOW)),
        text: text.map(Into::into),
    }
}

fn copy(proof: Option<Proof>) -> Message {
    Message::Copy(Copied {
        id: SubmissionId::from_bytes([1; 16]),
        regards: SubmissionId::from_bytes([2; 16]),
        written: NOW.hour(),
        send: DhPublic::from_bytes([3; 32]),
        text: None,
        proof,
    })
}

#[test]
fn every_kind_survives_its_bytes() {
    for message in [
        Message::Cover,
        submission("x"),
        Message::Acknowledgement(reply(None)),
        Message::Reply(reply(Some("y"))),
        copy(None),
        copy(Some(reply(None).proof)),
    ] {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn the_longest_texts_fit_an_envelope() {
    let Message::Submission(mut full) = submission(&"x".repeat(TEXT)) else {
        unreachable!()
    };
    let mut content = full.content().unwrap();
    content.handling.note = Some("y".repeat(NOTE));
    content.handling.language = "l".repeat(35);
    content.others = (0..16).map(|at| Address::from_bytes([at; 32])).collect();
    full.content = content.encode();
    let length = Message::Submission(full.clone()).encode().len();
    assert!(length <= MESSAGE, "{length}");
    assert!(Message::decode(&Message::Submission(full).encode()).is_ok());
    // A reply's proof is a roster of at most 20,480 bytes and four roots of at most 104 each.
    let plain = Message::Reply(reply(Some(&"x".repeat(REPLY_TEXT))))
        .encode()
        .len();
    let proof = cbor::encode(&reply(None).proof).len();
    assert!(plain - proof + crate::limits::ROSTER + 4 * 104 + 80 <= MESSAGE);
}

#[test]
fn texts_over_their_limits_are_refused() {
    for text in [String::new(), "x".repeat(TEXT + 1)] {
        assert_eq!(
            Message::decode(&submission(&text).encode()),
            Err(MessageError::TextLength)
        );
    }
    for text in ["", &"x".repeat(REPLY_TEXT + 1)] {
        assert_eq!(
            Message::decode(&Message::Reply(reply(Some(text))).encode()),
            Err(MessageError::TextLength)
        );
    }
}

#[test]
fn an_acknowledgement_has_no_text_and_a_reply_has_one() {
    let swapped = Message::Acknowledgement(reply(Some("x"))).encode();
    assert_eq!(Message::decode(&swapped), Err(MessageError::Malformed));
    assert_eq!(
        Message::decode(&Message::Reply(reply(None)).encode()),
        Err(MessageError::Malformed)
    );
}

#[test]
fn a_later_kind_is_told() {
    assert_eq!(
        Message::decode(&[0xa1, 0, 9]),
        Err(MessageError::UnknownKind(9))
    );
    assert_eq!(
        Message::decode(&[0xa2, 0, 0, 1, 0]),
        Err(MessageError::Malformed)
    );
    assert_eq!(Message::decode(&[]), Err(MessageError::Malformed));
}

#[test]
fn kinds_stay_in_their_mailboxes() {
    let ack = Message::Acknowledgement(reply(None));
    assert!(ack.check_found_in(Mailbox::Return).is_ok());
    assert_eq!(
        ack.check_found_in(Mailbox::Inbox),
        Err(MessageError::WrongMailbox)
    );
    assert_eq!(
        submission("x").check_found_in(Mailbox::Return),
        Err(MessageError::WrongMailbox)
    );
    assert_eq!(
        copy(None).check_found_in(Mailbox::Return),
        Err(MessageError::WrongMailbox)
    );
    assert!(Message::Cover.check_found_in(Mailbox::Return).is_ok());
}

#[test]
fn a_time_off_the_hour_is_refused() {
    let mut late = reply(Some("x"));
    late.written = late.written.plus(1);
    assert_eq!(
        Message::decode(&Message::Reply(late).encode()),
        Err(MessageError::NotOnTheHour)
    );
}

#[test]
fn contradicting_answers_are_refused() {
    let check = |change: &dyn Fn(&mut Handling)| {
        let mut handling = handling();
        change(&mut handling);
        handling.check().err()
    };
    assert_eq!(check(&|_| ()), None);
    assert_eq!(
        check(&|h| {
            h.name_to_government = Answer::Ask;
            h.name_in_public = Answer::Yes;
        }),
        Some(HandlingError::PublicWithoutGovernment)
    );
    assert_eq!(
        check(&|h| h.basis = ConsentBasis::Unobtainable),
        Some(HandlingError::UnobtainableWithoutNote)
    );
    assert_eq!(
        check(&|h| {
            h.basis = ConsentBasis::Unobtainable;
            h.note = Some("detained".into());
        }),
        Some(HandlingError::UnobtainableYetPublic)
    );
    assert_eq!(
        check(&|h| h.note = Some(String::new())),
        Some(HandlingError::NoteLength)
    );
    assert_eq!(
        check(&|h| h.note = Some("x".repeat(NOTE + 1))),
        Some(HandlingError::NoteLength)
    );
    assert_eq!(
        check(&|h| h.language = "e".into()),
        Some(HandlingError::Language)
    );
}

#[test]
fn addressees_ascend_and_none_is_named_twice() {
    let mut content = content("x");
    let (a, b) = (Address::from_bytes([1; 32]), Address::from_bytes([2; 32]));
    content.others = vec![a, b];
    assert_eq!(content.check(), Ok(()));
    for others in [vec![b, a], vec![a, a]] {
        content.others = others;
        assert_eq!(content.check(), Err(MessageError::Addressees));
    }
}

#[test]
fn the_one_addressed_is_not_among_the_others() {
    let mut content = content("x");
    let (me, other) = (Address::from_bytes([1; 32]), Address::from_bytes([2; 32]));
    assert_eq!(content.check_addressed(&me), Ok(()));
    content.others = vec![other];
    assert_eq!(content.check_addressed(&me), Ok(()));
    content.others = vec![me, other];
    assert_eq!(content.check(), Ok(()));
    assert_eq!(content.check_addressed(&me), Err(MessageError::Addressees));
}

#[test]
fn debug_shows_no_text() {
    let shown = format!(
        "{:?} {:?} {:?}",
        submission("SECRET"),
        content("SECRET"),
        reply(Some("SECRET"))
    );
    assert!(!shown.contains("SECRET"), "{shown}");
}

fn attachment(name: &str) -> Attachment {
    Attachment {
        key: FileKey::from_bytes(&[1; 32]),
        namespace: Namespace::from_bytes(crate::hash::sha256(&[name.as_bytes()])),
        length: ATTACHMENT,
        hash: FileHash::from_bytes([3; 32]),
        name: Some(name.into()),
        media_type: "image/jpeg".into(),
        metadata: Metadata::Kept,
    }
}

fn many(count: usize) -> Vec<Attachment> {
    in_order((0..count).map(|at| attachment(&at.to_string())).collect())
}

fn list() -> Attachment {
    Attachment {
        length: LIST,
        name: None,
        media_type: LIST_TYPE.into(),
        metadata: Metadata::Unknown,
        ..attachment("list")
    }
}

fn with_files(attached: Attached, holders: usize) -> Result<Message, MessageError> {
    let Message::Submission(mut submission) = submission("a case") else {
        panic!("a submission")
    };
    let content = Content {
        attached: Some(attached),
        ..content("a case")
    };
    submission.content = content.encode();
    submission.holders = vec![RelayId::from_bytes([4; 32]); holders];
    Message::decode(&Message::Submission(submission).encode())
}

#[test]
fn attached_files_survive_their_encoding() {
    let files = in_order(vec![attachment("a"), attachment("b"), attachment("a")]);
    assert_eq!(files.len(), 2);
    let here = Attached::Here(files);
    let list = Attached::List(Box::new(list()));
    for attached in [here, list] {
        let Ok(Message::Submission(read)) = with_files(attached.clone(), 8) else {
            panic!("it is read")
        };
        assert!(read.content().unwrap().attached == Some(attached));
        assert_eq!(read.holders.len(), 8);
    }
    assert!(decode_list(&encode_list(&many(10_000))).unwrap() == many(10_000));
}

#[test]
fn attached_files_over_their_limits_are_refused() {
    let refused = Some(MessageError::Attachments);
    let altered = |alter: fn(&mut Attachment)| {
        let mut file = attachment("a");
        alter(&mut file);
        with_files(Attached::Here(vec![file]), 1).err()
    };
    assert_eq!(altered(|file| file.length = ATTACHMENT + 1), refused);
    assert_eq!(altered(|file| file.name = Some(String::new())), refused);
    assert_eq!(altered(|file| file.name = Some("n".repeat(256))), refused);
    assert_eq!(altered(|file| file.media_type = String::new()), refused);
    assert_eq!(altered(|file| file.media_type = "a b".into()), refused);
    assert_eq!(altered(|file| file.media_type = "t".repeat(128)), refused);
    assert_eq!(altered(|file| file.name = None), None);
    assert_eq!(with_files(Attached::Here(vec![]), 1).err(), refused);
    let malformed = Some(MessageError::Malformed);
    assert_eq!(decode_list(&encode_list(&many(10_001))).err(), malformed);
    assert_eq!(decode_list(&encode_list(&[])).err(), refused);
}

#[test]
fn attached_files_out_of_order_are_refused() {
    let refused = Some(MessageError::FileOrder);
    let twice = Attached::Here(vec![attachment("a"), attachment("a")]);
    assert_eq!(with_files(twice, 1).err(), refused);
    let mut files = many(3);
    files.swap(1, 2);
    assert_eq!(decode_list(&encode_list(&files)).err(), refused);
    assert_eq!(with_files(Attached::Here(files), 1).err(), refused);
}

#[test]
fn what_stands_for_a_list_says_nothing_else() {
    let refused = Some(MessageError::FileList);
    let listed = |alter: fn(&mut Attachment)| {
        let mut list = list();
        alter(&mut list);
        with_files(Attached::List(Box::new(list)), 1).err()
    };
    assert_eq!(listed(|list| list.name = Some("list".into())), refused);
    assert_eq!(listed(|list| list.metadata = Metadata::Kept), refused);
    assert_eq!(
        listed(|list| list.media_type = "text/plain".into()),
        refused
    );
    let too_long = Some(MessageError::TooLong);
    assert_eq!(listed(|list| list.length = LIST + 1), too_long);
    assert_eq!(listed(|list| list.length = 0), None);
}

/// Files whose encoding has so many bytes: the name of one of them fills what is left.
fn of_length(length: usize) -> Vec<Attachment> {
    let fits = |count: &usize| encode_list(&many(*count)).len() + 30 <= length;
    let count = (1..).take_while(fits).last().unwrap();
    let mut files = many(count);
    files[0].name = Some("n".repeat(30));
    let room = length - encode_list(&files).len();
    files[0].name = Some("n".repeat(30 + room));
    assert_eq!(encode_list(&files).len(), length);
    files
}

#[test]
fn files_that_fill_more_than_their_part_of_a_content_are_refused() {
    let files = |length| Attached::Here(of_length(length));
    assert_eq!(with_files(files(LIST_HERE), 1).err(), None);
    let refused = Some(MessageError::TooLong);
    assert_eq!(with_files(files(LIST_HERE + 1), 1).err(), refused);
    let list = encode_list(&of_length(LIST_HERE + 1));
    assert!(
        decode_list(&list).is_ok(),
        "a list is not held to that length"
    );
    assert!(decode_list(&encode_list(&many(1))).is_ok(), "nor to more");
}

#[test]
fn a_content_over_its_limit_is_refused() {
    let length = |files: &[Attachment], text: usize| {
        let content = Content {
            attached: Some(Attached::Here(files.to_vec())),
            ..content(&"x".repeat(text))
        };
        let bytes = content.encode();
        (bytes.len(), Content::decode(&bytes).err())
    };
    let files = many(70);
    let (short, _) = length(&files, 40_000);
    let room = 40_000 + CONTENT - short;
    assert_eq!(length(&files, room), (CONTENT, None));
    let refused = Some(MessageError::TooLong);
    assert_eq!(length(&files, room + 1), (CONTENT + 1, refused));
}

fn keys(hash: &FileHash) -> AttachmentKeys {
    AttachmentKeys::derive(&[9; 32], hash)
}

#[test]
fn files_stand_in_the_content_where_they_fit_and_in_a_list_where_not() {
    let attach = |text: &str, files| {
        let mut content = content(text);
        let list = content.attach(files, keys).unwrap();
        content.check().unwrap();
        (content, list)
    };
    let (none, list) = attach("a case", vec![]);
    assert!(none.attached.is_none() && list.is_none());
    let (here, list) = attach("a case", of_length(LIST_HERE));
    assert!(here.attached == Some(Attached::Here(of_length(LIST_HERE))) && list.is_none());
    let (listed, list) = attach("a case", of_length(LIST_HERE + 1));
    assert!(decode_list(&list.unwrap()).unwrap() == of_length(LIST_HERE + 1));
    assert!(matches!(listed.attached, Some(Attached::List(_))));
    // Each by itself fits.
    let (listed, list) = attach(&"x".repeat(TEXT), many(40));
    let Some(Attached::List(attached)) = listed.attached else {
        panic!("together they do not fit")
    };
    let (list, hash) = (list.unwrap(), attached.hash);
    assert!(hash == FileHash::of(&list) && attached.length == list.len() as u64);
    assert_eq!(attached.namespace, keys(&hash).write.namespace());
    assert!(attached.key == keys(&hash).file);
    let too_many = content("a case").attach(many(10_001), keys).err();
    assert_eq!(too_many, Some(MessageError::Attachments));
}

#[test]
fn of_equal_files_one_is_listed_whatever_their_order() {
    let named = |name: &str| Attachment {
        name: Some(name.into()),
        ..attachment("a")
    };
    let listed = |files: [&str; 3]| in_order(files.map(named).into());
    for files in [["b", "a", "c"], ["c", "b", "a"], ["a", "c", "b"]] {
        assert!(listed(files) == [named("a")]);
    }
}

#[test]
fn files_and_who_holds_them_come_together() {
    let here = || Attached::Here(vec![attachment("a")]);
    assert_eq!(with_files(here(), 0).err(), Some(MessageError::Holders));
    assert_eq!(with_files(here(), 9).err(), Some(MessageError::Malformed));
    let Message::Submission(mut without) = submission("a case") else {
        panic!("a submission")
    };
    without.holders = vec![RelayId::from_bytes([4; 32])];
    let read = Message::decode(&Message::Submission(without).encode());
    assert_eq!(read.err(), Some(MessageError::Holders));
}

#[test]
fn a_repeat_adds_the_relays_that_were_not_known() {
    let held_by = |ids: &[u8]| {
        let Message::Submission(mut submission) = submission("a case") else {
            panic!("a submission")
        };
        submission.holders = ids
            .iter()
            .map(|id| RelayId::from_bytes([*id; 32]))
            .collect();
        submission
    };
    for (known, repeat, all) in [
        (&[2, 1][..], &[3, 1, 3][..], &[2, 1, 3][..]),
        (&[1, 2, 3, 4, 5, 6, 7], &[9, 8], &[1, 2, 3, 4, 5, 6, 7, 9]),
        (&[1], &[], &[1]),
        (&[], &[1], &[]),
    ] {
        let mut submission = held_by(known);
        submission.add_holders(&held_by(repeat));
        assert!(submission == held_by(all), "{known:?} {repeat:?}");
    }
}
