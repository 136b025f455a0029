//! One submission to one mechanism: sealed, deposited, reported.

use std::sync::atomic::{AtomicBool, Ordering};

use valise_protocol::card::{Known, VerifiedCard};
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::id::{Grant, RelayId};
use valise_protocol::limits::DAY;
use valise_protocol::message::{Message, ReplyKeys, Submission, SubmissionId};
use valise_protocol::phrase::DefenderKeys;
use valise_protocol::prekey::Prekey;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Stored;
use zeroize::Zeroizing;

use crate::addressee::Addressee;
use crate::command::card::name;
use crate::failure::{Failure, Outcome};
use crate::interrupt::until_told;
use crate::random;
use crate::session::{self, Accepted, CardFault, Errand, Poll, Result3, Sealed};
use crate::ui::{Terminal, note, say, say_wrapped};

/// What is to be sealed, and to whom the answers go.
pub struct Delivery<'a> {
    /// The mechanism.
    pub to: &'a Addressee,
    /// The keys for it.
    pub keys: DefenderKeys,
    /// The encoded content.
    pub content: Zeroizing<Vec<u8>>,
    /// Who holds the parcels of its files, in the order in which to ask.
    pub holders: Vec<RelayId>,
    /// Whether it was sealed: it leaves as soon as it is.
    pub sealed: AtomicBool,
}

/// What came of it.
pub struct Delivered {
    /// The mechanism's newest card.
    pub card: VerifiedCard,
    /// How many devices can open it.
    pub readers: usize,
    /// What the relay says.
    pub stored: Stored,
    /// Leave to put parcels there.
    pub grant: Grant,
}

