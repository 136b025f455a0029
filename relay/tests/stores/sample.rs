//! A small store with something of every kind in it, and what is left of it later.

use std::fs;
use std::path::{Path, PathBuf};

use valise_relay::store::{Cursor, Reader, Spool, SpoolConfig, Store, StoreError};

use super::*;

/// Ten envelopes in ten mailboxes over two segments, a card, an inbox with an envelope that one of two devices removed.
pub async fn sample(dir: &Path) {
    let store = Spool::open(witnessed(dir)).unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    store.put_card(address(1), vec![5; 1_000]).await.unwrap();
    for number in 1..=10 {
        store
            .deposit(deposit(holder(number), u32::from(number)))
            .await
            .unwrap();
    }
    store.deposit(deposit(inbox(1), 11)).await.unwrap();
    let roster = [device(1), device(2)];
    let first = Reader::Device {
        me: device(1),
        roster: &roster,
    };
    store.remove(inbox(1), first, &[digest(11)]).await.unwrap();
    store
        .remove(holder(10), Reader::Holder, &[digest(10)])
        .await
        .unwrap();
    store.close().await.unwrap();
}

/// The same things, but for the tenth envelope, in twelve segments of which each holds one: a sparse store.
pub async fn sparse_sample(dir: &Path) {
    let store = Spool::open(config(dir)).unwrap();
    let roster = [device(1), device(2)];
    let first = Reader::Device {
        me: device(1),
        roster: &roster,
    };
    for segment in 0..12 {
        match segment {
            0 => store.allow_inbox(address(1)).await.unwrap(),
            1 => store.put_card(address(1), vec![5; 1_000]).await.unwrap(),
            2 => {
                store.deposit(deposit(inbox(1), 11)).await.unwrap();
                store.remove(inbox(1), first, &[digest(11)]).await.unwrap();
            }
            _ => {
                let number = segment - 2;
                let kept = deposit(holder(number as u8), number);
                store.deposit(kept).await.unwrap();
            }
        }
        let fillers: Vec<u32> = (0..7).map(|n| 1_000 + segment * 10 + n).collect();
        for number in &fillers {
            store.deposit(deposit(holder(99), *number)).await.unwrap();
        }
        let digests: Vec<_> = fillers.iter().map(|number| digest(*number)).collect();
        store
            .remove(holder(99), Reader::Holder, &digests)
            .await
            .unwrap();
    }
    store.close().await.unwrap();
}

/// What can be read of a sample: how many of its items are missing; panics where one is altered.
pub async fn missing(store: &Spool) -> usize {
    let mut missing = 0;
    for number in 1..=9 {
        match store
            .next(holder(number), Reader::Holder, Cursor(0), START)
            .await
        {
            Ok(Some(found)) => assert_eq!(number_of(&found.envelope), u32::from(number)),
            Ok(None) | Err(StoreError::Damaged) => missing += 1,
            Err(error) => panic!("{error}"),
        }
    }
    if store.inboxes().await.unwrap().is_empty() {
        // The record that allowed it: the operator does so again, and what belongs to it is there.
        missing += 1;
        store.allow_inbox(address(1)).await.unwrap();
    }
    let card = store.card(address(1)).await;
    missing += usize::from(card.ok() != Some(Some(vec![5; 1_000])));
    let mail = store.next(inbox(1), Reader::Holder, Cursor(0), START).await;
    let whole = mail.is_ok_and(|mail| mail.is_some_and(|m| number_of(&m.envelope) == 11));
    missing + usize::from(!whole)
}

/// With its witness beside the segments, where [`copy`] takes it along.
pub fn witnessed(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        witness: Some(dir.join("witness")),
        ..config(dir)
    }
}

pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

pub fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .collect();
    files.sort();
    files
}
