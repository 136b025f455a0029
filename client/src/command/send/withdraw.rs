//! `valise send --withdraw`: what was not collected yet is deleted.

use valise_protocol::message::Content;
use valise_protocol::phrase::{DefenderKeys, DefenderRoot};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request};

use crate::addressee::Addressee;
use crate::attach::{Files, Keys, delete};
use crate::command::block_on;
use crate::dial::{Connection, fresh_key};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::link::LinkFault;
use crate::phrase;
use crate::ui::{self, note, say_wrapped};

use super::delivery::Delivery;
use super::status::{alone, places};
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
    let alone = alone(send, to, &root);
    let work = async {
        let mut failures = Vec::new();
        for (at, one) in to.iter().enumerate() {
            let mut content = content_for(&send.case, to, at, content);
            if let Some(files) = files {
                let keys = alone.get(at).map_or(Keys::Shared(&root), Keys::Alone);
                files.under(keys, &mut content)?;
            }
            if let Err(failure) = envelope(&delivery(one, &root, &content), now).await {
                failures.push(failure.at(one.relay.host()));
            }
        }
        failures.extend(parcels(to, files, content, &root, &alone, now).await?);
        Ok(failures)
    };
    let mut failures = block_on(async {
        let done = until_told(work).await;
        done.unwrap_or_else(|| Err(interrupted().hint("give the same command again")))
    })?;
    note(
        "what a device has collected stays with it, and whoever read it has read it; copies of the relay's disk, if somebody made \
         them, hold what was there, encrypted. To tell the mechanism that you take it back, send that.",
    );
    let last = failures.pop();
    failures.iter().for_each(ui::error);
    last.map_or(Ok(()), Err)
}

/// Asks a relay to delete one envelope, and says whether there was one.
async fn envelope(delivery: &Delivery<'_>, now: Timestamp) -> Outcome<()> {
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
    Ok(())
}

/// Asks every relay to delete the parcels; gives the failures.
async fn parcels(
    to: &[Addressee],
    files: Option<&Files>,
    content: &Content,
    root: &DefenderRoot,
    alone: &[DefenderKeys],
    now: Timestamp,
) -> Outcome<Vec<Failure>> {
    let mut failures = Vec::new();
    let Some(files) = files else {
        return Ok(failures);
    };
    for (keys, relay) in places(to, root, alone) {
        let set = files.under(keys, &mut content.clone())?;
        match delete(relay, &set.items, now).await {
            Ok(0) => say_wrapped(&format!("No parcels of the files are at {}.", relay.host())),
            Ok(gone) => say_wrapped(&format!("{gone} parcels are deleted at {}.", relay.host())),
            Err(failure) => failures.push(failure.at(relay.host())),
        }
    }
    Ok(failures)
}
