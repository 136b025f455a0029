//! `valise carry`: sends what was sealed elsewhere. It learns to which inboxes, and sizes, and nothing else.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::Grant;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::PARCEL;
use valise_protocol::sealed::{BEFORE, Deposit, Header, NotSealed};
use valise_protocol::wire::Stored;
use valise_protocol::words::comparison_words;

use crate::attach::{self, Item, bytes, upload};
use crate::command::{self, block_on_all_cores};
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::interrupt::{interrupted, until_told};
use crate::link::Pace;
use crate::progress::{self, Progress};
use crate::session::{self, Accepted, Errand, Poll, Sealed};
use crate::ui::{self, Terminal, note, say_wrapped};

/// Send a case that was sealed on another machine.
#[derive(Debug, Args)]
pub struct Carry {
    /// The file that valise seal made
    file: PathBuf,
    /// Send no faster, in bytes a second, such as 200k or 2M.
    #[arg(long, value_name = "RATE", value_parser = crate::command::send::rate)]
    limit_rate: Option<u64>,
    /// For programs: do not ask before the files travel.
    #[arg(long)]
    yes: bool,
}

/// What is read of the file: what stands before the parcels, and the parcels.
struct Case {
    header: Header,
    items: Vec<Arc<Item>>,
}

/// Runs it.
///
/// # Errors
/// A failure when the file is none, or any part of it was not sent; the others were.
pub fn run(carry: &Carry) -> Outcome<()> {
    let case = read(carry)?;
    for deposit in &case.header.envelopes {
        note("this goes to the inbox with these words:");
        note(&format!(
            "  {}",
            comparison_words(deposit.address.as_bytes())
        ));
    }
    note(
        "it opens only for a week after it was sealed, or little longer: if it is older, have it sealed again.",
    );
    note(
        "the relay sees this computer's network address and that it reached this inbox. Whoever watches this network sees \
         that you use this program, and when.",
    );
    tell_cost(&case, carry)?;
    block_on_all_cores(send(&case, carry))
}

fn read(carry: &Carry) -> Outcome<Case> {
    let shown = escape::line(&carry.file.display().to_string());
    let broken = |error| home::disk(&format!("could not read {shown}"), &error);
    let wrong = |what: NotSealed| {
        Failure::new(format!("{shown}: {what}"))
            .hint("copy it again from the machine that sealed it; valise seal makes such files")
    };
    let mut file = File::open(&carry.file).map_err(broken)?;
    let length = file.metadata().map_err(broken)?.len();
    let mut before = [0; BEFORE];
    if file.read_exact(&mut before).is_err() {
        return Err(wrong(NotSealed::Other));
    }
    let mut header = vec![0; Header::length(&before).map_err(wrong)?];
    if file.read_exact(&mut header).is_err() {
        return Err(wrong(NotSealed::Damaged));
    }
    let size = header.len();
    let mut at = (BEFORE + size) as u64;
    let header = Header::decode(&header).map_err(wrong)?;
    if length != header.total(size) {
        return Err(wrong(NotSealed::Damaged));
    }
    let file = Arc::new(file);
    let items = header.uploads.iter().map(|upload| {
        let write = DhSecret::from_bytes(&upload.write);
        let item = Item::sealed(file.clone(), at, upload.count, write);
        at += u64::from(upload.count) * PARCEL as u64;
        Arc::new(item)
    });
    let items = items.collect();
    Ok(Case { header, items })
}

fn tell_cost(case: &Case, carry: &Carry) -> Outcome<()> {
    if case.items.is_empty() {
        return Ok(());
    }
    note(&format!(
        "{} of parcels travel. A watcher of this network will see that something of about this size was sent, and where to, \
         not what it is.",
        progress::bytes(bytes(&case.items))
    ));
    let Ok(mut terminal) = Terminal::open() else {
        return Ok(());
    };
    if carry.yes || terminal.confirm("Send it?")? {
        return Ok(());
    }
    Err(Failure::new("nothing was sent"))
}

