//! The relay's keys, and what it says of itself with them: the descriptor (spec §6) inside its certificate (spec §6.1).
//!
//! The descriptor is not kept: it is signed anew at every start and every [`RENEWAL`], on the same keys, without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rand_core::CryptoRng;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::id::RelayId;
use valise_protocol::key::{DhSecret, SigningKey};
use valise_protocol::limits::{DAY, ROSTER_LIFE};
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::files;
use crate::keys::{CURRENT, IDENTITY, IdentityError, Keys, NEXT, certificate, missing, read};

/// How old a descriptor may grow before it is signed anew, in seconds.
pub const RENEWAL: u64 = 7 * DAY;
/// How long a descriptor holds, in seconds: as long as it may.
const VALID: u64 = ROSTER_LIFE;

/// A relay's keys and its current announcement. Shared by the endpoint, the links and the janitor.
pub struct Identity {
    directory: PathBuf,
    signing: SigningKey,
    id: RelayId,
    public: Public,
    state: RwLock<State>,
}

/// What the descriptor says beside keys and dates.
#[derive(Clone, Debug)]
struct Public {
    host: String,
    port: u16,
    operator: String,
    jurisdiction: String,
    retention_days: (u64, u64),
}

struct State {
    current: Keys,
    next: Option<Keys>,
    issued: Timestamp,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Makes fresh keys in a directory and gives the relay's id.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when there are some, and what making them says.
    pub fn create(
        directory: &Path,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<RelayId, IdentityError> {
        let path = directory.join(IDENTITY);
        if path.exists() {
            return Err(IdentityError::Exists);
        }
        Keys::generate(rng, now)?.write(directory, CURRENT)?;
        let signing = SigningKey::generate(rng);
        files::write_private(&path, signing.expose())
            .map_err(|e| IdentityError::File(IDENTITY, e))?;
        Ok(RelayId::of_identity(signing.verifying_key().as_bytes()))
    }

    /// Reads the keys of a directory and signs a descriptor.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(directory: &Path, config: &Config, now: Timestamp) -> Result<Self, IdentityError> {
        let seed = read(directory, IDENTITY)?.ok_or(missing(IDENTITY))?;
        let seed = Zeroizing::new(
            seed.as_slice()
                .try_into()
                .map_err(|_| IdentityError::Malformed(IDENTITY))?,
        );
        let signing = SigningKey::from_bytes(&seed);
        let current = Keys::read(directory, CURRENT)?.ok_or(missing(CURRENT))?;
        let next = Keys::read(directory, NEXT)?;
        let public = Public::of(config);
        let certified = announce(&signing, &public, &current, next.as_ref(), now)?;
        Ok(Self {
            directory: directory.to_owned(),
            id: RelayId::of_identity(signing.verifying_key().as_bytes()),
            signing,
            public,
            state: RwLock::new(State {
                current,
                next,
                issued: now,
                certified,
            }),
        })
    }

    /// The relay's id (spec §2.1).
    pub const fn id(&self) -> RelayId {
        self.id
    }

    /// Where to reach the relay (spec §2.2).
    pub fn contact(&self) -> RelayContact {
        RelayContact::new(self.id, &self.public.host, self.public.port)
            .expect("the descriptor was signed with this host and port")
    }

    /// The static keys that links may be made to: the current one first, then the next one where one is announced.
    pub fn link_keys(&self) -> Vec<Arc<DhSecret>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let next = state.next.as_ref().map(|keys| Arc::clone(&keys.link));
        std::iter::once(Arc::clone(&state.current.link))
            .chain(next)
            .collect()
    }

    /// Signs a new descriptor, in a new certificate on the same key, when the one in use is older than [`RENEWAL`].
    /// Returns whether it did.
    ///
    /// # Errors
    /// [`IdentityError`]; the descriptor before stays in use.
    pub fn renew(&self, now: Timestamp) -> Result<bool, IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let due = now.since(state.issued) >= RENEWAL || now < state.issued;
        if due {
            self.announce(&mut state, now)?;
        }
        Ok(due)
    }

    /// Makes the next keys and announces them: step one of a rotation. Returns when it is safe to switch.
    ///
    /// # Errors
    /// [`IdentityError::NextExists`], and what making them says.
    pub fn announce_next(
        &self,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Timestamp, IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some() {
            return Err(IdentityError::NextExists);
        }
        let keys = Keys::generate(rng, now)?;
        keys.write(&self.directory, NEXT)?;
        state.next = Some(keys);
        self.announce(&mut state, now)?;
        Ok(now.plus(ROSTER_LIFE))
    }

    /// Makes the next keys the current ones and destroys those before: step two of a rotation.
    ///
    /// # Errors
    /// [`IdentityError::NoNext`], and what the file system says.
    pub fn switch(&self, now: Timestamp) -> Result<(), IdentityError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let next = state.next.take().ok_or(IdentityError::NoNext)?;
        let (from, to) = (self.directory.join(NEXT), self.directory.join(CURRENT));
        if let Err(error) = files::replace(&from, &to) {
            // The switch may have happened before it failed: what the file says counts.
            if from.exists() {
                state.next = Some(next);
                return Err(IdentityError::File(NEXT, error));
            }
            tracing::warn!(%error, "the keys before could not be overwritten");
        }
        state.current = next;
        self.announce(&mut state, now)
    }

    /// From when on a switch is safe for everybody: the longest life of a roster after the next keys were announced.
    /// `None` when none are announced.
    pub fn safe_to_switch(&self) -> Option<Timestamp> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.next.as_ref().map(|keys| keys.made.plus(ROSTER_LIFE))
    }

    /// Until when the descriptor in use holds.
    pub fn valid_until(&self) -> Timestamp {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.issued.hour().plus(VALID)
    }

    fn announce(&self, state: &mut State, now: Timestamp) -> Result<(), IdentityError> {
        state.certified = announce(
            &self.signing,
            &self.public,
            &state.current,
            state.next.as_ref(),
            now,
        )?;
        state.issued = now;
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&state.certified))
    }
}

