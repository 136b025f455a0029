//! Who stole a device that was then taken off the roster, with a relay that lies (docs/security.md names these tests).

#![allow(clippy::unwrap_used)]

use valise_client::session::{CardFault, Errand, Poll, Result3, run};
use valise_protocol::card::{Card, CardError, DeviceKeys, SignedRoster, SignedStatement};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{OpenError, open};
use valise_protocol::id::{Grant, RelayId};
use valise_protocol::limits::DAY;
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Refusal, Request, Stored};
use valise_tests::cast::{Defender, LiveRelay, Mechanism, Officer, START, rng};
use valise_tests::liar::{Liar, Reaction};

/// Three devices, of which the last was stolen and taken off the roster after a day; what a lying relay may combine of it all.
struct Theft {
    mechanism: Mechanism,
    thief: Officer,
    old_roster: SignedRoster,
    old: [SignedStatement; 2],
}

impl Theft {
    async fn new() -> Self {
        let relay = LiveRelay::turned_liar().await;
        let mut mechanism = Mechanism::new(3, &relay).await;
        let old_roster = mechanism.roster();
        let old = [0, 1].map(|device: usize| mechanism.devices[device].statement.clone().unwrap());
        let thief = mechanism.devices.pop().unwrap();
        mechanism.succeed(START.plus(DAY));
        Self {
            mechanism,
            thief,
            old_roster,
            old,
        }
    }

    /// What the thief states under the old roster.
    fn stolen(&self, at: Timestamp) -> SignedStatement {
        self.under_the_old_roster(&self.thief.keys, at)
    }

    /// What a device states that knows the old roster only.
    fn under_the_old_roster(&self, device: &DeviceKeys, at: Timestamp) -> SignedStatement {
        let prekey = PrekeySecret::generate(&mut rng()).public();
        SignedStatement::sign(self.mechanism.address, device, 1, prekey, at)
    }

    /// What a sender makes of the old roster with these statements.
    async fn shown(&self, statements: Vec<SignedStatement>, at: Timestamp) -> Result3 {
        let roots = self.mechanism.roots.clone();
        let card = Card::new(roots, self.old_roster.clone(), statements);
        let card = card.encode();
        let liar = Liar::reacting(move |request| {
            Reaction::Answer(match request {
                Request::Card { .. } => Answer::Card(card.clone()),
                Request::Deposit { .. } => Answer::Stored(Stored::New, Grant::from_bytes([0; 16])),
                _ => Answer::Refused(Refusal::Unavailable),
            })
        });
        let (contact, address) = (liar.contact(), self.mechanism.address);
        let defender = Defender::new(address);
        let errand = Errand {
            address,
            known: None,
            despite_staleness: None,
            deposit: Some(&|readers, epoch| Ok(defender.seal("a case", readers, epoch, &contact))),
            poll: Poll::Nothing,
        };
        run(&contact, errand, at).await.unwrap()
    }
}

/// The devices that are left have made statements under the new roster: the first of them that the thief shows betrays it, and without
/// them there is no majority once the old ones are not fresh any more.
#[tokio::test]
async fn a_thief_with_a_removed_device_and_a_lying_relay_gets_nothing_after_the_window_where_all_others_know()
 {
    let mut theft = Theft::new().await;
    let [a, b] = theft.old.clone();
    let within = START.plus(13 * DAY);
    let shown = theft.shown(vec![a.clone(), b, theft.stolen(within)], within);
    assert!(
        shown.await.deposit.is_ok(),
        "the window, which nobody can close"
    );

    let later = START.plus(15 * DAY);
    let stolen = theft.stolen(later);
    let shown = theft.shown(vec![a.clone(), stolen.clone()], later).await;
    assert!(shown.card.unwrap().readers(later).is_err(), "one of three");
    assert!(shown.deposit.is_err());

    theft.mechanism.rotate(0, later);
    let honest = theft.mechanism.devices[0].statement.clone().unwrap();
    let shown = theft.shown(vec![honest, stolen], later).await;
    assert!(matches!(
        shown.card,
        Err(CardFault::Card(CardError::NewerEpochInStatement))
    ));
    let prekeys: Vec<_> = theft.thief.prekeys.iter().collect();
    let readers = theft
        .mechanism
        .verified(later)
        .readers_despite_staleness(later);
    let sealed = Defender::new(theft.mechanism.address).seal(
        "a case",
        &readers,
        2,
        &RelayContact::new(RelayId::from_bytes([1; 32]), "relay.invalid", 1).unwrap(),
    );
    let opened = open(
        sealed.envelope.as_slice(),
        &theft.mechanism.address,
        &prekeys,
    );
    assert_eq!(opened.unwrap_err(), OpenError::NotOurs);
}

/// What remains possible, and why the guide has people compare the roster's number: one colleague from whom the relay hides the new roster
/// renews under the old one, and makes a majority with the thief. The roster's end stops it, and so does that colleague's first
/// statement under the new roster.
#[tokio::test]
async fn a_colleague_kept_ignorant_keeps_a_thief_on_the_roster_until_it_learns_or_the_roster_ends()
{
    let mut theft = Theft::new().await;
    let ignorant = 1;
    for day in [15, 40, 89] {
        let now = START.plus(day * DAY);
        let keys = &theft.mechanism.devices[ignorant].keys;
        let statements = vec![theft.under_the_old_roster(keys, now), theft.stolen(now)];
        let shown = theft.shown(statements, now).await;
        assert!(shown.deposit.is_ok(), "on day {day} the thief reads");
    }
    let now = START.plus(40 * DAY);
    theft.mechanism.rotate(ignorant, now);
    let learnt = theft.mechanism.devices[ignorant].statement.clone().unwrap();
    let shown = theft.shown(vec![learnt, theft.stolen(now)], now).await;
    assert!(matches!(
        shown.card,
        Err(CardFault::Card(CardError::NewerEpochInStatement))
    ));
    let end = START.plus(90 * DAY);
    let keys = &theft.mechanism.devices[ignorant].keys;
    let statements = vec![theft.under_the_old_roster(keys, end), theft.stolen(end)];
    let roots = theft.mechanism.roots.clone();
    let card = Card::new(roots, theft.old_roster.clone(), statements);
    let ended = card.verify(theft.mechanism.address, None, end);
    assert_eq!(ended.unwrap_err(), CardError::Expired { since: end });
}
