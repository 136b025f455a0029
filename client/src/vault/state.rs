//! Everything that a device's vault knows, apart from the mail itself.
//!
//! The state is the truth: an item that it does not list was never finished, or is being removed.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use valise_protocol::card::{DeviceKeys, Known};
use valise_protocol::envelope::BodyDigest;
use valise_protocol::hash::sha256;
use valise_protocol::id::{Address, MailboxId, RelayId};
use valise_protocol::kem::KemSeed;
use valise_protocol::key::{DhPublic, DhSecret, SigningKey};
use valise_protocol::limits::{DAY, KEM_SEED, RELAYS, RETENTION_COUNTED};
use valise_protocol::message::SubmissionId;
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

use super::item::ItemName;
use super::secret::Secret;

/// The first pause after nothing came, in seconds.
const HOUR: u64 = 3_600;

/// The state of one device of one mechanism.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub struct State {
    /// The mechanism's address.
    #[n(0)]
    pub address: Address,
    /// Where its relays are, as a contact line.
    #[n(1)]
    pub contact: String,
    /// This device's keys.
    #[n(2)]
    pub device: DeviceSecrets,
    /// The prekeys whose private halves are still held, oldest first.
    #[n(3)]
    pub prekeys: Vec<OwnPrekey>,
    /// The newest card known, encoded. None on a device that has not been enrolled.
    #[n(4)]
    pub card: Option<ByteVec>,
    /// What to hold every later card against (spec §5.3, rule 5).
    #[n(5)]
    pub known: Option<Known>,
    /// What is in the vault, in the order in which it came.
    #[n(6)]
    pub items: Vec<Entry>,
    /// What was seen and must not be shown again, deleted items too: salted hashes that name nobody.
    #[n(7)]
    pub seen: Vec<ByteArray<16>>,
    /// The salt of those hashes.
    #[n(8)]
    pub seen_salt: Secret<32>,
    /// Digests of opened envelopes, each until the prekey that opened it is gone.
    #[n(9)]
    pub digests: Vec<SeenDigest>,
    /// Sealed envelopes that wait to be deposited, oldest first.
    #[n(10)]
    pub outbox: Vec<Outgoing>,
    /// The longest that the mechanism's relays keep anything, in days, as far as this device has heard and as far as it counts
    /// (spec §5.4).
    #[n(11)]
    pub retention_days: u64,
}

/// The private keys of a device (spec §5.1).
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub struct DeviceSecrets {
    #[n(0)]
    signing: Secret<32>,
    #[n(1)]
    identity: Secret<32>,
    #[n(2)]
    link: Secret<32>,
}

/// One prekey of this device.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub struct OwnPrekey {
    #[n(0)]
    dh: Secret<32>,
    #[n(1)]
    kem: Secret<KEM_SEED>,
    /// When it was made.
    #[n(2)]
    pub issued: Timestamp,
    /// The roster that this device knew then.
    #[n(3)]
    pub epoch: u64,
    /// Whether a relay has accepted its statement.
    #[n(4)]
    pub published: bool,
}

/// One item of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// The file.
    #[n(0)]
    pub name: ItemName,
    /// What it is.
    #[n(1)]
    pub role: Role,
    /// The id of the submission that it is, or answers.
    #[n(2)]
    pub submission: SubmissionId,
    /// The key that sent that submission.
    #[n(3)]
    pub sender: DhPublic,
    /// When it came.
    #[n(4)]
    pub pulled: Timestamp,
    /// Whether somebody has looked at it on this device.
    #[n(5)]
    pub read: bool,
    /// The relays that hold the parcels of its attachments, in the order in which to ask them; of each sending (spec §9.4). `None` where
    /// it has none.
    #[n(6)]
    pub holders: Option<Vec<RelayId>>,
    /// Which of those gave parcels that did not open, and how many. `None` where none did.
    #[n(7)]
    wrong: Option<Vec<WrongParcels>>,
    /// What came of asking for its parcels of late. `None` where something came, or nobody has asked.
    #[n(8)]
    fruitless: Option<Fruitless>,
}

