//! `valise send --status`: how much of the files has arrived.

use valise_protocol::contact::RelayContact;
use valise_protocol::message::{Answer, Attribution, ConsentBasis, Content, Handling, Timing};
use valise_protocol::phrase::{DefenderKeys, DefenderRoot};
use valise_protocol::time::Timestamp;

use crate::addressee::Addressee;
use crate::attach::{Files, Keys, held};
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
    let alone: Vec<DefenderKeys> = alone(send, to, &root);
    let places = places(to, &root, &alone);
    block_on(async {
        for (keys, relay) in &places {
            let Some(told) = until_told(tell(&files, *keys, relay, now)).await else {
                return Err(interrupted());
            };
            told.map_err(|failure| failure.at(relay.host()))?;
        }
        Ok(())
    })
}

/// The keys of uploads that nothing links; none where there is one for all.
pub fn alone(send: &Send, to: &[Addressee], root: &DefenderRoot) -> Vec<DefenderKeys> {
    let to = to.iter().filter(|_| send.case.undisclosed);
    to.map(|to| root.for_mechanism(&to.address)).collect()
}

/// Where parcels may lie, and under which keys.
pub fn places<'a>(
    to: &'a [Addressee],
    root: &'a DefenderRoot,
    alone: &'a [DefenderKeys],
) -> Vec<(Keys<'a>, &'a RelayContact)> {
    let mut places: Vec<(Keys<'a>, &RelayContact)> = Vec::new();
    for (at, to) in to.iter().enumerate() {
        for relay in &to.relays {
            match alone.get(at) {
                Some(keys) => places.push((Keys::Alone(keys), relay)),
                None if places.iter().any(|(_, other)| other.id() == relay.id()) => {}
                None => places.push((Keys::Shared(root), relay)),
            }
        }
    }
    places
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

async fn tell(files: &Files, keys: Keys<'_>, relay: &RelayContact, now: Timestamp) -> Outcome<()> {
    let set = files.under(keys, &mut no_text())?;
    let found = held(relay, &set.items, now).await?;
    let mut stored = 0;
    for (item, found) in set.items.iter().zip(found) {
        let here = (0..item.file.count)
            .filter(|index| found.contains(*index))
            .count();
        stored += here;
        say_wrapped(&format!(
            "{}: {here} of {} parcels are at {}",
            item.file.shown(),
            item.file.count,
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
