//! Power cuts in the middle of everything that a spool does: what was acknowledged is there, and what was not is there whole
//! or not at all.
#![allow(clippy::unwrap_used)]

mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stores::power::PowerDisk;
use stores::*;
use valise_relay::store::{
    Cursor, Deposit, DeviceTag, Disk, Mailbox, Reader, Spool, SpoolConfig, Store, StoreError,
};

/// What clients know of each thing they work on: how far it was acknowledged to have come, and how far it may have come. The
/// oracle of every test of loss.
#[derive(Default, Clone)]
struct Journal {
    acked: BTreeMap<u32, u32>,
    begun: BTreeMap<u32, u32>,
}

/// The journal that all clients write.
#[derive(Default, Clone)]
struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    fn begin(&self, thing: u32, stage: u32) {
        self.0.lock().unwrap().begun.insert(thing, stage);
    }

    fn end(&self, thing: u32, stage: u32) {
        self.0.lock().unwrap().acked.insert(thing, stage);
    }

    fn now(&self) -> Journal {
        self.0.lock().unwrap().clone()
    }

    /// One step of a client, in the journal before and after.
    async fn step<T>(
        &self,
        thing: u32,
        stage: u32,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<()> {
        self.begin(thing, stage);
        change.await.ok()?;
        self.end(thing, stage);
        Some(())
    }
}

/// How long clients go on.
#[derive(Clone)]
struct Effort {
    /// They do this many rounds at least.
    least: u32,
    /// Nobody waits for them to do more.
    enough: Arc<AtomicBool>,
}

impl Effort {
    /// The numbers of the rounds of a client who does one where others do `share`.
    fn rounds(&self, share: u32) -> impl Iterator<Item = u32> {
        let Self { least, enough } = self.clone();
        let goes_on = move |round: &u32| *round < least / share || !enough.load(Ordering::Relaxed);
        (0..MOST_ROUNDS / share).take_while(goes_on)
    }
}

/// The stages of an envelope.
const STORED: u32 = 1;
/// In a return mailbox: replaced. In the inbox: removed by the first of two devices.
const HALFWAY: u32 = 2;
const GONE: u32 = 3;
/// The card of the first inbox: its stage is its number.
const CARD: u32 = 90_000;
/// The second inbox: allowed, filled, removed, again and again.
const SECOND: u32 = 90_001;
/// The number of what replaces an envelope is higher by this.
const REPLACEMENT: u32 = 500;

/// Deposits into a return mailbox, replaces every fourth and removes every third.
async fn defend(store: &Spool, journal: &Shared, client: u32, effort: &Effort) -> Option<()> {
    let mailbox = holder(client as u8 + 1);
    for number in effort.rounds(1).map(|n| client * 1_000 + n) {
        let first = deposit(mailbox, number);
        journal.step(number, STORED, store.deposit(first)).await?;
        let mut last = number;
        if number % 4 == 1 {
            last += REPLACEMENT;
            let second = Deposit {
                withdraw: withdraw(number),
                ..deposit(mailbox, last)
            };
            journal.step(number, HALFWAY, store.deposit(second)).await?;
        }
        if number % 3 == 0 {
            let mine = [digest(last)];
            let removal = store.remove(mailbox, Reader::Holder, &mine);
            journal.step(number, GONE, removal).await?;
        }
    }
    Some(())
}

fn roster() -> [DeviceTag; 2] {
    [device(1), device(2)]
}

/// Two devices of an inbox remove what comes in, one after the other, and publish cards.
async fn receive(store: &Spool, journal: &Shared, effort: &Effort) -> Option<()> {
    let roster = roster();
    for number in effort.rounds(1).map(|n| MAIL + n) {
        let card = number - MAIL + 1;
        let publish = store.put_card(address(1), vec![card as u8; 2_000]);
        journal.step(CARD, card, publish).await?;
        let incoming = store.deposit(deposit(inbox(1), number));
        journal.step(number, STORED, incoming).await?;
        for (me, stage) in [(0, HALFWAY), (1, GONE)] {
            let reader = Reader::Device {
                me: roster[me],
                roster: &roster,
            };
            if number % 4 >= stage {
                let mine = [digest(number)];
                let removal = store.remove(inbox(1), reader, &mine);
                journal.step(number, stage, removal).await?;
            }
        }
    }
    Some(())
}

