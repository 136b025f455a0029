//! Threads: a submission and what was answered to it, under a short id and a short name of its sender.

use valise_protocol::key::DhPublic;
use valise_protocol::message::SubmissionId;
use valise_protocol::words::pseudonym;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::vault::state::{Entry, Role, State};

/// The fewest hexadecimal digits of a shown id, and the fewest that a person may type.
const SHOWN: usize = 8;
/// See [`SHOWN`].
const TYPED: usize = 4;

/// A submission and its answers, or answers to a submission that this vault does not hold.
#[derive(Clone, Debug)]
pub struct Thread {
    /// The submission's id.
    pub id: SubmissionId,
    /// Who sent it.
    pub sender: DhPublic,
    /// The submission, if it is here.
    pub submission: Option<Entry>,
    /// What was answered, in the order in which it came.
    pub answers: Vec<Entry>,
}

/// All threads of a vault, the newest last, with what they are called.
#[derive(Debug)]
pub struct Threads {
    threads: Vec<Thread>,
    names: Vec<(DhPublic, String)>,
}

impl Thread {
    /// How far it has come, in a word.
    pub fn state(&self) -> &'static str {
        let has = |role| self.answers.iter().any(|entry| entry.role == role);
        match &self.submission {
            _ if has(Role::Reply) => "replied",
            _ if has(Role::Acknowledgement) => "acknowledged",
            Some(entry) if !entry.read => "new",
            Some(_) => "read",
            None => "not here",
        }
    }

    /// Whether an entry belongs to it. Ids are the senders' choice: two senders may use one.
    pub fn holds(&self, entry: &Entry) -> bool {
        entry.submission == self.id && entry.sender == self.sender
    }
}

impl Threads {
    /// The threads of a state.
    pub fn of(state: &State) -> Self {
        let mut threads: Vec<Thread> = Vec::new();
        for entry in &state.items {
            let place = threads.iter().position(|thread| thread.holds(entry));
            let place = place.unwrap_or_else(|| {
                threads.push(Thread {
                    id: entry.submission,
                    sender: entry.sender,
                    submission: None,
                    answers: Vec::new(),
                });
                threads.len() - 1
            });
            match entry.role {
                Role::Submission => threads[place].submission = Some(entry.clone()),
                _ => threads[place].answers.push(entry.clone()),
            }
        }
        let names = names(&threads);
        Self { threads, names }
    }

    /// In the order in which they began.
    pub fn iter(&self) -> impl Iterator<Item = &Thread> {
        self.threads.iter()
    }

    /// The short name of a sender: two words, or more where another key of the vault shares those (spec §2.4).
    pub fn name(&self, sender: &DhPublic) -> &str {
        self.names
            .iter()
            .find(|(key, _)| key == sender)
            .map_or("somebody", |(_, name)| name)
    }

    /// The short id of a thread: eight digits, or more where another begins with those.
    pub fn id(&self, thread: &Thread) -> String {
        let full = hex(&thread.id);
        let others: Vec<String> = (self.threads.iter())
            .filter(|other| other.id != thread.id)
            .map(|other| hex(&other.id))
            .collect();
        let unique = |length: &usize| {
            others
                .iter()
                .all(|other| !other.starts_with(&full[..*length]))
        };
        let length = (SHOWN..full.len()).find(unique).unwrap_or(full.len());
        let same = |other: &&Thread| other.id == thread.id;
        if self.threads.iter().filter(same).count() > 1 {
            return format!("{full}/{}", self.name(&thread.sender));
        }
        full[..length].to_owned()
    }

    /// The thread that a person means by the beginning of its id; behind a `/` the sender's name where two senders chose one id.
    ///
    /// # Errors
    /// A failure when there is none, or several.
    pub fn find(&self, which: &str) -> Outcome<&Thread> {
        let lower = which.trim().to_lowercase();
        let (start, name) = lower.split_once('/').unwrap_or((&lower, ""));
        let mut fits = self.threads.iter().filter(|thread| {
            start.len() >= TYPED
                && hex(&thread.id).starts_with(start)
                && (name.is_empty() || self.name(&thread.sender) == name)
        });
        let shown = escape::line(which);
        match (fits.next(), fits.next()) {
            (Some(thread), None) => Ok(thread),
            (None, _) => Err(Failure::new(format!("there is no submission \"{shown}\""))
                .hint("the ids are shown by: valise inbox list")
                .hint(format!("give at least the first {TYPED} digits"))),
            (Some(_), Some(_)) => Err(Failure::new(format!(
                "several submissions begin with \"{shown}\""
            ))
            .hint("give more of the id, as valise inbox list shows it")),
        }
    }
}

