//! What every store promises of mail: one suite, run over the model in memory and over the spool.
#![allow(clippy::unwrap_used)]

mod stores;

use stores::contract::*;
use stores::*;
use valise_protocol::time::Timestamp;
use valise_relay::store::{
    AnyStore, Cursor, Deposit, Deposited, MORE, Reader, Store, StoreError, Target, Usage,
};

contract![
    a_deposit_is_read_back_whole_and_in_order,
    the_same_envelope_is_stored_once,
    the_same_withdraw_hash_replaces_and_moves_to_the_end,
    a_deposit_in_the_sink_is_kept_nowhere,
    an_inbox_that_is_not_served_takes_nothing,
    a_full_mailbox_refuses_and_an_emptied_one_takes_again,
    return_mailboxes_together_have_a_ceiling,
    a_replacement_needs_no_room,
    concurrent_deposits_keep_the_ceiling,
    of_one_envelope_deposited_many_times_at_once_one_is_stored,
    of_many_replacements_at_once_one_is_left,
    each_device_removes_for_itself_and_the_last_for_all,
    a_roster_that_shrinks_settles_what_the_others_removed,
    an_unknown_or_foreign_digest_is_passed_over,
    removing_twice_is_no_error,
    an_envelope_is_kept_through_its_last_day,
    an_arrival_before_the_wait_is_awaited_is_not_lost,
    a_cursor_is_never_given_twice,
    more_stops_counting_at_its_ceiling,
    the_newest_card_counts,
    a_removed_inbox_takes_card_and_mail_along,
];

async fn a_deposit_is_read_back_whole_and_in_order(store: AnyStore) {
    for number in [3, 1, 2] {
        let outcome = store.deposit(deposit(holder(1), number)).await.unwrap();
        assert_eq!(outcome, Deposited::Stored);
    }
    assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [3, 1, 2]);
    assert_eq!(waiting(&store, holder(2), Reader::Holder).await, []);
    let first = store
        .next(holder(1), Reader::Holder, Cursor(0), START)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.more, 2);
}

async fn the_same_envelope_is_stored_once(store: AnyStore) {
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    let again = Deposit {
        withdraw: withdraw(9),
        ..deposit(holder(1), 1)
    };
    assert_eq!(
        store.deposit(again).await.unwrap(),
        Deposited::AlreadyStored
    );
    let elsewhere = store.deposit(deposit(holder(2), 1)).await.unwrap();
    assert_eq!(elsewhere, Deposited::Stored);
    assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [1]);
}

async fn the_same_withdraw_hash_replaces_and_moves_to_the_end(store: AnyStore) {
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    store.deposit(deposit(holder(1), 2)).await.unwrap();
    let newer = Deposit {
        withdraw: withdraw(1),
        ..deposit(holder(1), 3)
    };
    assert_eq!(
        store.deposit(newer.clone()).await.unwrap(),
        Deposited::Replaced
    );
    assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [2, 3]);
    assert_eq!(
        store.deposit(newer).await.unwrap(),
        Deposited::AlreadyStored
    );
    assert_eq!(usage(&store).await.return_envelopes, 2);
}

async fn a_deposit_in_the_sink_is_kept_nowhere(store: AnyStore) {
    let sunk = Deposit {
        target: Target::Sink,
        ..deposit(holder(1), 1)
    };
    for _ in 0..3 {
        assert_eq!(
            store.deposit(sunk.clone()).await.unwrap(),
            Deposited::Stored
        );
    }
    assert_eq!(waiting(&store, holder(1), Reader::Holder).await, []);
    assert_eq!(usage(&store).await, Usage::default());
}

async fn an_inbox_that_is_not_served_takes_nothing(store: AnyStore) {
    let refused = store.deposit(deposit(inbox(1), 1)).await;
    assert!(matches!(refused, Err(StoreError::UnknownInbox)));
    assert!(matches!(
        store.card(address(1)).await,
        Err(StoreError::UnknownInbox)
    ));
    let card = store.put_card(address(1), vec![1]).await;
    assert!(matches!(card, Err(StoreError::UnknownInbox)));
    store.allow_inbox(address(1)).await.unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, []);
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    assert_eq!(store.inboxes().await.unwrap(), [(address(1), 1)]);
}

async fn a_full_mailbox_refuses_and_an_emptied_one_takes_again(store: AnyStore) {
    for number in 0..4 {
        store.deposit(deposit(holder(1), number)).await.unwrap();
    }
    let refused = store.deposit(deposit(holder(1), 4)).await;
    assert!(matches!(refused, Err(StoreError::MailboxFull)));
    store
        .remove(holder(1), Reader::Holder, &[digest(2)])
        .await
        .unwrap();
    store.deposit(deposit(holder(1), 4)).await.unwrap();
    assert_eq!(
        waiting(&store, holder(1), Reader::Holder).await,
        [0, 1, 3, 4]
    );
}

