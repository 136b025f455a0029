//! Readers in the store: what every store promises of them, and what the spool keeps through restarts, power cuts and damage.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::path::Path;

use stores::contract::*;
use stores::power::PowerDisk;
use stores::*;
use valise_protocol::id::Address;
use valise_relay::store::{AnyStore, Reader, Spool, SpoolConfig, Store, StoreError};

contract![
    a_reader_has_a_card_and_no_inbox,
    lists_of_inboxes_and_readers_do_not_mix,
    an_inbox_that_is_served_is_not_made_a_reader,
    a_reader_that_becomes_an_inbox_keeps_its_card,
    a_removed_reader_takes_its_card_along,
    each_is_removed_as_what_it_is,
];

/// The inboxes and the readers, by number.
async fn lists(store: &impl Store) -> (Vec<Address>, Vec<Address>) {
    let inboxes = store.inboxes().await.unwrap().into_iter();
    let readers = store.readers().await.unwrap();
    (inboxes.map(|(address, _)| address).collect(), readers)
}

async fn a_reader_has_a_card_and_no_inbox(store: AnyStore) {
    store.allow_inbox(address(2)).await.unwrap();
    let none = store.card(address(1)).await;
    assert!(matches!(none, Err(StoreError::UnknownInbox)));
    for _ in 0..2 {
        store.allow_reader(address(1)).await.unwrap();
    }
    assert_eq!(store.card(address(1)).await.unwrap(), None);
    store.put_card(address(1), vec![7; 900]).await.unwrap();
    assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
    assert!(!store.serves(address(1).inbox()).await.unwrap());
    assert!(store.serves(address(2).inbox()).await.unwrap());
    // Nothing gets in, on whatever way.
    let deposited = store.deposit(deposit(inbox(1), 1)).await;
    assert!(matches!(deposited, Err(StoreError::UnknownInbox)));
    let kept = store.put_parcel(put(1, 1, 0, 1)).await;
    assert!(matches!(kept, Err(StoreError::UnknownInbox)));
    let withdrawn = store.withdraw(address(1).inbox(), withdraw(1)).await;
    assert!(matches!(withdrawn, Err(StoreError::UnknownInbox)));
    assert_eq!(usage(&store).await, Default::default());
}

async fn lists_of_inboxes_and_readers_do_not_mix(store: AnyStore) {
    store.allow_reader(address(3)).await.unwrap();
    store.allow_inbox(address(2)).await.unwrap();
    store.allow_reader(address(1)).await.unwrap();
    let expected = (vec![address(2)], vec![address(1), address(3)]);
    assert_eq!(lists(&store).await, expected);
}

async fn an_inbox_that_is_served_is_not_made_a_reader(store: AnyStore) {
    store.allow_inbox(address(1)).await.unwrap();
    let allowed = store.allow_reader(address(1)).await;
    assert!(matches!(allowed, Err(StoreError::InboxServed)));
    assert_eq!(lists(&store).await, (vec![address(1)], vec![]));
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
}

async fn a_reader_that_becomes_an_inbox_keeps_its_card(store: AnyStore) {
    store.allow_reader(address(1)).await.unwrap();
    store.put_card(address(1), vec![7; 900]).await.unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    assert_eq!(lists(&store).await, (vec![address(1)], vec![]));
    assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    assert_eq!(store.remove_inbox(address(1)).await.unwrap(), 1);
    assert_eq!(lists(&store).await, (vec![], vec![]));
}

async fn a_removed_reader_takes_its_card_along(store: AnyStore) {
    store.allow_reader(address(1)).await.unwrap();
    store.put_card(address(1), vec![7; 900]).await.unwrap();
    assert!(store.remove_reader(address(1)).await.unwrap());
    assert!(!store.remove_reader(address(1)).await.unwrap());
    let gone = store.card(address(1)).await;
    assert!(matches!(gone, Err(StoreError::UnknownInbox)));
    let refused = store.put_card(address(1), vec![8]).await;
    assert!(matches!(refused, Err(StoreError::UnknownInbox)));
    store.allow_reader(address(1)).await.unwrap();
    assert_eq!(store.card(address(1)).await.unwrap(), None);
}

async fn each_is_removed_as_what_it_is(store: AnyStore) {
    store.allow_inbox(address(1)).await.unwrap();
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    store.allow_reader(address(2)).await.unwrap();
    assert!(!store.remove_reader(address(1)).await.unwrap());
    assert_eq!(store.remove_inbox(address(2)).await.unwrap(), 0);
    assert_eq!(lists(&store).await, (vec![address(1)], vec![address(2)]));
    assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, [1]);
}