/// Collections that asked for parcels of a submission, and nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Fruitless {
    /// How many, one after another.
    #[n(0)]
    times: u32,
    /// When the last was.
    #[n(1)]
    last: Timestamp,
    /// Whether it was told that none will ask any more.
    #[n(2)]
    over: bool,
}

/// What a relay gave for parcels of a submission, and did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct WrongParcels {
    #[n(0)]
    relay: RelayId,
    #[n(1)]
    count: u32,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// A submission.
    #[n(0)]
    Submission,
    /// A device of the mechanism, this one or a colleague's, said that somebody has read one.
    #[n(1)]
    Acknowledgement,
    /// A device of the mechanism, this one or a colleague's, answered one.
    #[n(2)]
    Reply,
}

/// A digest that was seen (spec §4.5).
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(map)]
pub struct SeenDigest {
    #[cbor(n(0), with = "minicbor::bytes")]
    digest: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    prekey: [u8; 32],
}

/// A sealed envelope that waits to be deposited.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Outgoing {
    /// The file that holds its 65,536 bytes.
    #[n(0)]
    pub name: ItemName,
    /// Where it goes.
    #[n(1)]
    pub mailbox: MailboxId,
    /// Whether that is the mechanism's own inbox, and not a return mailbox.
    #[n(2)]
    pub to_inbox: bool,
    /// The relay that holds the mailbox.
    #[n(3)]
    pub relay: RelayId,
    /// The submission that it answers.
    #[n(4)]
    pub submission: SubmissionId,
    /// The key that sent that submission: ids are the senders' choice, and two may use one.
    #[n(5)]
    pub sender: DhPublic,
}

impl Outgoing {
    /// Whether it answers that sender's submission of this id.
    pub fn answers(&self, submission: &SubmissionId, sender: &DhPublic) -> bool {
        self.submission == *submission && self.sender == *sender
    }
}

impl State {
    /// The state of a new device.
    pub fn new(address: Address, contact: String, rng: &mut impl CryptoRng) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self {
            address,
            contact,
            device: DeviceSecrets::generate(rng),
            prekeys: Vec::new(),
            card: None,
            known: None,
            items: Vec::new(),
            seen: Vec::new(),
            seen_salt: Secret::new(&salt),
            digests: Vec::new(),
            outbox: Vec::new(),
            retention_days: RETENTION_COUNTED,
        }
    }

    /// Whether an envelope with this digest was opened before (spec §4.5).
    pub fn knows_digest(&self, digest: &BodyDigest) -> bool {
        self.digests
            .iter()
            .any(|seen| seen.digest == *digest.as_bytes())
    }

    /// Whether a message with this writer and id came before (spec §4.5).
    pub fn knows_message(&self, writer: &DhPublic, id: &SubmissionId) -> bool {
        self.seen.contains(&self.mark(writer, id))
    }

    /// Remembers a message, so that a repetition is dropped.
    pub fn remember(&mut self, writer: &DhPublic, id: &SubmissionId) {
        let mark = self.mark(writer, id);
        if !self.seen.contains(&mark) {
            self.seen.push(mark);
        }
    }

    /// Remembers the digest of an envelope until the prekey with this hash is gone.
    pub fn remember_digest(&mut self, digest: &BodyDigest, prekey: &[u8; 32]) {
        if !self.knows_digest(digest) {
            self.digests.push(SeenDigest {
                digest: *digest.as_bytes(),
                prekey: *prekey,
            });
        }
    }

    fn mark(&self, writer: &DhPublic, id: &SubmissionId) -> ByteArray<16> {
        let hash = sha256(&[self.seen_salt.expose(), writer.as_bytes(), id.as_bytes()]);
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash[..16]);
        mark.into()
    }

    /// Drops the prekeys that `gone` picks, and the digests that they opened.
    pub fn forget_prekeys(&mut self, gone: impl Fn(&OwnPrekey) -> bool) -> usize {
        let before = self.prekeys.len();
        let mut hashes = Vec::new();
        self.prekeys.retain(|prekey| {
            let goes = gone(prekey);
            if goes {
                hashes.push(*prekey.secret().hash());
            }
            !goes
        });
        self.digests.retain(|seen| !hashes.contains(&seen.prekey));
        before - self.prekeys.len()
    }
}