async fn return_mailboxes_together_have_a_ceiling(store: AnyStore) {
    store.allow_inbox(address(1)).await.unwrap();
    for number in 0..6 {
        store
            .deposit(deposit(holder(number), u32::from(number)))
            .await
            .unwrap();
    }
    let refused = store.deposit(deposit(holder(9), 9)).await;
    assert!(matches!(refused, Err(StoreError::StoreFull)));
    store.deposit(deposit(inbox(1), 9)).await.unwrap();
}

async fn a_replacement_needs_no_room(store: AnyStore) {
    for number in 0..4 {
        store.deposit(deposit(holder(1), number)).await.unwrap();
    }
    let newer = Deposit {
        withdraw: withdraw(0),
        ..deposit(holder(1), 9)
    };
    assert_eq!(store.deposit(newer).await.unwrap(), Deposited::Replaced);
}

async fn concurrent_deposits_keep_the_ceiling(store: AnyStore) {
    let store = std::sync::Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        tasks.spawn(async move { store.deposit(deposit(holder(1), number)).await.is_ok() });
    }
    let stored = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|stored| *stored)
        .count();
    assert_eq!(stored, 4);
    assert_eq!(waiting(&*store, holder(1), Reader::Holder).await.len(), 4);
}

/// What becomes of many deposits at once: more than share one sync, so that some are decided while others are written.
async fn deposit_all(store: &std::sync::Arc<AnyStore>, deposits: Vec<Deposit>) -> Vec<Deposited> {
    let mut tasks = tokio::task::JoinSet::new();
    for deposit in deposits {
        let store = store.clone();
        tasks.spawn(async move { store.deposit(deposit).await.unwrap() });
    }
    tasks.join_all().await
}

async fn of_one_envelope_deposited_many_times_at_once_one_is_stored(store: AnyStore) {
    let store = std::sync::Arc::new(store);
    let same = |number| Deposit {
        withdraw: withdraw(number),
        ..deposit(holder(1), 1)
    };
    let told = deposit_all(&store, (0..200).map(same).collect()).await;
    let stored = told.iter().filter(|told| **told == Deposited::Stored);
    assert_eq!(stored.count(), 1);
    assert_eq!(waiting(&*store, holder(1), Reader::Holder).await, [1]);
    assert_eq!(usage(&*store).await.return_envelopes, 1);
}

async fn of_many_replacements_at_once_one_is_left(store: AnyStore) {
    let store = std::sync::Arc::new(store);
    let newer = |number| Deposit {
        withdraw: withdraw(1),
        ..deposit(holder(1), number)
    };
    let told = deposit_all(&store, (0..200).map(newer).collect()).await;
    let stored = told.iter().filter(|told| **told == Deposited::Stored);
    assert_eq!(stored.count(), 1);
    assert_eq!(waiting(&*store, holder(1), Reader::Holder).await.len(), 1);
    assert_eq!(usage(&*store).await.return_envelopes, 1);
}

async fn each_device_removes_for_itself_and_the_last_for_all(store: AnyStore) {
    let roster = [device(1), device(2)];
    let [first, second] = roster.map(|me| Reader::Device {
        me,
        roster: &roster,
    });
    store.allow_inbox(address(1)).await.unwrap();
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    store.deposit(deposit(inbox(1), 2)).await.unwrap();
    store.remove(inbox(1), first, &[digest(1)]).await.unwrap();
    assert_eq!(waiting(&store, inbox(1), first).await, [2]);
    assert_eq!(waiting(&store, inbox(1), second).await, [1, 2]);
    assert_eq!(usage(&store).await.inbox_envelopes, 2);
    store
        .remove(inbox(1), second, &[digest(1), digest(2)])
        .await
        .unwrap();
    assert_eq!(waiting(&store, inbox(1), first).await, [2]);
    assert_eq!(usage(&store).await.inbox_envelopes, 1);
}

async fn a_roster_that_shrinks_settles_what_the_others_removed(store: AnyStore) {
    let roster = [device(1), device(2)];
    let first = Reader::Device {
        me: device(1),
        roster: &roster,
    };
    store.allow_inbox(address(1)).await.unwrap();
    store.deposit(deposit(inbox(1), 1)).await.unwrap();
    store.deposit(deposit(inbox(1), 2)).await.unwrap();
    store.remove(inbox(1), first, &[digest(1)]).await.unwrap();
    store.settle(address(1).inbox(), &roster).await.unwrap();
    store.settle(address(1).inbox(), &[]).await.unwrap();
    assert_eq!(usage(&store).await.inbox_envelopes, 2);
    store
        .settle(address(1).inbox(), &roster[..1])
        .await
        .unwrap();
    assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, [2]);
}

