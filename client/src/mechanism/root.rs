//! The root key in a file of its own, under a passphrase of its own: it signs rosters and nothing else, and may stay offline.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use valise_protocol::card::{
    Card, Device, Proof, Root as ChainedRoot, Roster, SignedRoster, VerifiedCard,
};
use valise_protocol::key::SigningKey;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui::{self, Terminal};
use crate::vault::wrap::{self, Kind, UnwrapError};

use super::card::{device_name, reading, retention};
use super::record;

/// A root key at hand. It signs a roster only after a person has seen the devices on it, and writes down beside itself what it signs.
pub struct Root {
    key: SigningKey,
    path: PathBuf,
    consent: Consent,
}

/// Who looks at the devices before a root key signs for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// A person at the terminal.
    Asked,
    /// Whoever started this program.
    Given,
}

impl Root {
    /// The key whose file is at this path.
    pub const fn new(key: SigningKey, path: PathBuf, consent: Consent) -> Self {
        Self { key, path, consent }
    }

    /// The key, for what is no roster: a roster is signed by [`Root::sign`].
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A key that follows this one, whose file will be at this path.
    pub const fn followed_by(&self, key: SigningKey, path: PathBuf) -> Self {
        Self::new(key, path, self.consent)
    }

    /// Writes down beside this key what the one that follows it signed: where the new card is withheld, this key signs no rival to it.
    ///
    /// # Errors
    /// A failure when the medium cannot be written.
    pub fn give_way(&self, next: &VerifiedCard) -> Outcome<()> {
        record::write(&self.path, &Proof::of(next.card()))
    }

    /// Checks that nothing newer than this card was signed, so that what follows it is no rival to that.
    ///
    /// # Errors
    /// A failure when something was, or the record does not hold.
    pub fn check_signed_nothing_newer(&self, card: &VerifiedCard) -> Outcome<()> {
        let Some((proof, last)) = record::read(&self.path, card.address())? else {
            return Ok(());
        };
        if last.epoch() > card.epoch() {
            return Err(Failure::new(format!(
                "this root key has signed roster {} of {} already, and this device knows roster {} only",
                last.epoch(),
                last.issued(),
                card.epoch()
            ))
            .hint("fetch the newer one first: valise inbox pull; if it does not come, the relay withholds it")
            .hint("change the roster on the device where that one was signed"));
        }
        if last.epoch() == card.epoch() && proof != Proof::of(card.card()) {
            return Err(Failure::new(format!(
                "this root key has signed another roster {} than the one that this device knows",
                last.epoch()
            ))
            .hint("somebody may have used the key elsewhere: compare the devices, on every device: valise mechanism device list"));
        }
        Ok(())
    }

    /// Shows whom the next roster certifies, asks, writes it down beside the key, and signs it.
    ///
    /// # Errors
    /// A failure when the person does not agree, or a roster of this number was signed before.
    pub fn sign(&self, roster: &Roster, held: &VerifiedCard) -> Outcome<SignedRoster> {
        let nothing = || Ok(());
        self.sign_as_last_of(held.card().roots().to_vec(), roster, held, nothing)
    }

