//! What every store promises of parcels: one suite, run over the model in memory and over the spool.
#![allow(clippy::unwrap_used)]

mod stores;

use std::sync::Arc;

use stores::contract::*;
use stores::*;
use tokio::task::JoinSet;
use valise_protocol::limits::PARCELS;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;
use valise_relay::store::{AnyStore, Deposited, Put, Reader, Store, StoreError, Usage};

contract![
    a_parcel_is_read_back_whole,
    the_same_parcel_is_stored_once,
    other_bytes_under_a_taken_number_change_nothing,
    a_parcel_on_nobodys_account_is_not_kept,
    an_inbox_that_is_not_served_takes_no_parcels,
    a_full_account_refuses_and_an_emptied_one_takes_again,
    all_parcels_together_have_a_ceiling,
    concurrent_puts_keep_the_ceiling,
    of_one_parcel_put_many_times_at_once_one_is_stored,
    of_many_parcels_put_in_one_place_at_once_one_is_stored,
    puts_and_deposits_at_once_are_all_there,
    deleting_takes_all_of_an_attachment_and_nothing_else,
    a_parcel_is_kept_through_its_last_day,
    a_parcel_that_has_expired_is_put_anew,
    a_removed_inbox_takes_the_parcels_on_its_account_along,
    a_withdrawn_envelope_is_gone_and_another_is_not,
    what_every_device_removed_is_not_withdrawn,
];

async fn served(store: &AnyStore) {
    for number in [1, 2] {
        store.allow_inbox(address(number)).await.unwrap();
    }
}

async fn a_parcel_is_read_back_whole(store: AnyStore) {
    served(&store).await;
    for (index, number) in [(9, 3), (0, 1), (63, 2)] {
        let kept = store.put_parcel(put(1, 1, index, number)).await.unwrap();
        assert_eq!(kept, Kept::New);
    }
    let last = PARCELS - 1;
    store.put_parcel(put(1, 2, last, 4)).await.unwrap();
    let set = store.parcels(namespace(2), START).await.unwrap();
    assert!(set.contains(last) && set.len() == 1);
    assert_eq!(parcels(&store, 1, START).await, [(0, 1), (9, 3), (63, 2)]);
    let absent = store.parcel(namespace(1), 1, START).await.unwrap();
    assert!(absent.is_none());
    assert!(parcels(&store, 3, START).await.is_empty());
    assert_eq!(usage(&store).await.parcels, 4);
}

async fn the_same_parcel_is_stored_once(store: AnyStore) {
    served(&store).await;
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
    // Whoever answers for it, if anybody.
    for account in [Some(1), Some(2), Some(9), None] {
        let again = Put {
            account: account.map(|number| address(number).inbox()),
            ..put(1, 1, 0, 1)
        };
        assert_eq!(store.put_parcel(again).await.unwrap(), Kept::Already);
    }
    let elsewhere = store.put_parcel(put(1, 2, 0, 1)).await.unwrap();
    assert_eq!(elsewhere, Kept::New);
    assert_eq!(usage(&store).await.parcels, 2);
}

async fn other_bytes_under_a_taken_number_change_nothing(store: AnyStore) {
    served(&store).await;
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
    for account in [Some(address(1).inbox()), None] {
        let other = Put {
            account,
            ..put(1, 1, 0, 2)
        };
        let refused = store.put_parcel(other).await;
        assert!(matches!(refused, Err(StoreError::OtherParcel)));
    }
    assert_eq!(parcels(&store, 1, START).await, [(0, 1)]);
}

async fn a_parcel_on_nobodys_account_is_not_kept(store: AnyStore) {
    served(&store).await;
    let nobodys = Put {
        account: None,
        ..put(1, 1, 0, 1)
    };
    let refused = store.put_parcel(nobodys).await;
    assert!(matches!(refused, Err(StoreError::NoAccount)));
    assert_eq!(usage(&store).await, Usage::default());
}

async fn an_inbox_that_is_not_served_takes_no_parcels(store: AnyStore) {
    let refused = store.put_parcel(put(1, 1, 0, 1)).await;
    assert!(matches!(refused, Err(StoreError::UnknownInbox)));
    assert_eq!(usage(&store).await, Usage::default());
}

