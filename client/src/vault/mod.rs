//! The vault of one device: what it pulled, what it knows and its keys, encrypted under a passphrase.
//!
//! The passphrase opens the vault's key (Argon2id), and that key everything else, so that changing the passphrase rewrites one
//! small file. Key and state are kept twice: a damaged byte in one is mended from the other. A damaged item loses that item.
//! Nothing here can notice that the whole directory was replaced by an older copy of itself.

mod disk;
mod fault;
mod secret;
pub mod wrap;
pub mod item;
pub mod state;
pub mod parcels;
pub mod backup;
pub mod passphrase;
pub mod command;

use std::fmt;

use rand_core::CryptoRng;
use valise_protocol::{aead, cbor};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::home::{self, Home};
use crate::random;
use crate::ui;

use self::disk::Disk;
use self::fault::{already_there, damaged, no_vault, not_written, wrong};
use self::item::{Damaged, Item, ItemName};
use self::state::State;
use self::wrap::Kind;

/// The wrapped key.
const KEY: &str = "key";
/// The sealed state.
const STATE: &str = "state";
/// The label of the state's key.
const LABEL: &[u8] = b"valise1/state";
/// The state is padded to a multiple of this, so that its length tells little of how much there is.
const BLOCK: usize = 16_384;

/// An open vault.
pub struct Vault {
    home: Home,
    disk: Disk,
    key: Zeroizing<[u8; 32]>,
}

/// A change to a vault while it happens: nobody else writes, and nothing counts before it is whole.
pub struct Change<'a> {
    vault: &'a Vault,
    /// The state to be written.
    pub state: State,
    removed: Vec<ItemName>,
    fillers: Vec<ItemName>,
}

/// What was found when a vault's pieces were read.
enum Piece<T> {
    /// The first copy was good.
    First(T),
    /// Only the second was.
    Second(T),
}

impl Vault {
    /// Whether a home holds a vault.
    pub fn is_in(home: &Home) -> bool {
        Self::disk_of(home).has(KEY)
    }

    fn disk_of(home: &Home) -> Disk {
        Disk::new(home.path().join("vault"))
    }

    /// Makes a vault in a home that has none.
    ///
    /// # Errors
    /// A failure when there is one already, or the disk refuses.
    pub fn create(
        home: &Home,
        passphrase: &str,
        state: &State,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Self> {
        home.make()?;
        let _lock = home.lock()?;
        if Self::is_in(home) {
            return Err(already_there(home));
        }
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let wrapped = wrap::wrap(Kind::Vault, passphrase, &key, rng);
        let vault = Self {
            home: home.clone(),
            disk: Self::disk_of(home),
            key,
        };
        vault.disk.make().map_err(|error| not_written(&error))?;
        vault.write_state(state, rng)?;
        // The key comes last: without it there is no vault, and the next attempt begins anew.
        vault.write_twice(KEY, &wrapped)?;
        Ok(vault)
    }

    /// Opens the vault of a home, mends what is damaged in one copy, and sweeps away what was never finished.
    ///
    /// # Errors
    /// A failure when there is none, the passphrase is wrong, or both copies of a part are damaged. Nothing is then changed.
    pub fn open(home: &Home, passphrase: &str) -> Outcome<Self> {
        home.check()?;
        if !Self::is_in(home) {
            return Err(no_vault(home));
        }
        let _lock = home.lock()?;
        let disk = Self::disk_of(home);
        let wrapped = read_key(&disk)?;
        let (Piece::First(bytes) | Piece::Second(bytes)) = &wrapped;
        let key = wrap::unwrap(Kind::Vault, passphrase, bytes).map_err(|error| wrong(&error))?;
        let vault = Self {
            home: home.clone(),
            disk,
            key,
        };
        vault.mend(&wrapped)?;
        Ok(vault)
    }

    /// The home that it is in.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The state as it is now.
    ///
    /// # Errors
    /// A failure when both copies are damaged.
    pub fn state(&self) -> Outcome<State> {
        let _lock = self.home.lock()?;
        let (Piece::First(state) | Piece::Second(state)) = self.read_state()?;
        Ok(state)
    }

    /// The content of an item.
    ///
    /// # Errors
    /// [`Damaged`], also when its file is gone.
    pub fn content(&self, name: ItemName) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let _lock = self.home.lock().map_err(|_| Damaged)?;
        let file = self.disk.read(&name.to_string()).map_err(|_| Damaged)?;
        item::open(&self.key, name, &file)
    }

