//! What is asked for by anybody holds nobody up: removals of what never was, while a load is on its way to a slow disk.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs::File;
use std::future::{Future, ready};
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use stores::*;
use tokio::time::timeout;
use valise_protocol::wire::Kept;
use valise_relay::store::{Deposited, Disk, Reader, Spool, Store, SystemDisk};

/// A disk whose syncs can be held; clones are the same disk.
#[derive(Clone, Default)]
struct HeldDisk(Arc<(Mutex<Held>, Condvar)>);

#[derive(Default)]
struct Held {
    held: bool,
    waiting: bool,
}

impl HeldDisk {
    fn hold(&self, held: bool) {
        self.0.0.lock().unwrap().held = held;
        self.0.1.notify_all();
    }

    /// Blocks until a sync is held.
    fn wait(&self) {
        let held = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(held, |held| !held.waiting).unwrap());
    }
}

impl Disk for HeldDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        let mut held = self.0.0.lock().unwrap();
        while held.held {
            held.waiting = true;
            self.0.1.notify_all();
            held = self.0.1.wait(held).unwrap();
        }
        held.waiting = false;
        drop(held);
        SystemDisk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        SystemDisk.free(dir)
    }
}

/// Hands a request to the writer, and does not wait for the answer.
async fn ask<T>(mut request: Pin<&mut impl Future<Output = T>>) {
    tokio::select! {
        biased;
        _ = &mut request => panic!("it was answered before it could be"),
        () = ready(()) => (),
    }
}

#[test]
fn a_removal_of_what_is_nowhere_does_not_wait_for_the_disk_and_one_of_what_is_coming_does() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let disk = HeldDisk::default();
        let store = Spool::open_on(Box::new(disk.clone()), config(dir.path())).unwrap();
        store.allow_inbox(address(1)).await.unwrap();
        store.put_parcel(put(1, 1, 0, 1)).await.unwrap();
        let inbox_id = address(1).inbox();

        disk.hold(true);
        let mut aloft = pin!(store.put_parcel(put(1, 2, 0, 2)));
        ask(aloft.as_mut()).await;
        disk.wait();
        let mut boarding = pin!(store.deposit(deposit(inbox(1), 3)));
        ask(boarding.as_mut()).await;

        let nowhere = async {
            assert_eq!(store.delete_parcels(namespace(9)).await.unwrap(), 0);
            assert!(!store.withdraw(inbox_id, withdraw(9)).await.unwrap());
            let digests = [digest(9)];
            let removed = store.remove(holder(9), Reader::Holder, &digests);
            removed.await.unwrap();
        };
        let answered = timeout(Duration::from_secs(10), nowhere).await;
        // Released before anything is asserted: a store that waits for the disk could not be dropped.
        let mut deleted = pin!(store.delete_parcels(namespace(2)));
        ask(deleted.as_mut()).await;
        let mut withdrawn = pin!(store.withdraw(inbox_id, withdraw(3)));
        ask(withdrawn.as_mut()).await;
        disk.hold(false);
        answered.expect("nothing is there that it could wait for");
        assert_eq!(aloft.await.unwrap(), Kept::New);
        assert_eq!(boarding.await.unwrap(), Deposited::Stored);
        assert_eq!(deleted.await.unwrap(), 1);
        assert!(withdrawn.await.unwrap());
        assert_eq!(parcels(&store, 1, START).await, [(0, 1)]);
        store.close().await.unwrap();
    });
}
