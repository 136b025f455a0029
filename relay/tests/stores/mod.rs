//! What the tests of the stores share: short ways to name things, and a disk whose power can be cut.
#![allow(dead_code)]

pub mod contract;
pub mod power;
pub mod sample;

use std::path::Path;

use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::limits::{ENVELOPE, PARCEL};
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::time::Timestamp;
use valise_relay::store::{
    Ceilings, Cursor, Deposit, DeviceTag, Mailbox, Put, Reader, SpoolConfig, Store, Target,
};

/// Ceilings that nothing here reaches.
pub const OPEN: Ceilings = Ceilings {
    inbox_envelopes: 1_000,
    return_envelopes: 1_000,
    all_return_envelopes: 10_000,
    all_envelopes: 10_000,
    inbox_parcels: 1_000,
    all_parcels: 10_000,
};

/// The first day.
pub const START: Timestamp = Timestamp::from_seconds(0);
/// When everything in these tests expires unless it says otherwise.
pub const LATER: Timestamp = Timestamp::from_seconds(30 * 86_400);

/// Small segments, no ballast, no mark: a store that a test can copy, scan and fill.
pub fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        slots: 8,
        min_free_bytes: 0,
        ballast_bytes: 0,
        ..SpoolConfig::new(dir.to_owned(), OPEN)
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Whether the long runs were asked for.
pub fn long() -> bool {
    std::env::var_os("VALISE_LONG").is_some()
}

/// An envelope that shows its number in every block, so that traces of it can be searched for.
pub fn envelope(number: u32) -> Box<[u8; ENVELOPE]> {
    let mut envelope = Box::new([0; ENVELOPE]);
    mark(envelope.as_mut_slice(), number);
    envelope
}

/// A parcel that does so too.
pub fn parcel(number: u32) -> ParcelBuffer {
    let mut parcel = vec![0; PARCEL];
    mark(&mut parcel, number);
    ParcelBuffer::from_sealed(parcel).unwrap()
}

fn mark(bytes: &mut [u8], number: u32) {
    for (at, chunk) in bytes.chunks_exact_mut(64).enumerate() {
        chunk[..16].copy_from_slice(&canary(number));
        chunk[16..24].copy_from_slice(&(at as u64).to_be_bytes());
    }
}

/// What every block of an envelope begins with.
pub fn canary(number: u32) -> [u8; 16] {
    let mut canary = *b"canary-of-\0\0\0\0\0\0";
    canary[12..].copy_from_slice(&number.to_be_bytes());
    canary
}

pub fn digest(number: u32) -> EnvelopeDigest {
    EnvelopeDigest::of(envelope(number).as_slice())
}

pub fn withdraw(number: u32) -> WithdrawHash {
    let mut bytes = [0x77; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    WithdrawHash::from_bytes(bytes)
}

pub fn address(number: u8) -> Address {
    Address::from_bytes([number; 32])
}

pub fn inbox(number: u8) -> Mailbox {
    Mailbox::Inbox(address(number).inbox())
}

pub fn holder(number: u8) -> Mailbox {
    Mailbox::Return(MailboxId::from_bytes([number; 32]))
}

pub fn device(number: u8) -> DeviceTag {
    DeviceTag([number; 8])
}

/// Envelope `number`, withdrawn by the same number.
pub fn deposit(mailbox: Mailbox, number: u32) -> Deposit {
    Deposit {
        target: Target::Mailbox(mailbox),
        withdraw: withdraw(number),
        envelope: envelope(number),
        expires: LATER,
    }
}

pub fn namespace(number: u8) -> Namespace {
    Namespace::from_bytes([number; 32])
}

/// Parcel `number` as the one with this index of an attachment, on the account of an inbox.
pub fn put(account: u8, attachment: u8, index: u32, number: u32) -> Put {
    Put {
        account: Some(address(account).inbox()),
        namespace: namespace(attachment),
        index,
        parcel: parcel(number),
        now: START,
        expires: LATER,
    }
}

/// The parcels of an attachment that are told to be there, by index and number. Panics where one is not, or is not byte-identical.
pub async fn parcels(store: &impl Store, attachment: u8, now: Timestamp) -> Vec<(u32, u32)> {
    let found = try_parcels(store, attachment, now).await;
    found.expect("what is told to be there is there")
}

/// The same; `None` where one that is told to be there is not.
pub async fn try_parcels(
    store: &impl Store,
    attachment: u8,
    now: Timestamp,
) -> Option<Vec<(u32, u32)>> {
    let set = store.parcels(namespace(attachment), now).await.unwrap();
    let mut found = Vec::new();
    for index in (0..64).filter(|index| set.contains(*index)) {
        let held = store.parcel(namespace(attachment), index, now).await;
        let held = held.unwrap()?;
        let number = u32::from_be_bytes(held.sealed()[12..16].try_into().unwrap());
        assert!(held == parcel(number), "parcel {number} was altered");
        found.push((index, number));
    }
    assert_eq!(found.len(), set.len() as usize);
    Some(found)
}

/// The numbers of the envelopes that wait for a reader, in order. Panics where one is not byte-identical.
pub async fn waiting(store: &impl Store, mailbox: Mailbox, reader: Reader<'_>) -> Vec<u32> {
    let (mut numbers, mut after) = (Vec::new(), Cursor(0));
    while let Some(found) = store.next(mailbox, reader, after, START).await.unwrap() {
        assert!(found.cursor > after);
        after = found.cursor;
        numbers.push(number_of(&found.envelope));
    }
    numbers
}

/// Which envelope this is. Panics where it is none of ours, whole.
pub fn number_of(found: &[u8; ENVELOPE]) -> u32 {
    let number = u32::from_be_bytes(found[12..16].try_into().unwrap());
    assert!(*found == *envelope(number), "envelope {number} was altered");
    number
}