    /// An item that holds a message.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn item(&self, name: ItemName) -> Result<Item, Damaged> {
        Item::decode(&self.content(name)?)
    }

    /// Changes the vault: `with` gets the state as it is and may add and remove items. When it fails nothing has changed; when
    /// this returns, everything has, and survives a power cut.
    ///
    /// # Errors
    /// Those of `with`, and a failure of the disk.
    pub fn change<T>(&self, with: impl FnOnce(&mut Change<'_>) -> Outcome<T>) -> Outcome<T> {
        let _lock = self.home.lock()?;
        let (Piece::First(state) | Piece::Second(state)) = self.read_state()?;
        let mut change = Change {
            vault: self,
            state,
            removed: Vec::new(),
            fillers: Vec::new(),
        };
        let result = with(&mut change)?;
        let Change {
            state,
            removed,
            fillers,
            ..
        } = change;
        self.disk.sync().map_err(|error| not_written(&error))?;
        self.write_state(&state, &mut random::system())?;
        for name in removed {
            self.disk
                .scrub(&name.to_string())
                .and_then(|()| self.scrub_parcels(name))
                .map_err(|error| not_written(&error))?;
        }
        for name in fillers {
            self.disk
                .drop_empty(&name.to_string())
                .map_err(|error| not_written(&error))?;
        }
        Ok(result)
    }

    /// Puts the vault's key under another passphrase. The mail is not touched.
    ///
    /// # Errors
    /// A failure of the disk: then the old passphrase or the new one opens it.
    pub fn change_passphrase(&self, new: &str, rng: &mut impl CryptoRng) -> Outcome<()> {
        let wrapped = wrap::wrap(Kind::Vault, new, &self.key, rng);
        let _lock = self.home.lock()?;
        self.write_twice(KEY, &wrapped)
    }

    fn write_twice(&self, name: &str, bytes: &[u8]) -> Outcome<()> {
        self.disk
            .replace(name, bytes)
            .and_then(|()| self.disk.replace(&copy_of(name), bytes))
            .map_err(|error| not_written(&error))
    }

    fn write_state(&self, state: &State, rng: &mut impl CryptoRng) -> Outcome<()> {
        let encoded = Zeroizing::new(cbor::encode(state));
        let length = (encoded.len() + 4).next_multiple_of(BLOCK);
        let mut padded = Zeroizing::new(Vec::with_capacity(length));
        let prefix = u32::try_from(encoded.len()).map_err(|_| Failure::new("the vault is full"))?;
        padded.extend(prefix.to_be_bytes());
        padded.extend_from_slice(&encoded);
        padded.resize(length, 0);
        let sealed = aead::seal(&self.key, LABEL, STATE.as_bytes(), &padded, rng);
        self.write_twice(STATE, &sealed)
    }

    fn read_state(&self) -> Outcome<Piece<State>> {
        let read = |name: &str| -> Option<State> {
            let sealed = self.disk.read(name).ok()?;
            let padded = aead::open(&self.key, LABEL, STATE.as_bytes(), &sealed).ok()?;
            let (length, rest) = padded.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            cbor::decode(rest.get(..length)?).ok()
        };
        if let Some(state) = read(STATE) {
            return Ok(Piece::First(state));
        }
        match read(&copy_of(STATE)) {
            Some(state) => Ok(Piece::Second(state)),
            None => Err(damaged("state")),
        }
    }

    /// Makes both copies of key and state alike again, and removes what the state does not name.
    fn mend(&self, wrapped: &Piece<Vec<u8>>) -> Outcome<()> {
        let (Piece::First(bytes) | Piece::Second(bytes)) = wrapped;
        if self.differs(KEY) {
            self.write_twice(KEY, bytes)?;
        }
        match self.read_state()? {
            Piece::First(state) => {
                if self.differs(STATE) {
                    self.write_state(&state, &mut random::system())?;
                }
                self.sweep(&state)
            }
            // What this copy does not name may be what the damaged one named: it stays for now.
            Piece::Second(state) => {
                ui::note("the vault's state was damaged and has been mended from its copy.");
                self.write_state(&state, &mut random::system())
            }
        }
    }

    fn differs(&self, name: &str) -> bool {
        match (self.disk.read(name), self.disk.read(&copy_of(name))) {
            (Ok(first), Ok(second)) => first != second,
            _ => true,
        }
    }

    fn sweep(&self, state: &State) -> Outcome<()> {
        let named: std::collections::HashSet<ItemName> =
            (state.items.iter().map(|entry| entry.name))
                .chain(state.outbox.iter().map(|outgoing| outgoing.name))
                .collect();
        let leftover = |name: &String| {
            let unlisted = |item: ItemName| !named.contains(&item);
            name.ends_with(".new") || name.parse().is_ok_and(unlisted)
        };
        let sweep = || {
            let mut names = self.disk.names()?;
            names.retain(leftover);
            names.iter().try_for_each(|name| self.disk.scrub(name))
        };
        sweep().map_err(|error| not_written(&error))?;
        if let Err(error) = self.sweep_parcels(&named) {
            let failure = home::disk("could not remove parcels that belong to nothing", &error);
            ui::note(&format!(
                "{}; the next command tries again.",
                failure.what()
            ));
        }
        Ok(())
    }
}

