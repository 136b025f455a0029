//! Whom a submission goes to: a contact line, or a card in a file.

use std::path::Path;

use valise_protocol::card::{Card, VerifiedCard};
use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::id::Address;
use valise_protocol::limits::CARD;
use valise_protocol::time::Timestamp;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui::note;

/// A mechanism and the relay through which it is reached.
pub struct Addressee {
    /// Its address.
    pub address: Address,
    /// The first relay that the contact or the card names.
    pub relay: RelayContact,
    /// All that it names, that one first.
    pub relays: Vec<RelayContact>,
    /// The card, where one was given as a file: it was checked, and a newer one is fetched all the same.
    pub card: Option<VerifiedCard>,
    /// What the person must know of the way there.
    remarks: Vec<String>,
}

impl Addressee {
    /// Reads `--to`: a contact line, or the path of a card.
    ///
    /// # Errors
    /// A failure that says which part of the contact is wrong, or what is wrong with the card.
    pub fn read(to: &str, now: Timestamp) -> Outcome<Self> {
        if to
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("valise1"))
        {
            return Self::from_contact(to);
        }
        if Path::new(to).exists() {
            return Self::from_card_file(Path::new(to), now);
        }
        Err(Failure::new(format!(
            "malformed address \"{}\": expected \"valise1…\" or the path of a card",
            escape::line(to)
        ))
        .hint("ask the mechanism for its card, or read its address on its own website"))
    }

    fn from_contact(to: &str) -> Outcome<Self> {
        let contact: Contact = to.parse().map_err(|error| {
            Failure::new(format!("malformed contact line: {error}"))
                .hint("copy it again, whole, from the mechanism's own website")
        })?;
        let relay = contact
            .ways()
            .first()
            .map(|way| way.relay.clone())
            .ok_or_else(|| {
                Failure::new("the contact line names no relay")
                    .hint("it has the form valise1…@relay1…,host:port")
            })?;
        let mut remarks = Vec::new();
        remarks.extend(only_the_first(contact.ways().len(), &relay));
        if contact
            .ways()
            .first()
            .is_some_and(|way| way.ingress.is_some())
        {
            remarks.push(
                "the contact line names a way through another relay; this version dials directly, so that the relay sees \
                 this computer's network address."
                    .to_owned(),
            );
        }
        Ok(Self {
            address: contact.address(),
            relay,
            relays: contact.ways().iter().map(|way| way.relay.clone()).collect(),
            card: None,
            remarks,
        })
    }

    fn from_card_file(path: &Path, now: Timestamp) -> Outcome<Self> {
        let card = read_card(path, now)?;
        let relay = card
            .relays()
            .next()
            .ok_or_else(|| Failure::new("the card names no relay"))?;
        let remarks = only_the_first(card.relays().count(), &relay);
        Ok(Self {
            address: card.address(),
            relay,
            relays: card.relays().collect(),
            card: Some(card),
            remarks: remarks.into_iter().collect(),
        })
    }

    /// Says what the person must know of the way there, before anything travels.
    pub fn tell(&self) {
        self.remarks.iter().for_each(|remark| note(remark));
    }
}

/// This version sends and asks through one relay only.
fn only_the_first(relays: usize, relay: &RelayContact) -> Option<String> {
    (relays > 1).then(|| {
        format!(
            "the mechanism has {relays} relays; this version uses the first of them only, {}:{}. Answers to what was sent through \
             another one are looked for there only: name that relay first, as in the contact line that you sent with.",
            relay.host(),
            relay.port()
        )
    })
}

/// Reads and checks a card from a file, whoever's it is.
///
/// # Errors
/// A failure when it cannot be read, or the card is refused (spec §5.3).
pub fn read_card(path: &Path, now: Timestamp) -> Outcome<VerifiedCard> {
    let shown = escape::line(&path.display().to_string());
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > CARD as u64 {
        return Err(Failure::new(format!(
            "{shown} is too large for a card: {length} bytes, a card has at most {CARD}"
        ))
        .hint("name the file that the mechanism hands out as its card"));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| home::disk(&format!("could not read {shown}"), &error))?;
    let card = Card::decode(&bytes).map_err(|error| Failure::from_card(&error))?;
    let address = card.address();
    card.verify(address, None, now)
        .map_err(|error| Failure::from_card(&error))
}
