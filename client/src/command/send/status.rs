//! `valise send --status`: how much of the files has arrived.

use valise_protocol::contact::RelayContact;
use valise_protocol::message::{Answer, Attribution, ConsentBasis, Content, Handling, Timing};
use valise_protocol::phrase::DefenderRoot;
use valise_protocol::time::Timestamp;

use crate::addressee::Addressee;
use crate::attach::{Files, Keys, Set, held};
use crate::command::block_on;
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::phrase;
use crate::ui::{note, say_wrapped};

use super::{Send, files};

/// Runs it.
///
/// # Errors
/// A failure when there are no files, or a relay is not reached.
pub fn run(send: &Send, to: &[Addressee], now: Timestamp) -> Outcome<()> {
    let Some(files) = files(&send.case)? else {
        return Err(Failure::new(
            "--status tells how much of the files has arrived, and none is given",
        )
        .hint("name them with --attach, as when you sent them")
        .hint("whether the text was read, and answered: valise check --to CONTACT"));
    };
    let phrase = phrase::ask(send.phrase_fd)?;
    note("working out the keys; this takes a moment");
    let root = phrase.stretch();
    drop(phrase);
    let places = places(&files, send, to, &root, &no_text())?;
    drop(root);
    block_on(async {
        for (set, relay) in &places {
            let Some(told) = until_told(tell(set, relay, now)).await else {
                return Err(interrupted());
            };
            told.map_err(|failure| failure.at(relay.host()))?;
        }
        Ok(())
    })
}

/// Where parcels may lie: the files under their keys, and each relay once for each set of keys.
///
/// # Errors
/// As [`Files::under`].
pub fn places<'a>(
    files: &Files,
    send: &Send,
    to: &'a [Addressee],
    root: &DefenderRoot,
    content: &Content,
) -> Outcome<Vec<(Set, &'a RelayContact)>> {
    let mut places: Vec<(Set, &RelayContact)> = Vec::new();
    for to in to {
        let own = root.for_mechanism(&to.address);
        for relay in &to.relays {
            let keys = match send.case.undisclosed {
                true => Keys::Alone(&own),
                false => Keys::Shared(root),
            };
            let is_there = places.iter().any(|(_, other)| other.id() == relay.id());
            if send.case.undisclosed || !is_there {
                places.push((files.under(keys, &mut content.clone())?, relay));
            }
        }
    }
    Ok(places)
}

/// What files are attached to where the text is not at hand. Their keys do not depend on it.
fn no_text() -> Content {
    Content {
        text: String::new(),
        handling: Handling {
            name_to_government: Answer::No,
            name_in_public: Answer::No,
            basis: ConsentBasis::Oneself,
            note: None,
            timing: Timing::Past,
            attribution: Attribution::None,
            language: String::new(),
        },
        others: Vec::new(),
        attached: None,
    }
}

async fn tell(set: &Set, relay: &RelayContact, now: Timestamp) -> Outcome<()> {
    let found = held(relay, &set.items, now).await?;
    let mut stored = 0;
    for (item, found) in set.items.iter().zip(found) {
        let here = (0..item.count)
            .filter(|index| found.contains(*index))
            .count();
        stored += here;
        say_wrapped(&format!(
            "{}: {here} of {} parcels are at {}",
            item.shown(),
            item.count,
            relay.host()
        ));
    }
    if stored == 0 {
        note(
            "none: they were not sent there, have expired, or the words, files or options are not those of then.",
        );
    }
    Ok(())
}
