//! A mechanism's devices with real vaults, on a clock of the test's choice: for what `inbox pull` and `mechanism` do between the
//! lines that a person sees.

use tempfile::TempDir;
use valise_client::dial::Connection;
use valise_client::home::Home;
use valise_client::mechanism::card;
use valise_client::mechanism::exchange::exchange;
use valise_client::vault::Vault;
use valise_client::vault::state::{OwnPrekey, State};
use valise_protocol::card::{
    Card, Device, Profile, Roster, SignedStatement, VerifiedCard, first_root,
};
use valise_protocol::contact::RelayContact;
use valise_protocol::id::Address;
use valise_protocol::key::SigningKey;
use valise_protocol::time::Timestamp;

use crate::cast::rng;

/// A mechanism that holds its own devices' vaults.
pub struct Desk {
    /// Signs rosters.
    pub root: SigningKey,
    /// Its address.
    pub address: Address,
    /// The devices' vaults, in the order of the roster.
    pub vaults: Vec<Vault>,
    relay: RelayContact,
    _directory: TempDir,
}

impl Desk {
    /// A mechanism of so many devices on this relay. Each has made a prekey at the beginning and knows those of the others; nothing is
    /// published yet.
    ///
    /// # Panics
    /// When the relay is not reached or there is no room for files.
    pub async fn new(devices: usize, relay: &RelayContact, began: Timestamp) -> Self {
        let root = SigningKey::generate(&mut rng());
        let address = Address::of_root(root.verifying_key().as_bytes());
        let contact = format!("{address}@{relay}");
        let mut states: Vec<State> = (0..devices)
            .map(|_| State::new(address, contact.clone(), &mut rng()))
            .collect();
        for state in &mut states {
            let prekey = OwnPrekey::generate(1, began, &mut rng());
            state.prekeys.push(prekey);
        }
        let connection = Connection::dial(relay, began).await.expect("it is reached");
        let descriptor = connection.signed_descriptor().to_vec();
        connection.close().await;
        let devices: Vec<Device> = states.iter().map(|s| s.device.keys().public()).collect();
        let profile = Profile::named(vec![("en".into(), "Example Mechanism".into())]);
        let roster = Roster::new(address, 1, devices, vec![descriptor], profile, began);
        let statements = states.iter().map(|state| {
            let prekey = &state.prekeys[0];
            let public = prekey.secret().public();
            SignedStatement::sign(address, &state.device.keys(), 1, public, began)
        });
        let signed = roster.expect("it fits").sign(&root);
        let card = Card::new(first_root(&root), signed, statements.collect());
        let card = card
            .verify(address, None, began)
            .expect("it is a good card");
        let directory = tempfile::tempdir().expect("there is room");
        let vaults = states.iter_mut().enumerate().map(|(at, state)| {
            card::keep(state, &card);
            let home = directory.path().join(format!("officer-{at}"));
            let home = Home::choose(Some(&home)).expect("it is named");
            Vault::create(&home, "a passphrase", state, &mut rng()).expect("there is room")
        });
        Self {
            vaults: vaults.collect(),
            root,
            address,
            relay: relay.clone(),
            _directory: directory,
        }
    }

    /// The state of a device.
    ///
    /// # Panics
    /// When its vault is damaged.
    pub fn state(&self, device: usize) -> State {
        self.vaults[device].state().expect("the vault is whole")
    }

    /// The card that a device holds.
    ///
    /// # Panics
    /// When it holds none that can be used.
    pub fn card(&self, device: usize, now: Timestamp) -> VerifiedCard {
        card::needed(&self.state(device), now)
            .expect("it was put there")
            .card
    }

    /// Exchanges cards with the relay as a device does before it polls; whether what the relay lacked was taken.
    ///
    /// # Panics
    /// When the relay is not reached.
    pub async fn exchange(&self, device: usize, now: Timestamp) -> bool {
        let done = exchange(&self.vaults[device], &self.relay, now).await;
        let done = done.expect("the relay is reached");
        done.link.finish();
        done.connection.close().await;
        done.published.is_ok()
    }
}