/// The operator allows an inbox and removes it again, with its mail.
async fn operate(store: &Spool, journal: &Shared, effort: &Effort) -> Option<()> {
    for round in effort.rounds(2) {
        let (served, number) = (address(2), OTHER + round);
        let allow = store.allow_inbox(served);
        journal.step(SECOND, 3 * round + 1, allow).await?;
        let incoming = store.deposit(deposit(inbox(2), number));
        journal.step(SECOND, 3 * round + 2, incoming).await?;
        let removal = store.remove_inbox(served);
        journal.step(SECOND, 3 * round + 3, removal).await?;
    }
    Some(())
}

/// Puts the parcels of attachments, one after the other, and deletes every other attachment.
async fn carry(store: &Spool, journal: &Shared, client: u32, effort: &Effort) -> Option<()> {
    for round in effort.rounds(4) {
        let (attachment, thing) = attachment(client, round);
        for (index, stage) in [(0, STORED), (1, HALFWAY)] {
            let kept = store.put_parcel(put(1, attachment, index, thing + index));
            journal.step(thing, stage, kept).await?;
        }
        if round % 2 == 0 {
            let deleted = store.delete_parcels(namespace(attachment));
            journal.step(thing, GONE, deleted).await?;
        }
    }
    Some(())
}

fn attachment(client: u32, round: u32) -> (u8, u32) {
    let attachment = client * ATTACHMENTS + round;
    (attachment as u8, FILES + 2 * attachment)
}

/// Who works.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Everybody,
    Carriers,
}

/// Everybody at once, until the store closes or all is done; and a rewrap now and then.
async fn work(store: &Arc<Spool>, journal: &Shared, who: Who, effort: &Effort) {
    if store.allow_inbox(address(1)).await.is_err() {
        return;
    }
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CARRIERS {
        let (store, journal, effort) = (store.clone(), journal.clone(), effort.clone());
        clients.spawn(async move { carry(&store, &journal, client, &effort).await });
    }
    let others = match who {
        Who::Everybody => CLIENTS + 3,
        Who::Carriers => 0,
    };
    for client in 0..others {
        let (store, journal, effort) = (store.clone(), journal.clone(), effort.clone());
        clients.spawn(async move {
            match client.checked_sub(CLIENTS) {
                None => defend(&store, &journal, client, &effort).await,
                Some(0) => receive(&store, &journal, &effort).await,
                Some(1) => operate(&store, &journal, &effort).await,
                _ => {
                    for _ in effort.rounds(6) {
                        store.rewrap().await.ok()?;
                    }
                    Some(())
                }
            }
        });
    }
    clients.join_all().await;
}

/// The numbers that a reader gets; `None` where a poll meets damage, which no power cut may leave.
async fn read(store: &Spool, mailbox: Mailbox, reader: Reader<'_>) -> Option<Vec<u32>> {
    let (mut found, mut cursor) = (Vec::new(), Cursor(0));
    loop {
        match store.next(mailbox, reader, cursor, START).await {
            Ok(Some(waiting)) => {
                cursor = waiting.cursor;
                found.push(number_of(&waiting.envelope));
            }
            Ok(None) => break,
            Err(StoreError::Damaged) => return None,
            Err(error) => panic!("{error}"),
        }
    }
    let once: BTreeSet<u32> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "an envelope came twice");
    Some(found)
}

/// At which stages each thing may be, by what can be read.
async fn stages(store: &Spool, things: &Journal) -> Option<BTreeMap<u32, Vec<u32>>> {
    let mut found: BTreeMap<u32, Vec<u32>> =
        things.begun.keys().map(|n| (*n, vec![0, GONE])).collect();
    for client in 0..CLIENTS {
        for number in read(store, holder(client as u8 + 1), Reader::Holder).await? {
            let first = number % 1_000 < REPLACEMENT;
            let thing = if first { number } else { number - REPLACEMENT };
            let stage = if first { STORED } else { HALFWAY };
            let before = found.insert(thing, vec![stage]);
            assert_ne!(before, Some(vec![STORED]), "both are there");
        }
    }
    let roster = roster();
    let [first, second] = roster.map(|me| Reader::Device {
        me,
        roster: &roster,
    });
    let first = read(store, inbox(1), first).await?;
    for number in read(store, inbox(1), second).await? {
        let stage = if first.contains(&number) {
            STORED
        } else {
            HALFWAY
        };
        found.insert(number, vec![stage]);
    }
    if things.begun.contains_key(&CARD) {
        // Where the inbox itself is not there yet, nor anything in it, that is no card either.
        let card = store.card(address(1)).await.ok().flatten();
        found.insert(CARD, vec![card.map_or(0, |card| card[0].into())]);
    }
    for (client, round) in
        (0..CARRIERS).flat_map(|client| (0..ATTACHMENTS).map(move |n| (client, n)))
    {
        let (attachment, thing) = attachment(client, round);
        match try_parcels(store, attachment, START).await?[..] {
            [] => None,
            [(0, first)] if first == thing => found.insert(thing, vec![STORED]),
            [(0, first), (1, second)] if (first, second) == (thing, thing + 1) => {
                found.insert(thing, vec![HALFWAY])
            }
            // A deletion is not whole before it is answered: what is left of it is as good as all.
            [(1, second)] if second == thing + 1 => found.insert(thing, vec![HALFWAY]),
            ref other => panic!("{thing}: {other:?}"),
        };
    }
    let served = store.inboxes().await.ok()?;
    let served = served.iter().any(|(found, _)| *found == address(2));
    let rounds = 0..=things.begun.get(&SECOND).map_or(0, |stage| stage / 3);
    let second = match (served, &read(store, inbox(2), Reader::Holder).await?[..]) {
        (false, []) => rounds.map(|round| 3 * round).collect(),
        (true, []) => rounds.map(|round| 3 * round + 1).collect(),
        (true, [number]) => vec![3 * (number - OTHER) + 2],
        (served, mail) => panic!("served: {served}, {mail:?}"),
    };
    found.insert(SECOND, second);
    Some(found)
}