impl Delivery<'_> {
    /// The submission's id.
    pub fn id(&self) -> SubmissionId {
        SubmissionId::from_bytes(self.keys.message_tag(&self.content).id())
    }

    /// What a person is told who pressed Ctrl-C, or whose system wanted an end.
    fn stopped(&self) -> Failure {
        let stopped = if self.sealed.load(Ordering::Relaxed) {
            Failure::new("interrupted: the submission may have been sent").hint(
                "to be sure, give the same command again with --again and the same words and text: it never arrives twice",
            )
        } else {
            Failure::new("interrupted before the submission was sent").hint(
                "the same command again is safe; with --again it goes on under the same words",
            )
        };
        stopped.interruption()
    }

    /// The envelope for these readers (spec §4).
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, readers: &[Prekey], epoch: u64) -> Result<Sealed, SealError> {
        self.sealed.store(true, Ordering::Relaxed);
        let relay = self.to.relay.id();
        let tag = self.keys.message_tag(&self.content);
        let message = Message::Submission(Submission {
            id: self.id(),
            epoch,
            reply: ReplyKeys {
                prekey: self.keys.reply().public(),
                mailbox: self.keys.mailbox(&relay),
                relay,
            },
            content: self.content.to_vec(),
            holders: self.holders.clone(),
        });
        let message = Zeroizing::new(message.encode());
        let envelope = seal(
            readers,
            &self.to.address,
            &self.keys.send(),
            &message,
            &mut random::system(),
        )?;
        Ok(Sealed {
            envelope,
            withdraw: tag.withdraw_hash(&relay),
        })
    }

    /// Deposits it, after asking where too few devices are fresh.
    ///
    /// # Errors
    /// A failure that says whether anything was sent.
    pub async fn deliver(&self, now: Timestamp) -> Outcome<Delivered> {
        let known = self.to.card.as_ref().map(VerifiedCard::known);
        let result = self.small_session(known, None, now).await?;
        let card = match result.card {
            Ok(card) => card,
            Err(fault) => return Err(Failure::from(fault).hint("nothing was sent")),
        };
        note(&format!(
            "this card calls itself {}; nobody vouches for it.",
            name(&card)
        ));
        if let Ok(readers) = card.readers(now) {
            let (stored, grant) = result.deposit.map_err(Failure::from)?;
            return Ok(Delivered {
                card,
                readers: readers.len(),
                stored,
                grant,
            });
        }
        accept_staleness(&card, now)?;
        let accepted = Some(Accepted::of(&card, now));
        let result = self
            .small_session(Some(card.known()), accepted, now)
            .await?;
        let card = result
            .card
            .map_err(|fault: CardFault| Failure::from(fault).hint("nothing was sent"))?;
        let Some(readers) = Accepted::readers(accepted, &card, now) else {
            return Err(Failure::new(
                "the mechanism's card changed meanwhile, so nothing was sent",
            )
            .hint("send again: you will be asked about the one that is there now"));
        };
        let (stored, grant) = result.deposit.map_err(Failure::from)?;
        Ok(Delivered {
            card,
            readers: readers.len(),
            stored,
            grant,
        })
    }

    /// Deposits it again, as it was accepted before, for another grant.
    ///
    /// # Errors
    /// A failure when the relay is not reached or refuses.
    pub async fn deposit_again(&self, before: &Delivered, now: Timestamp) -> Outcome<Grant> {
        let errand = self.errand(
            Some(before.card.known()),
            Some(Accepted::of(&before.card, now)),
        );
        let deposit = &|readers: &[Prekey], epoch| self.seal(readers, epoch);
        let errand = Errand {
            deposit: Some(deposit),
            ..errand
        };
        let result = session::run(&self.to.relay, errand, now).await?;
        result.card.map_err(Failure::from)?;
        Ok(result.deposit.map_err(Failure::from)?.1)
    }

    fn errand<'b>(&self, known: Option<Known>, despite_staleness: Option<Accepted>) -> Errand<'b> {
        Errand {
            address: self.to.address,
            known,
            despite_staleness,
            deposit: None,
            poll: Poll::Nothing,
        }
    }

    async fn small_session(
        &self,
        known: Option<Known>,
        despite_staleness: Option<Accepted>,
        now: Timestamp,
    ) -> Outcome<Result3> {
        let deposit = &|readers: &[Prekey], epoch| self.seal(readers, epoch);
        let errand = Errand {
            deposit: Some(deposit),
            ..self.errand(known, despite_staleness)
        };
        match until_told(session::run(&self.to.relay, errand, now)).await {
            Some(result) => Ok(result?),
            None => Err(self.stopped()),
        }
    }

    /// What the person may now count on.
    pub fn report(&self, delivered: &Delivered, now: Timestamp) {
        let Delivered { card, readers, .. } = delivered;
        let devices = card.roster().devices().len();
        let (_, longest) = self.retention(card);
        let (shortest, id) = (self.retention(card).0, self.id());
        say_wrapped(&match delivered.stored {
            Stored::New => format!("Stored at the relay: submission {id}."),
            Stored::Already => {
                format!("Stored at the relay already: submission {id}. It was not stored twice.")
            }
            Stored::Replaced => {
                format!(
                    "Stored at the relay: submission {id}. It took the place of your earlier copy, which not \
                     every device had collected yet."
                )
            }
        });
        say_wrapped(&format!(
            "{readers} of {devices} devices of {} will be able to read it.",
            name(card)
        ));
        say_wrapped(
            "Nobody has read it yet. When somebody does and says so, `valise check` shows it.",
        );
        say_wrapped(&format!(
            "Unread mail is deleted by the relay {shortest} to {longest} days after it arrived: if there is no \
             acknowledgement by {}, it has expired, and you should send it again.",
            now.plus(longest * DAY)
        ));
        say("To read the answers, from any computer:\n  valise check --to CONTACT");
    }

    fn retention(&self, card: &VerifiedCard) -> (u64, u64) {
        let mut relays = card.relay_descriptors();
        relays
            .find(|relay| relay.id() == self.to.relay.id())
            .map_or((23, 37), |relay| relay.retention_days())
    }
}

/// Too few devices are fresh: the person decides, knowing the risk (spec §5.3).
fn accept_staleness(card: &VerifiedCard, now: Timestamp) -> Outcome<()> {
    let (fresh, devices) = card.freshness(now);
    let what = format!(
        "only {fresh} of the mechanism's {devices} devices have renewed their keys in the last 14 days"
    );
    let refused = Failure::new(format!("{what}, so nothing was sent"))
        .hint("try again in some days, or tell the mechanism by another way");
    let Ok(mut terminal) = Terminal::open() else {
        return Err(refused);
    };
    note(&format!(
        "{what}. Either they are away, or somebody is holding back newer keys and has a device that was taken from them. \
         If you send now, such a device could read it."
    ));
    if terminal.confirm("Send all the same?")? {
        Ok(())
    } else {
        Err(refused)
    }
}