async fn reopen(store: Spool, dir: &Path) -> Spool {
    let _ = store.close().await;
    drop(store);
    Spool::open(config(dir)).unwrap()
}

#[test]
fn readers_and_their_cards_are_there_after_restarts_and_rewraps() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("s");
        let mut store = Spool::open(config(&dir)).unwrap();
        store.allow_reader(address(1)).await.unwrap();
        store.put_card(address(1), vec![7; 900]).await.unwrap();
        store.allow_reader(address(2)).await.unwrap();
        store.put_card(address(2), vec![8; 900]).await.unwrap();
        store.allow_inbox(address(2)).await.unwrap();
        store.allow_reader(address(3)).await.unwrap();
        store.remove_reader(address(3)).await.unwrap();
        store.rewrap().await.unwrap();
        for _ in 0..3 {
            store = reopen(store, &dir).await;
            let expected = (vec![address(2)], vec![address(1)]);
            assert_eq!(lists(&store).await, expected);
            assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
            assert_eq!(store.card(address(2)).await.unwrap(), Some(vec![8; 900]));
            assert_eq!(store.usage().await.unwrap().damaged, 0);
        }
    });
}

/// Deposits that are removed again: what was written before them is alone in its segment.
async fn pass(store: &Spool) {
    for number in 0..7 {
        store.deposit(deposit(holder(1), number)).await.unwrap();
        let mine = [digest(number)];
        let gone = store.remove(holder(1), Reader::Holder, &mine);
        gone.await.unwrap();
    }
}

#[test]
fn a_reader_moves_out_of_a_sparse_segment_and_is_removed_where_it_went() {
    runtime().block_on(async {
        for restarts in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path().join("s");
            let mut store = Spool::open(config(&dir)).unwrap();
            store.allow_reader(address(1)).await.unwrap();
            pass(&store).await;
            store.put_card(address(1), vec![7; 900]).await.unwrap();
            store.rewrap().await.unwrap();
            assert!(!dir.join("segment-0000000001").exists());
            if restarts {
                store = reopen(store, &dir).await;
            }
            assert_eq!(lists(&store).await, (vec![], vec![address(1)]));
            assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
            assert!(store.remove_reader(address(1)).await.unwrap());
            let store = reopen(store, &dir).await;
            assert_eq!(lists(&store).await, (vec![], vec![]));
            assert_eq!(store.usage().await.unwrap().damaged, 0);
        }
    });
}

/// What there is of the first address: allowed as an inbox, as a reader, and its card.
async fn standing(store: &Spool) -> (bool, bool, Option<u8>) {
    let (inboxes, readers) = lists(store).await;
    let card = store.card(address(1)).await.ok().flatten();
    let (inbox, reader) = (inboxes.contains(&address(1)), readers.contains(&address(1)));
    (inbox, reader, card.map(|card| card[0]))
}

/// Neither the one nor the other.
const GONE: (bool, bool, Option<u8>) = (false, false, None);

/// Lets the power fail at each sync of a change to a reader with two cards, one after the other; what is there afterwards is one of
/// `possible`, and the first of them as soon as the change was acknowledged.
async fn cut_at_each_sync<F>(
    change: impl Fn(std::sync::Arc<Spool>) -> F,
    possible: &[(bool, bool, Option<u8>)],
) where
    F: Future<Output = bool>,
{
    let dir = tempfile::tempdir().unwrap();
    let mut met = Vec::new();
    for step in 1.. {
        let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
        for path in [&live, &cut] {
            let _ = fs::remove_dir_all(path);
        }
        let disk = PowerDisk::new();
        let small = SpoolConfig {
            slots: 3,
            ..config(&live)
        };
        let store = Spool::open_on(Box::new(disk.clone()), small).unwrap();
        let store = std::sync::Arc::new(store);
        store.allow_reader(address(1)).await.unwrap();
        for card in [1, 2] {
            store.put_card(address(1), vec![card; 900]).await.unwrap();
        }
        disk.fail_from(disk.syncs() + step);
        let done = change(store.clone()).await;
        disk.cut(&live, &cut, || step % 2 == 0);
        let again = Spool::open(config(&cut)).unwrap();
        let found = standing(&again).await;
        let right = possible.iter().position(|it| *it == found);
        let right = right.unwrap_or_else(|| panic!("step {step}: {found:?}"));
        assert!(!done || right == 0, "step {step}: {found:?}");
        // It can be done again, and then it is done.
        assert_eq!(again.usage().await.unwrap().damaged, 0, "step {step}");
        let again = std::sync::Arc::new(again);
        change(again.clone()).await;
        assert_eq!(standing(&again).await, possible[0], "step {step}");
        // What was removed is gone for good: a reader that is allowed again begins without a card.
        if possible[0] == GONE {
            again.allow_reader(address(1)).await.unwrap();
            assert_eq!(standing(&again).await, (false, true, None), "step {step}");
        }
        again.close().await.unwrap();
        met.push(right);
        if done {
            break;
        }
    }
    assert!(met.len() > 1, "no step was cut short");
}

