//! `valise mechanism init`: a new mechanism, its root key, its first device and its first card.

use std::path::{Path, PathBuf};

use minicbor::bytes::ByteVec;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use valise_protocol::card::{Card, Profile, Proof, Roster, first_root, is_language};
use valise_protocol::contact::{Contact, RelayContact, Way};
use valise_protocol::id::Address;
use valise_protocol::key::SigningKey;
use valise_protocol::time::Timestamp;
use valise_protocol::words::comparison_words;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home::Home;
use crate::random;
use crate::ui;
use crate::vault::command::Access;
use crate::vault::state::{OwnPrekey, State};
use crate::vault::{Vault, passphrase};

use super::card;
use super::publish::{descriptor, publish, would_be_refused, write_card};
use super::{record, root};

/// What a new mechanism says of itself.
#[derive(clap::Args, Debug)]
pub struct Init {
    /// Its name, in English or as LANGUAGE=NAME; may be repeated
    #[arg(long, value_name = "NAME", required = true)]
    name: Vec<String>,
    /// A relay that holds its inbox: relay1…,host:port; may be repeated
    #[arg(long, value_name = "CONTACT", required = true)]
    relay: Vec<String>,
    /// A language that it reads, such as fr; may be repeated
    #[arg(long, value_name = "TAG")]
    language: Vec<String>,
    /// Something that a submission must tell; may be repeated
    #[arg(long, value_name = "TEXT")]
    requires: Vec<String>,
    /// A source may stay unnamed
    #[arg(long)]
    accepts_pseudonyms: bool,
    /// How long submissions are kept, in a sentence
    #[arg(long, value_name = "TEXT")]
    retention: Option<String>,
    /// Where the root key is written [default: root.key in the vault's directory]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Where the card is written [default: card in the vault's directory]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Draw the contact line as a QR code too
    #[arg(long)]
    qr: bool,
    /// Read the root key's new passphrase from this open file descriptor
    #[arg(long, value_name = "N")]
    root_passphrase_fd: Option<u32>,
}

/// A mechanism that is not on any disk yet.
struct New {
    root: SigningKey,
    state: State,
    contact: Contact,
    /// The first roster, as it is written down beside the root key.
    first: Proof,
}

impl Init {
    /// Makes the mechanism.
    ///
    /// # Errors
    /// A failure when a relay is not reached, a home is taken, or something given is wrong.
    pub async fn run(&self, access: &Access, now: Timestamp) -> Outcome<()> {
        let home = access.home()?;
        if Vault::is_in(&home) {
            return Err(
                Failure::new(format!("there is a vault in {} already", home.shown()))
                    .hint("choose another directory with --home DIR"),
            );
        }
        let (profile, relays) = (self.profile()?, self.relays()?);
        let mut descriptors = Vec::new();
        for relay in &relays {
            descriptors.push(descriptor(relay, now).await?);
        }
        let new = New::make(profile, relays, descriptors, now)?;
        home.make()?;
        let vault = self.write(&new, access, &home)?;
        let held = card::needed(&vault.state()?, now)?;
        let path = self
            .card
            .clone()
            .unwrap_or_else(|| home.path().join("card"));
        write_card(&held.card, &path)?;
        for relay in card::retention(held.card.roster()) {
            ui::note(&format!("the relay {relay}"));
        }
        say_contact(&new.contact.to_string(), self.qr);
        self.explain(&new, &home, &path);
        match publish(&vault, now).await {
            Ok(_) => ui::note("the card is published: submissions can come."),
            Err(failure) => {
                let address = new.state.address;
                ui::note(&format!(
                    "the card is not published yet: {}.",
                    failure.what()
                ));
                ui::note("have the relay's operator run:");
                ui::note(&format!("  valise-relay inbox allow {address}"));
                ui::note("and then, here: valise mechanism publish");
            }
        }
        Ok(())
    }

    fn root_path(&self, home: &Home) -> PathBuf {
        self.root
            .clone()
            .unwrap_or_else(|| home.path().join("root.key"))
    }

    /// The root key first: a vault without one could not be renewed.
    fn write(&self, new: &New, access: &Access, home: &Home) -> Outcome<Vault> {
        let vault = passphrase::new(access.passphrase_fd, "the vault")?;
        let root = passphrase::new(self.root_passphrase_fd, "the root key")?;
        let mut rng = random::system();
        root::write(&self.root_path(home), &root, &new.root, &mut rng)?;
        record::write(&self.root_path(home), &new.first)?;
        Vault::create(home, &vault, &new.state, &mut rng)
    }