async fn a_full_account_refuses_and_an_emptied_one_takes_again(store: AnyStore) {
    served(&store).await;
    for index in 0..5 {
        store.put_parcel(put(1, 1, index, index)).await.unwrap();
    }
    let refused = store.put_parcel(put(1, 2, 0, 9)).await;
    assert!(matches!(refused, Err(StoreError::ParcelsFull)));
    store.put_parcel(put(2, 2, 0, 9)).await.unwrap();
    assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 5);
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
}

async fn all_parcels_together_have_a_ceiling(store: AnyStore) {
    served(&store).await;
    for index in 0..7 {
        let account = if index < 4 { 1 } else { 2 };
        let kept = store.put_parcel(put(account, 1, index, index)).await;
        assert_eq!(kept.unwrap(), Kept::New);
    }
    let refused = store.put_parcel(put(1, 1, 7, 7)).await;
    assert!(matches!(refused, Err(StoreError::StoreFull)));
    let mail = store.deposit(deposit(holder(1), 1)).await.unwrap();
    assert_eq!(mail, Deposited::Stored, "mail has room of its own");
}

/// What becomes of many puts at once: more than share one sync, so that some are decided while others are written.
async fn put_all(store: &Arc<AnyStore>, puts: Vec<Put>) -> Vec<Result<Kept, StoreError>> {
    let mut tasks = JoinSet::new();
    for put in puts {
        let store = store.clone();
        tasks.spawn(async move { store.put_parcel(put).await });
    }
    tasks.join_all().await
}

fn new(told: &[Result<Kept, StoreError>]) -> usize {
    let new = told.iter().filter(|told| matches!(told, Ok(Kept::New)));
    new.count()
}

async fn concurrent_puts_keep_the_ceiling(store: AnyStore) {
    served(&store).await;
    let store = Arc::new(store);
    let puts = (0..50).map(|index| put(1, 1, index, index)).collect();
    assert_eq!(new(&put_all(&store, puts).await), 5);
    assert_eq!(parcels(&*store, 1, START).await.len(), 5);
}

async fn of_one_parcel_put_many_times_at_once_one_is_stored(store: AnyStore) {
    served(&store).await;
    let store = Arc::new(store);
    let told = put_all(&store, vec![put(1, 1, 0, 1); 50]).await;
    assert_eq!(new(&told), 1);
    assert!(told.iter().all(Result::is_ok));
    assert_eq!(parcels(&*store, 1, START).await, [(0, 1)]);
}

async fn of_many_parcels_put_in_one_place_at_once_one_is_stored(store: AnyStore) {
    served(&store).await;
    let store = Arc::new(store);
    let told = put_all(&store, (0..50).map(|n| put(1, 1, 0, n)).collect()).await;
    assert_eq!(new(&told), 1);
    let others = told
        .iter()
        .filter(|told| matches!(told, Err(StoreError::OtherParcel)));
    assert_eq!(others.count(), 49);
    assert_eq!(parcels(&*store, 1, START).await.len(), 1);
}