#[test]
fn a_power_cut_while_a_reader_is_removed_leaves_it_whole_or_without_a_card() {
    runtime().block_on(cut_at_each_sync(
        |store| async move { store.remove_reader(address(1)).await.is_ok() },
        &[GONE, (false, true, None), (false, true, Some(2))],
    ));
}

#[test]
fn a_power_cut_while_a_reader_is_removed_brings_no_card_back_that_was_just_replaced() {
    runtime().block_on(cut_at_each_sync(
        |store| async move {
            // Both wait for the writer: it has no time between them to wipe the card that was replaced.
            let both = tokio::join!(
                store.put_card(address(1), vec![3; 900]),
                store.remove_reader(address(1))
            );
            both.1.is_ok()
        },
        &[
            GONE,
            (false, true, None),
            (false, true, Some(2)),
            (false, true, Some(3)),
        ],
    ));
}

#[test]
fn a_power_cut_while_a_reader_becomes_an_inbox_leaves_it_the_one_or_the_other() {
    runtime().block_on(cut_at_each_sync(
        |store| async move { store.allow_inbox(address(1)).await.is_ok() },
        &[(true, false, Some(2)), (false, true, Some(2))],
    ));
}

#[test]
fn a_reader_whose_record_is_damaged_is_allowed_again_with_its_card() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (PowerDisk::new(), dir.path().join("s"));
        let open = || Spool::open_on(Box::new(disk.clone()), config(&path)).unwrap();
        let store = open();
        store.allow_reader(address(1)).await.unwrap();
        store.put_card(address(1), vec![7; 900]).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        disk.spoil(&path.join("segment-0000000001"), 0..1);
        let store = open();
        assert_eq!(store.usage().await.unwrap().damaged, 1);
        assert_eq!(lists(&store).await, (vec![], vec![]));
        let unknown = store.card(address(1)).await;
        assert!(matches!(unknown, Err(StoreError::UnknownInbox)));
        store.allow_reader(address(1)).await.unwrap();
        assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
        store.close().await.unwrap();
        drop(store);
        // The sector comes back, and with it the first record: one of the two is kept.
        disk.heal();
        let store = open();
        assert_eq!(lists(&store).await, (vec![], vec![address(1)]));
        assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; 900]));
    });
}

#[test]
fn an_inbox_whose_record_comes_back_is_served_though_it_was_allowed_as_a_reader_meanwhile() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (PowerDisk::new(), dir.path().join("s"));
        let open = || Spool::open_on(Box::new(disk.clone()), config(&path)).unwrap();
        let store = open();
        store.allow_inbox(address(1)).await.unwrap();
        store.deposit(deposit(inbox(1), 1)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        disk.spoil(&path.join("segment-0000000001"), 0..1);
        let store = open();
        store.allow_reader(address(1)).await.unwrap();
        // Removing the reader leaves the mail that waits for the operator.
        assert!(store.remove_reader(address(1)).await.unwrap());
        store.allow_reader(address(1)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        disk.heal();
        let store = open();
        assert_eq!(lists(&store).await, (vec![address(1)], vec![]));
        assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, [1]);
    });
}

#[test]
fn a_removed_reader_leaves_nothing_that_opens() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Spool::open(config(&path)).unwrap();
        store.allow_reader(address(1)).await.unwrap();
        store.put_card(address(1), vec![7; 900]).await.unwrap();
        store.remove_reader(address(1)).await.unwrap();
        store.close().await.unwrap();
        for path in sample::files(&path, "segment-") {
            let head = fs::read(path).unwrap();
            assert!(head[..8 * 256].iter().all(|byte| *byte == 0));
        }
    });
}