    /// The same, where this key is the last of a chain that the card held does not know yet. What must come before the signature, such as
    /// that the key is written, is done when the person has agreed.
    ///
    /// # Errors
    /// As [`Root::sign`], or that of what comes before.
    pub fn sign_as_last_of(
        &self,
        roots: Vec<ChainedRoot>,
        roster: &Roster,
        held: &VerifiedCard,
        before: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<SignedRoster> {
        self.check_signed_nothing_newer(held)?;
        show(roster, held);
        self.ask(roster)?;
        before()?;
        let signed = roster.sign(&self.key);
        let card = Card::new(roots, signed.clone(), Vec::new());
        record::write(&self.path, &Proof::of(&card))?;
        Ok(signed)
    }

    fn ask(&self, roster: &Roster) -> Outcome<()> {
        if self.consent == Consent::Given {
            return Ok(());
        }
        let mut terminal = Terminal::open().map_err(|failure| {
            failure.hint(
                "a program that knows these devices to be the right ones says --yes-these-devices",
            )
        })?;
        let question = format!(
            "Are these all your devices, and no others? Sign roster {}?",
            roster.epoch()
        );
        if terminal.confirm(&question)? {
            return Ok(());
        }
        Err(Failure::new("nothing was signed").hint(
            "a device that should not be there is taken off with: valise mechanism device remove NUMBER --root FILE",
        ))
    }
}

/// Whom a roster certifies, and how that differs from the one before.
fn show(roster: &Roster, held: &VerifiedCard) {
    ui::note(&format!(
        "roster {} of {} will say that these devices read and answer for the mechanism:",
        roster.epoch(),
        roster.issued()
    ));
    let before = held.roster().devices();
    for (at, device) in roster.devices().iter().enumerate() {
        let what = if before.contains(device) {
            newest_prekey(held, device)
        } else {
            "new on the roster".to_owned()
        };
        ui::note(&format!("  {}. {}: {what}", at + 1, device_name(device)));
    }
    let left_out = before.iter().filter(|one| !roster.devices().contains(one));
    for device in left_out {
        ui::note(&format!("  no longer on it: {}", device_name(device)));
    }
    for relay in retention(roster).into_iter().chain(reading(roster)) {
        ui::note(&format!("  {relay}"));
    }
}

fn newest_prekey(held: &VerifiedCard, device: &Device) -> String {
    match held.statement(&device.signing) {
        Some(statement) => format!("newest prekey of {}", statement.issued()),
        None => "has made no prekey yet".to_owned(),
    }
}

/// Writes a root key to a file that must not be there yet.
///
/// # Errors
/// A failure when there is one, or the disk refuses.
pub fn write(
    path: &Path,
    passphrase: &str,
    root: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Outcome<()> {
    let wrapped = wrap::wrap(Kind::Root, passphrase, root.expose(), rng);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&wrapped)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let failure = home::disk(
            &format!("could not write the root key to {}", shown(path)),
            &error,
        );
        match error.kind() {
            ErrorKind::AlreadyExists => failure
                .hint("no root key is overwritten: choose another place for it, or remove this one if its mechanism was never made"),
            _ => failure,
        }
    })
}

/// Reads a root key.
///
/// # Errors
/// A failure that tells a wrong passphrase from a damaged file and from another file.
pub fn read(path: &Path, passphrase: &str) -> Outcome<SigningKey> {
    let bytes = std::fs::read(path).map_err(|error| {
        home::disk(
            &format!("could not read the root key {}", shown(path)),
            &error,
        )
        .hint("bring the medium with the root key, and name its file with --root FILE")
    })?;
    let secret = wrap::unwrap(Kind::Root, passphrase, &bytes).map_err(|error| match error {
        UnwrapError::WrongPassphrase => Failure::new("the root key's passphrase is wrong")
            .hint("nothing was changed; try again"),
        UnwrapError::Damaged => Failure::new(format!("the root key {} is damaged", shown(path)))
            .hint("take the second copy of it"),
        _ => Failure::new(format!("{} is not a root key", shown(path)))
            .hint("name the file that valise mechanism init wrote with --root FILE"),
    })?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Checks that a root key is the last one of a card: the one that may sign its next roster.
///
/// # Errors
/// A failure when it is another mechanism's, or an earlier one.
pub fn check_signs(root: &SigningKey, card: &VerifiedCard) -> Outcome<()> {
    let roster = card.card().signed_roster();
    if roster.verify(&root.verifying_key(), card.address()).is_ok() {
        return Ok(());
    }
    let key = root.verifying_key();
    if card.card().roots().iter().any(|root| *root.key() == key) {
        return Err(Failure::new(
            "this root key has given way to a later one, and signs nothing more",
        )
        .hint("name the file that valise mechanism root renew wrote, with --root FILE"));
    }
    Err(
        Failure::new("this root key is not the one of this mechanism")
            .hint("name another file with --root FILE"),
    )
}

fn shown(path: &Path) -> String {
    escape::line(&path.display().to_string())
}