impl Change<'_> {
    /// Adds an item with this content, already on the disk when this returns; it counts when the change does.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn add(&mut self, content: &[u8]) -> Outcome<ItemName> {
        let mut rng = random::system();
        let name = ItemName::draw(&mut rng);
        let sealed = item::seal(&self.vault.key, name, content, &mut rng);
        self.vault
            .disk
            .add(&name.to_string(), &sealed)
            .map_err(|error| not_written(&error))?;
        Ok(name)
    }

    /// Costs the disk what [`Change::add`] costs, and leaves nothing: whoever sees how long a change takes shall not see whether something
    /// was kept.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn add_nothing(&mut self) -> Outcome<()> {
        let name = self.add(&[])?;
        self.fillers.push(name);
        Ok(())
    }

    /// Removes and overwrites an item's file, and the parcels of its attachments, once the state no longer names it.
    pub fn remove(&mut self, name: ItemName) {
        self.removed.push(name);
    }
}

fn copy_of(name: &str) -> String {
    format!("{name}.copy")
}

/// The wrapped key: the first copy that is not damaged.
fn read_key(disk: &Disk) -> Outcome<Piece<Vec<u8>>> {
    let good = |name: &str| {
        let bytes = disk.read(name).ok()?;
        wrap::check(Kind::Vault, &bytes).ok().map(|()| bytes)
    };
    if let Some(bytes) = good(KEY) {
        return Ok(Piece::First(bytes));
    }
    good(&copy_of(KEY))
        .map(Piece::Second)
        .ok_or_else(|| damaged("key"))
}

#[cfg(test)]
impl Vault {
    /// How many steps on the disk something takes.
    pub(crate) fn steps(&self, what: impl FnOnce()) -> u32 {
        use std::sync::atomic::Ordering;
        let before = self.disk.fuse.load(Ordering::Relaxed);
        what();
        before - self.disk.fuse.load(Ordering::Relaxed)
    }
}

/// Nothing secret.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
