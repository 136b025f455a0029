//! Random histories: the spool answers as the model does, whatever happens to it, and across restarts.
#![allow(clippy::unwrap_used)]

mod stores;

use std::path::Path;

use proptest::prelude::*;
use stores::contract::*;
use stores::*;
use valise_protocol::time::Timestamp;
use valise_relay::store::{Deposit, Mailbox, Memory, Put, Reader, Spool, Store};

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Deposit {
        mailbox: Mailbox,
        number: u32,
        withdraw: u32,
        day: u64,
    },
    Collect {
        mailbox: Mailbox,
        number: u32,
    },
    CollectAs {
        inbox: u8,
        number: u32,
        me: u8,
        roster: u8,
    },
    Settle {
        inbox: u8,
        roster: u8,
    },
    Expire {
        day: u64,
    },
    Put {
        account: Option<u8>,
        attachment: u8,
        index: u32,
        number: u32,
        now: u64,
        day: u64,
    },
    DeleteParcels(u8),
    Withdraw {
        inbox: u8,
        withdraw: u32,
    },
    Allow(u8),
    RemoveInbox(u8),
    AllowReader(u8),
    RemoveReader(u8),
    PutCard(u8, u8),
    Rewrap,
    /// In order, or as if killed.
    Restart {
        close: bool,
    },
}

fn mailboxes() -> impl Strategy<Value = Mailbox> {
    prop_oneof![(1..3u8).prop_map(inbox), (1..3u8).prop_map(holder)]
}