async fn puts_and_deposits_at_once_are_all_there(store: AnyStore) {
    served(&store).await;
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let store = store.clone();
        tasks.spawn(async move {
            if number < 5 {
                let kept = store.put_parcel(put(1, 1, number, number)).await;
                assert_eq!(kept.unwrap(), Kept::New);
            } else {
                store.deposit(deposit(inbox(1), number)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let held: Vec<_> = (0..5).map(|n| (n, n)).collect();
    assert_eq!(parcels(&*store, 1, START).await, held);
    let mail = waiting(&*store, inbox(1), Reader::Holder).await;
    assert_eq!(mail.len(), 55);
}

async fn deleting_takes_all_of_an_attachment_and_nothing_else(store: AnyStore) {
    served(&store).await;
    for (attachment, index) in [(1, 0), (1, 5), (2, 0), (1, 40)] {
        store
            .put_parcel(put(1, attachment, index, index))
            .await
            .unwrap();
    }
    assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 3);
    assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 0);
    assert!(parcels(&store, 1, START).await.is_empty());
    assert_eq!(parcels(&store, 2, START).await, [(0, 0)]);
    let again = store.put_parcel(put(1, 1, 0, 7)).await.unwrap();
    assert_eq!(again, Kept::New, "what was there is forgotten");
}

async fn a_parcel_is_kept_through_its_last_day(store: AnyStore) {
    served(&store).await;
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
    let last = Timestamp::from_seconds(31 * 86_400 - 1);
    assert_eq!(store.expire(last).await.unwrap(), 0);
    assert_eq!(parcels(&store, 1, last).await, [(0, 1)]);
    assert!(parcels(&store, 1, last.plus(1)).await.is_empty());
    let gone = store.parcel(namespace(1), 0, last.plus(1)).await.unwrap();
    assert!(gone.is_none());
    assert_eq!(store.expire(last.plus(1)).await.unwrap(), 1);
    assert!(parcels(&store, 1, last).await.is_empty());
    assert_eq!(usage(&store).await, Usage::default());
}

async fn a_parcel_that_has_expired_is_put_anew(store: AnyStore) {
    served(&store).await;
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
    let late = Timestamp::from_seconds(40 * 86_400);
    let again = Put {
        now: late,
        expires: late.plus(86_400),
        ..put(2, 1, 0, 2)
    };
    assert_eq!(store.put_parcel(again).await.unwrap(), Kept::New);
    assert_eq!(parcels(&store, 1, late).await, [(0, 2)]);
    assert_eq!(usage(&store).await.parcels, 1);
    store.expire(late).await.unwrap();
    assert_eq!(parcels(&store, 1, late).await, [(0, 2)]);
}

async fn a_removed_inbox_takes_the_parcels_on_its_account_along(store: AnyStore) {
    served(&store).await;
    store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
    store.put_parcel(put(2, 1, 1, 2)).await.unwrap();
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    let envelopes = store.remove_inbox(address(1)).await.unwrap();
    assert_eq!(envelopes, 1);
    assert_eq!(parcels(&store, 1, START).await, [(1, 2)]);
    store.allow_inbox(address(1)).await.unwrap();
    assert_eq!(usage(&store).await.parcels, 1);
}

async fn a_withdrawn_envelope_is_gone_and_another_is_not(store: AnyStore) {
    let unserved = store.withdraw(address(1).inbox(), withdraw(1)).await;
    assert!(matches!(unserved, Err(StoreError::UnknownInbox)));
    served(&store).await;
    for number in [1, 2] {
        store.deposit(deposit(inbox(1), number)).await.unwrap();
        store.deposit(deposit(inbox(2), number)).await.unwrap();
    }
    for gone in [true, false] {
        let withdrawn = store.withdraw(address(1).inbox(), withdraw(1)).await;
        assert_eq!(withdrawn.unwrap(), gone);
    }
    assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, [2]);
    assert_eq!(waiting(&store, inbox(2), Reader::Holder).await, [1, 2]);
    assert_eq!(usage(&store).await.inbox_envelopes, 3);
    let again = store.deposit(deposit(inbox(1), 1)).await.unwrap();
    assert_eq!(again, Deposited::Stored);
}

async fn what_every_device_removed_is_not_withdrawn(store: AnyStore) {
    served(&store).await;
    let roster = [device(1), device(2)];
    for number in [1, 2] {
        store.deposit(deposit(inbox(1), number)).await.unwrap();
    }
    for (me, number) in [(0, 1), (1, 1), (0, 2)] {
        let reader = Reader::Device {
            me: roster[me],
            roster: &roster,
        };
        let removed = store.remove(inbox(1), reader, &[digest(number)]).await;
        removed.unwrap();
    }
    for (number, gone) in [(1, false), (2, true)] {
        let withdrawn = store.withdraw(address(1).inbox(), withdraw(number)).await;
        assert_eq!(withdrawn.unwrap(), gone, "{number}");
    }
    assert_eq!(usage(&store).await, Usage::default());
}