fn names(threads: &[Thread]) -> Vec<(DhPublic, String)> {
    let mut keys: Vec<DhPublic> = threads.iter().map(|thread| thread.sender).collect();
    keys.sort_unstable();
    keys.dedup();
    told_apart(&keys, pseudonym)
}

/// Each key with its name: as few words as tell it from every other key.
fn told_apart(
    keys: &[DhPublic],
    name: impl Fn(&DhPublic, usize) -> String,
) -> Vec<(DhPublic, String)> {
    let of = |key: &DhPublic| {
        let alone = |words: &usize| {
            let own = name(key, *words);
            !keys
                .iter()
                .any(|other| other != key && name(other, *words) == own)
        };
        name(key, (2..12).find(alone).unwrap_or(12))
    };
    keys.iter().map(|key| (*key, of(key))).collect()
}

fn hex(id: &SubmissionId) -> String {
    id.as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use valise_protocol::id::Address;
    use valise_protocol::time::Timestamp;

    use super::*;
    use crate::random::system as rng;
    use crate::vault::item::ItemName;

    fn key(byte: u8) -> DhPublic {
        DhPublic::from_bytes([byte; 32])
    }

    fn entry(role: Role, id: [u8; 16], sender: u8) -> Entry {
        let id = SubmissionId::from_bytes(id);
        let name = ItemName::draw(&mut rng());
        Entry::new(name, role, id, key(sender), Timestamp::from_seconds(1))
    }

    fn threads(entries: Vec<Entry>) -> Threads {
        let mut state = State::new(Address::from_bytes([1; 32]), "c".into(), &mut rng());
        state.items = entries;
        Threads::of(&state)
    }

    #[test]
    fn answers_attach_to_the_submission_of_that_sender() {
        let threads = threads(vec![
            entry(Role::Submission, [1; 16], 1),
            entry(Role::Submission, [2; 16], 2),
            entry(Role::Acknowledgement, [1; 16], 1),
            entry(Role::Reply, [1; 16], 9),
        ]);
        let states: Vec<_> = threads.iter().map(Thread::state).collect();
        assert_eq!(states, ["acknowledged", "new", "replied"]);
        assert!(threads.iter().nth(2).unwrap().submission.is_none());
    }

    #[test]
    fn an_unambiguous_beginning_finds_a_submission() {
        let mut other = [0xab; 16];
        other[15] = 0;
        let threads = threads(vec![
            entry(Role::Submission, [0xab; 16], 1),
            entry(Role::Submission, other, 1),
            entry(Role::Submission, [0xcd; 16], 1),
        ]);
        assert_eq!(threads.find("CDCD").unwrap().id.as_bytes(), &[0xcd; 16]);
        assert!(threads.find("abab").is_err() && threads.find("cd").is_err());
        assert!(threads.find("").is_err() && threads.find("ffff").is_err());
        for thread in threads.iter() {
            assert_eq!(threads.find(&threads.id(thread)).unwrap().id, thread.id);
        }
        assert_eq!(threads.id(threads.find("cdcd").unwrap()), "cdcdcdcd");
    }

    #[test]
    fn two_senders_with_one_id_are_told_apart() {
        let threads = threads(vec![
            entry(Role::Submission, [7; 16], 1),
            entry(Role::Submission, [7; 16], 2),
        ]);
        assert!(threads.find("07070707").is_err());
        for thread in threads.iter() {
            let found = threads.find(&threads.id(thread)).unwrap();
            assert_eq!(found.sender, thread.sender);
        }
    }

    #[test]
    fn keys_that_share_a_short_name_get_longer_ones_and_the_others_keep_theirs() {
        let name = |key: &DhPublic, words: usize| match (key.as_bytes()[0], words) {
            (1 | 2, 2) => "acid-brave".to_owned(),
            (1, _) => "acid-brave-cat".to_owned(),
            (2, _) => "acid-brave-dog".to_owned(),
            _ => "echo-fox".to_owned(),
        };
        let names: Vec<String> = told_apart(&[key(1), key(2), key(3)], name)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["acid-brave-cat", "acid-brave-dog", "echo-fox"]);
    }
}