/// Opens what a power cut left; how many things are behind what was acknowledged before it, or ahead of what was begun.
async fn lost(dir: &Path, before: &Journal, after: &Journal) -> usize {
    let Ok(store) = Spool::open(config(dir)) else {
        eprintln!("it does not open");
        return before.acked.len();
    };
    let found = stages(&store, after).await;
    store.close().await.unwrap();
    let Some(found) = found else {
        eprintln!("a record is damaged");
        return before.acked.len().max(1);
    };
    let stage = |journal: &BTreeMap<u32, u32>, thing| journal.get(thing).copied().unwrap_or(0);
    let begun = found
        .iter()
        .filter(|(thing, _)| after.begun.contains_key(*thing));
    let wrong = begun.filter(|(thing, stages)| {
        let possible = stage(&before.acked, thing)..=stage(&after.begun, thing);
        let right = stages.iter().any(|stage| possible.contains(stage));
        if !right {
            eprintln!("{thing} is at {stages:?}, and may be at {possible:?}");
        }
        !right
    });
    wrong.count()
}

/// Cuts the power again and again while clients work on segments of so many slots; `lie` takes the sync out. Returns how much is
/// wrong afterwards.
async fn cut_while_working(lie: bool, who: Who, slots: u32) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let disk = PowerDisk::new();
    let config = SpoolConfig {
        slots,
        ..config(&live)
    };
    let store = Arc::new(Spool::open_on(Box::new(disk.clone()), config).unwrap());
    if lie {
        disk.lie();
    }
    let journal = Shared::default();
    // Each deposit into small segments takes more syncs.
    let (least, every) = match (long(), slots) {
        (true, _) => (150, 1),
        (false, 8..) => (14, 3),
        (false, _) => (6, 4),
    };
    let enough = Arc::new(AtomicBool::new(false));
    let effort = Effort {
        least,
        enough: enough.clone(),
    };
    let working = tokio::spawn({
        let (store, journal) = (store.clone(), journal.clone());
        async move { work(&store, &journal, who, &effort).await }
    });
    // All cuts are taken while the clients work, and looked at afterwards: looking takes longer than the work.
    let (mut cuts, mut seen, mut random) = (Vec::new(), 0, 1_u64);
    while !working.is_finished() {
        if disk.syncs() < seen + every {
            tokio::task::yield_now().await;
            continue;
        }
        seen = disk.syncs();
        let before = journal.now();
        let into = dir.path().join(format!("cut-{}", cuts.len()));
        let held_back = cuts.len() % 3 == 0;
        disk.cut(&live, &into, || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            !held_back && random >> 63 == 0
        });
        let after = journal.now();
        cuts.push((into, before, after));
        enough.store(cuts.len() > FEW, Ordering::Relaxed);
    }
    working.await.unwrap();
    assert!(
        cuts.len() > FEW,
        "too few cuts to mean anything: {}",
        cuts.len()
    );
    let mut losses = 0;
    for (into, before, after) in cuts {
        losses += lost(&into, &before, &after).await;
        fs::remove_dir_all(into).unwrap();
    }
    losses
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let losses = cut_while_working(false, Who::Everybody, 8);
    assert_eq!(runtime().block_on(losses), 0);
}

