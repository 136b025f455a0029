//! `valise seal`: the same submission as `send` makes, into a file, without a network. `valise carry` sends it from elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use valise_protocol::message::Content;
use valise_protocol::sealed::{Deposit, Header, Upload};
use valise_protocol::time::Timestamp;

use crate::attach::{bytes, parcels};
use crate::command::send::delivery::{Delivery, accept_staleness};
use crate::command::send::plan::Plan;
use crate::command::send::{Case, addressees, case, files, introduce};
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::phrase;
use crate::progress::{self, Progress};
use crate::session::Accepted;
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
    let header = header(&plan, now)?;
    let written = Unfinished::new(&seal.output)?;
    write(&plan, &header, &written, &shown)?;
    written.keep();
    report(&plan, &header, &shown);
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
    let accepted = Some(Accepted::of(card, now));
    if card.readers(now).is_err() {
        accept_staleness(card, now)?;
    }
    let readers = Accepted::readers(accepted, card, now).unwrap_or_default();
    if readers.is_empty() {
        return Err(
            Failure::new("none of the mechanism's devices can read any more")
                .hint("get a newer card from the mechanism's own website"),
        );
    }
    let sealed = delivery.seal(&readers, card.epoch());
    let sealed = sealed.map_err(|error| Failure::new(format!("could not seal: {error}")))?;
    Ok(Deposit {
        address: delivery.to.address,
        relay: delivery.to.relay.to_string(),
        withdraw: sealed.withdraw,
        envelope: Box::new((*sealed.envelope).into()),
    })
}

/// A file that is taken away again unless it is kept.
struct Unfinished<'a> {
    path: &'a Path,
    file: File,
    kept: std::cell::Cell<bool>,
}

impl<'a> Unfinished<'a> {
    fn new(path: &'a Path) -> Outcome<Self> {
        let shown = escape::line(&path.display().to_string());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| home::disk(&format!("could not make {shown}"), &error))?;
        Ok(Self {
            path,
            file,
            kept: std::cell::Cell::new(false),
        })
    }

    fn keep(self) {
        self.kept.set(true);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.kept.get() {
            // It is of no use to anybody.
            let _ = std::fs::remove_file(self.path);
        }
    }
}

fn write(plan: &Plan<'_>, header: &Header, to: &Unfinished<'_>, shown: &str) -> Outcome<()> {
    let broken = |error| home::disk(&format!("could not write {shown}"), &error);
    let progress = Progress::new("sealing", header.parcels());
    let mut out = BufWriter::with_capacity(1 << 20, &to.file);
    out.write_all(&header.encode()).map_err(broken)?;
    for item in plan.uploads.iter().flat_map(|upload| &upload.set.items) {
        let mut fault = Ok(());
        item.parcels(0..item.count, |_, parcel| {
            fault = out.write_all(parcel.sealed());
            progress.add(parcel.sealed().len() as u64);
            fault.is_ok()
        })?;
        fault.map_err(broken)?;
    }
    out.flush().map_err(broken)?;
    drop(out);
    to.file.sync_all().map_err(broken)?;
    progress.finish();
    Ok(())
}

fn report(plan: &Plan<'_>, header: &Header, shown: &str) {
    let items = plan.uploads.iter().map(|upload| &upload.set.items);
    let count: u64 = items.clone().map(|items| parcels(items)).sum();
    let size: u64 = items.map(|items| bytes(items)).sum();
    say_wrapped(&format!(
        "Sealed into {shown}: {} and {count} parcels, {}.",
        match header.envelopes.len() {
            1 => "1 envelope".to_owned(),
            many => format!("{many} envelopes"),
        },
        progress::bytes(size + header.encode().len() as u64),
    ));
    say_wrapped(
        "Whoever has the file learns to which inboxes it goes, and sizes; and can send it, or delete its parcels at the relay. \
         They cannot read it.",
    );
    say_wrapped(
        "It opens only as long as the devices it was sealed to keep their keys: send it within a week.",
    );
    say("To send it, from any computer:\n  valise carry FILE");
}