/// Redacted.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Public {
    fn of(config: &Config) -> Self {
        Self {
            host: config.host.clone(),
            port: config.port,
            operator: config.operator.clone(),
            jurisdiction: config.jurisdiction.clone(),
            retention_days: (
                config.retention_days_min.into(),
                config.retention_days_max.into(),
            ),
        }
    }
}

/// Signs a descriptor and puts it into a certificate.
fn announce(
    signing: &SigningKey,
    public: &Public,
    current: &Keys,
    next: Option<&Keys>,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let fields = DescriptorFields {
        static_key: current.link.public(),
        tls_pin: current.pin(),
        next_static_key: next.map(|keys| keys.link.public()),
        next_tls_pin: next.map(Keys::pin),
        host: public.host.clone(),
        port: public.port,
        operator: public.operator.clone(),
        jurisdiction: public.jurisdiction.clone(),
        retention_days: public.retention_days,
        reaches: Vec::new(),
    };
    // The hour is enough for readers, and does not tell when the relay was started.
    let signed = Descriptor::sign(fields, signing, VALID, now.hour())
        .map_err(|error| IdentityError::Descriptor(error.to_string()))?;
    certificate(&current.tls, signed.encode())
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;
    use tempfile::TempDir;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

    fn made() -> (TempDir, RelayId) {
        let dir = tempfile::tempdir().unwrap();
        let id = Identity::create(dir.path(), &mut UnwrapErr(SysRng), NOW).unwrap();
        (dir, id)
    }

    fn open(dir: &TempDir) -> Identity {
        Identity::open(dir.path(), &Config::default(), NOW).unwrap()
    }

    fn publics(identity: &Identity) -> Vec<[u8; 32]> {
        identity
            .link_keys()
            .iter()
            .map(|key| *key.public().as_bytes())
            .collect()
    }

    #[test]
    fn keys_survive_a_restart_and_are_never_made_twice() {
        let (dir, id) = made();
        assert_eq!(open(&dir).id(), id);
        assert_eq!(publics(&open(&dir)), publics(&open(&dir)));
        let again = Identity::create(dir.path(), &mut UnwrapErr(SysRng), NOW);
        assert!(matches!(again, Err(IdentityError::Exists)));
    }

    #[test]
    fn a_switch_makes_the_announced_keys_the_only_ones_also_after_a_restart() {
        let (dir, _) = made();
        let identity = open(&dir);
        let safe = identity.announce_next(&mut UnwrapErr(SysRng), NOW).unwrap();
        assert_eq!(safe, NOW.plus(ROSTER_LIFE));
        let both = publics(&identity);
        assert_eq!(publics(&open(&dir)), both);
        let again = identity.announce_next(&mut UnwrapErr(SysRng), NOW);
        assert!(matches!(again, Err(IdentityError::NextExists)));
        let old = dir.path().join("old");
        std::fs::hard_link(dir.path().join(CURRENT), &old).unwrap();
        identity.switch(NOW).unwrap();
        let old = std::fs::read(old).unwrap();
        assert!(old.iter().all(|byte| *byte == 0), "it was not overwritten");
        assert_eq!(publics(&identity), both[1..]);
        assert_eq!(publics(&open(&dir)), both[1..]);
        assert!(matches!(identity.switch(NOW), Err(IdentityError::NoNext)));
    }

    #[test]
    fn the_descriptor_is_renewed_weekly_and_when_the_clock_went_back() {
        let (dir, _) = made();
        let identity = open(&dir);
        assert!(!identity.renew(NOW.plus(RENEWAL - 1)).unwrap());
        assert!(identity.renew(NOW.plus(RENEWAL)).unwrap());
        assert_eq!(identity.valid_until(), NOW.plus(RENEWAL).hour().plus(VALID));
        assert!(identity.renew(NOW).unwrap());
    }

    #[test]
    fn a_damaged_key_file_is_named() {
        let (dir, _) = made();
        files::write_private(&dir.path().join(CURRENT), &[0; 50]).unwrap();
        let error = Identity::open(dir.path(), &Config::default(), NOW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "current.keys is damaged: it does not hold a key"
        );
    }

    #[test]
    fn debug_of_an_identity_is_redacted() {
        let (dir, _) = made();
        assert_eq!(format!("{:?}", open(&dir)), "Identity(secret)");
    }
}
