//! How one suite is run over every store.

use std::future::Future;
use std::path::Path;

use valise_relay::store::{AnyStore, Ceilings, Memory, Spool, SpoolConfig, Store, Usage};

use super::{config, runtime};

/// Instantiates each property for each store.
#[allow(unused_macros)]
macro_rules! contract {
    ($($property:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $property() { super::with_memory(super::$property); })*
        }
        mod spool {
            $(#[test] fn $property() { super::with_spool(super::$property); })*
        }
    };
}
#[allow(unused_imports)]
pub(crate) use contract;

pub fn with_memory<F: Future<Output = ()>>(property: impl FnOnce(AnyStore) -> F) {
    runtime().block_on(property(AnyStore::Memory(Memory::new(TIGHT))));
}

pub fn with_spool<F: Future<Output = ()>>(property: impl FnOnce(AnyStore) -> F) {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(property(AnyStore::Spool(open(dir.path()))));
}

pub fn open(dir: &Path) -> Spool {
    let config = SpoolConfig {
        ceilings: TIGHT,
        ..config(&dir.join("store"))
    };
    Spool::open(config).unwrap()
}

/// Ceilings that tests reach.
pub const TIGHT: Ceilings = Ceilings {
    inbox_envelopes: 120,
    return_envelopes: 4,
    all_return_envelopes: 6,
    all_envelopes: 1_000,
    inbox_parcels: 5,
    all_parcels: 7,
};

/// Totals that do not depend on the store.
pub async fn usage(store: &impl Store) -> Usage {
    Usage {
        disk_bytes: 0,
        ..store.usage().await.unwrap()
    }
}
