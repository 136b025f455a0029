//! `valise seal`: the same submission as `send` makes, into a file, without a network. `valise carry` sends it from elsewhere.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use valise_protocol::message::Content;
use valise_protocol::sealed::{Deposit, Header, Upload};
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::attach::{Unread, parcels};
use crate::command::send::delivery::Delivery;
use crate::command::send::plan::Plan;
use crate::command::send::{Case, addressees, case, files, introduce};
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::phrase;
use crate::progress::{self, Progress};
use crate::ui::{note, say, say_wrapped};

/// Make a submission into a file that another machine can send: valise carry FILE.
#[derive(Debug, Args)]
pub struct Seal {
    #[command(flatten)]
    case: Case,
    /// The file to make
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Go on under the return phrase of an earlier submission, which is asked for.
    #[arg(long)]
    again: bool,
    /// For programs: write the new phrase to this open descriptor, or with --again read it there.
    #[arg(long, value_name = "N")]
    phrase_fd: Option<u32>,
}

/// Runs it.
///
/// # Errors
/// A failure in the person's words; then there is no file.
pub fn run(seal: &Seal, now: Timestamp) -> Outcome<()> {
    let to = addressees(&seal.case.to, now)?;
    if to.iter().any(|to| to.card.is_none()) {
        return Err(Failure::new(
            "sealing needs the card of each mechanism, because it asks no relay",
        )
        .hint(
            "get the card's file from the mechanism's own website: valise seal --to CARD-FILE …",
        ));
    }
    let (handling, text) = case::read(&seal.case)?;
    let content = Content {
        text: text.to_string(),
        handling,
        others: Vec::new(),
        attached: None,
    };
    let files = files(&seal.case)?;
    let shown = escape::line(&seal.output.display().to_string());
    if seal.output.exists() {
        return Err(Failure::new(format!("{shown} is there already"))
            .hint("choose another name: nothing is written over"));
    }
    introduce(&to);
    let phrase = if seal.again {
        phrase::ask(seal.phrase_fd)?
    } else {
        phrase::make(seal.phrase_fd)?
    };
    note("working out the keys; this takes a moment");
    let root = phrase.stretch();
    drop(phrase);
    let plan = Plan::offline(&seal.case, &to, files.as_ref(), &root, &content)?;
    drop(root);
    let header = header(&plan, now)?;
    let unfinished =
        PathBuf::from([seal.output.as_os_str(), OsStr::new(".part")].join(OsStr::new("")));
    let written = Unfinished::new(&unfinished)?;
    let length = write(&plan, &header, &written, &shown)?;
    written.keep(&seal.output, &shown)?;
    report(&plan, length, &shown);
    Ok(())
}

/// What stands before the parcels.
fn header(plan: &Plan<'_>, now: Timestamp) -> Outcome<Header> {
    let envelopes = plan
        .deliveries
        .iter()
        .map(|delivery| deposit(delivery, now));
    let envelopes = envelopes.collect::<Outcome<Vec<Deposit>>>()?;
    let mut uploads = Vec::new();
    for upload in &plan.uploads {
        // The first member deposits at that relay.
        let account = upload.members.first().copied().unwrap_or(0) as u32;
        uploads.extend(upload.set.items.iter().map(|item| Upload {
            write: (*item.write.expose()).into(),
            count: item.count,
            account,
        }));
    }
    Ok(Header { envelopes, uploads })
}

fn deposit(delivery: &Delivery<'_>, now: Timestamp) -> Outcome<Deposit> {
    let card = delivery.to.card.as_ref();
    let card = card.ok_or_else(|| Failure::new("there is no card to seal to"))?;
    let readers = card.readers(now).map_err(|_| {
        Failure::new("the card's file is too old to seal to: most keys in it are over 14 days old")
            .hint("get a newer one from the mechanism's own website")
    })?;
    let sealed = delivery.seal(&readers, card.epoch());
    let sealed = sealed.map_err(|error| Failure::new(format!("could not seal: {error}")))?;
    Ok(Deposit {
        address: delivery.to.address,
        relay: delivery.to.relay.to_string(),
        withdraw: sealed.withdraw,
        envelope: Box::new((*sealed.envelope).into()),
    })
}

/// A file under a name of its own until it is whole. It is taken away again unless it is kept.
struct Unfinished<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Unfinished<'a> {
    fn new(path: &'a Path) -> Outcome<Self> {
        let shown = escape::line(&path.display().to_string());
        // What an earlier attempt left is of no use.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| home::disk(&format!("could not make {shown}"), &error))?;
        Ok(Self { path, file })
    }

    fn keep(self, name: &Path, shown: &str) -> Outcome<()> {
        renameat_with(CWD, self.path, CWD, name, RenameFlags::NOREPLACE)
            .map_err(|error| home::disk(&format!("could not make {shown}"), &error.into()))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Once it has its name it is not there.
        let _ = std::fs::remove_file(self.path);
    }
}

/// Writes it; gives its length.
fn write(plan: &Plan<'_>, header: &Header, to: &Unfinished<'_>, shown: &str) -> Outcome<u64> {
    let broken = |error| home::disk(&format!("could not write {shown}"), &error);
    let progress = Progress::new("sealing", header.parcels());
    let mut out = BufWriter::with_capacity(1 << 20, &to.file);
    let head = Zeroizing::new(header.encode());
    out.write_all(&head).map_err(broken)?;
    for item in plan.uploads.iter().flat_map(|upload| &upload.set.items) {
        let mut fault = Ok(());
        item.parcels(0..item.count, |_, parcel| {
            fault = out.write_all(parcel.sealed());
            progress.add(parcel.sealed().len() as u64);
            fault.is_ok()
        })
        .map_err(|(Unread::Changed(failure) | Unread::Broken(failure))| failure)?;
        fault.map_err(broken)?;
    }
    out.flush().map_err(broken)?;
    drop(out);
    to.file.sync_all().map_err(broken)?;
    progress.finish();
    Ok(head.len() as u64 + header.parcels())
}

fn report(plan: &Plan<'_>, length: u64, shown: &str) {
    let items = plan.uploads.iter().map(|upload| &upload.set.items);
    let count: u64 = items.map(|items| parcels(items)).sum();
    say_wrapped(&format!(
        "Sealed into {shown}: {} and {count} parcels, {}.",
        match plan.deliveries.len() {
            1 => "1 envelope".to_owned(),
            many => format!("{many} envelopes"),
        },
        progress::bytes(length),
    ));
    say_wrapped(
        "Whoever has the file learns to which inboxes it goes, and sizes; they can send it, or spoil it: delete its parcels at the \
         relay, or put others in their place before they come. They cannot read it.",
    );
    say_wrapped(
        "It opens only as long as the devices it was sealed to keep their keys: send it within a week.",
    );
    say("To send it, from any computer:\n  valise carry FILE");
}
