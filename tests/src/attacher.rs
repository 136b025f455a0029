//! A sender of attachments made of the protocol's types: one who does what the specification says, or whatever a test wants.

use valise_client::dial::{Connection, fresh_key};
use valise_protocol::envelope::seal;
use valise_protocol::id::{Grant, RelayId};
use valise_protocol::limits::{ENVELOPE, PARCEL_PLAIN};
use valise_protocol::message::{
    Attachment, Content, Message, Metadata, ReplyKeys, Submission, SubmissionId,
};
use valise_protocol::parcel::{AttachmentKeys, FileHash, ParcelBuffer, ParcelPlace, parcels};
use valise_protocol::phrase::{DefenderKeys, DefenderRoot, ReturnPhrase};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request, Target};

use crate::cast::{LiveRelay, ask, handling, no_withdrawal, rng};
use crate::desk::Desk;

/// Somebody who sends files.
pub struct Attacher {
    root: DefenderRoot,
    keys: DefenderKeys,
}

/// A file as it is sent.
pub struct Sent {
    /// What the submission says of it.
    pub attachment: Attachment,
    /// What writes its parcels.
    pub keys: AttachmentKeys,
    /// Its parcels, sealed.
    pub parcels: Vec<ParcelBuffer>,
}

impl Sent {
    /// A file with these bytes after it, under keys of its own.
    fn new(keys: AttachmentKeys, bytes: &[u8], after: &[u8], name: Option<&str>) -> Self {
        let attachment = Attachment {
            key: keys.file.clone(),
            namespace: keys.write.namespace(),
            length: bytes.len() as u64,
            hash: FileHash::of(bytes),
            name: name.map(str::to_owned),
            media_type: "text/plain".to_owned(),
            metadata: Metadata::NoneFound,
        };
        let count = parcels(attachment.length).expect("no test's file is too long");
        let cipher = keys.file.cipher();
        let all = [bytes, after].concat();
        let parcel = |index: u32| {
            let mut buffer = ParcelBuffer::new();
            let mut rest = all.get(index as usize * PARCEL_PLAIN..).unwrap_or_default();
            for piece in buffer.plain_mut() {
                let (here, later) = rest.split_at(rest.len().min(piece.len()));
                piece[..here.len()].copy_from_slice(here);
                rest = later;
            }
            let place = ParcelPlace::new(index, count).expect("it is one of its parcels");
            cipher.seal(place, &mut buffer);
            buffer
        };
        let parcels = (0..count).map(parcel).collect();
        Self {
            attachment,
            keys,
            parcels,
        }
    }

    /// Puts these parcels of it.
    ///
    /// # Panics
    /// When the relay does not keep them.
    pub async fn put(&self, relay: &LiveRelay, grant: Grant, which: impl Iterator<Item = u32>) {
        let connection = Connection::dial(&relay.contact(), relay.now()).await;
        let connection = connection.expect("it is reached");
        let link = connection.link(self.keys.write.link()).await;
        let mut link = link.expect("it is reached");
        for index in which {
            let request = Request::Put {
                namespace: self.attachment.namespace,
                index,
                grant,
                parcel: self.parcels[index as usize].clone(),
            };
            let answer = link.request(&request).await.expect("it is kept");
            assert!(matches!(answer, Answer::Kept(_)));
        }
        link.finish();
        connection.close().await;
    }

    /// Puts all of it.
    pub async fn put_all(&self, relay: &LiveRelay, grant: Grant) {
        self.put(relay, grant, 0..self.parcels.len() as u32).await;
    }
}

impl Attacher {
    /// Somebody new, to a desk's mechanism.
    pub fn new(desk: &Desk) -> Self {
        let root = ReturnPhrase::generate(&mut rng()).stretch();
        let keys = root.for_mechanism(&desk.address);
        Self { root, keys }
    }

    /// A file under this name.
    pub fn file(&self, bytes: &[u8], name: Option<&str>) -> Sent {
        self.file_before(bytes, &[], name)
    }

    /// A file with something after its end.
    pub fn file_before(&self, bytes: &[u8], after: &[u8], name: Option<&str>) -> Sent {
        let keys = self.root.attachment(&FileHash::of(bytes));
        Sent::new(keys, bytes, after, name)
    }

    /// A submission with these files at these relays; and the list of its files, where it is one of its own.
    ///
    /// # Panics
    /// When there are too many files.
    pub fn submission(
        &self,
        id: u8,
        files: Vec<Attachment>,
        holders: Vec<RelayId>,
    ) -> (Message, Option<Sent>) {
        let mut content = Content {
            text: "see the attachments".into(),
            handling: handling(),
            others: Vec::new(),
            attached: None,
        };
        let keys = |hash: &FileHash| self.root.attachment(hash);
        let list = content
            .attach(files, keys)
            .expect("it is within its limits");
        let list = list.map(|bytes| Sent::new(keys(&FileHash::of(&bytes)), &bytes, &[], None));
        let message = Message::Submission(Submission {
            id: SubmissionId::from_bytes([id; 16]),
            epoch: 1,
            reply: ReplyKeys {
                prekey: self.keys.reply().public(),
                mailbox: self.keys.mailbox(&holders[0]),
                relay: holders[0],
            },
            content: content.encode(),
            holders,
        });
        (message, list)
    }

    /// A message sealed to a desk's devices.
    ///
    /// # Panics
    /// When they are not fresh.
    pub fn seal(&self, desk: &Desk, message: &Message, now: Timestamp) -> Box<[u8; ENVELOPE]> {
        let readers = desk.card(0, now).readers(now).expect("they are fresh");
        let writer = self.keys.send();
        seal(
            &readers,
            &desk.address,
            &writer,
            &message.encode(),
            &mut rng(),
        )
        .expect("it fits")
    }

    /// Deposits a message in the inbox of a desk, and gives what the relay gives for it.
    ///
    /// # Panics
    /// When the relay does not take it.
    pub async fn deposit(&self, desk: &Desk, relay: &LiveRelay, message: &Message) -> Grant {
        let request = Request::Deposit {
            target: Target::Inbox,
            mailbox: desk.address.inbox(),
            withdraw: no_withdrawal(),
            proof: Vec::new(),
            envelope: self.seal(desk, message, relay.now()),
        };
        match ask(relay, &fresh_key(), &request).await {
            Ok(Answer::Stored(_, grant)) => grant,
            _ => panic!("it is not stored"),
        }
    }
}
