//! Which way a submission and its files go: each mechanism gets its own envelope at its own relay, and the parcels go once, to a relay
//! from which all their devices may read.

use std::sync::Arc;

use valise_protocol::card::VerifiedCard;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::RelayId;
use valise_protocol::message::Content;
use valise_protocol::parcel::ParcelSet;
use valise_protocol::phrase::DefenderRoot;
use valise_protocol::time::Timestamp;

use crate::addressee::Addressee;
use crate::attach::{Files, Item, Keys, Set, held};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::session::{self, Errand, Poll};
use crate::ui::note;

use super::delivery::Delivery;
use super::{Case, Send, content_for, delivery};

/// What goes where.
pub struct Plan<'a> {
    /// One for each mechanism, in the order in which they were named.
    pub deliveries: Vec<Delivery<'a>>,
    /// Each upload; none without files.
    pub uploads: Vec<Upload>,
}

/// The files on their way to one relay.
pub struct Upload {
    /// The relay.
    pub relay: RelayContact,
    /// Whose devices will read them there: places among the deliveries, those first that deposit at that relay.
    pub members: Vec<usize>,
    /// The files under their keys.
    pub set: Set,
    /// What other relays of the members hold of each file.
    pub elsewhere: Vec<ParcelSet>,
}

impl<'a> Plan<'a> {
    /// Makes it. Asks relays where that is needed: which relays several mechanisms share, and what was stored before. The root of the
    /// phrase is gone when it is made.
    ///
    /// # Errors
    /// A failure when a card or the files do not allow it.
    pub async fn make(
        send: &Send,
        to: &'a [Addressee],
        files: Option<&Files>,
        root: DefenderRoot,
        content: Content,
        now: Timestamp,
    ) -> Outcome<Self> {
        let relays = match files {
            None => Vec::new(),
            Some(_) if may_differ(send, to) => relays_of_each(to, now).await?,
            Some(_) => named(to),
        };
        let mut plan = Self::by(&send.case, to, files, &root, &content, &relays)?;
        drop(root);
        if send.again {
            plan.look_elsewhere(to, &relays, now).await?;
        }
        Ok(plan)
    }

    /// Makes it by what is known without asking any relay.
    ///
    /// # Errors
    /// A failure when the files do not allow it.
    pub fn offline(
        case: &Case,
        to: &'a [Addressee],
        files: Option<&Files>,
        root: &DefenderRoot,
        content: &Content,
    ) -> Outcome<Self> {
        Self::by(case, to, files, root, content, &named(to))
    }

    fn by(
        case: &Case,
        to: &'a [Addressee],
        files: Option<&Files>,
        root: &DefenderRoot,
        content: &Content,
        relays: &[Vec<RelayId>],
    ) -> Outcome<Self> {
        let contents = (0..to.len()).map(|at| content_for(case, to, at, content));
        let mut contents: Vec<Content> = contents.collect();
        let mut uploads = Vec::new();
        let groups = match (files, case.undisclosed) {
            (None, _) => Vec::new(),
            (Some(_), true) => to.iter().enumerate().map(alone).collect(),
            (Some(_), false) => groups(to, relays),
        };
        let mut holders = vec![Vec::new(); to.len()];
        for (files, (relay, members)) in files.into_iter().cycle().zip(groups) {
            let first = members[0];
            let own = root.for_mechanism(&to[first].address);
            let keys = match case.undisclosed {
                true => Keys::Alone(&own),
                false => Keys::Shared(root),
            };
            let set = files.under(keys, &mut contents[first])?;
            for member in &members {
                contents[*member].attached.clone_from(&set.attached);
                holders[*member].push(relay.id());
            }
            uploads.push(Upload {
                relay,
                members,
                set,
                elsewhere: Vec::new(),
            });
        }
        let deliveries = to.iter().zip(contents).zip(holders);
        let deliveries = deliveries.map(|((to, content), holders)| Delivery {
            holders,
            ..delivery(to, root, &content)
        });
        Ok(Self {
            deliveries: deliveries.collect(),
            uploads,
        })
    }