impl DeviceSecrets {
    /// Fresh keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let keys = DeviceKeys::generate(rng);
        Self {
            signing: Secret::new(keys.signing.expose()),
            identity: Secret::new(keys.identity.expose()),
            link: Secret::new(keys.link.expose()),
        }
    }

    /// The keys, for use.
    pub fn keys(&self) -> DeviceKeys {
        DeviceKeys {
            signing: SigningKey::from_bytes(self.signing.expose()),
            identity: DhSecret::from_bytes(self.identity.expose()),
            link: DhSecret::from_bytes(self.link.expose()),
        }
    }
}

impl OwnPrekey {
    /// A fresh one.
    pub fn generate(epoch: u64, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        Self {
            dh: Secret::new(DhSecret::generate(rng).expose()),
            kem: Secret::new(KemSeed::generate(rng).expose()),
            issued: now,
            epoch,
            published: false,
        }
    }

    /// Its private half, expanded.
    pub fn secret(&self) -> PrekeySecret {
        PrekeySecret::new(
            DhSecret::from_bytes(self.dh.expose()),
            &KemSeed::from_bytes(self.kem.expose()),
        )
    }
}

impl Entry {
    /// An item that nobody has read yet.
    pub const fn new(
        name: ItemName,
        role: Role,
        submission: SubmissionId,
        sender: DhPublic,
        pulled: Timestamp,
    ) -> Self {
        Self {
            name,
            role,
            submission,
            sender,
            pulled,
            read: false,
            holders: None,
            wrong: None,
            fruitless: None,
        }
    }

    /// How long after the last fruitless collection the next asks for its parcels, in seconds: an hour, then twice as long each time,
    /// up to a day. 0 where there was none.
    pub fn pause(&self) -> u64 {
        self.fruitless.map_or(0, |so_far| {
            (HOUR << (so_far.times.clamp(1, 6) - 1)).min(DAY)
        })
    }

