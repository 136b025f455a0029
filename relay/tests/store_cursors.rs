//! Cursors of the spool: never given out twice, and what they tell.
#![allow(clippy::unwrap_used)]

mod stores;

use stores::*;
use valise_relay::store::{Cursor, Reader, Spool, SpoolConfig, Store};

/// Deposits, polls beyond what was polled before, and removes; returns the cursor.
async fn pass(store: &Spool, mailbox: u8, number: u32, after: Cursor) -> Cursor {
    store
        .deposit(deposit(holder(mailbox), number))
        .await
        .unwrap();
    let found = store
        .next(holder(mailbox), Reader::Holder, after, START)
        .await;
    let cursor = found.unwrap().unwrap().cursor;
    store
        .remove(holder(mailbox), Reader::Holder, &[digest(number)])
        .await
        .unwrap();
    cursor
}

#[test]
fn mailboxes_that_were_emptied_are_forgotten_when_there_are_too_many() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let config = SpoolConfig {
            empty_mailboxes: 4,
            ..config(&dir.path().join("s"))
        };
        let mut store = Spool::open(config.clone()).unwrap();
        let mut last = [Cursor(0); 5];
        let mut epochs = Vec::new();
        for round in 0..4 {
            for mailbox in 0..5_u8 {
                let at = usize::from(mailbox);
                let number = round * 100 + u32::from(mailbox);
                let cursor = pass(&store, mailbox, number, last[at]).await;
                assert!(cursor > last[at]);
                last[at] = cursor;
                epochs.push(cursor.0 >> 32);
            }
            if round == 2 {
                // What was given out last before a start is not given out after it either.
                store.close().await.unwrap();
                drop(store);
                store = Spool::open(config.clone()).unwrap();
            }
        }
        // Four may be remembered: the fifth that is empty makes them all forgotten.
        for round in epochs.chunks(5) {
            assert!(round.iter().all(|epoch| *epoch == round[0]), "{epochs:?}");
        }
        assert!(epochs.is_sorted() && epochs[0] < epochs[5] && epochs[5] < epochs[10]);
    });
}

#[test]
fn a_cursor_does_not_tell_between_which_rewraps_it_was_given_out() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Spool::open(config(dir.path())).unwrap();
        let mut last = pass(&store, 1, 0, Cursor(0)).await;
        for number in 1..4 {
            store.rewrap().await.unwrap();
            let cursor = pass(&store, 1, number, last).await;
            assert_eq!(cursor.0, last.0 + 1);
            last = cursor;
        }
        store.rewrap().await.unwrap();
        // A mailbox that is new now begins where one began before.
        let other = pass(&store, 2, 9, Cursor(0)).await;
        assert_eq!(other.0, last.0 - 3);
    });
}