#[test]
fn a_power_cut_between_two_segments_of_what_came_together_loses_nothing() {
    // Eight defenders at once: nearly every batch meets the end of a segment, and some meet two.
    for slots in if long() { vec![1, 2, 3] } else { vec![3] } {
        let lost = runtime().block_on(cut_while_working(false, Who::Everybody, slots));
        assert_eq!(lost, 0, "{slots} slots");
    }
}

#[test]
fn without_the_sync_the_same_power_cuts_lose() {
    for who in [Who::Everybody, Who::Carriers] {
        assert!(runtime().block_on(cut_while_working(true, who, 8)) > 0);
    }
}

/// What the killed process does: deposits until it is killed, and says of each that it was acknowledged.
#[test]
#[ignore = "run by the test below"]
fn deposits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let store = Arc::new(Spool::open(config(Path::new(&dir))).unwrap());
    runtime().block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..8u32 {
            let store = store.clone();
            clients.spawn(async move {
                for number in (0..).map(|n| client * 1_000 + n) {
                    store
                        .deposit(deposit(holder(client as u8 + 1), number))
                        .await
                        .unwrap();
                    println!("acknowledged {number}");
                }
            });
        }
        clients.join_all().await;
    });
}

#[test]
fn a_killed_process_has_kept_all_that_it_acknowledged() {
    for round in 0..if long() { 40 } else { 3 } {
        let dir = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "deposits_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let journal = Shared::default();
        let note = |line: String| {
            let number = line
                .split_once("acknowledged ")
                .map(|(_, number)| number.parse::<u32>());
            if let Some(Ok(number)) = number {
                journal.begin(number, STORED);
                journal.end(number, STORED);
            }
            journal.now().acked.len()
        };
        while note(lines.next().unwrap().unwrap()) < 20 + 9 * round {}
        victim.kill().unwrap();
        victim.wait().unwrap();
        lines.map_while(Result::ok).for_each(|line| {
            note(line);
        });
        let journal = journal.now();
        let lost = runtime().block_on(lost(dir.path(), &journal, &journal));
        assert_eq!(lost, 0);
    }
}

/// A disk that cannot write around the page cache: it says so when a file is opened, or not before it is written to.
struct CachedOnly {
    disk: PowerDisk,
    says_so: Refuses,
}

#[derive(Clone, Copy, Debug)]
enum Refuses {
    ToOpen,
    ToWrite,
}

impl Disk for CachedOnly {
    fn sync(&self, file: &File) -> std::io::Result<()> {
        self.disk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free(&self, dir: &Path) -> std::io::Result<u64> {
        self.disk.free(dir)
    }

    fn open_direct(&self, _: &Path) -> std::io::Result<File> {
        match self.says_so {
            Refuses::ToOpen => Err(std::io::Error::from_raw_os_error(22)),
            // Takes a number and says EINVAL to anything else, as a file does that is not meant to be written like this.
            Refuses::ToWrite => File::options().write(true).open("/proc/self/oom_score_adj"),
        }
    }
}

#[test]
fn where_the_page_cache_cannot_be_passed_by_deposits_are_durable_all_the_same() {
    runtime().block_on(async {
        for says_so in [Refuses::ToOpen, Refuses::ToWrite] {
            let dir = tempfile::tempdir().unwrap();
            let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
            let disk = PowerDisk::new();
            let cached = CachedOnly {
                disk: disk.clone(),
                says_so,
            };
            let store = Spool::open_on(Box::new(cached), config(&live)).unwrap();
            for number in 0..10 {
                store.deposit(deposit(holder(1), number)).await.unwrap();
            }
            disk.cut(&live, &cut, || false);
            let store = Spool::open(config(&cut)).unwrap();
            let found = waiting(&store, holder(1), Reader::Holder).await;
            assert_eq!(found, Vec::from_iter(0..10), "{says_so:?}");
        }
    });
}

/// Defenders, each with a return mailbox.
const CLIENTS: u32 = 8;
/// The first number of the mail to the first inbox, and to the second.
const MAIL: u32 = 20_000;
const OTHER: u32 = 30_000;
/// How many cuts are too few.
const FEW: usize = 8;
/// The most rounds of a client, on a machine that is too busy for cuts: a card's number is one byte.
const MOST_ROUNDS: u32 = 250;
/// Who puts parcels.
const CARRIERS: u32 = 3;
/// The first number of the attachments: no other thing has one of these.
const FILES: u32 = 40_000;
/// The most attachments of one of them.
const ATTACHMENTS: u32 = 64;
/// Names the directory of the process that is to be killed.
const VICTIM: &str = "VALISE_TEST_VICTIM";