fn puts() -> impl Strategy<Value = Step> {
    let account = prop::option::weighted(0.9, 1..3u8);
    let which = (1..3u8, 0..4u32, 0..2u32);
    (account, which, 0..3u64, 1..4u64).prop_map(|(account, which, now, day)| {
        let (attachment, index, number) = which;
        Step::Put {
            account,
            attachment,
            index,
            number,
            now,
            day,
        }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (mailboxes(), 0..12u32, 0..9u32, 1..4u64).prop_map(|(mailbox, number, withdraw, day)| {
            Step::Deposit { mailbox, number, withdraw, day }
        }),
        3 => (mailboxes(), 0..12u32).prop_map(|(mailbox, number)| Step::Collect { mailbox, number }),
        4 => (1..3u8, 0..12u32, 1..4u8, 1..4u8)
            .prop_map(|(inbox, number, me, roster)| Step::CollectAs { inbox, number, me, roster }),
        1 => (1..3u8, 0..4u8).prop_map(|(inbox, roster)| Step::Settle { inbox, roster }),
        1 => (0..5u64).prop_map(|day| Step::Expire { day }),
        6 => puts(),
        1 => (1..3u8).prop_map(Step::DeleteParcels),
        1 => (1..3u8, 0..9u32).prop_map(|(inbox, withdraw)| Step::Withdraw { inbox, withdraw }),
        2 => (1..3u8).prop_map(Step::Allow),
        1 => (1..3u8).prop_map(Step::RemoveInbox),
        1 => (1..3u8).prop_map(Step::AllowReader),
        1 => (1..3u8).prop_map(Step::RemoveReader),
        1 => (1..3u8, any::<u8>()).prop_map(|(inbox, card)| Step::PutCard(inbox, card)),
        1 => Just(Step::Rewrap),
        1 => any::<bool>().prop_map(|close| Step::Restart { close }),
    ]
}

/// What a step answers, in a form that can be compared.
async fn take(store: &impl Store, step: &Step) -> String {
    match step.clone() {
        Step::Deposit {
            mailbox,
            number,
            withdraw: hash,
            day,
        } => {
            let expires = Timestamp::from_seconds(day * 86_400);
            let deposit = Deposit {
                withdraw: withdraw(hash),
                expires,
                ..deposit(mailbox, number)
            };
            format!("{:?}", store.deposit(deposit).await)
        }
        Step::Collect { mailbox, number } => {
            format!(
                "{:?}",
                store
                    .remove(mailbox, Reader::Holder, &[digest(number)])
                    .await
            )
        }
        Step::CollectAs {
            inbox: number,
            number: envelope,
            me,
            roster,
        } => {
            let roster: Vec<_> = (1..=roster.max(me)).map(device).collect();
            let reader = Reader::Device {
                me: device(me),
                roster: &roster,
            };
            format!(
                "{:?}",
                store
                    .remove(inbox(number), reader, &[digest(envelope)])
                    .await
            )
        }
        Step::Settle { inbox, roster } => {
            let roster: Vec<_> = (1..=roster).map(device).collect();
            format!("{:?}", store.settle(address(inbox).inbox(), &roster).await)
        }
        Step::Expire { day } => {
            format!(
                "{:?}",
                store.expire(Timestamp::from_seconds(day * 86_400)).await
            )
        }
        Step::Put {
            account,
            attachment,
            index,
            number,
            now,
            day,
        } => {
            let put = Put {
                account: account.map(|number| address(number).inbox()),
                now: Timestamp::from_seconds(now * 86_400),
                expires: Timestamp::from_seconds(day * 86_400),
                ..put(1, attachment, index, number)
            };
            format!("{:?}", store.put_parcel(put).await)
        }
        Step::DeleteParcels(attachment) => {
            format!("{:?}", store.delete_parcels(namespace(attachment)).await)
        }
        Step::Withdraw {
            inbox,
            withdraw: hash,
        } => {
            let withdrawn = store.withdraw(address(inbox).inbox(), withdraw(hash)).await;
            format!("{withdrawn:?}")
        }
        Step::Allow(inbox) => format!("{:?}", store.allow_inbox(address(inbox)).await),
        Step::RemoveInbox(inbox) => format!("{:?}", store.remove_inbox(address(inbox)).await),
        Step::AllowReader(reader) => format!("{:?}", store.allow_reader(address(reader)).await),
        Step::RemoveReader(reader) => format!("{:?}", store.remove_reader(address(reader)).await),
        Step::PutCard(inbox, card) => {
            format!("{:?}", store.put_card(address(inbox), vec![card; 50]).await)
        }
        Step::Rewrap | Step::Restart { .. } => String::new(),
    }
}

/// Everything that can be seen of a store.
async fn picture(store: &impl Store) -> String {
    let mut seen = format!("{:?}", store.inboxes().await);
    seen += &format!("{:?}", store.readers().await);
    let roster = [device(1), device(2), device(3)];
    let readers = roster.map(|me| Reader::Device {
        me,
        roster: &roster,
    });
    for mailbox in [inbox(1), inbox(2), holder(1), holder(2)] {
        for reader in readers.into_iter().chain([Reader::Holder]) {
            seen += &format!("{mailbox:?} {:?}", waiting(store, mailbox, reader).await);
        }
    }
    for number in [1, 2] {
        seen += &format!("{:?}", store.card(address(number)).await);
        for day in [0, 2] {
            let now = Timestamp::from_seconds(day * 86_400);
            seen += &format!("{:?}", parcels(store, number, now).await);
        }
    }
    seen + &format!("{:?}", usage(store).await)
}

async fn compare(history: &[Step]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let model = Memory::new(TIGHT);
    let mut spool = open(dir.path());
    for step in history {
        prop_assert_eq!(
            take(&model, step).await,
            take(&spool, step).await,
            "{:?}",
            step
        );
        match step {
            Step::Rewrap => spool.rewrap().await.unwrap(),
            Step::Restart { close } => {
                if *close {
                    spool.close().await.unwrap();
                }
                spool = reopen(spool, dir.path()).await;
            }
            _ => {}
        }
    }
    prop_assert_eq!(picture(&model).await, picture(&spool).await);
    spool = reopen(spool, dir.path()).await;
    prop_assert_eq!(picture(&model).await, picture(&spool).await);
    Ok(())
}

async fn reopen(spool: Spool, dir: &Path) -> Spool {
    // The writer gives the lock free when it is done.
    let _ = spool.close().await;
    drop(spool);
    open(dir)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if long() { 1_000 } else { 24 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_spool_answers_as_the_model_does(history in prop::collection::vec(steps(), 1..60)) {
        runtime().block_on(compare(&history))?;
    }
}
