//! `valise send --withdraw`: what was not collected yet is deleted.

use std::future::Future;

use valise_protocol::contact::RelayContact;
use valise_protocol::message::Content;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request};

use crate::addressee::Addressee;
use crate::attach::{Files, Keys, Set, delete};
use crate::command::block_on;
use crate::dial::{Connection, fresh_key};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::link::LinkFault;
use crate::phrase;
use crate::ui::{self, Terminal, note, say_wrapped};

use super::delivery::Delivery;
use super::status::places;
use super::{Send, content_for, delivery};

/// Runs it.
///
/// # Errors
/// A failure when any relay was not reached or refused; the others were asked all the same.
pub fn run(
    send: &Send,
    to: &[Addressee],
    content: &Content,
    files: Option<&Files>,
    now: Timestamp,
) -> Outcome<()> {
    let phrase = phrase::ask(send.phrase_fd)?;
    note("working out the keys; this takes a moment");
    let root = phrase.stretch();
    drop(phrase);
    let (mut deliveries, mut places) = (Vec::new(), Vec::new());
    for (at, one) in to.iter().enumerate() {
        let mut content = content_for(&send.case, to, at, content);
        if let Some(files) = files {
            let own = root.for_mechanism(&one.address);
            let keys = match send.case.undisclosed {
                true => Keys::Alone(&own),
                false => Keys::Shared(&root),
            };
            files.under(keys, &mut content)?;
        }
        deliveries.push(delivery(one, &root, &content));
    }
    if let Some(files) = files {
        let content = content_for(&send.case, to, 0, content);
        places = self::places(files, send, to, &root, &content)?;
    }
    drop(root);
    let mut failures = run_until_told(envelopes(&deliveries, now))?;
    if !places.is_empty() {
        if failures.is_empty() || wants_parcels_gone(send)? {
            failures.extend(run_until_told(parcels(&places, now))?);
        } else {
            note("the parcels of the files are left where they are.");
        }
    }
    let mut failures: Vec<Failure> = failures.into_iter().flatten().collect();
    note(
        "what a device has collected stays with it, and whoever read it has read it; copies of the relay's disk, if somebody made \
         them, hold what was there, encrypted. To tell the mechanism that you take it back, send that.",
    );
    let last = failures.pop();
    failures.iter().for_each(ui::error);
    last.map_or(Ok(()), Err)
}

fn run_until_told<T>(work: impl Future<Output = T>) -> Outcome<T> {
    block_on(async {
        let done = until_told(work).await;
        done.ok_or_else(|| interrupted().hint("give the same command again"))
    })
}

/// Asks for the envelopes to be deleted. Gives one thing for each that was not there, or was not asked for: the failure, if it is one.
async fn envelopes(deliveries: &[Delivery<'_>], now: Timestamp) -> Vec<Option<Failure>> {
    let mut left = Vec::new();
    for delivery in deliveries {
        match envelope(delivery, now).await {
            Ok(true) => {}
            Ok(false) => left.push(None),
            Err(failure) => left.push(Some(failure.at(delivery.to.relay.host()))),
        }
    }
    left
}

/// Parcels serve every mechanism, and every submission under these words, that has the same files: where this one is not there any more,
/// or was never so, the person decides.
fn wants_parcels_gone(send: &Send) -> Outcome<bool> {
    note(
        "not all of it was there to be withdrawn. The parcels of the files may serve other mechanisms, or another submission with the same \
         files under these words: who has not fetched them then never can.",
    );
    if send.yes {
        return Ok(true);
    }
    match Terminal::open() {
        Ok(mut terminal) => terminal.confirm("Delete the parcels all the same?"),
        Err(_) => Ok(false),
    }
}

async fn parcels(places: &[(Set, &RelayContact)], now: Timestamp) -> Vec<Option<Failure>> {
    let mut failures = Vec::new();
    for (set, relay) in places {
        match delete(relay, &set.items, now).await {
            Ok(0) => say_wrapped(&format!("No parcels of the files are at {}.", relay.host())),
            Ok(gone) => say_wrapped(&format!("{gone} parcels are deleted at {}.", relay.host())),
            Err(failure) => failures.push(Some(failure.at(relay.host()))),
        }
    }
    failures
}

/// Asks a relay to delete one envelope, says whether there was one, and gives that.
async fn envelope(delivery: &Delivery<'_>, now: Timestamp) -> Outcome<bool> {
    let relay = &delivery.to.relay;
    let tag = delivery.keys.message_tag(&delivery.content);
    let request = Request::Withdraw {
        inbox: delivery.to.address.inbox(),
        secret: *tag.withdraw(&relay.id()),
    };
    let connection = Connection::dial(relay, now).await?;
    let asked = async {
        let mut link = connection.link(&fresh_key()).await?;
        let answer = link.request(&request).await?;
        link.finish();
        Ok(answer)
    };
    let asked: Result<Answer, LinkFault> = asked.await;
    connection.close().await;
    let Answer::Withdrawn(gone) = asked? else {
        return Err(LinkFault::Nonsense.into());
    };
    say_wrapped(&match gone {
        0 => format!(
            "Submission {} is not at the relay: every device has collected it, it has expired or was withdrawn, or the text, form, \
             files or options are not those of then.",
            delivery.id()
        ),
        _ => format!(
            "Submission {} is deleted at the relay. Devices that had not collected it never will.",
            delivery.id()
        ),
    });
    Ok(gone > 0)
}