    fn explain(&self, new: &New, home: &Home, card: &Path) {
        let shown = |path: &Path| escape::line(&path.display().to_string());
        ui::note(&format!("the vault is in {}", home.shown()));
        ui::note(&format!("the card is in {}", shown(card)));
        ui::note(&format!(
            "the root key is in {}",
            shown(&self.root_path(home))
        ));
        ui::note(
            "move the root key, and the file .last beside it, to a medium that stays offline, with a second copy elsewhere: \
             whoever has it and its passphrase is the mechanism. Without it no device can be added and the \
             card runs out in 90 days.",
        );
        ui::note(
            "publish the contact line above on the mechanism's own website, with these six words:",
        );
        ui::note(&format!(
            "  {}",
            comparison_words(new.state.address.as_bytes())
        ));
    }

    fn profile(&self) -> Outcome<Profile> {
        let mut profile = Profile::named(
            self.name
                .iter()
                .map(|name| language_and_name(name))
                .collect(),
        );
        profile.languages.clone_from(&self.language);
        profile.required.clone_from(&self.requires);
        profile.pseudonym_accepted = self.accepts_pseudonyms;
        profile.retention.clone_from(&self.retention);
        if profile.fits() {
            return Ok(profile);
        }
        Err(Failure::new("what the mechanism says of itself is not within its limits")
            .hint("one name for each language, of 1 to 200 bytes: --name \"…\" --name fr=\"…\"")
            .hint("languages are tags such as en or uz-Cyrl; a requirement has 1 to 64 bytes, the retention statement at most 1,000"))
    }

    fn relays(&self) -> Outcome<Vec<RelayContact>> {
        let read = |text: &String| {
            text.parse().map_err(|error| {
                Failure::new(format!("malformed relay contact: {error}"))
                    .hint("its operator prints it with: valise-relay contact")
                    .hint("it has the form relay1…,host:port")
            })
        };
        self.relay.iter().map(read).collect()
    }
}

/// `fr=Nom` is a name in French; anything else is one in English.
fn language_and_name(text: &str) -> (String, String) {
    match text.split_once('=') {
        Some((language, name)) if is_language(language) => (language.to_owned(), name.to_owned()),
        _ => ("en".to_owned(), text.to_owned()),
    }
}

impl New {
    fn make(
        profile: Profile,
        relays: Vec<RelayContact>,
        descriptors: Vec<Vec<u8>>,
        now: Timestamp,
    ) -> Outcome<Self> {
        let mut rng = random::system();
        let root = SigningKey::generate(&mut rng);
        let address = Address::of_root(root.verifying_key().as_bytes());
        let ways = relays
            .into_iter()
            .map(|relay| Way {
                relay,
                ingress: None,
            })
            .collect();
        let contact = Contact::new(address, ways)
            .ok_or_else(|| Failure::new("a mechanism has one to eight relays"))?;
        let mut state = State::new(address, contact.to_string(), &mut rng);
        state.prekeys.push(OwnPrekey::generate(1, now, &mut rng));
        let devices = vec![state.device.keys().public()];
        let roster = Roster::new(address, 1, devices, descriptors, profile, now)
            .map_err(would_be_refused)?
            .sign(&root);
        let card = Card::new(first_root(&root), roster, Vec::new());
        let card = card.verify(address, None, now).map_err(would_be_refused)?;
        let first = Proof::of(card.card());
        let complete = card::with_own_prekey(&state, &card).verify(address, None, now);
        card::keep(&mut state, &complete.map_err(would_be_refused)?);
        debug_assert!(
            state
                .card
                .as_ref()
                .is_some_and(|card: &ByteVec| !card.is_empty())
        );
        Ok(Self {
            root,
            state,
            contact,
            first,
        })
    }
}

/// The contact line on standard output, and on request as a picture made of characters.
pub fn say_contact(contact: &str, qr: bool) {
    ui::say(contact);
    if !qr {
        return;
    }
    match QrCode::new(contact) {
        Ok(code) => ui::say(&code.render::<Dense1x2>().build()),
        Err(_) => ui::note("the contact line is too long for a QR code."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_english_unless_it_says_otherwise() {
        let pair = |language: &str, name: &str| (language.to_owned(), name.to_owned());
        assert_eq!(language_and_name("fr=Bureau"), pair("fr", "Bureau"));
        assert_eq!(language_and_name("Desk"), pair("en", "Desk"));
        assert_eq!(language_and_name("1=1 desk"), pair("en", "1=1 desk"));
    }
}