    /// Whether it is time again to ask for its parcels. A clock that was set back does not put it off.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.fruitless
            .is_none_or(|so_far| now < so_far.last || now.since(so_far.last) >= self.pause())
    }

    /// Remembers that nothing came.
    pub fn nothing_came(&mut self, now: Timestamp) {
        let times = self.fruitless.map_or(0, |so_far| so_far.times);
        self.fruitless = Some(Fruitless {
            times: times.saturating_add(1),
            last: now,
            over: false,
        });
    }

    /// Forgets how often nothing came.
    pub fn something_came(&mut self) {
        self.fruitless = None;
    }

    /// Whether it was told that no collection asks for its parcels any more.
    pub fn is_over(&self) -> bool {
        self.fruitless.is_some_and(|so_far| so_far.over)
    }

    /// Remembers that this was told.
    pub fn end(&mut self, now: Timestamp) {
        self.nothing_came(now);
        self.fruitless
            .iter_mut()
            .for_each(|so_far| so_far.over = true);
    }

    /// How many parcels of it a relay gave that did not open.
    pub fn wrong_from(&self, relay: &RelayId) -> u32 {
        let mut all = self.wrong.iter().flatten();
        all.find(|wrong| wrong.relay == *relay)
            .map_or(0, |wrong| wrong.count)
    }

    /// Remembers so many more.
    pub fn add_wrong(&mut self, relay: RelayId, count: u32) {
        let all = self.wrong.get_or_insert_default();
        match all.iter_mut().find(|wrong| wrong.relay == relay) {
            Some(wrong) => wrong.count = wrong.count.saturating_add(count),
            None => all.push(WrongParcels { relay, count }),
        }
    }

    /// Forgets what did not open, and that nothing came.
    pub fn forgive(&mut self) {
        self.wrong = None;
        self.fruitless = None;
    }

    /// The same, with attachments that these relays hold; with none, without.
    #[must_use]
    pub fn held_by(mut self, holders: &[RelayId]) -> Self {
        self.add_holders(holders);
        self
    }

    /// Adds the relays of another sending, as long as there are no more than a submission may name.
    pub fn add_holders(&mut self, holders: &[RelayId]) {
        for relay in holders {
            let known = self.holders.get_or_insert_default();
            if known.len() < RELAYS && !known.contains(relay) {
                known.push(*relay);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use valise_protocol::cbor;

    use super::*;
    use crate::random::system as rng;

    fn state() -> State {
        State::new(Address::from_bytes([1; 32]), "contact".into(), &mut rng())
    }

    #[test]
    fn a_state_survives_its_encoding() {
        let mut state = state();
        state.prekeys.push(OwnPrekey::generate(
            1,
            Timestamp::from_seconds(5),
            &mut rng(),
        ));
        let sender = DhPublic::from_bytes([3; 32]);
        let name = ItemName::draw(&mut rng());
        let entry = Entry::new(
            name,
            Role::Reply,
            SubmissionId::from_bytes([4; 16]),
            sender,
            Timestamp::from_seconds(9),
        );
        let relays: Vec<RelayId> = (0..12).map(|at| RelayId::from_bytes([at; 32])).collect();
        let mut held = entry.clone().held_by(&relays[..3]);
        held.add_holders(&relays);
        assert_eq!(held.holders.as_deref(), Some(&relays[..RELAYS]));
        held.add_wrong(relays[1], 3);
        held.add_wrong(relays[1], 2);
        assert_eq!(held.wrong_from(&relays[1]), 5);
        assert_eq!(held.wrong_from(&relays[0]), 0);
        state.items.extend([entry.clone(), held.clone()]);
        state.remember(&sender, &SubmissionId::from_bytes([4; 16]));
        let again: State = cbor::decode(&cbor::encode(&state)).unwrap();
        assert_eq!(again.items, [entry, held]);
        assert!(again.knows_message(&sender, &SubmissionId::from_bytes([4; 16])));
        assert_eq!(
            again.prekeys[0].secret().hash(),
            state.prekeys[0].secret().hash()
        );
        assert_eq!(again.device.keys().public(), state.device.keys().public());
    }

    #[test]
    fn after_nothing_came_it_is_asked_again_in_an_hour_and_then_ever_later_up_to_a_day() {
        let at = Timestamp::from_seconds;
        let (sender, id) = (DhPublic::from_bytes([3; 32]), [4; 16]);
        let id = SubmissionId::from_bytes(id);
        let name = ItemName::draw(&mut rng());
        let mut entry = Entry::new(name, Role::Submission, id, sender, at(9));
        assert!(entry.is_due(at(9)));
        for hours in [1, 2, 4, 8, 16, 24, 24] {
            entry.nothing_came(at(1_000_000));
            assert_eq!(entry.pause(), hours * HOUR);
            assert!(!entry.is_due(at(1_000_000 + hours * HOUR - 1)));
            assert!(entry.is_due(at(1_000_000 + hours * HOUR)));
        }
        assert!(entry.is_due(at(5)), "the clock was set back");
        entry.something_came();
        assert!(entry.is_due(at(1_000_000)));
    }

    #[test]
    fn a_message_is_remembered_by_writer_and_id() {
        let mut state = state();
        let (a, b) = (DhPublic::from_bytes([1; 32]), DhPublic::from_bytes([2; 32]));
        state.remember(&a, &SubmissionId::from_bytes([7; 16]));
        assert!(state.knows_message(&a, &SubmissionId::from_bytes([7; 16])));
        assert!(
            !state.knows_message(&b, &SubmissionId::from_bytes([7; 16]))
                && !state.knows_message(&a, &SubmissionId::from_bytes([8; 16]))
        );
    }

    #[test]
    fn digests_go_with_their_prekey() {
        let mut state = state();
        for issued in [1, 2] {
            let prekey = OwnPrekey::generate(1, Timestamp::from_seconds(issued), &mut rng());
            let digest = BodyDigest::from_bytes([issued as u8; 32]);
            state.remember_digest(&digest, prekey.secret().hash());
            state.prekeys.push(prekey);
        }
        assert_eq!(
            state.forget_prekeys(|prekey| prekey.issued.seconds() == 1),
            1
        );
        assert!(!state.knows_digest(&BodyDigest::from_bytes([1; 32])));
        assert!(state.knows_digest(&BodyDigest::from_bytes([2; 32])));
    }
}
