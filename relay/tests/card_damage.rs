//! A card that the disk has spoilt: the inbox takes a new one, and no mail is lost meanwhile.
#![allow(clippy::unwrap_used)]

mod common;
mod stores;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use common::house::*;
use common::{NOW, config};
use valise_protocol::wire::{Refusal, Request, Target};
use valise_relay::store::{Reader, Spool, Store};

/// Fills the first segment and begins the second.
async fn fill(store: &Spool) {
    for number in 0..8 {
        let filler = stores::deposit(stores::holder(99), number);
        store.deposit(filler).await.unwrap();
    }
}

/// Flips a bit in the extent of the third slot of the first segment, where the card lies.
fn flip(dir: &Path) {
    let path = dir.join("segment-0000000001");
    let options = fs::OpenOptions::new().read(true).write(true).open(path);
    let file = options.unwrap();
    let (mut byte, at) = ([0], 4_096 + 2 * 65_536 + 50);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

async fn damaged(store: &Spool) -> u64 {
    store.usage().await.unwrap().damaged
}

#[test]
fn a_damaged_card_is_counted_once_and_gives_way_to_the_next() {
    stores::runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Spool::open(stores::config(dir.path())).unwrap();
        store.allow_inbox(stores::address(9)).await.unwrap();
        let address = stores::address(1);
        store.allow_inbox(address).await.unwrap();
        store.put_card(address, vec![4; 900]).await.unwrap();
        fill(&store).await;
        flip(dir.path());
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(stores::config(dir.path())).unwrap();
        for _ in 0..3 {
            assert_eq!(store.card(address).await.unwrap(), None);
        }
        assert_eq!(damaged(&store).await, 1);
        store.put_card(address, vec![6; 900]).await.unwrap();
        assert_eq!(store.card(address).await.unwrap(), Some(vec![6; 900]));
        store.rewrap().await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(stores::config(dir.path())).unwrap();
        assert_eq!(store.card(address).await.unwrap(), Some(vec![6; 900]));
        assert_eq!(damaged(&store).await, 0);
    });
}

#[test]
fn a_card_that_comes_back_does_not_displace_its_successor() {
    stores::runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (stores::power::PowerDisk::new(), dir.path().join("s"));
        let open = || Spool::open_on(Box::new(disk.clone()), stores::config(&path)).unwrap();
        let address = stores::address(1);
        let store = open();
        store.allow_inbox(address).await.unwrap();
        for card in 1..=4 {
            store.put_card(address, vec![card; 900]).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let slot = 4 * 256;
        disk.spoil(&path.join("segment-0000000001"), slot..slot + 1);
        let store = open();
        assert_eq!(store.card(address).await.unwrap(), None);
        store.put_card(address, vec![6; 900]).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        disk.heal();
        let store = open();
        assert_eq!(store.card(address).await.unwrap(), Some(vec![6; 900]));
    });
}

#[test]
fn an_inbox_with_a_damaged_card_takes_a_new_one_and_keeps_its_mail() {
    stores::runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mechanism = Mechanism::new(2);
        let open = || async {
            let store = Arc::new(Spool::open(stores::config(dir.path())).unwrap());
            House::over(store, &config())
        };
        let house = open().await;
        let other = stores::address(9);
        house.store.allow_inbox(other).await.unwrap();
        house.serve(&mechanism).await;
        let inbox = mechanism.address.inbox();
        let mail = house
            .ask(&stranger(), deposit(Target::Inbox, inbox, 7))
            .await;
        assert_eq!(told(&mail), Ok("stored"));
        fill(&house.store).await;
        flip(dir.path());
        house.store.close().await.unwrap();
        drop(house);

        let house = open().await;
        let device = mechanism.key(0);
        let request = Request::Card {
            address: mechanism.address,
        };
        let card = house.ask(&stranger(), request).await;
        assert_eq!(told(&card), Err(Refusal::NoCard));
        // Without a card nobody can be told from a device: as before the first was published.
        let polled = house.ask(&device, poll(Target::Inbox, inbox)).await;
        assert_eq!(told(&polled), Err(Refusal::NotADevice));
        let mail = house
            .ask(&stranger(), deposit(Target::Inbox, inbox, 8))
            .await;
        assert_eq!(told(&mail), Ok("stored"));
        let card = mechanism.card(1, vec![mechanism.statement(0, 1, NOW)]);
        let published = house.ask(&device, publish(&card)).await;
        assert_eq!(told(&published), Ok("published"));
        for device in 0..2 {
            let polled = house
                .ask(&mechanism.key(device), poll(Target::Inbox, inbox))
                .await;
            assert_eq!(told(&polled), Ok("item"));
        }
        let usage = house.store.usage().await.unwrap();
        assert_eq!((usage.inbox_envelopes, usage.damaged), (2, 1));
        let all = stores::holder(99);
        let filler = stores::waiting(&*house.store, all, Reader::Holder).await;
        assert_eq!(filler.len(), 8);
    });
}