/// First every envelope, so that staff can act on the text, then the parcels.
async fn send(case: &Case, carry: &Carry) -> Outcome<()> {
    let pace = carry.limit_rate.map(|rate| Arc::new(Pace::new(rate)));
    let (mut failures, mut grants) = (Vec::new(), Vec::new());
    for (at, envelope) in case.header.envelopes.iter().enumerate() {
        match bring(envelope).await {
            Ok((relay, grant)) => grants.push((at, envelope, relay, grant)),
            Err(failure) if failure.is_interruption() => return end(failures, failure),
            Err(failure) => failures.push(failure),
        }
    }
    for (at, envelope, relay, grant) in grants {
        match parcels(case, at, (envelope, &relay), grant, pace.clone()).await {
            Ok(()) => {}
            Err(failure) if failure.is_interruption() => return end(failures, failure),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.pop() {
        Some(last) => end(failures, last),
        None => Ok(()),
    }
}

/// Tells all failures; the last is that of the command.
fn end(failures: Vec<Failure>, last: Failure) -> Outcome<()> {
    failures.iter().for_each(ui::error);
    Err(last)
}

async fn bring(envelope: &Deposit) -> Outcome<(RelayContact, Grant)> {
    let relay: RelayContact = (envelope.relay.parse())
        .map_err(|_| Failure::new("the sealed case names no relay that can be reached"))?;
    note("sending");
    let Some(deposited) = until_told(deposit(envelope, &relay)).await else {
        return Err(interrupted().hint("the same command again is safe: nothing is stored twice"));
    };
    let (stored, grant) = deposited?;
    say_wrapped(match stored {
        Stored::Already => "The envelope is stored at the relay already. It was not stored twice.",
        Stored::New | Stored::Replaced => "The envelope is stored at the relay.",
    });
    Ok((relay, grant))
}

/// Deposits an envelope as it is. Whose devices are fresh was looked at when it was sealed.
async fn deposit(envelope: &Deposit, relay: &RelayContact) -> Outcome<(Stored, Grant)> {
    let mut accepted = None;
    loop {
        let now = command::now();
        let deposit = &|_: &[_], _| {
            Ok(Sealed {
                envelope: Box::new(**envelope.envelope),
                withdraw: envelope.withdraw,
            })
        };
        let errand = Errand {
            address: envelope.address,
            known: None,
            despite_staleness: accepted,
            deposit: Some(deposit),
            poll: Poll::Nothing,
        };
        let result = session::run(relay, errand, now).await?;
        let card = result.card.map_err(Failure::from)?;
        if accepted.is_none() && card.readers(now).is_err() {
            accepted = Some(Accepted::of(&card, now));
            continue;
        }
        return result.deposit.map_err(Failure::from);
    }
}

/// Brings the parcels that are on the account of this envelope.
async fn parcels(
    case: &Case,
    at: usize,
    (envelope, relay): (&Deposit, &RelayContact),
    grant: Grant,
    pace: Option<Arc<Pace>>,
) -> Outcome<()> {
    let uploads = case.header.uploads.iter().zip(&case.items);
    let items = uploads.filter(|(upload, _)| upload.account as usize == at);
    let items: Vec<Arc<Item>> = items.map(|(_, item)| item.clone()).collect();
    if items.is_empty() {
        return Ok(());
    }
    let progress = Arc::new(Progress::new("stored", bytes(&items)));
    let job = attach::Upload {
        relay,
        items: &items,
        elsewhere: &[],
        pace,
        clock: &command::now,
    };
    let renew = async || Ok(deposit(envelope, relay).await?.1);
    let uploaded = until_told(upload(&job, grant, renew, &progress)).await;
    progress.finish();
    let (stored, all) = (attach::stored(&items), attach::parcels(&items));
    let so_far = format!("{stored} of {all} parcels are stored");
    let again = "to go on, from anywhere: the same command with the same file";
    match uploaded {
        None => {
            let failure = Failure::new(format!("interrupted: {so_far}"));
            Err(failure.hint(again).interruption())
        }
        Some(Err(failure)) => {
            note(&so_far);
            Err(failure.hint(again))
        }
        Some(Ok(failures)) => match failures.into_iter().next() {
            Some(failure) => Err(failure.hint(again)),
            None => {
                say_wrapped(&format!(
                    "All files are stored at the relay: {all} parcels."
                ));
                Ok(())
            }
        },
    }
}
