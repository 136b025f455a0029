//! `valise mechanism device …`: which machines read and answer for the mechanism.
//!
//! A ceremony between two machines: the new one writes down its public keys and shows six words; beside the root key the same
//! six appear before anything is signed, so that nobody in between can put a machine of their own on the roster.

use std::path::{Path, PathBuf};

use valise_protocol::card::{Device, DeviceRequest, VerifiedCard};
use valise_protocol::contact::Contact;
use valise_protocol::limits::SLOTS;
use valise_protocol::time::Timestamp;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::random;
use crate::ui::{self, Terminal};
use crate::vault::command::Access;
use crate::vault::state::State;
use crate::vault::{Vault, passphrase};

use super::card::{self, device_name, device_status};
use super::publish::{self, RootArgs, refresh, try_publish};

/// What can be done about devices.
#[derive(clap::Subcommand, Debug)]
pub enum DeviceCommand {
    /// On a new machine: make its vault, and the request to be put on the roster
    Request {
        /// The mechanism's contact line
        #[arg(long, value_name = "CONTACT")]
        to: String,
        /// Where the request is written [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Beside the root key: put a device on the roster
    Add {
        /// The new machine's request
        file: PathBuf,
        /// The root key
        #[command(flatten)]
        root: RootArgs,
        /// For programs: the words were compared already
        #[arg(long)]
        yes_the_words_match: bool,
    },
    /// Beside the root key: take a device off the roster
    Remove {
        /// Its number or its three words, as `device list` shows them
        device: String,
        /// The root key
        #[command(flatten)]
        root: RootArgs,
        /// For programs: do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Show the devices, and which of them can read what comes
    List,
}

impl DeviceCommand {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub async fn run(&self, access: &Access, now: Timestamp) -> Outcome<()> {
        match self {
            Self::Request { to, output } => request(access, to, output.as_deref()),
            Self::Add {
                file,
                root,
                yes_the_words_match,
            } => add(access, file, root, *yes_the_words_match, now).await,
            Self::Remove { device, root, yes } => remove(access, device, root, *yes, now).await,
            Self::List => list(access, now),
        }
    }
}

/// On the new machine. A vault that is there already gives its request again.
fn request(access: &Access, to: &str, output: Option<&Path>) -> Outcome<()> {
    let contact: Contact = to.parse().map_err(|error| {
        Failure::new(format!("malformed contact line: {error}"))
            .hint("copy it again, whole, from the mechanism's own website")
    })?;
    let home = access.home()?;
    let vault = if Vault::is_in(&home) {
        access.open()?
    } else {
        let passphrase = passphrase::new(access.passphrase_fd, "the vault")?;
        let mut rng = random::system();
        let state = State::new(contact.address(), contact.to_string(), &mut rng);
        Vault::create(&home, &passphrase, &state, &mut rng)?
    };
    let state = vault.state()?;
    if state.address != contact.address() {
        return Err(
            Failure::new("the vault here belongs to a device of another mechanism")
                .hint("choose another directory with --home DIR"),
        );
    }
    let request = state.device.keys().request(state.address);
    match output {
        Some(path) => std::fs::write(path, format!("{request}\n")).map_err(|error| {
            let shown = escape::line(&path.display().to_string());
            home::disk(&format!("could not write {shown}"), &error)
        })?,
        None => ui::say(&request.to_string()),
    }
    ui::note("this machine's six words; the machine beside the root key must show the same:");
    ui::note(&format!("  {}", request.words()));
    ui::note(
        "bring the request there, and read the words to each other over a voice you know. \
         There: valise mechanism device add FILE --root FILE. Then, here: valise inbox pull",
    );
    Ok(())
}

async fn add(
    access: &Access,
    file: &Path,
    root: &RootArgs,
    words_match: bool,
    now: Timestamp,
) -> Outcome<()> {
    let request = read_request(file)?;
    let vault = access.open()?;
    refresh(&vault, now).await;
    root.learn(&vault, now)?;
    let held = card::needed(&vault.state()?, now)?;
    let devices = with_device(&held.card, &request)?;
    if !words_match {
        compare(&request)?;
    }
    let root = root.open(&held.card)?;
    let signed = publish::next_roster(&held.card, devices, &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    ui::say(&format!("added {}", device_name(&request.device())));
    let published = try_publish(&vault, now).await;
    if request.device() == vault.state()?.device.keys().public() {
        ui::note("it is this machine: it opens what is sent from now on, nothing earlier.");
        return Ok(());
    }
    if published {
        ui::note("now, on the new machine: valise inbox pull");
    }
    ui::note(
        "until it has pulled once it counts as a device that is not fresh; it opens what is sent from then on, \
         nothing earlier.",
    );
    Ok(())
}

fn read_request(file: &Path) -> Outcome<DeviceRequest> {
    let shown = escape::line(&file.display().to_string());
    let bytes = std::fs::read(file)
        .map_err(|error| home::disk(&format!("could not read {shown}"), &error))?;
    String::from_utf8_lossy(&bytes).parse().map_err(|error| {
        Failure::new(format!("{shown} is no request: {error}")).hint(
            "make it on the new machine: valise mechanism device request --to CONTACT -o FILE",
        )
    })
}

/// The devices of the roster and the one that asks.
fn with_device(card: &VerifiedCard, request: &DeviceRequest) -> Outcome<Vec<Device>> {
    if request.address() != card.address() {
        return Err(Failure::new("the request is meant for another mechanism")
            .hint("on the new machine, give this mechanism's contact line to --to"));
    }
    let mut devices = card.roster().devices().to_vec();
    if devices.contains(&request.device()) {
        return Err(Failure::new("this device is on the roster already")
            .hint("bring it to the relay with: valise mechanism publish"));
    }
    if devices.len() >= SLOTS {
        return Err(
            Failure::new(format!("a mechanism has at most {SLOTS} devices"))
                .hint("remove one first: valise mechanism device list"),
        );
    }
    devices.push(request.device());
    Ok(devices)
}

fn compare(request: &DeviceRequest) -> Outcome<()> {
    let mut terminal = Terminal::open().map_err(|failure| {
        failure.hint("a program that has compared the words says --yes-the-words-match")
    })?;
    terminal.show("The new machine must show these six words:")?;
    terminal.show(&format!("  {}", request.words()))?;
    if terminal.confirm("Are they the same, word for word?")? {
        return Ok(());
    }
    Err(
        Failure::new("the words differ: somebody may have put their own keys in the request")
            .hint("nothing was changed; bring the request again, by hand"),
    )
}

async fn remove(
    access: &Access,
    which: &str,
    root: &RootArgs,
    yes: bool,
    now: Timestamp,
) -> Outcome<()> {
    let vault = access.open()?;
    refresh(&vault, now).await;
    root.learn(&vault, now)?;
    let state = vault.state()?;
    let held = card::needed(&state, now)?;
    let devices = held.card.roster().devices();
    let device = *find(devices, which)?;
    if device == state.device.keys().public() {
        return Err(
            Failure::new("a device does not remove itself: it could not publish that")
                .hint("remove it from another device"),
        );
    }
    let name = device_name(&device);
    if !yes && !Terminal::open()?.confirm(&format!("Remove the device {name}?"))? {
        return Err(Failure::new("nothing was removed"));
    }
    let root = root.open(&held.card)?;
    let left = devices.iter().filter(|other| **other != device);
    let signed = publish::next_roster(&held.card, left.copied().collect(), &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    ui::say(&format!("removed {name}"));
    try_publish(&vault, now).await;
    ui::note(
        "now pull on every device that is left, and compare the number of the roster that each of them shows: a relay may hide \
         the new one from some of them.",
    );
    ui::note(
        "the removed device opens nothing that is sent to the new card. What it holds already, and what waits for it on the relay from \
         before, its keys still open: if it was taken from you, think of those as read.",
    );
    Ok(())
}

/// By number, or by words.
fn find<'a>(devices: &'a [Device], which: &str) -> Outcome<&'a Device> {
    let number = which.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
    let by_number = number.and_then(|at| devices.get(at));
    let mut by_words = devices.iter().filter(|device| device_name(device) == which);
    match (by_number, by_words.next(), by_words.next()) {
        (Some(device), _, _) | (None, Some(device), None) => Ok(device),
        _ => Err(Failure::new(format!(
            "there is no single device \"{}\"",
            escape::line(which)
        ))
        .hint("the numbers and words are shown by: valise mechanism device list")),
    }
}

fn list(access: &Access, now: Timestamp) -> Outcome<()> {
    let state = access.open()?.state()?;
    let held = card::needed(&state, now)?;
    let own = state.device.keys().public();
    for (at, device) in held.card.roster().devices().iter().enumerate() {
        let this = if *device == own { ", this device" } else { "" };
        ui::say(&format!("{}. {}{this}", at + 1, device_name(device)));
        ui::say(&format!("   {}", device_status(&held.card, device, now)));
    }
    tell(&held, now);
    Ok(())
}

/// Says what must be done soon.
pub fn tell(held: &card::Held, now: Timestamp) {
    for warning in card::warnings(held, now) {
        ui::note(&warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::tests::Scene;

    #[test]
    fn a_request_for_another_mechanism_and_a_ninth_device_are_refused() {
        let scene = Scene::new(SLOTS);
        let card = &scene.held(scene.began).card;
        let keys = valise_protocol::card::DeviceKeys::generate(&mut random::system());
        let elsewhere = valise_protocol::id::Address::from_bytes([9; 32]);
        let refused = |request| with_device(card, &request).unwrap_err();
        assert!(
            refused(keys.request(elsewhere))
                .what()
                .contains("another mechanism")
        );
        assert!(
            refused(keys.request(card.address()))
                .what()
                .contains("at most 8")
        );
        let own = scene.state.device.keys().request(card.address());
        assert!(refused(own).what().contains("already"));
    }

    #[test]
    fn a_device_is_found_by_its_number_or_its_words_only() {
        let scene = Scene::new(3);
        let card = &scene.held(scene.began).card;
        let devices = card.roster().devices();
        assert_eq!(find(devices, "2").unwrap(), &devices[1]);
        assert_eq!(
            find(devices, &device_name(&devices[2])).unwrap(),
            &devices[2]
        );
        for wrong in ["0", "4", "", "-1", "acid"] {
            assert!(find(devices, wrong).is_err(), "{wrong}");
        }
    }
}