    /// Finds what was stored at other relays before: it need not travel again.
    async fn look_elsewhere(
        &mut self,
        to: &[Addressee],
        relays: &[Vec<RelayId>],
        now: Timestamp,
    ) -> Outcome<()> {
        for upload in &mut self.uploads {
            for other in common(to, relays, &upload.members, &upload.relay) {
                let found = look_at(&other, &upload.set.items, &mut upload.elsewhere, now).await?;
                if let Some(holder) = found {
                    for member in &upload.members {
                        self.deliveries[*member].holders.push(holder);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A group of one.
fn alone((at, to): (usize, &Addressee)) -> (RelayContact, Vec<usize>) {
    (to.relay.clone(), vec![at])
}

/// The relays that each contact or card names, those for reading too.
fn named(to: &[Addressee]) -> Vec<Vec<RelayId>> {
    let ids = |to: &Addressee| {
        let of_card = to.card.iter().flat_map(readable);
        let relays = to.relays.iter().map(RelayContact::id);
        relays.chain(of_card).collect()
    };
    to.iter().map(ids).collect()
}

/// Whether it matters from where each mechanism's devices read: what a contact line says of that may be out of date.
fn may_differ(send: &Send, to: &[Addressee]) -> bool {
    let mut relays = to.iter().map(|to| to.relay.id());
    let first = relays.next();
    let several = relays.any(|relay| Some(relay) != first);
    let others = to.iter().any(|to| to.relays.len() > 1);
    (several && !send.case.undisclosed) || (others && send.again)
}

/// From which relays each mechanism's devices read files: those of its inbox, and those for reading, as its newest card says. A relay
/// that does not answer serves nobody but those who have no other.
async fn relays_of_each(to: &[Addressee], now: Timestamp) -> Outcome<Vec<Vec<RelayId>>> {
    note("asking for the mechanisms' cards, to find the relays from which they may read the files");
    let (mut relays, mut silent) = (Vec::with_capacity(to.len()), Vec::new());
    for to in to {
        let errand = Errand {
            address: to.address,
            known: to.card.as_ref().map(VerifiedCard::known),
            despite_staleness: None,
            deposit: None,
            poll: Poll::Nothing,
        };
        let asked = until_told(session::run(&to.relay, errand, now)).await;
        let asked = asked.ok_or_else(|| interrupted().hint("nothing was sent"))?;
        let card = asked.map_err(Failure::from);
        match card.and_then(|result| result.card.map_err(Failure::from)) {
            Ok(card) => relays.push(readable(&card).collect()),
            Err(failure) => {
                note(&failure.at(to.relay.host()).without_hints().to_string());
                silent.push(to.relay.id());
                relays.push(Vec::new());
            }
        }
    }
    for readable in &mut relays {
        readable.retain(|relay| !silent.contains(relay));
    }
    Ok(relays)
}

/// The relays from which the devices of a card get files (spec §9.4).
fn readable(card: &VerifiedCard) -> impl Iterator<Item = RelayId> {
    let relays = card.relays().chain(card.reading_relays());
    relays.map(|relay| relay.id())
}

/// The fewest relays, among those to which an envelope goes, from which all can read; who deposits at one comes first in its group.
fn groups(to: &[Addressee], relays: &[Vec<RelayId>]) -> Vec<(RelayContact, Vec<usize>)> {
    let mut left: Vec<usize> = (0..to.len()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let reads = |at: &usize, relay: &RelayContact| {
            to[*at].relay.id() == relay.id() || relays[*at].contains(&relay.id())
        };
        let readers = |relay: &RelayContact| left.iter().filter(|at| reads(at, relay)).count();
        // Of two with as many, the one that was named first.
        let best = left
            .iter()
            .rev()
            .map(|at| &to[*at].relay)
            .max_by_key(|relay| readers(relay));
        let Some(relay) = best.cloned() else { break };
        let (mut members, others) = left.into_iter().partition(|at| reads(at, &relay));
        let members: &mut Vec<usize> = &mut members;
        members.sort_by_key(|at| to[*at].relay.id() != relay.id());
        groups.push((relay, std::mem::take(members)));
        left = others;
    }
    groups
}

/// The other relays from which all members can read, as far as it is known how to reach them.
fn common(
    to: &[Addressee],
    relays: &[Vec<RelayId>],
    members: &[usize],
    but: &RelayContact,
) -> Vec<RelayContact> {
    let shared = |relay: &RelayContact| {
        relay.id() != but.id() && members.iter().all(|at| relays[*at].contains(&relay.id()))
    };
    let mut found: Vec<RelayContact> = Vec::new();
    for relay in members.iter().flat_map(|at| &to[*at].relays) {
        if shared(relay) && found.iter().all(|other| other.id() != relay.id()) {
            found.push(relay.clone());
        }
    }
    found
}

/// What another relay holds; its id if that is anything.
async fn look_at(
    relay: &RelayContact,
    items: &[Arc<Item>],
    elsewhere: &mut Vec<ParcelSet>,
    now: Timestamp,
) -> Outcome<Option<RelayId>> {
    let Some(asked) = until_told(held(relay, items, now)).await else {
        return Err(interrupted().hint("nothing was sent"));
    };
    // What cannot be asked cannot be counted on.
    let Ok(found) = asked else { return Ok(None) };
    let any = found.iter().any(|set| !set.is_empty());
    elsewhere.resize(items.len(), ParcelSet::default());
    for (item, (all, found)) in items.iter().zip(elsewhere.iter_mut().zip(found)) {
        for index in (0..item.count).filter(|index| found.contains(*index)) {
            all.insert(index);
        }
    }
    Ok(any.then(|| relay.id()))
}

#[cfg(test)]
mod tests {
    use valise_protocol::contact::{Contact, Way};
    use valise_protocol::id::Address;

    use super::*;

    fn relay(number: u8) -> RelayContact {
        RelayContact::new(RelayId::from_bytes([number; 32]), "relay.example", 443).unwrap()
    }

    fn addressee(number: u8, relays: &[u8]) -> Addressee {
        let way = |number: &u8| Way {
            relay: relay(*number),
            ingress: None,
        };
        let ways = relays.iter().map(way).collect();
        let contact = Contact::new(Address::from_bytes([number; 32]), ways).unwrap();
        Addressee::read(&contact.to_string(), Timestamp::from_seconds(0)).unwrap()
    }

    fn grouped(relays: &[&[u8]]) -> Vec<(u8, Vec<usize>)> {
        let to: Vec<Addressee> = relays.iter().map(|relays| addressee(0, relays)).collect();
        let reads: Vec<Vec<RelayId>> = to
            .iter()
            .map(|to| to.relays.iter().map(RelayContact::id).collect())
            .collect();
        let groups = groups(&to, &reads);
        let number = |(relay, members): (RelayContact, _)| (relay.id().as_bytes()[0], members);
        groups.into_iter().map(number).collect()
    }

    #[test]
    fn one_relay_serves_all_who_can_read_there() {
        assert_eq!(grouped(&[&[1], &[1], &[1]]), [(1, vec![0, 1, 2])]);
        assert_eq!(grouped(&[&[1], &[2, 1], &[3, 1]]), [(1, vec![0, 1, 2])]);
        assert_eq!(grouped(&[&[1, 2], &[2]]), [(2, vec![1, 0])]);
        assert_eq!(grouped(&[&[1], &[2]]), [(1, vec![0]), (2, vec![1])]);
        assert_eq!(
            grouped(&[&[1], &[2], &[2, 9], &[3, 2]]),
            [(2, vec![1, 2, 3]), (1, vec![0])]
        );
        // A relay where nobody of a group deposits would take nothing.
        assert_eq!(
            grouped(&[&[2], &[1, 2], &[3, 1]]),
            [(2, vec![0, 1]), (3, vec![2])]
        );
    }

    #[test]
    fn only_relays_that_all_name_are_asked_for_what_was_stored_before() {
        let to = [addressee(1, &[1, 2, 3]), addressee(2, &[1, 3])];
        let ids = |found: Vec<RelayContact>| -> Vec<u8> {
            found.iter().map(|relay| relay.id().as_bytes()[0]).collect()
        };
        let relays = named(&to);
        assert_eq!(ids(common(&to, &relays, &[0, 1], &relay(1))), [3]);
        assert_eq!(ids(common(&to, &relays, &[0], &relay(1))), [2, 3]);
        // What a card no longer names is not asked.
        let relays = vec![vec![relay(1).id()], vec![relay(1).id(), relay(3).id()]];
        assert!(common(&to, &relays, &[0, 1], &relay(1)).is_empty());
    }
}