async fn an_unknown_or_foreign_digest_is_passed_over(store: AnyStore) {
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    store
        .remove(holder(2), Reader::Holder, &[digest(1), digest(7)])
        .await
        .unwrap();
    store
        .remove(inbox(1), Reader::Holder, &[digest(1)])
        .await
        .unwrap();
    assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [1]);
}

async fn removing_twice_is_no_error(store: AnyStore) {
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    for _ in 0..2 {
        store
            .remove(holder(1), Reader::Holder, &[digest(1), digest(1)])
            .await
            .unwrap();
    }
    assert_eq!(usage(&store).await, Usage::default());
    let again = store.deposit(deposit(holder(1), 1)).await.unwrap();
    assert_eq!(again, Deposited::Stored);
}

async fn an_envelope_is_kept_through_its_last_day(store: AnyStore) {
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    let last = Timestamp::from_seconds(31 * 86_400 - 1);
    let look = async |now| {
        store
            .next(holder(1), Reader::Holder, Cursor(0), now)
            .await
            .unwrap()
    };
    assert_eq!(store.expire(last).await.unwrap(), 0);
    assert!(look(last).await.is_some());
    assert!(look(last.plus(1)).await.is_none());
    assert_eq!(store.expire(last.plus(1)).await.unwrap(), 1);
    assert!(look(last).await.is_none());
}

async fn an_arrival_before_the_wait_is_awaited_is_not_lost(store: AnyStore) {
    let arrival = store.arrival(holder(1));
    store.deposit(deposit(holder(1), 1)).await.unwrap();
    let limit = std::time::Duration::from_secs(5);
    tokio::time::timeout(limit, arrival)
        .await
        .expect("it has arrived");
}

async fn a_cursor_is_never_given_twice(store: AnyStore) {
    let mut last = Cursor(0);
    for number in 0..6 {
        store.deposit(deposit(holder(1), number)).await.unwrap();
        let found = store
            .next(holder(1), Reader::Holder, last, START)
            .await
            .unwrap();
        last = found.expect("it lies beyond all that were before").cursor;
        store
            .remove(holder(1), Reader::Holder, &[digest(number)])
            .await
            .unwrap();
    }
}

async fn more_stops_counting_at_its_ceiling(store: AnyStore) {
    store.allow_inbox(address(1)).await.unwrap();
    for number in 0..MORE + 3 {
        store.deposit(deposit(inbox(1), number)).await.unwrap();
    }
    for (after, more) in [(0, MORE), (1, MORE), (2, MORE), (3, MORE - 1)] {
        let mut cursor = Cursor(0);
        for _ in 0..after {
            let found = store
                .next(inbox(1), Reader::Holder, cursor, START)
                .await
                .unwrap();
            cursor = found.unwrap().cursor;
        }
        let found = store
            .next(inbox(1), Reader::Holder, cursor, START)
            .await
            .unwrap();
        assert_eq!(found.unwrap().more, more, "{after}");
    }
}

async fn the_newest_card_counts(store: AnyStore) {
    store.allow_inbox(address(1)).await.unwrap();
    assert_eq!(store.card(address(1)).await.unwrap(), None);
    for length in [3, 32_768, 100] {
        store.put_card(address(1), vec![7; length]).await.unwrap();
        assert_eq!(store.card(address(1)).await.unwrap(), Some(vec![7; length]));
    }
}

async fn a_removed_inbox_takes_card_and_mail_along(store: AnyStore) {
    for number in [1, 2] {
        store.allow_inbox(address(number)).await.unwrap();
        store.put_card(address(number), vec![number]).await.unwrap();
        store.deposit(deposit(inbox(number), 1)).await.unwrap();
    }
    assert_eq!(store.remove_inbox(address(1)).await.unwrap(), 1);
    assert_eq!(store.remove_inbox(address(1)).await.unwrap(), 0);
    assert_eq!(store.inboxes().await.unwrap(), [(address(2), 1)]);
    store.allow_inbox(address(1)).await.unwrap();
    assert_eq!(store.card(address(1)).await.unwrap(), None);
    assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, []);
    assert_eq!(waiting(&store, inbox(2), Reader::Holder).await, [1]);
}
